"""Table: all series of one metric name, as columns of numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from rulepush.histogram.boxes import Boxes, box_mask, box_numbers, boxed_numbers
from rulepush.model.arrays import Bools, Floats
from rulepush.model.columns import Codes, LabelPool, LabelRows, label_bytes
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, stale_mask
from rulepush.storage.demand import Retention
from rulepush.storage.selection import SharedTimes

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

Int64s = npt.NDArray[np.int64]
Rows = Int64s | slice  # a slice has a start and a stop, and is not empty

# An evaluation runs a little after its own timestamp, and the API may ask for a time just past.
MARGIN_MS: Final = 30_000
# A sample further ahead than this is refused, scraped or received (Prometheus scrape.go and write_handler.go,
# maxAheadTime).
MAX_AHEAD_MS: Final = 10 * 60_000
_FIRST_CAPACITY: Final = 8
_FIRST_ROWS: Final = 4
# Room for so many samples is spent on compacting a table seldom: where it has few rows, to move them costs as much as
# an evaluation of their rules. 64 KiB.
_SPARE_SAMPLES: Final = 4096
_SMALL: Final = 64
# A box more than samples takes memory, a compaction time: each eighth that came makes all others move.
_FEW_BOXES: Final = 64
_SPARE_BOXES: Final = 8
_MANY_ODD: Final = 8


class AppendOutcome(Enum):
    """What became of a sample, in Prometheus' terms. True when the sample is (or already was) there."""

    KEPT = "kept"
    SAME = "already there with the same value"
    NOT_WANTED = "no rule needs this series"
    OUT_OF_ORDER = "out of order sample"
    DUPLICATE = "duplicate sample for timestamp"

    def __bool__(self) -> bool:
        return self in (AppendOutcome.KEPT, AppendOutcome.SAME)


def as_rows(numbers: Sequence[int] | Int64s) -> Rows:
    """Row numbers, each at most once, as a slice when they are consecutive and ascending, so that numpy takes views."""
    if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1:
        rows = np.asarray(numbers, np.int64)
        if (rows[1:] > rows[:-1]).all():
            return slice(int(rows[0]), int(rows[0]) + len(rows))
    return np.asarray(numbers, np.int64)


def row_numbers(rows: Rows) -> Int64s:
    """The numbers of some rows, as an array."""
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


@dataclass(frozen=True, slots=True, eq=False)
class RowsInStep:
    """The rows of a table that have times in common: `in_step` bool[n], `row` one of them, `odd` how many others there
    are."""

    shared: SharedTimes
    row: int
    in_step: Bools
    odd: int


