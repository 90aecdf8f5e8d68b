"""A file with the settings of an HTTP client alone, as promtool's --http.config.file takes it."""

from __future__ import annotations

import yaml

from rulepush.errors import ConfigError
from rulepush.http_client.config import NO_CLIENT_SETTINGS, HTTPClientConfig, read_http_client
from rulepush.yaml.nodes import LoadSession, MapReader, kind, line_of, read_yaml


def load_http_client(path: str) -> HTTPClientConfig:
    """Raises ConfigError with every problem."""
    reading = LoadSession()
    source, root = read_yaml(path, reading)
    settings = NO_CLIENT_SETTINGS
    if isinstance(root, yaml.MappingNode):
        reader = MapReader(source, root)
        settings = read_http_client(reader)
        reader.finish()
    elif root is not None:
        source.problem(line_of(root), f"expected the settings of an HTTP client, got {kind(root)}")
    if reading.problems:
        raise ConfigError(sorted(reading.problems, key=lambda p: p.line))
    return settings
