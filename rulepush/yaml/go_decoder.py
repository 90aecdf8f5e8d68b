"""Reading the YAML of discoveries."""

from __future__ import annotations

import base64
from typing import Any, Final

import yaml

from rulepush.yaml.merge import MappingMerger

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"


def parse_yaml(text: str) -> Any:
    """As Go's yaml.v2 reads YAML into texts: every scalar is the text it is written with (`true`, `010` and `1.0` stay
    what they are), null is None, `<<` merges mappings, and a key must not stand twice.

    The text must not nest too deeply (see `yaml.depth`). Raises yaml.YAMLError or ValueError.
    """
    node = yaml.compose(text, Loader=_LOADER)
    return None if node is None else _Converter().value(node)


class _Converter:
    """Nodes to plain values. What aliases repeat is converted once, so a file cannot grow without a bound."""

    def __init__(self) -> None:
        self._values: dict[yaml.Node, Any] = {}
        self._mappings = MappingMerger(_fail)

    def value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if node not in self._values:
            self._values[node] = None  # what an alias within itself stands for
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
