"""rate() and its family over ranges that are `anchored` or `smoothed`: to the very bounds, without extrapolation.

Source: Prometheus promql/functions.go, extendedRate. The windows hold samples beyond their range: up to the look-back
delta before its start, and, smoothed, after its end. Anchored, the value at a bound is that of the newest sample there;
smoothed, it is interpolated between the samples on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rulepush.promql.eval.windows import RangeWindow
from rulepush.promql.functions.registry import Bools, Floats, Ints, RangeKernel


@dataclass(frozen=True, slots=True)
class Edges:
    """The bounds of the range of each row: `first` and `last` int64[n] are the columns of the samples that decide its
    values `left` and `right` float64[n] there; `present` bool[n] whether any sample counts."""

    first: Ints
    last: Ints
    left: Floats
    right: Floats
    present: Bools


def interpolate(
    before: tuple[Ints, Floats], after: tuple[Ints, Floats], at: int, *, is_counter: bool = False
) -> Floats:
    """The value at `at` (ms) on the line between two samples (times[n], values[n]). The line of a counter that was
    reset starts at 0."""
    (t1, y1), (t2, y2) = before, after
    if is_counter:
        y1 = np.where(y2 < y1, 0.0, y1)
    line: Floats = y1 + (y2 - y1) * (at - t1) / (t2 - t1)
    return line


def edges(w: RangeWindow, *, smoothed: bool, is_counter: bool = False) -> Edges:
    """Where the ranges begin and end. The window has at least one column."""
    rows, k = np.arange(len(w.counts)), w.times.shape[1]

    def sample(column: Ints) -> tuple[Ints, Floats]:
        column = np.clip(column, 0, k - 1)
        return w.times[rows, column], w.values[rows, column]

    first: Ints = np.maximum(np.count_nonzero(w.mask & (w.times <= w.start), axis=1) - 1, 0)
    last: Ints = np.maximum(w.counts - 1, 0)
    if smoothed:
        last = np.minimum(np.count_nonzero(w.mask & (w.times < w.end), axis=1), last)
    (first_t, left), (last_t, right) = sample(first), sample(last)
    # Samples on one side only tell nothing of what is between.
    present = (w.counts > 0) & (last_t > w.start) & (first_t <= w.end)
    if smoothed:
        with np.errstate(all="ignore"):
            line = interpolate((first_t, left), sample(first + 1), w.start, is_counter=is_counter)
            left = np.where(first_t < w.start, line, left)
            line = interpolate(sample(last - 1), (last_t, right), w.end, is_counter=is_counter)
            right = np.where((last_t > w.end) & (last > 0), line, right)
    return Edges(first, last, left, right, present)


def _extended(*, smoothed: bool, is_counter: bool, is_rate: bool) -> RangeKernel:
    def kernel(w: RangeWindow) -> tuple[Floats, Bools]:
        found = edges(w, smoothed=smoothed, is_counter=is_counter)
        with np.errstate(all="ignore"):
            result = found.right - found.left
            if is_counter:
                result += _lost_in_resets(w, found)
            if is_rate:
                result /= (w.end - w.start) / 1000.0
        return result, found.present

    return kernel


def _lost_in_resets(w: RangeWindow, found: Edges) -> Floats:
    """What the counters had counted before their resets, from the left bound over the samples inside to the right."""
    rows, columns, k = np.arange(len(w.counts)), np.arange(w.times.shape[1]), w.times.shape[1]
    low = found.first + (w.times[rows, found.first] <= w.start)
    high = found.last - (w.times[rows, found.last] >= w.end)
    inside = (columns >= low[:, None]) & (columns <= high[:, None])
    fell = (w.values[:, 1:] < w.values[:, :-1]) & inside[:, 1:] & inside[:, :-1]
    lost: Floats = np.where(fell, w.values[:, :-1], 0.0).sum(axis=1)
    some = high >= low
    lost += np.where(some & (w.values[rows, np.minimum(low, k - 1)] < found.left), found.left, 0.0)
    newest = np.where(some, w.values[rows, np.maximum(high, 0)], found.left)
    lost += np.where(found.right < newest, newest, 0.0)
    return lost


def from_anchor(kernel: RangeKernel) -> RangeKernel:
    """`kernel` over the samples inside of the range and the newest one before."""

    def anchored(w: RangeWindow) -> tuple[Floats, Bools]:
        found = edges(w, smoothed=False)
        k = w.times.shape[1]
        columns = np.minimum(found.first[:, None] + np.arange(k), k - 1)
        times, values = np.take_along_axis(w.times, columns, axis=1), np.take_along_axis(w.values, columns, axis=1)
        counts = np.where(found.present, w.counts - found.first, 0)
        return kernel(RangeWindow(w.index, times, values, counts, w.start, w.end, w.ts))

    return anchored


anchored_rate = _extended(smoothed=False, is_counter=True, is_rate=True)
anchored_increase = _extended(smoothed=False, is_counter=True, is_rate=False)
anchored_delta = _extended(smoothed=False, is_counter=False, is_rate=False)
smoothed_rate = _extended(smoothed=True, is_counter=True, is_rate=True)
smoothed_increase = _extended(smoothed=True, is_counter=True, is_rate=False)
smoothed_delta = _extended(smoothed=True, is_counter=False, is_rate=False)
