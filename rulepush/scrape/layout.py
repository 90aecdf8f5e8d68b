"""The plan of a target's body: where each kept value goes, as long as the series and their order stay the same.

Most endpoints answer the same series in the same order at every scrape. Then all lines are split, compared with the
plan and converted by a few calls that run in C, and each table takes its values in one numpy assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, Final

import numpy as np

from rulepush.exposition.literals import parse_value
from rulepush.model.labels import Labels
from rulepush.storage.head import Head
from rulepush.storage.table import Floats, Rows, Table, as_rows

_PLAIN: Final = b"0123456789+-.eE "


class TargetSeries:
    """A series of a target: its labels, and where its samples go (None when no rule wants it)."""

    __slots__ = ("labels", "layout", "row", "table")

    def __init__(self, labels: Labels):
        self.labels = labels
        self.table: Table | None = None
        self.layout = 0
        self.row = 0

    def locate(self, head: Head) -> bool:
        """Find the row, again if rows have moved; False when the series is not wanted."""
        table = self.table
        if table is None or table.layout != self.layout:
            table = self.table = head.table_for(self.labels)
            if table is None:
                return False
            self.layout = table.layout
            self.row = table.row(self.labels)
        return True


@dataclass(slots=True)
class TableRows:
    """The kept series of one table: `rows[k]` take `values[positions[k]]`."""

    table: Table
    layout: int
    rows: Rows
    positions: Rows


class Placement:
    """Which positions of a list of values go to which rows."""

    def __init__(self, head: Head, placed: Sequence[tuple[TargetSeries, int]]):
        self._head = head
        self._placed = placed
        self._groups: list[TableRows] | None = None

    def append(self, ts: int, values: Floats) -> tuple[int, int]:
        """Append values[position] of every series at `ts`. Returns (out of order, duplicate)."""
        late = duplicate = 0
        for group in self._current():
            refused = self._head.append_rows(group.table, group.rows, ts, values[group.positions])
            late, duplicate = late + refused[0], duplicate + refused[1]
        return late, duplicate

    def _current(self) -> list[TableRows]:
        groups = self._groups
        if groups is None or any(g.layout != g.table.layout for g in groups):
            groups = self._groups = self._group()
        return groups

    def _group(self) -> list[TableRows]:
        by_table: dict[int, tuple[Table, list[int], list[int]]] = {}
        for series, position in self._placed:
            if not series.locate(self._head) or series.table is None:
                continue
            _, rows, positions = by_table.setdefault(id(series.table), (series.table, [], []))
            rows.append(series.row)
            positions.append(position)
        return [TableRows(t, t.layout, as_rows(rows), as_rows(at)) for t, rows, at in by_table.values()]


@dataclass(frozen=True, slots=True)
class ScrapeBodyStats:
    """How a body counts in the series that a scrape reports of itself."""

    scraped: int = 0
    post_relabel: int = 0
    wanted: int = 0
    duplicates: int = 0


class BodyLayout:
    """What is known of a body whose lines of values all have the form `key value`."""

    def __init__(
        self,
        lines: Sequence[bytes],
        at: Sequence[int],
        keys: Sequence[bytes],
        placement: Placement,
        live: dict[TargetSeries, None],
        counts: ScrapeBodyStats,
    ):
        """`at` are the indices in `lines` that hold samples, `keys` what stands before their values."""
        others = sorted(set(range(len(lines))).difference(at))
        self._line_count = len(lines)
        self._samples_of = _getter(at)
        self._others_of = _getter(others)
        self._others = self._others_of(lines)
        self._keys = tuple(keys)
        self.placement = placement
        self.live = live
        self.counts = counts

    def values(self, lines: list[bytes]) -> Floats | None:
        """The values of a body with the same series in the same order, float64[scraped]; None when it is not that."""
        if len(lines) != self._line_count or self._others_of(lines) != self._others:
            return None
        parts = list(map(bytes.rpartition, self._samples_of(lines), repeat(b" ")))
        keys, _, texts = zip(*parts, strict=True)
        if keys != self._keys:
            return None
        return to_floats(texts)


def to_floats(texts: Sequence[bytes]) -> Floats | None:
    """Many values at once, float64[n]; None when one of them is not what `parse_value` accepts."""
    try:
        values = np.array(list(map(float, texts)))
        # float() is more lenient than Go: what is not plainly a number is looked at one by one.
        if b" ".join(texts).translate(None, _PLAIN):
            for text in texts:
                if text.translate(None, _PLAIN):
                    parse_value(text)
        if np.isinf(values).any():
            for i in np.flatnonzero(np.isinf(values)).tolist():
                parse_value(texts[i])  # an overflow is an error, a written infinity is not
    except ValueError:
        return None
    return values


def _getter(indices: Sequence[int]) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    if not indices:
        return lambda lines: ()
    get: Any = itemgetter(*indices)
    if len(indices) == 1:
        return lambda lines: (get(lines),)
    return get  # type: ignore[no-any-return]
