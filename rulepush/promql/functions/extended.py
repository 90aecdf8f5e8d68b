"""Extended range selectors, `anchored` and `smoothed`: where they may stand, how far they look, what they give.

Source: Prometheus promql/functions.go (extendedRate) and promql/engine.go (smoothSeries, extendFloats). The windows
hold samples beyond their range: up to the look-back delta before its start, and, smoothed, after its end. Anchored, the
value at a bound is that of the newest sample there; smoothed, it is interpolated between the samples on both sides.
rate() and its family take these values as they are, without extrapolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.promql.functions.registry import Function, RangeFunction, RangeKernel
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.ast import Extended
from rulepush.promql.vectors.values import Matrix
from rulepush.promql.vectors.windows import RangeWindow, WindowColumns, row_bounds

# --- the bounds of a range


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
        line = interpolate((first_t, left), sample(first + 1), w.start, is_counter=is_counter)
        left = np.where(first_t < w.start, line, left)
        line = interpolate(sample(last - 1), (last_t, right), w.end, is_counter=is_counter)
        right = np.where((last_t > w.end) & (last > 0), line, right)
    return Edges(first, last, left, right, present)


# --- rate() and its family


def _extended(*, smoothed: bool, is_counter: bool, is_rate: bool) -> RangeKernel:
    def kernel(w: RangeWindow) -> tuple[Floats, Bools]:
        found = edges(w, smoothed=smoothed, is_counter=is_counter)
        result = found.right - found.left
        if is_counter:
            result += _lost_in_resets(w, found)
        if is_rate:
            result /= range_seconds(w)
        return result, found.present

    return kernel


def range_seconds(w: RangeWindow) -> float:
    """The length of the range as Go's Duration.Seconds gives it: whole seconds and the fraction are added as floats."""
    whole, rest = divmod(w.end - w.start, 1000)
    return whole + rest * 1e6 / 1e9


def _lost_in_resets(w: RangeWindow, found: Edges) -> Floats:
    """What the counters had counted before their resets, from the left bound over the samples inside to the right."""
    rows, columns, k = np.arange(len(w.counts)), np.arange(w.times.shape[1]), w.times.shape[1]
    low = found.first + (w.times[rows, found.first] <= w.start)
    high = found.last - (w.times[rows, found.last] >= w.end)
    inside = (columns >= low[:, None]) & (columns <= high[:, None])
    fell = (w.values[:, 1:] < w.values[:, :-1]) & inside[:, 1:] & inside[:, :-1]
    between = np.where(fell, w.values[:, :-1], 0.0)
    some = high >= low
    first = np.where(some & (w.values[rows, np.minimum(low, k - 1)] < found.left), found.left, 0.0)
    newest = np.where(some, w.values[rows, np.maximum(high, 0)], found.left)
    last = np.where(found.right < newest, newest, 0.0)
    # One after the other: numpy's sum() adds in pairs, which rounds otherwise than Prometheus' loop.
    lost: Floats = np.add.accumulate(np.column_stack((first, between, last)), axis=1)[:, -1]
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


# --- selectors that no function reads


def smoothed_at(columns: WindowColumns, when: int, delta: int) -> tuple[Floats, Bools]:
    """(values float64[n], present bool[n]) at `when` (ms): a sample of that time, a point on the line between the
    newest before and the oldest after, or else the newest before; none is more than `delta` away."""
    n, k = columns.times.shape
    if k == 0:
        return np.zeros(n), np.zeros(n, np.bool_)
    rows = np.arange(n)
    bound = np.broadcast_to(np.asarray(row_bounds(columns.times, columns.counts, when - 1), np.int64), n)
    before, after = np.maximum(bound - 1, 0), np.minimum(bound, k - 1)
    t1, y1 = columns.times[rows, before], columns.values[rows, before]
    t2, y2 = columns.times[rows, after], columns.values[rows, after]
    has_before = (bound > 0) & (t1 > when - delta)
    has_after = (bound < columns.counts) & (t2 <= when + delta)
    exact = has_after & (t2 == when)
    line = interpolate((t1, y1), (t2, y2), when)
    return np.where(exact, y2, np.where(has_after, line, y1)), has_before | exact


def extended_matrix(w: RangeWindow, *, smoothed: bool) -> Matrix:
    """The samples inside of the range, and one at each bound."""
    n, k = w.times.shape
    if k == 0:
        return Matrix(w.index, w.times, w.values, w.counts)
    found = edges(w, smoothed=smoothed)
    inside = w.mask & (w.times > w.start) & (w.times < w.end) & found.present[:, None]
    inner: Ints = np.count_nonzero(inside, axis=1)
    counts: Ints = np.where(found.present, inner + 2, 0)
    times, values = np.zeros((n, int(counts.max(initial=0))), np.int64), np.zeros((n, int(counts.max(initial=0))))
    rows, columns = np.nonzero(inside)
    slots = np.cumsum(inside, axis=1)[rows, columns]
    times[rows, slots], values[rows, slots] = w.times[rows, columns], w.values[rows, columns]
    here = np.flatnonzero(found.present)
    times[here, 0], values[here, 0] = w.start, found.left[here]
    times[here, inner[here] + 1], values[here, inner[here] + 1] = w.end, found.right[here]
    return Matrix(w.index, times, values, counts)


# --- where the modifiers may stand


def reach(selector: ast.VectorSelector, delta: int) -> tuple[int, int]:
    """How far before and after its range the samples of a range selector are read, in ms, with that look-back delta."""
    match selector.extended:
        case None:
            return 0, 0
        case Extended.ANCHORED:
            return delta, 0
        case Extended.SMOOTHED:
            return delta, delta


def kernel_of(function: RangeFunction, extended: Extended | None) -> RangeKernel | None:
    """What computes `function` of such a range; None when nothing does."""
    match extended:
        case None:
            return function.kernel
        case Extended.ANCHORED:
            return function.anchored
        case Extended.SMOOTHED:
            return function.smoothed


def misuse(node: ast.Node, functions: Mapping[str, Function]) -> str | None:
    """What is wrong with the first modifier in a call that does not take it; None when all is well. Prometheus notices
    it in the evaluation."""
    if isinstance(node, ast.Call):
        for arg in map(ast.unwrap, node.args):
            extended = arg.selector.extended if isinstance(arg, ast.MatrixSelector) else None
            if extended is not None and not _takes(functions[node.name], extended):
                able = ", ".join(sorted(name for name, function in functions.items() if _takes(function, extended)))
                return f"{extended.value} modifier can only be used with: {able} - not with {node.name}"
    return next(filter(None, (misuse(child, functions) for child in ast.children(node))), None)


def _takes(function: Function, extended: Extended) -> bool:
    return isinstance(function, RangeFunction) and kernel_of(function, extended) is not None