class Table:
    """n series, each with up to `capacity` samples.

    The arrays are laid out by time: what one scrape brings, and the newest sample of all rows, is together in memory.

    `labels`   n label sets; a row keeps its number until `layout` changes
    `boxes`    the histograms of all samples that are one; None before the first one. Another object when those that are
               gone are given up
    `derived`  the same with what evaluations made of them, as columns; another object when rows move
    `version`  changes when the set of series does
    `layout`   changes when rows move or the table leaves the head: row numbers noted before are void
    """

    def __init__(self, name: str, keep: Retention, new_id: Callable[[Labels], int], pool: LabelPool):
        """`new_id` numbers a new series, for the journal: unlike its row, the number never changes. In `pool`, what is
        derived from the labels of all tables is numbered."""
        self.name = name
        self.keep = keep
        self._new_id = new_id
        self.labels: list[Labels] = []
        self.derived = LabelRows(self.labels, pool)
        self._pairs = 0
        self.boxes: Boxes | None = None
        self._boxes_limit = _FEW_BOXES
        self._boxes_settled = 0  # how many there were when `settle_boxes` was last called
        self.version = 0
        self.layout = 0
        self._row_of: dict[Labels, int] = {}
        self._times: Int64s = np.zeros((_FIRST_CAPACITY, _FIRST_ROWS), np.int64).T
        self._values: Floats = np.zeros((_FIRST_CAPACITY, _FIRST_ROWS)).T
        self._counts: Int64s = np.zeros(_FIRST_ROWS, np.int64)
        self._last: Int64s = np.zeros(_FIRST_ROWS, np.int64)  # time of a row's newest sample
        self._ids: Int64s = np.zeros(_FIRST_ROWS, np.int64)
        self._writes = 0  # changes at every append
        self._columns = self._times[:0], self._values[:0], self._counts[:0]  # as of `_columns_at` writes
        self._columns_at = 0
        self._in_step: RowsInStep | None = None  # as of `_in_step_at` writes; None: to be found anew
        self._in_step_at = -1

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def capacity(self) -> int:
        """Samples that a row can hold before it is compacted."""
        return int(self._times.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        arrays = self._times.nbytes + self._values.nbytes + self._counts.nbytes + self._last.nbytes
        return arrays if self.boxes is None else arrays + self.boxes.nbytes

    @property
    def label_bytes(self) -> int:
        """About the bytes of the label sets; without the texts, which most series share."""
        return label_bytes(len(self.labels), self._pairs) + self._ids.nbytes

    @property
    def sample_count(self) -> int:
        """Samples held."""
        return int(self._counts[: len(self)].sum())

    def columns(self) -> tuple[Int64s, Floats, Int64s]:
        """times[n, k], values[n, k], counts[n] as views, k the longest row: valid until the next append."""
        if self._columns_at != self._writes:
            n, step = len(self.labels), self._in_step
            counts = self._counts[:n]
            if step is not None and self._in_step_at == self._writes and not step.odd:
                width = step.shared.first + len(step.shared.times)
            else:
                width = int(counts.max()) if n else 0
            self._columns = self._times[:n, :width], self._values[:n, :width], counts
            self._columns_at = self._writes
        return self._columns

    def rows_in_step(self) -> RowsInStep | None:
        """The times that most rows have in common; None where there is no sample. An append costs a look at the column
        that it has written, so this is cheap to ask at every evaluation."""
        if self._in_step_at != self._writes:
            self._in_step = self._extended(self._in_step) or self._found_in_step()
            self._in_step_at = self._writes
        return self._in_step

    def _found_in_step(self) -> RowsInStep | None:
        n = len(self.labels)
        counts = self._counts[:n]
        count = int(np.bincount(counts).argmax()) if n else 0
        if not count:
            return None
        rows = counts == count
        row = int(rows.argmax())
        return self._compared(row, rows, count, SharedTimes(0, self._times[row, :0], 0))

    def _extended(self, known: RowsInStep | None) -> RowsInStep | None:
        """With what was appended since; None where most of the rows that were in step no longer are."""
        if known is None:
            return None
        n, rows = len(self.labels), known.in_step
        count = int(self._counts[known.row])
        if n > len(rows):
            if count < _FIRST_CAPACITY:
                return None
            rows = np.append(rows, np.zeros(n - len(rows), np.bool_))  # new series: they have begun later
        made = self._compared(known.row, rows & (self._counts[:n] == count), count, known.shared)
        return None if made.odd - known.odd > n // _MANY_ODD else made

    def _compared(self, row: int, rows: Bools, count: int, known: SharedTimes) -> RowsInStep:
        """Which of some rows, all of `count` samples, have the times of `row` in the columns that are not known yet."""
        n, first, stale_at = len(rows), known.first, known.stale_at
        left = int(np.count_nonzero(rows))
        for column in range(count - 1, first + len(known.times) - 1, -1):  # usually one
            time = int(self._times[row, column])
            same = self._times[:n, column] == time
            same &= rows
            lost = left - int(np.count_nonzero(same))
            if lost > n // _MANY_ODD:
                first = column + 1
                break
            rows, left = same, left - lost
            values = self._values[:n, column]
            if time > stale_at and np.count_nonzero(values != values) and np.count_nonzero(stale_mask(values) & rows):
                stale_at = time
        return RowsInStep(SharedTimes(first, self._times[row, first:count], stale_at), row, rows, n - left)

    def _reshaped(self) -> None:
        """Samples were moved or taken away."""
        self._writes += 1
        self._in_step = None

    def newest(self) -> Int64s:
        """int64[n]: the time of each row's newest sample (0 for a row without any), as a view."""
        return self._last[: len(self.labels)]

    def ended(self) -> Bools:
        """bool[n]: whether the newest sample of a row is a stale marker."""
        _, values, counts = self.columns()
        if not values.shape[1]:
            return np.zeros(len(counts), np.bool_)
        return (counts > 0) & stale_mask(values[np.arange(len(counts)), np.maximum(counts, 1) - 1])

    def unended(self) -> list[Labels]:
        """The series whose newest sample is not a stale marker."""
        there = self._counts[: len(self)] > 0
        return [self.labels[i] for i in np.flatnonzero(there & ~self.ended()).tolist()]

    def kept_from(self) -> int:
        """The time (ms) from which on no row has lost a sample."""
        return int(self.newest().max(initial=0)) - self.keep.lookback_ms - MARGIN_MS

    def held_since(self, rows: Int64s) -> int | None:
        """The time (ms) from which on each of some rows has a sample and all that came since; None where none has any.

        A row may hold older samples beside (for a fixed `@` time, or one that came late): others of then are gone.
        """
        times, _, counts = self.columns()
        times, counts = times[rows], counts[rows]
        whole = times >= (self._last[rows] - self.keep.lookback_ms - MARGIN_MS)[:, None]
        whole &= np.arange(times.shape[1]) < counts[:, None]
        here = whole.any(axis=1)
        if not here.any():
            return None
        return int(times[np.flatnonzero(here), whole.argmax(axis=1)[here]].max())

    def ids(self, rows: Rows) -> Int64s:
        """The numbers of some rows' series, as a copy."""
        return self._ids[rows].copy()

    def find(self, labels: Labels) -> int | None:
        """The row of a label set."""
        return self._row_of.get(labels)

    def row(self, labels: Labels, series_id: int | None = None) -> int:
        """The row of a label set, added when it is new (with the number it had before a restart)."""
        row = self._row_of.get(labels)
        if row is None:
            row = len(self.labels)
            if row == len(self._counts):
                self._grow_rows(row + row // 2 + 1)
            self._row_of[labels] = row
            self.labels.append(labels)
            self.derived.pool.took((labels,))
            self._pairs += len(labels)
            self._counts[row] = 0
            self._last[row] = 0
            self._ids[row] = self._new_id(labels) if series_id is None else series_id
            self.version += 1
            self._writes += 1
        return row

    def add_rows(self, labels: Sequence[Labels]) -> list[int]:
        """The rows of many label sets, as `row` gives them one by one."""
        before = following = len(self.labels)
        place = self._row_of.setdefault
        rows: list[int] = []
        new: list[Labels] = []
        for one in labels:
            row = place(one, following)
            if row == following:
                new.append(one)
                following += 1
            rows.append(row)
        if not new:
            return rows
        if following > len(self._counts):
            self._grow_rows(following + following // 2 + 1)
        self.labels += new
        self.derived.pool.took(new)
        self._pairs += sum(map(len, new))
        self._counts[before:following] = 0
        self._last[before:following] = 0
        self._ids[before:following] = list(map(self._new_id, new))
        self.version += following - before
        self._writes += 1
        return rows

    def append(self, row: int, ts: int, value: float) -> AppendOutcome:
        """One sample. Prometheus' rules: later than the newest, or the same again."""
        count = int(self._counts[row])
        if count:
            last = int(self._last[row])
            if ts < last:
                return AppendOutcome.OUT_OF_ORDER
            if ts == last:
                same = self._values[row, count - 1 : count].tobytes() == np.float64(value).tobytes()
                return AppendOutcome.SAME if same else AppendOutcome.DUPLICATE
            if count == self._times.shape[1]:
                self._make_room()
                count = int(self._counts[row])
        self._times[row, count] = ts
        self._values[row, count] = value
        self._counts[row] = count + 1
        self._last[row] = ts
        self._writes += 1
        return AppendOutcome.KEPT

    def insert(self, row: int, ts: int, value: float) -> AppendOutcome:
        """One sample, which may be earlier than the newest: the later ones move up. One at a taken time is refused."""
        count = int(self._counts[row])
        if not count or ts >= self._last[row]:
            return self.append(row, ts, value)
        if count == self._times.shape[1]:
            self._make_room()
            count = int(self._counts[row])
        at = int(np.searchsorted(self._times[row, :count], ts))
        if self._times[row, at] == ts:
            same = self._values[row, at : at + 1].tobytes() == np.float64(value).tobytes()
            return AppendOutcome.SAME if same else AppendOutcome.DUPLICATE
        for column, new in ((self._times, ts), (self._values, value)):
            column[row, at + 1 : count + 1] = column[row, at:count].copy()
            column[row, at] = new
        self._counts[row] = count + 1
        self._reshaped()
        return AppendOutcome.KEPT

    def put_histogram(self, row: int, ts: int, histogram: FloatHistogram, *, in_order: bool) -> AppendOutcome:
        """`append`, or when not `in_order` `insert`, a histogram. A stale one is the stale marker."""
        from rulepush.histogram.stored import as_stored  # only where there are histograms

        put = self.append if in_order else self.insert
        if histogram.is_stale:
            return put(row, ts, STALE)
        boxes = self.held_boxes()
        count = int(self._counts[row])
        before = count if count and self._last[row] < ts else int(np.searchsorted(self._times[row, :count], ts))
        previous = boxes.unbox(float(self._values[row, before - 1])) if before else None
        outcome = put(row, ts, boxes.box(as_stored(histogram, previous)))
        if outcome is not AppendOutcome.KEPT:
            boxes.drop_last()
        if outcome is AppendOutcome.DUPLICATE:
            at = int(np.searchsorted(self._times[row, : self._counts[row]], ts))
            known = boxes.unbox(float(self._values[row, at]))
            if known is not None and known.equals(histogram):
                return AppendOutcome.SAME
        return outcome

    def with_histograms(self, rows: Rows, values: Floats, source: Boxes) -> Floats:
        """values[k] for `append_rows` into k rows: where they are boxes of `source`, with boxes of this table, whose
        histograms are as they are stored after the newest ones of their rows."""
        from rulepush.histogram.stored import as_stored  # only where there are histograms

        native = box_mask(values)
        if not np.count_nonzero(native):
            return values
        boxes = self.held_boxes()
        at = row_numbers(rows)[native]
        counts = self._counts[at]
        newest = self._values[at, np.maximum(counts - 1, 0)]
        held = box_mask(newest) & (counts > 0)
        numbers = zip(box_numbers(values[native]).tolist(), box_numbers(newest).tolist(), held.tolist(), strict=True)
        first = len(boxes)
        boxes.extend([as_stored(source[new], boxes[old] if known else None) for new, old, known in numbers])
        values = values.copy()
        values[native] = boxed_numbers(np.arange(first, len(boxes)))
        return values

    def held_boxes(self) -> Boxes:
        """`boxes` for new ones, made when there is none yet. Those of samples that are gone are given up now and then,
        here: not between the making of a box and its coming into a column."""
        if self.boxes is None:
            self.boxes = Boxes()
        elif len(self.boxes) > self._boxes_limit:
            self._compact_boxes()
        return self.boxes

    def append_rows(self, rows: Rows, ts: int, values: Floats) -> tuple[int, int]:
        """values[k] at one `ts` into k different rows. Returns how many were out of order, and how many duplicate."""
        if self._append_in_step(rows, ts, values):
            return 0, 0
        if len(values) <= _SMALL and isinstance(rows, slice):
            # Most metrics have a few series a target: Python lists beat numpy's calls here, five times.
            known = self._counts[rows].tolist()
            count = known[0]
            if (
                count < self._times.shape[1]
                and known.count(count) == len(known)
                and max(self._last[rows].tolist()) < ts
            ):
                self._times[rows, count] = ts
                self._values[rows, count] = values
                self._counts[rows] = count + 1
                self._last[rows] = ts
                self._writes += 1
                return 0, 0
        at = row_numbers(rows)
        counts = self._counts[at]
        if (self._last[at] >= ts).any():
            return self._append_each(at, ts, values)
        if counts.max(initial=0) == self._times.shape[1]:
            self._make_room()
            counts = self._counts[at]
        self._times[at, counts] = ts
        self._values[at, counts] = values
        self._counts[at] = counts + 1
        self._last[at] = ts
        self._writes += 1
        return 0, 0

    def _append_in_step(self, rows: Rows, ts: int, values: Floats) -> bool:
        """Append to all rows of a table that are in step; False where they are not known to be. What a table of one
        target gets at each scrape: it needs no look at any row, and they are in step afterwards."""
        step = self._in_step
        if step is None or step.odd or self._in_step_at != self._writes or not isinstance(rows, slice):
            return False
        shared, n, known = step.shared, len(step.in_step), len(step.shared.times)
        count = shared.first + known
        if rows.start or rows.stop != n or n != len(self.labels) or count == self._times.shape[1]:
            return False
        if not known or shared.times[-1] >= ts:
            return False
        self._times[rows, count] = ts
        self._values[rows, count] = values
        self._counts[rows] = count + 1
        self._last[rows] = ts
        self._writes += 1
        times = self._times[step.row, shared.first : count + 1]
        stale_at = ts if np.count_nonzero(values != values) and stale_mask(values).any() else shared.stale_at
        self._in_step = RowsInStep(SharedTimes(shared.first, times, stale_at), step.row, step.in_step, 0)
        self._in_step_at = self._writes
        return True

    def _append_each(self, rows: Int64s, ts: int, values: Floats) -> tuple[int, int]:
        outcomes = [self.append(int(r), ts, float(v)) for r, v in zip(rows, values, strict=True)]
        return outcomes.count(AppendOutcome.OUT_OF_ORDER), outcomes.count(AppendOutcome.DUPLICATE)

    def fill(self, row: int, times: Int64s, values: Floats) -> None:
        """Put ascending samples into a row that is empty, or whose newest is earlier: after a restart."""
        start = int(np.searchsorted(times, self._last[row], side="right")) if self._counts[row] else 0
        count, more = int(self._counts[row]), len(times) - start
        if count + more > self._times.shape[1]:
            self._times, self._values = self._resized(len(self._counts), count + more)
        self._times[row, count : count + more] = times[start:]
        self._values[row, count : count + more] = values[start:]
        self._counts[row] = count + more
        self._reshaped()
        if more:
            self._last[row] = times[-1]

    def remove(self, dead: Sequence[int] | Int64s) -> Int64s:
        """Take rows out; the others keep their order. Returns int64[n]: where each row is now, -1 for those removed."""
        n = len(self.labels)
        alive = np.ones(n, np.bool_)
        alive[dead] = False
        rows = np.flatnonzero(alive)
        self._times, self._values = self._times.T[:, rows].T, self._values.T[:, rows].T
        self._counts, self._last, self._ids = self._counts[rows], self._last[rows], self._ids[rows]
        self.labels = [self.labels[i] for i in rows.tolist()]
        self._pairs = sum(map(len, self.labels))
        self.derived = self.derived.kept(rows, self.labels)
        self._row_of = {labels: i for i, labels in enumerate(self.labels)}
        self.version += 1
        self.layout += 1
        self._reshaped()
        self._compact_boxes()
        moved = np.full(n, -1, np.int64)
        moved[rows] = np.arange(len(rows))
        return moved

    def renumber(self, pool: LabelPool, number_of: Codes) -> None:
        """What is derived from the labels is now numbered in another pool."""
        self.derived = self.derived.renumbered(pool, number_of)

    def dead_rows(self, now: int) -> Int64s:
        """The rows that hold no sample anyone can still ask for at `now` or later."""
        n = len(self.labels)
        dead = self._last[:n] < now - self.keep.lookback_ms - MARGIN_MS
        if self.keep.windows and dead.any():
            times, _, counts = self.columns()
            dead &= ~(self._in_windows(times) & (np.arange(times.shape[1]) < counts[:, None])).any(axis=1)
        return np.flatnonzero(dead)

    def drop_after(self, ts: int) -> int:
        """Forget samples later than `ts` (the clock was set back). Returns how many."""
        n = len(self.labels)
        times, _, counts = self.columns()
        keep = (times <= ts) & (np.arange(times.shape[1]) < counts[:, None])
        left = keep.sum(axis=1)  # times ascend, so what stays is a prefix
        dropped = int((counts - left).sum())
        if dropped:
            self._counts[:n] = left
            self._reshaped()
            self._last[:n] = np.where(left > 0, self._times[np.arange(n), np.maximum(left - 1, 0)], 0)
        return dropped

    def _grow_rows(self, rows: int) -> None:
        def grown(a: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
            out = np.zeros(rows, a.dtype)
            out[: len(a)] = a
            return out

        self._times, self._values = self._resized(rows, self.capacity)
        self._counts, self._last = grown(self._counts), grown(self._last)  # type: ignore[assignment]
        self._ids = grown(self._ids)  # type: ignore[assignment]

    def _resized(self, rows: int, capacity: int) -> tuple[Int64s, Floats]:
        """The samples in greater arrays; the memory of what is not in use yet is not touched."""
        n, width = self.columns()[0].shape
        times, values = np.zeros((capacity, rows), np.int64).T, np.zeros((capacity, rows)).T
        times[:n, :width], values[:n, :width] = self._times[:n, :width], self._values[:n, :width]
        return times, values

    def _make_room(self) -> None:
        """Drop what is beyond the look-back in every row; grow when a row stays nearly full."""
        self._compact()
        fullest = int(self._counts.argmax())
        count, cap = int(self._counts[fullest]), self.capacity
        spare = _SPARE_SAMPLES // len(self._counts)  # of each row
        if count < cap - max(cap // 8, min(spare, count // 2)):
            return
        # What the look-back needs at the spacing seen so far, but no more than twice the present capacity at once.
        span = int(self._last[fullest] - self._times[fullest, 0])
        spacing = max(1, span // max(1, count - 1))
        needed = (self.keep.lookback_ms + MARGIN_MS) // spacing + 2
        room = max(needed // 8, min(spare, needed))
        capacity = min(cap * 2, max(needed + room, cap + cap // 4 + 1))
        self._times, self._values = self._resized(len(self._counts), capacity)

    def _compact(self) -> None:
        n = len(self.labels)
        times, values, counts = self._times[:n], self._values[:n], self._counts[:n]
        columns = np.arange(self.capacity)
        keep = times >= (self._last[:n] - self.keep.lookback_ms - MARGIN_MS)[:, None]
        if self.keep.windows:
            keep |= self._in_windows(times)
        keep &= columns < counts[:, None]
        left = np.count_nonzero(keep, axis=1)
        known = self._in_step
        shared_times = known.shared.times.copy() if known is not None else None
        # Most rows lose as many of their first samples: they move column by column. The others are taken out before.
        drop = counts - left
        usual = int(np.bincount(drop).argmax())
        others = np.flatnonzero((drop != usual) | keep[:, :usual].any(axis=1))
        kept = keep[others]
        own_times, own_values = times[others], values[others]
        if usual:
            for column in range(int(counts.max()) - usual):
                times[:, column] = times[:, column + usual]
                values[:, column] = values[:, column + usual]
        dest = columns < left[others, None]
        own_times[dest], own_values[dest] = own_times[kept], own_values[kept]  # row-major: each row keeps its own order
        times[others], values[others] = own_times, own_values
        counts[:] = left
        self._reshaped()
        if known is not None and shared_times is not None and usual < known.shared.first + len(shared_times):
            in_step = known.in_step.copy()
            in_step[others[others < len(in_step)]] = False
            if in_step[known.row]:
                first = known.shared.first - usual
                shared = SharedTimes(max(0, first), shared_times[max(0, -first) :], known.shared.stale_at)
                self._in_step = RowsInStep(shared, known.row, in_step, len(in_step) - int(np.count_nonzero(in_step)))

    def settle_boxes(self) -> None:
        """Give up the histograms of samples that are gone where no new ones came since the last call: series that have
        become floats, whose evaluation shall not pay for what they were."""
        if self.boxes is None:
            return
        if len(self.boxes) == self._boxes_settled:
            self._compact_boxes(few=0)
            if not self.boxes:
                self.boxes = None
        self._boxes_settled = 0 if self.boxes is None else len(self.boxes)

    def _compact_boxes(self, few: int = _FEW_BOXES) -> None:
        """Give up the histograms of samples that are gone, where they are more than a part of the others."""
        boxes = self.boxes
        if boxes is None:
            return
        _, values, counts = self.columns()
        here = box_mask(values)
        here &= np.arange(values.shape[1]) < counts[:, None]
        count = int(np.count_nonzero(here))
        spare = count // _SPARE_BOXES
        self._boxes_limit = count + spare + _FEW_BOXES
        if len(boxes) <= count + spare + few:
            return
        numbers = box_numbers(values[here])
        used = np.zeros(len(boxes), np.bool_)
        used[numbers] = True
        self.boxes = Boxes(h for h, is_used in zip(boxes, used.tolist(), strict=True) if is_used)
        values[here] = boxed_numbers((np.cumsum(used) - 1)[numbers])

    def _in_windows(self, times: Int64s) -> npt.NDArray[np.bool_]:
        inside = np.zeros(times.shape, np.bool_)
        for start, end in self.keep.windows:
            inside |= (times >= start) & (times <= end)
        return inside
