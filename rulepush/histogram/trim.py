"""The operators `</` and `>/`, which keep the observations below or above a value.

Source: Prometheus model/histogram/float_histogram.go, TrimBuckets and the functions it calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rulepush.histogram.go_floats import go_divide
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.iteration import Bucket, negative_buckets, positive_buckets, zero_bucket

_Kept = tuple[float, float]  # (how many observations stay, the value that stands for each of them in the sum)


def trim_above(h: FloatHistogram, limit: float) -> FloatHistogram:
    """`h </ limit`: without observations above. Count and sum are estimated when any bucket loses some; the result is
    compacted then."""
    return _trim(h, limit, _keep_below, _zero_below)


def trim_below(h: FloatHistogram, limit: float) -> FloatHistogram:
    """`h >/ limit`: without observations below; else as `trim_above`."""
    return _trim(h, limit, _keep_above, _zero_above)


@np.errstate(all="ignore")
def _trim(
    h: FloatHistogram,
    limit: float,
    keep: Callable[[Bucket, float, bool, bool], _Kept],
    keep_zero: Callable[[float, float, float, float], _Kept],
) -> FloatHistogram:
    count = total = 0.0
    trimmed = False
    sides: list[list[float]] = []
    for positive, buckets in ((True, positive_buckets(h)), (False, negative_buckets(h))):
        counts: list[float] = []
        for bucket in buckets:
            kept, value = keep(bucket, limit, positive, h.uses_custom_buckets) if bucket.count != 0 else (0.0, 0.0)
            count += kept
            total += value * kept
            trimmed = trimmed or bucket.count != kept
            counts.append(kept)
        sides.append(counts)
    zero = h.zero_count
    if zero > 0:
        has_positive, has_negative = bool(h.positive.counts.any()), bool(h.negative.counts.any())
        bucket = zero_bucket(h)
        lower = 0.0 if has_positive and not has_negative else bucket.lower
        upper = 0.0 if has_negative and not has_positive else bucket.upper
        zero, value = keep_zero(zero, lower, upper, limit)
        trimmed = trimmed or zero != h.zero_count
        total += value * zero
        count += zero
    if not trimmed:
        return h
    return replace(
        h,
        count=count,
        sum=total,
        zero_count=zero,
        positive=h.positive.with_counts(np.array(sides[0])),
        negative=h.negative.with_counts(np.array(sides[1])),
    ).compacted()


def _keep_below(bucket: Bucket, limit: float, positive: bool, linear: bool) -> _Kept:
    if bucket.upper <= limit:
        return bucket.count, _middle(bucket.lower, bucket.upper, positive, linear)
    if not bucket.lower < limit:
        return 0.0, 0.0
    if bucket.lower == -math.inf:
        return _endless_below(bucket, limit)
    if bucket.upper == math.inf:
        return 0.0, bucket.lower  # nothing is known of where in it they are
    return _under(bucket, limit, linear), _middle(bucket.lower, limit, positive, linear)


def _endless_below(bucket: Bucket, limit: float) -> _Kept:
    """Of a bucket from -Inf, which contains the limit. As custom buckets are cut, it begins at 0 when it ends above."""
    if limit > 0 and bucket.upper > 0 and bucket.upper != math.inf:
        return bucket.count * limit / bucket.upper, limit / 2
    if bucket.upper <= 0:
        return bucket.count, limit
    return 0.0, _zero_if_infinite(bucket.upper)


def _keep_above(bucket: Bucket, limit: float, positive: bool, linear: bool) -> _Kept:
    if bucket.lower >= limit:
        return bucket.count, _middle(bucket.lower, bucket.upper, positive, linear)
    if not bucket.upper > limit:
        return 0.0, 0.0
    if bucket.lower == -math.inf:
        if limit >= 0 and bucket.upper != math.inf:
            return bucket.count * (1 - limit / bucket.upper), (limit + bucket.upper) / 2
        return 0.0, _zero_if_infinite(bucket.upper)
    if bucket.upper == math.inf:
        return bucket.count, limit
    return bucket.count - _under(bucket, limit, linear), _middle(limit, bucket.upper, positive, linear)


def _zero_if_infinite(value: float) -> float:
    return 0.0 if math.isinf(value) else value


def _under(bucket: Bucket, limit: float, linear: bool) -> float:
    """How many observations of a bucket that contains the limit are below it (computeSplit)."""
    return bucket.count * bucket.fraction_below(limit, linear=linear)


def _middle(lower: float, upper: float, positive: bool, linear: bool) -> float:
    """computeMidpoint: arithmetic when linear, else geometric; the finite bound of a bucket without end."""
    if math.isinf(lower):
        if math.isinf(upper):
            return 0.0
        return upper / 2 if upper > 0 else upper
    if math.isinf(upper):
        return lower
    if linear:
        return (lower + upper) / 2
    mean = math.sqrt(abs(lower * upper))
    return mean if positive else -mean


def _zero_below(count: float, lower: float, upper: float, limit: float) -> _Kept:
    if limit <= lower:
        return 0.0, 0.0
    if limit >= upper:
        return count, (lower + upper) / 2
    return count * go_divide(limit - lower, upper - lower), (lower + limit) / 2


def _zero_above(count: float, lower: float, upper: float, limit: float) -> _Kept:
    if limit <= lower:
        return count, (lower + upper) / 2
    if limit >= upper:
        return 0.0, 0.0
    return count * go_divide(upper - limit, upper - lower), (limit + upper) / 2
