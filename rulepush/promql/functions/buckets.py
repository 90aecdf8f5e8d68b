"""Quantiles and fractions of classic histograms. Source: Prometheus promql/quantile.go.

One histogram at a time in plain Python here (`bucket_quantile`): the reference, and the way for the rare shapes.
`quantiles` and `fractions` do all histograms at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.model.arrays import Floats, Ints

_TOLERANCE: Final = 1e-12  # relative: smaller differences between buckets are noise of floating point
_MIN_NORMAL: Final = 2.2250738585072014e-308
_MAX: Final = 1.7976931348623157e308
_NO_ROWS: Final = np.zeros(0, np.intp)
_FEW: Final = 4  # histograms: below, numpy's calls cost more than `bucket_quantile` for each of them


@dataclass(frozen=True, slots=True)
class ForcedBuckets:
    """Where counts fell from one bucket to the next, and had to be lifted: the bounds that were, and by how much."""

    min_bucket: float
    max_bucket: float
    max_diff: float


def bucket_quantile(q: float, bounds: list[float], counts: list[float]) -> tuple[float, ForcedBuckets | None]:
    """The q-quantile of one histogram: upper bounds, ascending, and cumulative counts. NaN without a +Inf bucket."""
    if q != q:
        return math.nan, None
    if not 0 <= q <= 1:
        return math.copysign(math.inf, q), None
    if bounds[-1] != math.inf:
        return math.nan, None
    bounds, counts = _coalesce(bounds, counts)
    forced = _make_monotonic(bounds, counts)
    observations = counts[-1]
    if len(bounds) < 2 or observations == 0:
        return math.nan, None
    rank = q * observations
    low, high = 0, len(bounds) - 1  # Go's sort.Search, whose answer matters when a count is NaN
    while low < high:
        middle = (low + high) // 2
        if counts[middle] >= rank:
            high = middle
        else:
            low = middle + 1
    b = low
    if b == len(bounds) - 1:
        return bounds[-2], forced
    if b == 0 and bounds[0] <= 0:
        return bounds[0], forced
    start, count = 0.0, counts[b]
    if b > 0:
        start = bounds[b - 1]
        count -= counts[b - 1]
        rank -= counts[b - 1]
    return start + (bounds[b] - start) * _divide(rank, count), forced


def _coalesce(bounds: list[float], counts: list[float]) -> tuple[list[float], list[float]]:
    """Buckets of equal bounds (`le="1"` and `le="1.0"`) added up. New lists."""
    out_bounds, out_counts = [bounds[0]], [counts[0]]
    for bound, count in zip(bounds[1:], counts[1:], strict=True):
        if bound == out_bounds[-1]:
            out_counts[-1] += count
        else:
            out_bounds.append(bound)
            out_counts.append(count)
    return out_bounds, out_counts


def _make_monotonic(bounds: list[float], counts: list[float]) -> ForcedBuckets | None:
    """Lift counts, in place, that are less than one before; silently where the difference is noise."""
    forced: ForcedBuckets | None = None
    previous = counts[0]
    for i in range(1, len(counts)):
        count = counts[i]
        if count == previous:
            continue
        if _almost_equal(previous, count):
            counts[i] = previous
        elif count < previous:
            bound, diff = bounds[i], previous - count
            if forced is None:
                forced = ForcedBuckets(bound, bound, diff)
            else:
                forced = ForcedBuckets(
                    min(forced.min_bucket, bound), max(forced.max_bucket, bound), max(forced.max_diff, diff)
                )
            counts[i] = previous
        else:
            previous = count
    return forced


def _almost_equal(a: float, b: float) -> bool:
    """util/almost.Equal, with the tolerance of buckets; a and b differ."""
    if a != a or b != b:
        return a != a and b != b
    total = abs(a) + abs(b)
    if a == 0 or b == 0 or total < _MIN_NORMAL:
        return abs(a - b) < _TOLERANCE * _MIN_NORMAL
    return abs(a - b) / min(total, _MAX) < _TOLERANCE


def _divide(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def quantiles(q: Floats, bounds: Floats, counts: Floats, sizes: Ints) -> tuple[Floats, list[tuple[int, ForcedBuckets]]]:
    """The q[r]-quantile of m histograms at once: (result[m], the rows that were forced to be monotonic).

    `bounds`, `counts` float64[m, b] with the first sizes[r] >= 1 columns of each row used, ascending and distinct in
    `bounds`. A row agrees with `bucket_quantile`, which is asked itself about rows with NaN.
    """
    m, width = counts.shape
    rows = np.arange(m)
    if m < _FEW:
        return _each(rows, q, bounds, counts, sizes, np.empty(m))
    last = sizes - 1
    full = np.count_nonzero(sizes == width) == m
    counts, odd = _smooth(counts, sizes, full=full)
    observations = counts[:, -1] if full else counts[rows, last]
    rank = q * observations
    below = ~(counts >= rank[:, None])  # also where the rank is NaN
    if full:
        below[:, -1] = False
    else:
        below &= np.arange(width) < last[:, None]
    b = np.count_nonzero(below, axis=1)
    at_start = b == 0
    starts = np.count_nonzero(at_start) > 0
    before = np.maximum(b - 1, 0)
    start, under, bound = bounds[rows, before], counts[rows, before], bounds[rows, b]
    if starts:
        start[at_start] = 0.0
        under[at_start] = 0.0
    result = start + (bound - start) * ((rank - under) / (counts[rows, b] - under))
    if starts:
        np.copyto(result, bound, where=at_start & (bound <= 0))
    np.copyto(result, bounds[rows, np.maximum(last - 1, 0)], where=b == last)
    undefined = bounds[rows, last] != np.inf
    undefined |= sizes < 2
    undefined |= observations == 0
    undefined |= np.isnan(q)
    np.copyto(result, math.nan, where=undefined)
    outside = (q < 0) | (q > 1)
    if np.count_nonzero(outside):
        result = np.where(outside, np.copysign(math.inf, q), result)
    return _each(odd, q, bounds, counts, sizes, result)


def _each(
    rows: npt.NDArray[np.intp], q: Floats, bounds: Floats, counts: Floats, sizes: Ints, result: Floats
) -> tuple[Floats, list[tuple[int, ForcedBuckets]]]:
    """`result` with the quantiles of some rows by `bucket_quantile`, and those of them that were forced."""
    forced: list[tuple[int, ForcedBuckets]] = []
    for row in rows.tolist():
        size = int(sizes[row])
        own = bucket_quantile(float(q[row]), bounds[row, :size].tolist(), counts[row, :size].tolist())
        result[row] = own[0]
        if own[1] is not None:
            forced.append((row, own[1]))
    return result, forced


def _smooth(counts: Floats, sizes: Ints, *, full: bool) -> tuple[Floats, npt.NDArray[np.intp]]:
    """(counts without the noise of floating point, the rows that need `bucket_quantile`: with a true fall, or NaN).
    `full`: all columns of all rows are used."""
    if counts.shape[1] < 2:
        return counts, np.flatnonzero(np.isnan(counts).any(axis=1))
    after, before = counts[:, 1:], counts[:, :-1]
    step = after - before
    least = np.abs(after)
    least += np.abs(before)
    np.maximum(least, _MIN_NORMAL, out=least)
    least *= _TOLERANCE
    rises = step >= least
    rises |= step == 0
    if full and np.count_nonzero(rises) == rises.size:
        return counts, _NO_ROWS
    suspect = ~rises  # it fell, or rose by no more than noise, or one of them is NaN
    if not full:
        suspect &= np.arange(1, counts.shape[1]) < sizes[:, None]
    if not np.count_nonzero(suspect):
        return counts, _NO_ROWS
    rows = np.flatnonzero(suspect.any(axis=1))
    fixed = counts[rows]
    previous = fixed[:, 0].copy()
    odd = np.isnan(previous)
    for i in range(1, counts.shape[1]):
        inside = i < sizes[rows]
        count = fixed[:, i]
        total = np.maximum(np.abs(previous) + np.abs(count), _MIN_NORMAL)
        noise = np.abs(previous - count) < _TOLERANCE * total
        noise |= previous == count
        odd |= inside & (np.isnan(count) | (~noise & (count < previous)))
        previous = np.where(inside & ~noise, count, previous)
        fixed[:, i] = np.where(inside, previous, count)
    odd_rows = rows[odd]
    fixed[odd] = counts[odd_rows]
    counts = counts.copy()
    counts[rows] = fixed
    return counts, odd_rows


def fractions(lower: Floats, upper: Floats, bounds: Floats, counts: Floats, sizes: Ints) -> Floats:
    """The share between lower[r] and upper[r] in m histograms at once; arrays as for `quantiles`, result[m]."""
    rows = np.arange(len(counts))
    total = counts[rows, sizes - 1]
    ranks = [np.fmin(_ranks(value, bounds, counts, sizes, total), total) for value in (lower, upper)]
    result = (ranks[1] - ranks[0]) / total
    result = np.where(lower >= upper, 0.0, result)
    undefined = (bounds[rows, sizes - 1] != np.inf) | (total == 0) | np.isnan(lower) | np.isnan(upper)
    return np.where(undefined, math.nan, result)


def _ranks(value: Floats, bounds: Floats, counts: Floats, sizes: Ints, total: Floats) -> Floats:
    """How many observations of each row are below its value, linear within the bucket; `total` where the value is above
    all buckets."""
    rows = np.arange(len(counts))
    under = (bounds <= value[:, None]) & (np.arange(counts.shape[1]) < sizes[:, None])
    j = np.count_nonzero(under, axis=1)
    inside = np.minimum(j, sizes - 1)
    before = np.maximum(inside - 1, 0)
    first = inside == 0
    start = np.where(first, np.where(bounds[:, 0] > 0, 0.0, -np.inf), bounds[rows, before])
    rank = np.where(first, 0.0, counts[rows, before])
    count = counts[rows, inside]
    linear = rank + (count - rank) * (value - start) / (bounds[rows, inside] - start)
    result = np.where(start >= value, rank, np.where(start == -np.inf, count, linear))
    return np.where(j >= sizes, total, result)
