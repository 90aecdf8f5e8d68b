"""Prometheus' configuration format -> frozen typed sections. Errors say file:line."""

from rulepush.config.load import load_config, render
from rulepush.config.sections import Config

__all__ = ["Config", "load_config", "render"]
