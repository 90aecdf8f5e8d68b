"""Windows: the samples of a range at one step, as rectangular arrays that numpy can take whole.

A `WindowColumns` holds the samples of n series, free of stale markers, from a selection of the storage or from a
subquery. `WindowColumns.window` cuts the left-open range (start, end] out of it. Where all rows have their samples in
the same columns (one target, one scrape) a window is a view; otherwise it is one gather.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.index import LabelIndex
from rulepush.model.sample import stale_mask
from rulepush.promql.vectors.values import Vector, everywhere, nowhere
from rulepush.storage.selection import Selection

T = TypeVar("T", bound=np.generic)
_COMPARE_ALL_BELOW: Final = 20_000  # elements: below, one comparison of everything costs less than a search
_MAX_STARTS: Final = 6  # first columns


class _Samples:
    """The samples of n rows, times[n, k], values[n, k] and counts[n]; with `axis`, `times` and `counts` are made of it
    when they are asked for."""

    __slots__ = ("_counts", "_times", "axis", "values")

    def __init__(self, times: Ints | None, values: Floats, counts: Ints | None, axis: Ints | None):
        self._times, self.values, self._counts, self.axis = times, values, counts, axis

    @property
    def times(self) -> Ints:
        if self._times is None:
            assert self.axis is not None
            self._times = np.broadcast_to(self.axis, self.values.shape)
        return self._times

    @property
    def counts(self) -> Ints:
        if self._counts is None:
            n, k = self.values.shape
            self._counts = np.full(n, k, np.int64)
        return self._counts


class RangeWindow(_Samples):
    """The samples of n series in (start, end], left-aligned and ascending, with no stale marker.

    `index`   n label sets (as stored, with names)
    `times`   int64[n, k] milliseconds;  `values` float64[n, k];  `counts` int64[n], 0..k
    `start`, `end`  the bounds of the range in ms: offset and @ are already applied. end - start is the range.
    `ts`      the evaluation time of this step in ms (differs from `end` under offset and @)
    `axis`    int64[k] where every row has k samples, at these times; None says nothing
    Of an anchored or smoothed selector there are samples before the start, and, smoothed, after the end.
    What lies beyond a row's count is padding with no meaning (finite or not): use `mask`, or check `full` first.
    Views into the storage: never write into them.
    """

    __slots__ = ("_mask", "end", "index", "start", "ts")

    def __init__(
        self,
        index: LabelIndex,
        times: Ints | None,
        values: Floats,
        counts: Ints | None,
        start: int,
        end: int,
        ts: int,
        axis: Ints | None = None,
    ):
        super().__init__(times, values, counts, axis)
        self.index = index
        self.start, self.end, self.ts = start, end, ts
        self._mask: Bools | None = None

    @property
    def full(self) -> bool:
        """Whether every row has all k samples, so that there is no padding."""
        if self.axis is not None:
            return True
        if self._mask is not None:
            return bool(self._mask.all())
        return bool((self.counts == self.values.shape[1]).all())

    @property
    def mask(self) -> Bools:
        """bool[n, k]: where there is a sample. Computed once."""
        if self._mask is None:
            self._mask = np.arange(self.values.shape[1]) < self.counts[:, None]
        return self._mask

    def at_least(self, samples: int) -> Bools:
        """bool[n]: the rows that have as many samples. Not to be written into."""
        if self.axis is not None:
            return everywhere(len(self.values)) if len(self.axis) >= samples else nowhere(len(self.values))
        return self.counts >= samples

    def last(self) -> tuple[Ints, Floats]:
        """(times int64[n], values float64[n]) of the newest sample of each row; meaningless where counts is 0."""
        return self._column(np.maximum(self.counts - 1, 0))

    def first(self) -> tuple[Ints, Floats]:
        """(times int64[n], values float64[n]) of the oldest sample of each row; meaningless where counts is 0."""
        return self._column(0)

    def _column(self, column: npt.NDArray[np.int64] | int) -> tuple[Ints, Floats]:
        n, k = self.values.shape
        if k == 0:
            return np.zeros(n, np.int64), np.full(n, np.nan)
        if self.axis is not None:
            column = 0 if isinstance(column, int) else k - 1
        rows = slice(None) if isinstance(column, int) else np.arange(n)
        return self.times[rows, column], self.values[rows, column]


class WindowColumns(_Samples):
    """n series with samples free of stale markers; as in Selection, what lies beyond a row's count has no meaning.
    `axis` as in RangeWindow, but that it says nothing of the rows `odd`, int64[m]: their samples are in `of_odd`, where
    there are any."""

    __slots__ = ("drop_name", "index", "odd", "of_odd")

    def __init__(
        self,
        index: LabelIndex,
        times: Ints | None,
        values: Floats,
        counts: Ints | None,
        drop_name: Bools | None = None,
        axis: Ints | None = None,
    ):
        super().__init__(times, values, counts, axis)
        self.index, self.drop_name = index, drop_name
        self.odd: npt.NDArray[np.int64] | None = None
        self.of_odd: WindowColumns | None = None

    @property
    def sample_count(self) -> int:
        """Samples of all rows."""
        if self.axis is None:
            return int(self.counts.sum())
        return self.values.size + (0 if self.of_odd is None else self.of_odd.sample_count)

    @classmethod
    def of_selection(cls, selection: Selection, start: int, end: int, *, apart: bool = False) -> WindowColumns:
        """The samples of (start, end], stale markers removed. `apart`: odd rows may be given apart from the others."""
        shared, odd = selection.shared, selection.odd
        if shared is not None and (apart or odd is None) and shared.stale_at <= start and shared.covers(start):
            low, high = int(shared.times.searchsorted(start, "right")), shared.until(end)
            values = selection.columns(shared.first + low, shared.first + high)
            made = cls(selection.index, None, values, None, None, shared.times[low:high])
            if odd is not None:
                made.odd, made.of_odd = odd, cls.of_selection(selection.part(odd), start, end)
            return made
        times, values, counts = cut(selection.times, selection.values, selection.counts, start, end)
        times, values, counts = strip_stale(times, values, counts)
        return cls(selection.index, times, values, counts)

    @classmethod
    def of_steps(cls, vector: Vector, steps: Ints) -> WindowColumns:
        """A subquery's result: the vector's T steps are the columns; what is not present is left out."""
        n, t = vector.values.shape
        if np.count_nonzero(vector.present) == n * t:
            return cls(vector.index, None, vector.values, None, vector.drop_name, steps)
        counts = vector.present.sum(axis=1, dtype=np.int64)
        k = int(counts.max(initial=0))
        rows, columns = np.nonzero(vector.present)
        slots = (np.cumsum(vector.present, axis=1) - 1)[rows, columns]
        times = np.zeros((n, k), np.int64)
        values = np.zeros((n, k))
        times[rows, slots] = steps[columns]
        values[rows, slots] = vector.values[rows, columns]
        return cls(vector.index, times, values, counts, vector.drop_name)

    def window(self, start: int, end: int, ts: int, back: int = 0, ahead: int = 0) -> RangeWindow:
        """The samples of (start - back, end + ahead] for the range (start, end] of the step at `ts`."""
        if self.axis is not None:
            low, high = self.axis.searchsorted((start - back, end + ahead), "right").tolist()
            axis, values = self.axis[low:high], self.values[:, low:high]
            return RangeWindow(self.index, None, values, None, start, end, ts, axis)
        times, values, counts = cut(self.times, self.values, self.counts, start - back, end + ahead)
        return RangeWindow(self.index, times, values, counts, start, end, ts)

    def stacked(self, bounds: Sequence[tuple[int, int, int]]) -> RangeWindow:
        """The windows of T steps, given by (start, end, ts), as one of T * n rows: row `step * n + series`.

        The times of each step are moved so that its range is that of the first: what a kernel computes from the
        distances of times comes out the same, absolute times do not. `index` stays the n label sets, once.
        """
        steps, n = len(bounds), len(self.counts)
        starts, ends = (np.array([b[i] for b in bounds], np.int64) for i in (0, 1))
        shift = ends - ends[0]
        low, high = np.empty((steps, n), np.int64), np.empty((steps, n), np.int64)
        for row, count in enumerate(self.counts.tolist()):
            own = self.times[row, :count]
            low[:, row], high[:, row] = own.searchsorted(starts, "right"), own.searchsorted(ends, "right")
        counts = high - low
        k = int(counts.max(initial=0))
        times, values = np.empty((steps, n, k), np.int64), np.empty((steps, n, k))
        if k:
            columns = np.arange(k)
            for row in range(n):
                at = np.minimum(low[:, row, None] + columns, self.times.shape[1] - 1)
                times[:, row] = self.times[row][at] - shift[:, None]
                values[:, row] = self.values[row][at]
        flat = (times.reshape(steps * n, k), values.reshape(steps * n, k), counts.reshape(steps * n))
        return RangeWindow(self.index, *flat, *bounds[0])

    def whole(self, start: int, end: int, ts: int) -> RangeWindow:
        """All samples, when the columns were cut to exactly those of (start, end] already."""
        return RangeWindow(self.index, self._times, self.values, self._counts, start, end, ts, self.axis)


def row_bounds(times: Ints, counts: Ints, limit: int) -> Ints | int:
    """How many leading samples of each row have t <= limit: one int when it is the same for all rows, else int64[n].

    Guesses the answer of the first row, checks it everywhere, and looks further only in the rows where it is wrong:
    one column to the left or right, where the rows of other targets nearly always are, else by binary search.
    """
    n, cap = times.shape
    if n == 0 or cap == 0:
        return 0
    guess = int(times[0, : counts[0]].searchsorted(limit, "right"))
    if not _wrong(times, counts, limit, guess).any():
        return guess
    if n * cap <= _COMPARE_ALL_BELOW:
        before = times <= limit
        before &= np.arange(cap) < counts[:, None]
        bounds: Ints = before.sum(axis=1)
        return bounds
    return search_bounds(times, counts, limit, guess)


def _wrong(times: Ints, counts: Ints, limit: int, guess: int) -> Bools:
    """bool[n]: the rows of which `guess` is not the bound."""
    wrong = counts < guess  # the row is shorter than the guess
    if guess > 0:
        wrong |= times[:, guess - 1] > limit
    if guess < times.shape[1]:
        wrong |= (times[:, guess] <= limit) & (counts > guess)
    return wrong


def search_bounds(times: Ints, counts: Ints, limit: int, guess: int) -> Ints:
    """int64[n]: as `row_bounds`, for many rows whose bounds are nearly all within one of `guess`."""
    cap = times.shape[1]
    bounds = np.full(len(counts), guess, np.int64)
    lost = np.zeros(len(counts), np.bool_)
    if guess > 0:
        less = (counts < guess) | (times[:, guess - 1] > limit)
        bounds[less] -= 1
        lost = less & _wrong(times, counts, limit, guess - 1)
    if guess < cap:
        more = (counts > guess) & (times[:, guess] <= limit)
        bounds[more] += 1
        if guess + 1 < cap:
            lost |= more & (counts > guess + 1) & (times[:, guess + 1] <= limit)
    rows = np.flatnonzero(lost)
    if len(rows):
        bounds[rows] = _search(times, rows, counts[rows], limit)
    return bounds


def _search(times: Ints, rows: npt.NDArray[np.intp], counts: Ints, limit: int) -> Ints:
    """Binary search in all of `rows` at once."""
    low = np.zeros(len(rows), np.int64)
    high = counts.astype(np.int64, copy=True)
    last = times.shape[1] - 1
    while (low < high).any():
        middle = (low + high) >> 1
        right = (times[rows, np.minimum(middle, last)] <= limit) & (low < high)
        low = np.where(right, middle + 1, low)
        high = np.where(right, high, np.minimum(high, middle))
    return low


def cut(times: Ints, values: Floats, counts: Ints, start: int, end: int) -> tuple[Ints, Floats, Ints]:
    """(times, values, counts) of the samples in (start, end], left-aligned; views where all rows agree."""
    n = len(counts)
    low = row_bounds(times, counts, start)
    high = row_bounds(times, counts, end)
    if isinstance(low, int):
        if isinstance(high, int):
            return times[:, low:high], values[:, low:high], np.full(n, high - low, np.int64)
        width = int(high.max())
        return times[:, low:width], values[:, low:width], high - low
    length: Ints = high - low
    k = int(length.max(initial=0))
    return _align(times, low, k), _align(values, low, k), length


def _align(array: npt.NDArray[T], low: Ints, k: int) -> npt.NDArray[T]:
    """array[i, low[i] : low[i] + k] of each row; what lies beyond the array is not filled."""
    n, cap = array.shape
    starts = np.flatnonzero(np.bincount(low, minlength=1)).tolist()
    if len(starts) > _MAX_STARTS:
        columns = np.minimum(low[:, None] + np.arange(k), cap - 1)
        return np.take_along_axis(array, columns, axis=1)
    out = np.empty((k, n), array.dtype).T  # by time, as the storage has them
    for start in starts:  # rows start in a few columns only: copy the shifted array where it is theirs
        part = array[:, start : start + k]
        if start == starts[0]:
            out[:, : part.shape[1]] = part
        else:
            np.copyto(out[:, : part.shape[1]], part, where=(low == start)[:, None])
    return out


def strip_stale(times: Ints, values: Floats, counts: Ints) -> tuple[Ints, Floats, Ints]:
    """The same without stale markers. Copies only when there is one."""
    stale = stale_mask(values)
    if not stale.any():
        return times, values, counts
    k = times.shape[1]
    stale &= np.arange(k) < counts[:, None]
    rows = np.flatnonzero(stale.any(axis=1))
    if not len(rows):
        return times, values, counts
    times, values, counts = times.copy(), values.copy(), counts.copy()
    padded = np.arange(k) >= counts[rows, None]
    order = np.argsort(stale[rows] | padded, axis=1, kind="stable")
    times[rows] = np.take_along_axis(times[rows], order, axis=1)
    values[rows] = np.take_along_axis(values[rows], order, axis=1)
    counts[rows] -= stale[rows].sum(axis=1)
    return times, values, counts
