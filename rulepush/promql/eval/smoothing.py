"""Selectors that are `smoothed` or `anchored`, where no function reads them.

Source: Prometheus promql/engine.go, smoothSeries and extendFloats.
"""

from __future__ import annotations

import numpy as np

from rulepush.promql.eval.values import Bools, Floats, Ints, Matrix
from rulepush.promql.eval.windows import RangeWindow, WindowColumns, row_bounds
from rulepush.promql.functions.extended import edges, interpolate


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
    with np.errstate(all="ignore"):
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
