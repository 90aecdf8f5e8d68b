"""The entries of a YAML mapping with `<<` merged into it, as Go's YAML libraries do it."""

from __future__ import annotations

from collections.abc import Callable

import yaml

_MERGE = "tag:yaml.org,2002:merge"

Entries = dict[str, tuple[yaml.ScalarNode, yaml.Node]]


class MappingMerger:
    """Entries by key: a mapping's own win, then those of its merges, an earlier merge before a later one.

    Each mapping is merged once, so that the cost of nested aliases is linear in the text. `on_fault` gets the node and
    what is wrong with it: a non-scalar key, a duplicate key, a merge of something other than a mapping. It may
    raise.
    """

    def __init__(self, on_fault: Callable[[yaml.Node, str], None]):
        self._on_fault = on_fault
        self._merged: dict[yaml.Node, Entries] = {}

    def entries(self, node: yaml.MappingNode) -> Entries:
        """The entries of one mapping."""
        known = self._merged.get(node)
        if known is not None:
            return known
        self._merged[node] = {}  # a mapping that merges itself adds nothing
        entries: Entries = {}
        merges: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merges += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif not isinstance(key, yaml.ScalarNode):
                self._on_fault(key, f"a key must be a text, got {_kind(key)}")
            elif key.value in entries:
                line = entries[key.value][0].start_mark.line + 1
                self._on_fault(key, f"key {key.value!r} is already set in line {line}")
            else:
                entries[key.value] = (key, value)
        for merge in merges:
            if isinstance(merge, yaml.MappingNode):
                for name, entry in self.entries(merge).items():
                    entries.setdefault(name, entry)
            else:
                self._on_fault(merge, "map merge requires a mapping or a list of mappings as the value")
        self._merged[node] = entries
        return entries


def _kind(node: yaml.Node) -> str:
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
