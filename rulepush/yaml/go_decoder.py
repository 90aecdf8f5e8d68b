"""Decodes the YAML of discoveries as Go does."""

from __future__ import annotations

import base64
from typing import Any, Final

import yaml

from rulepush.yaml.merge import MappingMerger

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"


def parse_yaml(text: str) -> Any:
    """As Go's yaml.v2 decodes YAML into strings: every scalar is its source text (`true`, `010` and `1.0` stay as they
    are), null is None, `<<` merges mappings, and a duplicate key is an error.

    The text must not nest too deeply (see `yaml.depth`). Raises yaml.YAMLError or ValueError.
    """
    node = yaml.compose(text, Loader=_LOADER)
    return None if node is None else _Converter().value(node)


class _Converter:
    """Nodes to plain values. An aliased node is converted once, so that a small file cannot expand without bound."""

    def __init__(self) -> None:
        self._values: dict[yaml.Node, Any] = {}
        self._mappings = MappingMerger(_fail)

    def value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if node not in self._values:
            self._values[node] = None  # the value of an alias inside its own anchor
            if isinstance(node, yaml.MappingNode):
                self._values[node] = {name: self.value(n) for name, (_, n) in self._mappings.entries(node).items()}
            else:
                self._values[node] = [self.value(n) for n in node.value]
        return self._values[node]


def _fail(node: yaml.Node, message: str) -> None:
    raise yaml.MarkedYAMLError(problem=message, problem_mark=node.start_mark)


def _scalar(node: yaml.ScalarNode) -> str | None:
    if node.tag == _TAG + "null":
        return None
    if node.tag == _TAG + "binary":
        return base64.b64decode(node.value, validate=False).decode()
    return str(node.value)
