"""Loading configurations that stand in the test."""

from __future__ import annotations

from pathlib import Path

from rulepush.config import Config, load_config
from rulepush.errors import ConfigError


def load(directory: Path, text: str) -> Config:
    path = directory / "prometheus.yml"
    path.write_text(text)
    return load_config(str(path))


def problems(directory: Path, text: str) -> list[str]:
    """`line: message` of every problem; of other files `file:line: message`."""
    try:
        load(directory, text)
    except ConfigError as e:
        return [
            str(p).removeprefix(str(directory / "prometheus.yml") + ":").removeprefix(str(directory) + "/")
            for p in e.problems
        ]
    return []
