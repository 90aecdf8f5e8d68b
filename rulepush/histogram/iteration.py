"""The buckets of a histogram with their bounds, in either direction.

Source: Prometheus model/histogram/generic.go (Bucket) and float_histogram.go (the iterators).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.go_floats import go_divide, go_log2
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.resolution import bounds_of
from rulepush.histogram.schema import custom_bound
from rulepush.model.arrays import Floats


@dataclass(frozen=True, slots=True)
class Bucket:
    """`count` observations from `lower` to `upper`, with the bounds themselves or without. `index` within the schema
    and the side; 0 of the zero bucket."""

    lower: float
    upper: float
    lower_inclusive: bool
    upper_inclusive: bool
    count: float
    index: int = 0

    def fraction_below(self, value: float, *, linear: bool) -> float:
        """The share of the bucket's width below a value inside of it (FractionBelow): on a logarithmic scale unless
        `linear`."""
        if linear:
            return go_divide(value - self.lower, self.upper - self.lower)
        lower, upper, at = go_log2(abs(self.lower)), go_log2(abs(self.upper)), go_log2(abs(value))
        if value > 0:
            return go_divide(at - lower, upper - lower)
        return 1 - go_divide(at - upper, lower - upper)


def positive_buckets(h: FloatHistogram) -> list[Bucket]:
    """From zero up; empty ones too."""
    buckets = h.positive
    lower, upper = side_bounds(h, buckets)
    rows = zip(lower.tolist(), upper.tolist(), buckets.counts.tolist(), buckets.indexes.tolist(), strict=True)
    if h.uses_custom_buckets:
        return [Bucket(low, up, index == 0, True, count, index) for low, up, count, index in rows]
    return [Bucket(low, up, low < 0, up > 0, count, index) for low, up, count, index in rows]


def negative_buckets(h: FloatHistogram) -> list[Bucket]:
    """From zero down; empty ones too."""
    buckets = h.negative
    near, far = side_bounds(h, buckets)
    rows = zip(near.tolist(), far.tolist(), buckets.counts.tolist(), buckets.indexes.tolist(), strict=True)
    return [Bucket(-up, -low, up > 0, low < 0, count, index) for low, up, count, index in rows]


def zero_bucket(h: FloatHistogram) -> Bucket:
    """From minus to plus the threshold, both inclusive. Of exponential schemas only."""
    return Bucket(-h.zero_threshold, h.zero_threshold, True, True, h.zero_count)


def all_buckets(h: FloatHistogram) -> list[Bucket]:
    """AllBucketIterator: from the lowest up, the zero bucket only when it is filled. Buckets that reach into the zero
    bucket are cut at its threshold."""
    found = [_cut(bucket, h.zero_threshold) for bucket in reversed(negative_buckets(h))]
    if h.zero_count > 0:
        found.append(zero_bucket(h))
    found += [_cut(bucket, h.zero_threshold) for bucket in positive_buckets(h)]
    return found


def all_buckets_reversed(h: FloatHistogram) -> list[Bucket]:
    """AllReverseBucketIterator: the same from the highest down."""
    return all_buckets(h)[::-1]


def bucket_arrays(h: FloatHistogram) -> tuple[Floats, Floats, Floats]:
    """(lower[n], upper[n], count[n]) of `all_buckets`."""
    near, far = side_bounds(h, h.positive)
    lowers, uppers, counts = [near], [far], [h.positive.counts]
    if h.zero_count > 0:
        lowers.insert(0, np.array([-h.zero_threshold]))
        uppers.insert(0, np.array([h.zero_threshold]))
        counts.insert(0, np.array([h.zero_count]))
    if len(h.negative):
        near, far = side_bounds(h, h.negative)
        lowers.insert(0, -far[::-1])
        uppers.insert(0, -near[::-1])
        counts.insert(0, h.negative.counts[::-1])
    lower, upper = np.concatenate(lowers), np.concatenate(uppers)
    if h.zero_threshold > 0:
        lower[(lower > 0) & (lower < h.zero_threshold)] = h.zero_threshold
        upper[(upper < 0) & (upper > -h.zero_threshold)] = -h.zero_threshold
    return lower, upper, np.concatenate(counts)


def _cut(bucket: Bucket, threshold: float) -> Bucket:
    if 0 < bucket.lower < threshold:
        return replace(bucket, lower=threshold)
    if -threshold < bucket.upper < 0:
        return replace(bucket, upper=-threshold)
    return bucket


def side_bounds(h: FloatHistogram, buckets: Buckets) -> tuple[Floats, Floats]:
    """(the bound near zero[n], the far one[n]) of buckets of one side, by absolute value. Raises IndexError when there
    are more custom buckets than bounds."""
    if not h.uses_custom_buckets:
        return bounds_of(buckets.indexes, h.schema)
    if len(buckets) and not 0 <= int(buckets.indexes[0]) <= int(buckets.indexes[-1]) <= len(h.custom_values):
        custom_bound(int(buckets.indexes[-1]), h.custom_values)
        custom_bound(int(buckets.indexes[0]) - 1, h.custom_values)
    bounds = np.array((-math.inf, *h.custom_values, math.inf))
    return bounds[buckets.indexes], bounds[buckets.indexes + 1]
