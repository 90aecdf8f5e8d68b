"""What one query reads, copied, so that it can be evaluated while the storage goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from rulepush.errors import TOO_MANY_SAMPLES, QueryLimitError
from rulepush.model.arrays import Floats
from rulepush.model.columns import LabelPool
from rulepush.model.index import LabelIndex
from rulepush.model.matcher import Matcher, Matchers
from rulepush.promql import EngineOptions, Query
from rulepush.promql.vectors.windows import cut, row_bounds
from rulepush.storage.head import Head
from rulepush.storage.selecting import Joiner
from rulepush.storage.selection import Selection
from rulepush.storage.table import Int64s, Table
from rulepush.web.row_search import RowSearch, TableRows

_FAR_FUTURE: Final = 1 << 62
_MAX_COPIES: Final = 8  # copies of one table, each with its own look-back


class Snapshot:
    """A Querier for one query. Made in one turn of the event loop, read in any thread.

    `uses`    the selectors of the query
    `tables`  what they read
    """

    def __init__(self, head: Head, query: Query, first: int, options: EngineOptions, search: RowSearch | None = None):
        """Copies the samples that `query` may read when it is evaluated at `first` (ms) and later. `search` has looked
        for its series already. Raises QueryLimitError when there are too many samples."""
        self.uses = query.selectors(options.lookback_delta_ms)
        since: dict[Matchers, int] = {}
        for use in self.uses:
            oldest = (first if use.since_ms is None else min(first, use.since_ms)) - use.lookback_ms
            since[use.matchers] = min(oldest, since.get(use.matchers, oldest))
        found = (search or RowSearch(head, since)).found()
        self._max_samples = options.max_samples
        self._counted = False
        self._read = {matchers: (oldest, found[matchers]) for matchers, oldest in since.items()}
        self._copies = _copies(self._read.values(), options.max_samples)
        self.tables = list(self._copies)
        self._known: dict[Matchers, tuple[int, Selection]] = {}
        self._pool = LabelPool()  # of its own, and one for all: selections are matched with each other

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Selection:
        """See `storage.selection.Querier`. Raises LookupError for what the query did not say it would read, and
        QueryLimitError when it reads too many samples in all."""
        if not self._counted:
            self._count()
        oldest, selection = self._selected(tuple(matchers))
        if mint <= oldest:
            raise LookupError(f"samples since {mint} are asked for, those after {oldest} were copied")
        return selection

    def _count(self) -> None:
        """Refuse what reads too many samples in all, before any of it is evaluated."""
        left = self._max_samples
        for oldest, parts in self._read.values():
            left -= sum(self._copies[part.table].count_of(part, oldest) for part in parts if part.labels)
            if left < 0:
                raise QueryLimitError(TOO_MANY_SAMPLES)
        self._counted = True

    def _selected(self, key: Matchers) -> tuple[int, Selection]:
        if key not in self._known:
            if key in self._read:
                oldest, parts = self._read[key]
                selections = [
                    self._copies[part.table].rows_of(part, oldest, self._pool) for part in parts if part.labels
                ]
                selection = Joiner().join(key, selections, remember=False)
            else:  # info() names the metrics that it reads, and asks for some of their series
                wider = next((known for known in self._read if set(known) <= set(key)), None)
                if wider is None:
                    raise LookupError(f"{key} is asked for, and was not copied")
                oldest, whole = self._selected(wider)
                selection = _filtered(whole, [m for m in key if m not in wider], self._pool)
            self._known[key] = (oldest, selection)
        return self._known[key]


class _Copy:
    """Rows of one table in arrays of their own: the samples later than some time, by that time."""

    def __init__(self, table: Table, wanted: Mapping[int, Int64s]):
        """`wanted`: by the oldest time, the rows (ascending)."""
        self._wanted = wanted
        self._boxes = table.boxes
        self._arrays = {oldest: _later(table, rows, oldest) for oldest, rows in wanted.items()}

    @property
    def sample_count(self) -> int:
        return sum(int(counts.sum()) for _, _, counts in self._arrays.values())

    def rows_of(self, part: TableRows, oldest: int, pool: LabelPool) -> Selection:
        """A selector's rows with the samples that are later than `oldest`, or some more; their labels in `pool`, for no
        memo is shared with other threads."""
        _, (times, values, counts) = self._rows(part, oldest)
        return Selection(LabelIndex(part.labels, pool), times, values, counts, boxes=self._boxes)

    def count_of(self, part: TableRows, oldest: int) -> int:
        """How many samples of these rows are later than `oldest`."""
        copied, (times, _, counts) = self._rows(part, oldest)
        earlier = 0 if copied == oldest else row_bounds(times, counts, oldest)
        return int((counts - earlier).sum())

    def _rows(self, part: TableRows, oldest: int) -> tuple[int, tuple[Int64s, Floats, Int64s]]:
        """A selector's rows, and since when their samples were copied."""
        copied = oldest if oldest in self._wanted else next(iter(self._wanted))
        times, values, counts = self._arrays[copied]
        at = np.searchsorted(self._wanted[copied], part.rows)
        if len(at) == len(counts):
            return copied, (times, values, counts)
        return copied, (times[at], values[at], counts[at])


def _copies(read: Iterable[tuple[int, Sequence[TableRows]]], max_samples: int) -> dict[Table, _Copy]:
    """What several selectors read, each table's samples copied once a look-back, or once when it has many. Raises
    QueryLimitError."""
    wanted: dict[Table, dict[int, list[Int64s]]] = {}
    for oldest, parts in read:
        for part in parts:
            if part.labels:
                wanted.setdefault(part.table, {}).setdefault(oldest, []).append(part.rows)
    copies = {}
    for table, by_time in wanted.items():
        if len(by_time) > _MAX_COPIES:
            by_time = {min(by_time): [rows for found in by_time.values() for rows in found]}
        copy = _Copy(table, {oldest: _union(found, len(table)) for oldest, found in by_time.items()})
        max_samples -= copy.sample_count
        if max_samples < 0:
            raise QueryLimitError(TOO_MANY_SAMPLES)
        copies[table] = copy
    return copies


def _union(found: Sequence[Int64s], n: int) -> Int64s:
    """The row numbers, below n, that are in any of the arrays: ascending."""
    if len(found) == 1:
        return found[0]
    wanted = np.zeros(n, np.bool_)
    for rows in found:
        wanted[rows] = True
    return np.flatnonzero(wanted)


def _later(table: Table, rows: Int64s, oldest: int) -> tuple[Int64s, Floats, Int64s]:
    """The samples of some rows later than `oldest`, copied."""
    times, values, counts = table.columns()
    if len(rows) < len(table):
        times, values, counts = times[rows], values[rows], counts[rows]
    times, values, counts = cut(times, values, counts, oldest, _FAR_FUTURE)
    return np.array(times), np.array(values), np.array(counts)


def _filtered(selection: Selection, matchers: Sequence[Matcher], pool: LabelPool) -> Selection:
    labels = selection.index.labels
    rows = [i for i, of_row in enumerate(labels) if all(m.matches_labels(of_row) for m in matchers)]
    index = LabelIndex([labels[i] for i in rows], pool)
    times, values, counts = selection.times[rows], selection.values[rows], selection.counts[rows]
    return Selection(index, times, values, counts, boxes=selection.boxes)
