"""The buckets of a histogram with their bounds, in either direction.

Source: Prometheus model/histogram/generic.go (Bucket) and float_histogram.go (the iterators).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from rulepush.histogram.buckets import MOST_SHARED, Buckets
from rulepush.histogram.go_floats import go_divide, go_log2
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.resolution import bounds_of
from rulepush.histogram.schema import custom_bound
from rulepush.model.arrays import Floats

_LAYOUTS_KEPT: Final = 1024


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
    """(lower[n], upper[n], count[n]) of `all_buckets`; not to be written to."""
    lower, upper = side_bounds(h, h.positive)
    counts = h.positive.counts
    if h.zero_count > 0 or len(h.negative):
        near, far = side_bounds(h, h.negative)
        zero = h.zero_threshold
        between = np.array([[-zero], [zero], [h.zero_count]]) if h.zero_count > 0 else np.empty((3, 0))
        lower = np.concatenate((-far[::-1], between[0], lower))
        upper = np.concatenate((-near[::-1], between[1], upper))
        counts = np.concatenate((h.negative.counts[::-1], between[2], counts))
    if h.zero_threshold > 0:
        lower = np.where((lower > 0) & (lower < h.zero_threshold), h.zero_threshold, lower)
        upper = np.where((upper < 0) & (upper > -h.zero_threshold), -h.zero_threshold, upper)
    return lower, upper, counts


def _cut(bucket: Bucket, threshold: float) -> Bucket:
    if 0 < bucket.lower < threshold:
        return replace(bucket, lower=threshold)
    if -threshold < bucket.upper < 0:
        return replace(bucket, upper=-threshold)
    return bucket


def side_bounds(h: FloatHistogram, buckets: Buckets) -> tuple[Floats, Floats]:
    """(the bound near zero[n], the far one[n]) of buckets of one side, by absolute value, read-only. Raises IndexError
    when there are more custom buckets than bounds."""
    indexes = buckets.indexes
    if not h.uses_custom_buckets:
        if len(indexes) > MOST_SHARED:
            return bounds_of(indexes, h.schema)
        return _layout_bounds(indexes.tobytes(), h.schema)
    if len(indexes) and not 0 <= int(indexes[0]) <= int(indexes[-1]) <= len(h.custom_values):
        custom_bound(int(indexes[-1]), h.custom_values)
        custom_bound(int(indexes[0]) - 1, h.custom_values)
    bounds = _shared_bounds(h.custom_values) if len(h.custom_values) < MOST_SHARED else _all_bounds(h.custom_values)
    return bounds[indexes], bounds[indexes + 1]


@lru_cache(maxsize=_LAYOUTS_KEPT)
def _layout_bounds(indexes: bytes, schema: int) -> tuple[Floats, Floats]:
    """`bounds_of` the indexes whose bytes these are: the buckets of a series are asked again at every evaluation."""
    lower, upper = bounds_of(np.frombuffer(indexes, np.int64), schema)
    lower.setflags(write=False)
    upper.setflags(write=False)
    return lower, upper


def _all_bounds(custom_values: tuple[float, ...]) -> Floats:
    """The bounds of custom buckets, with those without end."""
    return np.array((-math.inf, *custom_values, math.inf))


_shared_bounds = lru_cache(maxsize=_LAYOUTS_KEPT)(_all_bounds)
