"""Which rows of a table satisfy matchers, remembered as long as the set of series is unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rulepush.model.index import LabelIndex
from rulepush.model.labels import METRIC_NAME
from rulepush.model.matcher import Matcher
from rulepush.storage.selection import EMPTY_SELECTION, Selection
from rulepush.storage.table import Rows, Table, as_rows

_REMEMBERED: Final = 4096  # selectors a table, and of the head; the rules' own fit

Matchers = tuple[Matcher, ...]


@dataclass(slots=True)
class _Rows:
    """The memo of one set of matchers on one table."""

    version: int
    layout: int
    seen: int  # rows looked at so far
    rows: list[int]
    index: LabelIndex
    where: Rows  # a slice when the rows are consecutive, so that the selection is a view


class TableSelector:
    """Selects rows of one table. The LabelIndex of a set of matchers changes only when its series do."""

    def __init__(self, table: Table):
        self._table = table
        self._known: dict[Matchers, _Rows] = {}

    def labels(self, matchers: Matchers) -> LabelIndex:
        """The label sets that satisfy `matchers` (which need not name the metric). Not remembered."""
        return self._rows(matchers, remember=False).index

    def select(self, matchers: Matchers, *, remember: bool = True) -> Selection:
        """The rows that satisfy `matchers`, as views where they are consecutive."""
        found = self._rows(matchers, remember)
        times, values, counts = self._table.columns()
        return Selection(found.index, times[found.where], values[found.where], counts[found.where])

    def _rows(self, matchers: Matchers, remember: bool) -> _Rows:
        table = self._table
        known = self._known.get(matchers)
        if known is not None and known.version == table.version:
            return known
        rest = [m for m in matchers if m.name != METRIC_NAME]
        same_rows = known is not None and known.layout == table.layout
        first = known.seen if known is not None and same_rows else 0
        found = (
            range(first, len(table))
            if not rest
            else [
                row
                for row, labels in enumerate(table.labels[first:], first)
                if all(m.matches_labels(labels) for m in rest)
            ]
        )
        if known is not None and same_rows and not found:
            known.version, known.seen = table.version, len(table)
            return known
        rows = [*(known.rows if known is not None and same_rows else ()), *found]
        labels = tuple(table.labels[row] for row in rows)
        index = known.index if known is not None and known.index.labels == labels else LabelIndex(labels)
        made = _Rows(table.version, table.layout, len(table), rows, index, as_rows(rows))
        if remember:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[matchers] = made
        return made


class Joiner:
    """Concatenates the selections of several tables, and keeps one LabelIndex for the same parts."""

    def __init__(self) -> None:
        self._known: dict[Matchers, tuple[tuple[LabelIndex, ...], LabelIndex]] = {}

    def join(self, matchers: Matchers, parts: Sequence[Selection], *, remember: bool = True) -> Selection:
        """One selection of all parts, padded to the widest."""
        if not parts:
            return EMPTY_SELECTION
        if len(parts) == 1:
            return parts[0]
        width = max(p.times.shape[1] for p in parts)
        total = sum(len(p.index) for p in parts)
        times, values = np.zeros((total, width), np.int64), np.zeros((total, width))
        start = 0
        for part in parts:
            end = start + len(part.index)
            times[start:end, : part.times.shape[1]] = part.times
            values[start:end, : part.values.shape[1]] = part.values
            start = end
        index = self._index(matchers, tuple(p.index for p in parts), remember)
        return Selection(index, times, values, np.concatenate([p.counts for p in parts]))

    def _index(self, matchers: Matchers, parts: tuple[LabelIndex, ...], remember: bool) -> LabelIndex:
        known = self._known.get(matchers)
        if known is not None and len(known[0]) == len(parts) and all(map(_is, known[0], parts)):
            return known[1]
        index = LabelIndex([labels for part in parts for labels in part.labels])
        if remember:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[matchers] = (parts, index)
        return index


def _is(a: object, b: object) -> bool:
    return a is b
