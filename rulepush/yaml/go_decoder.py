"""Reading the YAML of discoveries."""

from __future__ import annotations

import base64
from typing import Any, Final

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"


def parse_yaml(text: str) -> Any:
    """As Go's yaml.v2 reads YAML into texts: every scalar is the text it is written with (`true`, `010` and `1.0` stay
    what they are), null is None, `<<` merges mappings, and a key must not stand twice.

    The text must not nest too deeply (see yaml_depth). Raises yaml.YAMLError or ValueError.
    """
    node = yaml.compose(text, Loader=_LOADER)
    return None if node is None else _Converter().value(node)


class _Converter:
    """Nodes to plain values. What aliases repeat is converted once, so a file cannot grow without a bound."""

    def __init__(self) -> None:
        self._values: dict[yaml.Node, Any] = {}
        self._merged: dict[yaml.Node, dict[str, yaml.Node]] = {}

    def value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if node not in self._values:
            self._values[node] = None  # what an alias within itself stands for
            if isinstance(node, yaml.MappingNode):
                self._values[node] = {name: self.value(n) for name, n in self._pairs(node).items()}
            else:
                self._values[node] = [self.value(n) for n in node.value]
        return self._values[node]

    def _pairs(self, node: yaml.MappingNode) -> dict[str, yaml.Node]:
        """The entries of a mapping, those that it merges behind its own."""
        if node in self._merged:
            return self._merged[node]
        self._merged[node] = {}
        own: dict[str, yaml.Node] = {}
        merges: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                merges += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a text", problem_mark=key.start_mark)
            elif key.value in own:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            else:
                own[key.value] = value
        for merge in merges:
            if not isinstance(merge, yaml.MappingNode):
                problem = "map merge requires a mapping or a list of mappings as the value"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=merge.start_mark)
            own = self._pairs(merge) | own
        self._merged[node] = own
        return own


def _scalar(node: yaml.ScalarNode) -> str | None:
    if node.tag == _TAG + "null":
        return None
    if node.tag == _TAG + "binary":
        return base64.b64decode(node.value, validate=False).decode()
    return str(node.value)
