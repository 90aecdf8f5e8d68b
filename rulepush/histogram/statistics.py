"""Quantile, fraction, average and deviation of one native histogram.

Source: Prometheus promql/quantile.go (HistogramQuantile, HistogramFraction) and functions.go (histogramVariance), in
the same order of operations.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final

import numpy as np

from rulepush.histogram.go_floats import go_divide, go_exp2, go_log2
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.iteration import Bucket, bucket_arrays
from rulepush.model.arrays import Floats
from rulepush.model.kahan import kahan_step

_NOWHERE: Final = (0.0, 0.0, 0.0)  # (lower, upper, count) without any bucket


class QuantileNote(Enum):
    """What an annotation says of a quantile of a histogram with NaN observations."""

    NAN_RESULT = "the quantile is above all buckets: NativeHistogramQuantileNaNResultInfo"
    NAN_SKEW = "they count as +Inf, so it may be too high: NativeHistogramQuantileNaNSkewInfo"


@np.errstate(all="ignore")
def histogram_quantile(q: float, h: FloatHistogram) -> tuple[float, QuantileNote | None]:
    """The q-quantile, linear within custom buckets and the zero bucket, else on a logarithmic scale. NaN without
    observations."""
    if q < 0:
        return -math.inf, None
    if q > 1:
        return math.inf, None
    if h.count == 0 or q != q:
        return math.nan, None
    with_nan = h.sum != h.sum
    forward = with_nan or q < 0.5
    lowers, uppers, counts = bucket_arrays(h)
    if not forward:
        lowers, uppers, counts = lowers[::-1], uppers[::-1], counts[::-1]
    rank = (q if forward else 1 - q) * h.count
    place, count = _reach(counts, rank)
    lower, upper, own = (float(lowers[place]), float(uppers[place]), float(counts[place])) if len(counts) else _NOWHERE
    if h.uses_custom_buckets:
        if lower == -math.inf:
            if upper <= 0:
                return upper, None
            lower = 0.0
        elif upper == math.inf:
            return lower, None
    elif lower < 0 < upper:
        lower, upper = _one_sided(h, lower, upper)
    count = h.count if count > h.count else count
    if count < rank:
        return (math.nan, QuantileNote.NAN_RESULT) if with_nan else (upper, None)
    rank = rank - (count - own) if forward else count - rank
    note: QuantileNote | None = None
    if with_nan:
        # Prometheus goes on with the last bucket from here, not with the one that was found.
        for i in range(place + 1, len(counts)):
            lower, upper, own = float(lowers[i]), float(uppers[i]), float(counts[i])
            count += own
        if count < h.count:
            note = QuantileNote.NAN_SKEW
    fraction = go_divide(rank, own)
    if h.uses_custom_buckets or lower <= 0 <= upper:
        return lower + (upper - lower) * fraction, note
    log_lower, log_upper = go_log2(abs(lower)), go_log2(abs(upper))
    if lower > 0:
        return go_exp2(log_lower + (log_upper - log_lower) * fraction), note
    return -go_exp2(log_upper + (log_lower - log_upper) * (1 - fraction)), note


def _reach(counts: Floats, rank: float) -> tuple[int, float]:
    """(place of the first filled bucket with which counts[n] reach `rank`, or of the last one; the counts up to it)."""
    running = np.add.accumulate(counts)  # one by one, as sum() does not
    reached = (running >= rank) & (counts != 0)
    if reached.any():
        place = int(reached.argmax())
        return place, float(running[place])
    return len(counts) - 1, float(running[-1]) if len(counts) else 0.0


def _one_sided(h: FloatHistogram, lower: float, upper: float) -> tuple[float, float]:
    """The zero bucket ends at 0 on the side that has no buckets, if the other has."""
    if not len(h.negative) and len(h.positive):
        return 0.0, upper
    if not len(h.positive) and len(h.negative):
        return lower, 0.0
    return lower, upper


@np.errstate(all="ignore")
def histogram_fraction(lower: float, upper: float, h: FloatHistogram) -> tuple[float, bool]:
    """(the share of observations between the bounds, whether NaN observations are left out, which an annotation says).
    NaN without observations or with a bound of NaN."""
    if h.count == 0 or lower != lower or upper != upper:
        return math.nan, False
    if lower >= upper:
        return 0.0, False
    lowers, uppers, counts = bucket_arrays(h)
    around_zero = (lowers <= 0) & (uppers >= 0)  # custom buckets too
    if not len(h.negative) and len(h.positive):
        lowers = np.where(around_zero, 0.0, lowers)
    elif not len(h.positive) and len(h.negative):
        uppers = np.where(around_zero, 0.0, uppers)
    running = np.add.accumulate(counts)
    total, with_nan = h.count, False
    if h.sum != h.sum:
        total = float(running[-1]) if len(running) else 0.0
        with_nan = total < h.count
    ranks: list[float] = []
    for value in (lower, upper):
        reached = (lowers >= value) | (uppers > value)
        if not reached.any():
            ranks.append(total)
            continue
        i = int(reached.argmax())
        bucket = Bucket(float(lowers[i]), float(uppers[i]), False, True, float(counts[i]))
        linear = h.uses_custom_buckets or bool(around_zero[i])
        rank = _rank(bucket, float(running[i - 1]) if i else 0.0, value, linear=linear)
        ranks.append(total if rank > total else rank)
    return go_divide(ranks[1] - ranks[0], h.count), with_nan


def _rank(bucket: Bucket, below: float, value: float, *, linear: bool) -> float:
    """How many observations are below a value that the bucket is the first to reach, `below` of them below the bucket.
    All of a bucket that begins at -Inf are."""
    if bucket.lower >= value:
        return below
    if linear and bucket.lower == -math.inf:
        return bucket.count
    return below + bucket.count * bucket.fraction_below(value, linear=linear)


def histogram_average(h: FloatHistogram) -> float:
    """histogram_avg."""
    return go_divide(h.sum, h.count)


@np.errstate(all="ignore")
def histogram_variance(h: FloatHistogram) -> float:
    """histogram_stdvar: with all observations of a bucket at the geometric mean of its bounds; at the arithmetic one of
    custom buckets, at 0 of the zero bucket."""
    mean = go_divide(h.sum, h.count)
    variance, rest = 0.0, 0.0
    for lower, upper, count in zip(*(array.tolist() for array in bucket_arrays(h)), strict=True):
        if count == 0:
            continue
        if h.uses_custom_buckets:
            value = (upper + lower) / 2.0
        elif lower <= 0 <= upper:
            value = 0.0
        else:
            value = math.sqrt(upper * lower)
            value = -value if upper < 0 else value
        delta = value - mean
        variance, rest = kahan_step(count * delta * delta, variance, rest)
    return go_divide(variance + rest, h.count)


def histogram_deviation(h: FloatHistogram) -> float:
    """histogram_stddev. NaN of a negative variance."""
    variance = histogram_variance(h)
    return math.sqrt(variance) if variance >= 0 else math.nan
