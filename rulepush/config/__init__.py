"""Prometheus' configuration format -> frozen typed sections. Errors say file:line."""

from rulepush.config.load import examine_config, load_config, render_config
from rulepush.config.sections import Config

__all__ = ["Config", "examine_config", "load_config", "render_config"]
