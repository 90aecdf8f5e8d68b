"""Which rows of a table satisfy matchers, remembered as long as the set of series is unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rulepush.histogram.boxes import Boxes
from rulepush.model.columns import WHOLE
from rulepush.model.index import LabelIndex
from rulepush.model.labels import METRIC_NAME
from rulepush.model.matcher import Matchers
from rulepush.storage.selection import EMPTY_SELECTION, Selection
from rulepush.storage.table import Int64s, Rows, Table, as_rows, row_numbers

_REMEMBERED: Final = 4096  # selectors a table, and of the head; the rules' own fit
# Where so many rows are in step, and so many times more than are not, it is worth computing the two apart.
_MANY_ROWS: Final = 512
_MANY_TO_ONE: Final = 4


@dataclass(slots=True)
class _Rows:
    """The memo of one set of matchers on one table."""

    version: int
    seen: int  # rows compared so far
    where: Rows  # a slice when the rows are consecutive, so that the selection is a view
    index: LabelIndex


class TableSelector:
    """Selects rows of one table. The LabelIndex of a set of matchers changes only when its series do. A new series
    costs one comparison per set of matchers; call `moved` when rows leave the table."""

    def __init__(self, table: Table):
        self._table = table
        self._known: dict[Matchers, _Rows] = {}

    def labels(self, matchers: Matchers) -> LabelIndex:
        """The label sets that satisfy `matchers` (which need not name the metric). Not remembered."""
        return self._rows(matchers, remember=False).index

    def select(self, matchers: Matchers) -> Selection:
        """The rows that satisfy `matchers`, as views where they are consecutive."""
        found, table = self._rows(matchers, remember=True), self._table
        where = found.where
        step = table.rows_in_step()
        times, values, counts = table.columns()
        shared = None if step is None else step.shared
        odd: Int64s | None = None
        if step is not None and step.odd:
            others = np.flatnonzero(~step.in_step[where])
            n = len(found.index)
            if len(others) and n >= _MANY_ROWS and len(others) * _MANY_TO_ONE <= n:
                odd = others
            elif len(others):
                shared = None
        if isinstance(where, slice):
            return Selection(found.index, times[where], values[where], counts[where], None, shared, odd, table.boxes)
        return Selection(found.index, times, values, counts, where, shared, odd, table.boxes)

    def moved(self, now_at: Int64s) -> None:
        """Rows have left the table: `now_at` int64[n] is where each row is now, -1 for those that are gone. A selection
        that lost none of its own keeps its LabelIndex."""
        table = self._table
        for known in self._known.values():
            had = len(known.index)
            rows = now_at[known.where]
            rows = rows[rows >= 0]
            known.where = as_rows(rows)
            known.seen = int(np.count_nonzero(now_at[: known.seen] >= 0))
            if len(rows) == had:
                known.index.moved(table.derived, known.where)
            else:
                known.index = LabelIndex.of_series(table.derived, known.where)

    def renumbered(self) -> None:
        """What is derived from labels was renumbered: nothing that was memoised on an index is valid any more."""
        for known in self._known.values():
            known.index = LabelIndex.of_series(self._table.derived, known.where)

    @property
    def nbytes(self) -> int:
        """Bytes of the row numbers that are remembered; nothing where they are consecutive."""
        return sum(known.where.nbytes for known in self._known.values() if not isinstance(known.where, slice))

    def _rows(self, matchers: Matchers, remember: bool) -> _Rows:
        table = self._table
        known = self._known.get(matchers)
        if known is not None and known.version == table.version:
            return known
        first = known.seen if known is not None else 0
        rest = [m for m in matchers if m.name != METRIC_NAME]
        if rest:
            new = enumerate(table.labels[first:], first)
            found = np.array([row for row, labels in new if all(m.matches_labels(labels) for m in rest)], np.int64)
        else:
            found = np.arange(first, len(table))
        if known is not None and not len(found):
            known.version, known.seen = table.version, len(table)
            return known
        where = as_rows(found if known is None else np.concatenate((row_numbers(known.where), found)))
        made = _Rows(table.version, len(table), where, LabelIndex.of_series(table.derived, where))
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
        boxes = Boxes() if any(p.boxes is not None for p in parts) else None
        for part in parts:
            end = start + len(part.index)
            times[start:end, : part.times.shape[1]] = part.times
            own = part.values
            if boxes is not None and part.boxes is not None:
                own = boxes.adopted(own, part.boxes)
            values[start:end, : own.shape[1]] = own
            start = end
        index = self._index(matchers, tuple(p.index for p in parts), remember)
        return Selection(index, times, values, np.concatenate([p.counts for p in parts]), boxes=boxes)

    def _index(self, matchers: Matchers, parts: tuple[LabelIndex, ...], remember: bool) -> LabelIndex:
        known = self._known.get(matchers)
        if known is not None and len(known[0]) == len(parts) and all(map(_is, known[0], parts)):
            return known[1]
        if not remember:  # a query of an API client leaves nothing behind in the pool
            return LabelIndex([labels for part in parts for labels in part.labels])
        pool = parts[0].source.pool
        index = LabelIndex.pooled(pool, np.concatenate([part.reduced(WHOLE, pool)[1] for part in parts]))
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[matchers] = (parts, index)
        return index

    def forget(self) -> None:
        """What is derived from labels was renumbered."""
        self._known.clear()


def _is(a: object, b: object) -> bool:
    return a is b
