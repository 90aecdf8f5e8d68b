"""Head: the samples that the rules need, in memory. Pure: it reads no clock and does no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from rulepush.histogram.boxes import Boxes, box_of
from rulepush.histogram.sample import HistogramSample
from rulepush.model.arrays import Floats
from rulepush.model.columns import LabelPool
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, exact_metric_name, may_name, only_metric_name
from rulepush.model.sample import STALE, Sample
from rulepush.storage.demand import Demand
from rulepush.storage.selecting import Joiner, TableSelector
from rulepush.storage.selection import EMPTY_SELECTION, Querier, Selection
from rulepush.storage.table import MARGIN_MS, AppendOutcome, Int64s, Rows, Table

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

_UNWANTED_REMEMBERED: Final = 65_536
SMALL_POOL: Final = 4096  # label sets: below, compaction is not worth its while
LARGE_TABLE: Final = 1024  # rows
DEAD_PART: Final = 16


class SampleRecorder(Protocol):
    """Receives every series and every kept sample: the journal."""

    def created(self, series_id: int, labels: Labels) -> None:
        """There is a new series."""
        ...

    def wrote(self, table: Table, rows: Rows, ts: int, values: Floats) -> None:
        """values[k] went into k rows of `table` at `ts`. The values will not change afterwards; the rows may move."""
        ...

    def wrote_one(self, table: Table, row: int, ts: int, value: float) -> None:
        """One sample."""
        ...


class Head:
    """One Table a metric name. Not thread-safe: it lives in the event loop, and no evaluation awaits.

    `version`  changes at every append
    `epoch`    changes when the demand does: "not wanted" verdicts noted before are void
    `gone_at`  when the series that were removed for their age had their newest samples, at the latest (ms; 0: none was)
    `ended_at` the same for series that had ended, with a stale marker
    """

    def __init__(self, demand: Demand):
        self._demand = demand
        self._tables: dict[str, Table] = {}
        self._selectors: dict[str, TableSelector] = {}
        self._joiner = Joiner()
        self._pool = LabelPool()
        self._pool_limit = SMALL_POOL
        self._unwanted: set[Labels] = set()
        self._recorder: SampleRecorder | None = None
        self._last_id = 0
        self.version = 0
        self.epoch = 0
        self.gone_at = self.ended_at = 0

    # --- what is kept

    @property
    def demand(self) -> Demand:
        """What is kept at present."""
        return self._demand

    def set_demand(self, demand: Demand) -> None:
        """Follow a reload: what is still wanted stays, the rest goes."""
        self._demand = demand
        self._unwanted.clear()
        self.version += 1
        self.epoch += 1
        for name in list(self._tables):
            table = self._tables[name]
            table.keep = demand.keep(name)
            unwanted = [row for row, labels in enumerate(table.labels) if not demand.wants(labels)]
            if len(unwanted) == len(table):
                self._forget(name)
            elif unwanted:
                self._selectors[name].moved(table.remove(unwanted))
        self._compact_labels()

    def record_to(self, recorder: SampleRecorder | None) -> None:
        """Tell `recorder` of every sample kept from now on."""
        self._recorder = recorder

    # --- writing

    def append(self, labels: Labels, ts: int, value: float) -> AppendOutcome:
        """One sample. The outcome is true when it is kept, or was there already."""
        return self._put(labels, ts, value)

    def insert(self, labels: Labels, ts: int, value: float) -> AppendOutcome:
        """One sample that may be older than the newest of its series: it goes where its time belongs. The outcome is
        `DUPLICATE` when that time is taken by another value."""
        return self._put(labels, ts, value, in_order=False)

    def _put(self, labels: Labels, ts: int, value: float, in_order: bool = True) -> AppendOutcome:
        table = self.table_for(labels)
        if table is None:
            return AppendOutcome.NOT_WANTED
        row = table.row(labels)
        outcome = table.append(row, ts, value) if in_order else table.insert(row, ts, value)
        if outcome is AppendOutcome.KEPT:
            self.version += 1
            if self._recorder is not None:
                self._recorder.wrote_one(table, row, ts, value)
        return outcome

    def append_histogram(
        self, labels: Labels, ts: int, histogram: FloatHistogram, *, in_order: bool = True
    ) -> AppendOutcome:
        """As `append`, or when not `in_order` `insert`, of a sample that is a native histogram."""
        table = self.table_for(labels)
        if table is None:
            return AppendOutcome.NOT_WANTED
        row = table.row(labels)
        outcome = table.put_histogram(row, ts, histogram, in_order=in_order)
        if outcome is AppendOutcome.KEPT:
            self.version += 1
            if self._recorder is not None:
                value = STALE if table.boxes is None or histogram.is_stale else box_of(len(table.boxes) - 1)
                self._recorder.wrote_one(table, row, ts, value)
        return outcome

    def append_many(self, samples: Iterable[Sample]) -> Counter[AppendOutcome]:
        """Many samples, in order. Returns how many had which outcome."""
        put, append_histogram = self._put, self.append_histogram
        return Counter(
            [
                append_histogram(s.labels, s.ts, s.histogram)
                if type(s) is HistogramSample
                else put(s.labels, s.ts, s.value)
                for s in samples
            ]
        )

    def append_rows(
        self, table: Table, rows: Rows, ts: int, values: Floats, boxes: Boxes | None = None
    ) -> tuple[int, int]:
        """values[k] at one `ts` into k different rows: the way of a scrape. `boxes` has the histograms among them.
        Returns (out of order, duplicate)."""
        if boxes is not None:
            values = table.with_histograms(rows, values, boxes)
        refused = table.append_rows(rows, ts, values)
        self.version += 1
        if self._recorder is not None:
            self._recorder.wrote(table, rows, ts, values)
        return refused

    def table_for(self, labels: Labels, *, wanted: bool = False) -> Table | None:
        """The table that a series belongs to, made when it is wanted and new; None when it is not wanted. With `wanted`
        the caller has asked the present demand already."""
        name = labels.name
        table = self._tables.get(name)
        if table is not None and table.find(labels) is not None:
            return table
        if not wanted and labels in self._unwanted:
            return None
        if not wanted and not self._demand.wants(labels):
            if len(self._unwanted) >= _UNWANTED_REMEMBERED:
                self._unwanted.clear()
            self._unwanted.add(labels)
            return None
        return self.wanted_table(name) if table is None else table

    def wanted_table(self, name: str) -> Table:
        """The table of a metric, made when it is new: for a caller who has asked the present demand."""
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = Table(name, self._demand.keep(name), self._new_id, self._pool)
            self._selectors[name] = TableSelector(table)
        return table

    def restore(
        self, series_id: int, labels: Labels, times: Int64s, values: Floats, boxes: Boxes | None = None
    ) -> bool:
        """Put back what the journal kept of a series: ascending times, and in `boxes` the histograms among the values.
        Whether it is still wanted."""
        table = self.table_for(labels)
        if table is None:
            return False
        if len(times) and not table.keep.windows:
            start = int(np.searchsorted(times, times[-1] - table.keep.lookback_ms - MARGIN_MS))
            times, values = times[start:], values[start:]
        if boxes:
            values = table.held_boxes().adopted(values, boxes)
        table.fill(table.row(labels, series_id), times, values)
        self._last_id = max(self._last_id, series_id)
        self.version += 1
        return True

    def skip_ids(self, up_to: int) -> None:
        """Number new series above `up_to`."""
        self._last_id = max(self._last_id, up_to)

    def _new_id(self, labels: Labels) -> int:
        self._last_id += 1
        if self._recorder is not None:
            self._recorder.created(self._last_id, labels)
        return self._last_id

    def truncate(self, now: int) -> int:
        """Remove series without a sample that anyone may still ask for. Returns how many. Call it once a while.

        Removing one moves all rows of its table, and who has noted rows must look for them again: a large table waits
        until a part of it is dead, so that the cost is that of the series that went."""
        removed = 0
        for name in list(self._tables):
            table = self._tables[name]
            table.settle_boxes()
            dead = table.dead_rows(now)
            if len(dead) != len(table) and not (
                len(dead) * DEAD_PART >= len(table) or (len(dead) > 0 and len(table) < LARGE_TABLE)
            ):
                continue
            self._note_removed(table, dead)
            if len(dead) == len(table):
                self._forget(name)
            else:
                self._selectors[name].moved(table.remove(dead))
            removed += len(dead)
        if removed:
            self.version += 1
        if len(self._pool) > self._pool_limit:
            self._compact_labels()
        return removed

    def _note_removed(self, table: Table, rows: Int64s) -> None:
        last, ended = table.newest()[rows], table.ended()[rows]
        if not ended.all():
            self.gone_at = max(self.gone_at, int(last[~ended].max()))
        if ended.any():
            self.ended_at = max(self.ended_at, int(last[ended].max()))

    def rewind(self, now: int) -> int:
        """Forget samples later than `now`: the clock was set back, and they would refuse what comes. How many."""
        dropped = sum(table.drop_after(now) for table in self._tables.values())
        self.version += 1
        return dropped

    def _compact_labels(self) -> None:
        """Give up what was derived from the labels of series that are gone. The cost is that of what is left, so it is
        done when that is two thirds at most."""
        in_use = [column for table in self._tables.values() for column in table.derived.columns()]
        self._pool, number_of = self._pool.compacted(in_use)
        for table in self._tables.values():
            table.renumber(self._pool, number_of)
        for selector in self._selectors.values():
            selector.renumbered()
        self._joiner.forget()
        self._pool_limit = len(self._pool) * 3 // 2 + SMALL_POOL

    def _forget(self, name: str) -> None:
        self._tables.pop(name).layout += 1  # who still holds the table must ask again
        del self._selectors[name]

    # --- reading

    def querier(self) -> Querier:
        """A view for one synchronous evaluation."""
        return self

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Selection:
        """See `storage.selection.Querier`."""
        key = tuple(matchers)
        name = only_metric_name(key)
        if name is not None:
            selector = self._selectors.get(name)
            return EMPTY_SELECTION if selector is None else selector.select(key)
        parts = [selector.select(key) for selector in self._matching(key)]
        return self._joiner.join(key, [p for p in parts if len(p.index)])

    def candidates(self, matchers: Sequence[Matcher]) -> int:
        """How many series a selection has to compare."""
        name = exact_metric_name(matchers)
        if name is None:
            return self.series_count
        table = self._tables.get(name)
        return 0 if table is None else len(table)

    def series(self, matchers: Sequence[Matcher]) -> list[Labels]:
        """The series that satisfy all matchers, in no special order."""
        key = tuple(matchers)
        return [labels for selector in self._matching(key) for labels in selector.labels(key).labels]

    def unended(self) -> Iterator[Labels]:
        """The series whose newest sample is not a stale marker."""
        for table in self._tables.values():
            yield from table.unended()

    def tables(self) -> Iterator[Table]:
        """All tables, for statistics and the journal."""
        return iter(self._tables.values())

    def _matching(self, matchers: tuple[Matcher, ...]) -> Iterator[TableSelector]:
        for name, selector in self._selectors.items():
            if may_name(matchers, name):
                yield selector

    @property
    def series_count(self) -> int:
        """Series held."""
        return sum(len(t) for t in self._tables.values())

    @property
    def sample_count(self) -> int:
        """Samples held."""
        return sum(t.sample_count for t in self._tables.values())

    @property
    def nbytes(self) -> int:
        """Bytes of sample arrays held."""
        return sum(t.nbytes for t in self._tables.values())

    @property
    def label_bytes(self) -> int:
        """About the bytes of the label sets of all series."""
        return sum(t.label_bytes for t in self._tables.values())

    @property
    def derived_bytes(self) -> int:
        """About the bytes of what evaluations derived from labels, and of the rows that selectors remember."""
        columns = sum(t.derived.nbytes for t in self._tables.values())
        return columns + self._pool.nbytes + sum(s.nbytes for s in self._selectors.values())
