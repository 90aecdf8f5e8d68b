"""Less resolution: buckets merged into those of a lower schema, and into a greater zero bucket.

Source: Prometheus model/histogram/float_histogram.go and generic.go; scrape/target.go and scrape.go for the limits.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from rulepush.histogram.buckets import NO_BUCKETS, Buckets
from rulepush.histogram.errors import BucketLimitError, HistogramError
from rulepush.histogram.go_floats import go_log2
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.schema import (
    CUSTOM_SCHEMA,
    MAX_RESERVED_SCHEMA,
    MAX_SCHEMA,
    MIN_RESERVED_SCHEMA,
    MIN_SCHEMA,
    exponential_bounds,
    is_exponential,
)
from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.kahan import kahan_step

_FINEST_FACTOR: Final = 1.00271  # of schema 8; what a factor of 1 or less stands for


def reduce_resolution(h: FloatHistogram, schema: int) -> FloatHistogram:
    """ReduceResolution: the histogram in a lower exponential schema. Raises HistogramError when it is not lower, or
    either schema is that of custom buckets."""
    if h.uses_custom_buckets:
        raise HistogramError("cannot reduce resolution when there are custom buckets")
    if schema == CUSTOM_SCHEMA:
        raise HistogramError("cannot reduce resolution to custom buckets schema")
    if schema >= h.schema:
        raise HistogramError(f"cannot reduce resolution from schema {h.schema} to {schema}")
    return replace(
        h,
        schema=schema,
        positive=merge_buckets(h.positive, h.schema - schema),
        negative=merge_buckets(h.negative, h.schema - schema),
    )


def copy_to_schema(h: FloatHistogram, schema: int) -> FloatHistogram:
    """CopyToSchema: as `reduce_resolution`, but the same schema is allowed, and a lower one forgets the counter reset
    hint. Raises HistogramError."""
    if schema == h.schema:
        return h
    return reduce_resolution(h, schema).with_hint(CounterResetHint.UNKNOWN)


def merge_buckets(buckets: Buckets, steps: int) -> Buckets:
    """The buckets in the schema that is `steps` lower (reduceResolution). Counts are added from low to high."""
    if not len(buckets):
        return buckets
    targets, place = merged_indexes(buckets.indexes, steps)
    counts = np.bincount(place, weights=buckets.counts, minlength=len(targets))  # adds one by one, unlike reduceat
    return Buckets.of(targets, counts.astype(np.float64, copy=False))


def merged_indexes(indexes: Ints, steps: int) -> tuple[Ints, Ints]:
    """(the buckets of the schema `steps` lower, ascending; place[n] of each of indexes[n] among them)."""
    wanted = ((indexes - 1) >> steps) + 1
    first = np.ones(len(wanted), np.bool_)
    np.not_equal(wanted[1:], wanted[:-1], out=first[1:])
    return wanted[first], np.cumsum(first) - 1


def limit_buckets(h: FloatHistogram, limit: int) -> FloatHistogram:
    """native_histogram_bucket_limit (scrape/target.go, bucketLimitAppender): with less resolution until there are at
    most `limit` buckets, the zero bucket not counted. Raises BucketLimitError when even the lowest has more, or the
    buckets are custom. No limit when it is 0."""
    if limit <= 0:
        return h
    while h.bucket_count > limit:
        if not is_exponential(h.schema) or h.schema <= MIN_SCHEMA:
            raise BucketLimitError("histogram bucket limit exceeded")
        h = reduce_resolution(h, h.schema - 1)
    return h


def limit_schema(h: FloatHistogram, max_schema: int) -> FloatHistogram:
    """native_histogram_min_bucket_factor (maxSchemaAppender): at most this resolution; custom buckets stay. Also for
    reserved schemas above 8, which nothing else takes."""
    if MIN_RESERVED_SCHEMA <= h.schema <= MAX_RESERVED_SCHEMA and h.schema > max_schema:
        return reduce_resolution(h, max_schema)
    return h


@lru_cache(maxsize=64)  # a scrape asks for each histogram
def schema_of_bucket_factor(factor: float) -> int:
    """The highest schema whose buckets grow by at least `factor` (pickSchema): 1 or less is no limit."""
    if not factor > 1:
        factor = _FINEST_FACTOR
    return math.floor(min(max(-go_log2(go_log2(factor)), MIN_SCHEMA), MAX_SCHEMA))


def zero_count_at(
    h: FloatHistogram, threshold: float, rest: FloatHistogram | None = None
) -> tuple[float, float, float]:
    """(zero count, threshold, its compensation) if the zero bucket reached up to `threshold`, which must not be less
    than it does (zeroCountForLargerThreshold). A threshold within a bucket that is not empty moves to the end of it.
    `rest` holds the compensations of a Kahan sum."""
    compensation = rest.zero_count if rest is not None else 0.0
    if threshold == h.zero_threshold:
        return h.zero_count, threshold, compensation
    sides = [_side(h, rest, positive) for positive in (True, False)]
    while True:
        count, compensation, inside = _absorb(sides[0], threshold, h.zero_count, compensation)
        threshold = threshold if inside is None else inside
        count, compensation, inside = _absorb(sides[1], threshold, count, compensation)
        if inside is None:
            return count, threshold, compensation
        threshold = inside  # what was taken of the positive buckets is too little: all again


_Side = tuple[list[float], list[float], list[float], list[float] | None]


def _side(h: FloatHistogram, rest: FloatHistogram | None, positive: bool) -> _Side:
    """(lower bounds, upper bounds, counts, compensations) by absolute value."""
    buckets = h.positive if positive else h.negative
    lower, upper = bounds_of(buckets.indexes, h.schema)
    if rest is None:
        return lower.tolist(), upper.tolist(), buckets.counts.tolist(), None
    rests = rest.positive if positive else rest.negative
    return lower.tolist(), upper.tolist(), buckets.counts.tolist(), rests.counts.tolist()


def _absorb(side: _Side, threshold: float, count: float, compensation: float) -> tuple[float, float, float | None]:
    """(count, compensation) with the buckets below the threshold added; and the end of the bucket that it is inside of,
    unless that is empty."""
    lowers, uppers, counts, rests = side
    for i, (lower, upper, own) in enumerate(zip(lowers, uppers, counts, strict=True)):
        if lower >= threshold:
            break
        count, compensation = kahan_step(own, count, compensation)
        if rests is not None:
            count, compensation = kahan_step(rests[i], count, compensation)
        if upper > threshold:
            return count, compensation, upper if own != 0 else None
    return count, compensation, None


def bounds_of(indexes: Ints, schema: int) -> tuple[Floats, Floats]:
    """(lower[n], upper[n]) of exponential buckets, by absolute value."""
    return exponential_bounds(indexes - 1, schema), exponential_bounds(indexes, schema)


def with_zero_bucket(
    h: FloatHistogram, threshold: float, rest: FloatHistogram | None = None
) -> tuple[FloatHistogram, FloatHistogram | None]:
    """The histogram, and the compensations, with a zero bucket up to at least `threshold`; buckets within it are gone,
    and so are all empty ones (trimBucketsInZeroBucket, which compacts)."""
    count, threshold, compensation = zero_count_at(h, threshold, rest)
    sides: list[Buckets] = []
    rests: list[Buckets] = []
    for positive in (True, False):
        buckets = h.positive if positive else h.negative
        own = None if rest is None else rest.positive if positive else rest.negative
        kept = exponential_bounds(buckets.indexes - 1, h.schema) >= threshold
        filled = buckets.counts != 0
        if own is not None:
            filled |= own.counts != 0
        kept &= filled
        sides.append(_only(buckets, kept))
        rests.append(_only(own, kept) if own is not None else NO_BUCKETS)
    changed = replace(h, zero_threshold=threshold, zero_count=count, positive=sides[0], negative=sides[1])
    if rest is None:
        return changed, None
    return changed, replace(
        rest, zero_threshold=threshold, zero_count=compensation, positive=rests[0], negative=rests[1]
    )


def _only(buckets: Buckets, kept: Bools) -> Buckets:
    if kept.all():
        return buckets
    return Buckets.of(buckets.indexes[kept], buckets.counts[kept]) if kept.any() else NO_BUCKETS
