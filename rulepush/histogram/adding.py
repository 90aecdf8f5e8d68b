"""Sums and differences of histograms, with schemas, zero buckets and custom bounds reconciled.

Source: Prometheus model/histogram/float_histogram.go (Add, Sub, KahanAdd). The result may have empty buckets, as there:
PromQL compacts it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from rulepush.histogram.buckets import NO_BUCKETS, Buckets
from rulepush.histogram.errors import IncompatibleSchemas
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.resolution import merge_buckets, merged_indexes, with_zero_bucket, zero_count_at
from rulepush.histogram.schema import exponential_bound, exponential_bounds
from rulepush.model.arrays import Floats, Ints
from rulepush.model.kahan import kahan_step, kahan_steps

_GAUGE: Final = CounterResetHint.GAUGE
_UNKNOWN: Final = CounterResetHint.UNKNOWN
_NEAR: Final = 4096  # buckets from the first to the last: marks for all of them are made quicker than they are sorted


class Combined(NamedTuple):
    """A sum or a difference, and what annotations say of it. `counter_reset_collision`: one operand began after a
    counter reset and the other certainly not. `bounds_reconciled`: custom bounds differed, the common ones are left."""

    histogram: FloatHistogram
    counter_reset_collision: bool
    bounds_reconciled: bool


class KahanStep(NamedTuple):
    """A running sum `total` and its compensations `rest`, which has the same buckets; the flags are those of
    `Combined`, of this one addition."""

    total: FloatHistogram
    rest: FloatHistogram
    counter_reset_collision: bool
    bounds_reconciled: bool

    def result(self) -> FloatHistogram:
        """The sum with its compensations added, and compacted."""
        return add(self.total, self.rest).histogram.compacted()


def add(h: FloatHistogram, other: FloatHistogram) -> Combined:
    """Add: h + other. Raises IncompatibleSchemas."""
    return _combine(h, other, 1.0)


def subtract(h: FloatHistogram, other: FloatHistogram) -> Combined:
    """Sub: h - other. The counter reset hint is that of a sum; PromQL's operator makes the result a gauge. Raises
    IncompatibleSchemas."""
    return _combine(h, other, -1.0)


@np.errstate(all="ignore")
def _combine(h: FloatHistogram, other: FloatHistogram, sign: float) -> Combined:
    hint, collision = _hint(h, other)
    count, total = h.count + sign * other.count, h.sum + sign * other.sum
    if h.uses_custom_buckets:
        if h.custom_values == other.custom_values:
            positive = _add_buckets(h.positive, other.positive, sign)
            return Combined(
                replace(h, count=count, sum=total, positive=positive, counter_reset_hint=hint), collision, False
            )
        bounds = common_bounds(h.custom_values, other.custom_values)
        positive, _ = _add_mapped(h, other, sign, bounds, None)
        result = replace(h, count=count, sum=total, positive=positive, custom_values=bounds, counter_reset_hint=hint)
        return Combined(result, collision, True)
    h, _, other_zero, _ = _reconcile_zero(h, other, None)
    schema = min(h.schema, other.schema)
    return Combined(
        FloatHistogram(
            schema=schema,
            count=count,
            sum=total,
            zero_threshold=h.zero_threshold,
            zero_count=h.zero_count + sign * other_zero,
            positive=_add_side(h.positive, other.positive, sign, h.schema, other.schema, h.zero_threshold),
            negative=_add_side(h.negative, other.negative, sign, h.schema, other.schema, h.zero_threshold),
            custom_values=h.custom_values,
            counter_reset_hint=hint,
        ),
        collision,
        False,
    )


def _hint(h: FloatHistogram, other: FloatHistogram) -> tuple[CounterResetHint, bool]:
    """`combined_hint`. Raises IncompatibleSchemas."""
    if h.uses_custom_buckets != other.uses_custom_buckets:
        raise IncompatibleSchemas
    return combined_hint(h.counter_reset_hint, other.counter_reset_hint)


def combined_hint(mine: CounterResetHint, its: CounterResetHint) -> tuple[CounterResetHint, bool]:
    """(hint of a sum or a difference, whether the two collide), adjustCounterReset."""
    if mine is its:
        return mine, False
    if mine is _GAUGE or its is _GAUGE:
        return _GAUGE, False
    return _UNKNOWN, mine is not _UNKNOWN and its is not _UNKNOWN


def _reconcile_zero(
    h: FloatHistogram, other: FloatHistogram, rest: FloatHistogram | None
) -> tuple[FloatHistogram, FloatHistogram | None, float, float]:
    """(h, rest, the other's zero count, its compensation) with one threshold that no filled bucket of either contains
    (reconcileZeroBuckets)."""
    count, compensation, threshold = other.zero_count, 0.0, other.zero_threshold
    while h.zero_threshold > threshold or h.zero_threshold < threshold:  # never, when one is NaN
        if h.zero_threshold > threshold:
            count, threshold, compensation = zero_count_at(other, h.zero_threshold)
        if threshold > h.zero_threshold:
            h, rest = with_zero_bucket(h, threshold, rest)
    return h, rest, count, compensation


def _add_side(mine: Buckets, its: Buckets, sign: float, my_schema: int, its_schema: int, threshold: float) -> Buckets:
    if its_schema < my_schema:
        mine = merge_buckets(mine, my_schema - its_schema)
    elif its_schema > my_schema:
        its = merge_buckets(its, its_schema - my_schema)
    return _add_buckets(mine, _above(its, threshold, min(my_schema, its_schema)), sign)


def _above(buckets: Buckets, threshold: float, schema: int) -> Buckets:
    """Without those that end within the zero bucket, whose counts are in the zero count already."""
    if not len(buckets) or exponential_bound(int(buckets.indexes[0]), schema) > threshold:
        return buckets
    first = int(np.count_nonzero(exponential_bounds(buckets.indexes, schema) <= threshold))
    return Buckets.of(buckets.indexes[first:], buckets.counts[first:])


def _add_buckets(mine: Buckets, its: Buckets, sign: float) -> Buckets:
    """addBuckets."""
    if not len(its):
        return mine
    if not len(mine):
        return its if sign > 0 else its.with_counts(-its.counts)
    if mine.same_layout(its):
        return mine.with_counts(mine.counts + its.counts if sign > 0 else mine.counts - its.counts)
    indexes, at_mine, at_its = _union(mine.indexes, its.indexes)
    counts = np.zeros(len(indexes))
    counts[at_mine] = mine.counts
    counts[at_its] += sign * its.counts
    return Buckets.of(indexes, counts)


def _union(a: Ints, b: Ints) -> tuple[Ints, Ints, Ints]:
    """(all indexes, the places of a[n] among them, those of b[m])."""
    low, high = min(int(a[0]), int(b[0])), max(int(a[-1]), int(b[-1]))
    if high - low > _NEAR:
        indexes = np.union1d(a, b)
        return indexes, np.searchsorted(indexes, a), np.searchsorted(indexes, b)
    there = np.zeros(high - low + 1, np.bool_)
    from_a, from_b = a - low, b - low
    there[from_a] = True
    there[from_b] = True
    places = np.cumsum(there) - 1
    return np.flatnonzero(there) + low, places[from_a], places[from_b]


def common_bounds(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    """Bounds that both have, ascending as they are (intersectCustomBucketBounds)."""
    others = set(b)
    return tuple(bound for bound in a if bound in others)


def _add_mapped(
    h: FloatHistogram, other: FloatHistogram, sign: float, bounds: tuple[float, ...], rest: Buckets | None
) -> tuple[Buckets, Buckets]:
    """(sum, compensations) with every bucket of both in the one of `bounds` that holds it; empty ones are left out
    (addCustomBucketsWithMismatches)."""
    totals, rests = [0.0] * (len(bounds) + 1), [0.0] * (len(bounds) + 1)
    own_rests = rest.counts.tolist() if rest is not None else None
    for side, factor, compensations in ((h, 1.0, own_rests), (other, sign, None)):
        pairs = zip(side.positive.indexes.tolist(), side.positive.counts.tolist(), strict=True)
        for i, (index, count) in enumerate(pairs):
            inside = index < len(side.custom_values)
            at = bisect_left(bounds, side.custom_values[index]) if inside else len(bounds)
            totals[at], rests[at] = kahan_step(factor * count, totals[at], rests[at])
            if compensations is not None:
                totals[at], rests[at] = kahan_step(compensations[i], totals[at], rests[at])
    kept = [i for i in range(len(totals)) if totals[i] != 0 or rests[i] != 0]
    if not kept:
        return NO_BUCKETS, NO_BUCKETS
    buckets = Buckets.of(np.array(kept, np.int64), np.array([totals[i] for i in kept]))
    return buckets, buckets.with_counts(np.array([rests[i] for i in kept]))


@np.errstate(all="ignore")
def kahan_add(total: FloatHistogram, other: FloatHistogram, rest: FloatHistogram | None = None) -> KahanStep:
    """KahanAdd: total + other, with compensations of the running sum; None before the first addition. Raises
    IncompatibleSchemas."""
    hint, collision = _hint(total, other)
    if rest is None:
        rest = no_rest(total.with_hint(hint))
    count, count_rest = kahan_step(other.count, total.count, rest.count)
    sums, sums_rest = kahan_step(other.sum, total.sum, rest.sum)
    if total.uses_custom_buckets:
        reconciled = total.custom_values != other.custom_values
        bounds = total.custom_values
        if reconciled:
            bounds = common_bounds(bounds, other.custom_values)
            positive, positive_rest = _add_mapped(total, other, 1.0, bounds, rest.positive)
        else:
            positive, positive_rest = _kahan_buckets(total.positive, rest.positive, other.positive, None)
        total = replace(total, count=count, sum=sums, positive=positive, custom_values=bounds, counter_reset_hint=hint)
        rest = replace(rest, count=count_rest, sum=sums_rest, positive=positive_rest, custom_values=bounds)
        return KahanStep(total, rest, collision, reconciled)
    total, changed, other_zero, other_zero_rest = _reconcile_zero(total, other, rest)
    rest = changed if changed is not None else rest
    zero, zero_rest = kahan_step(other_zero, total.zero_count, rest.zero_count)
    zero, zero_rest = kahan_step(other_zero_rest, zero, zero_rest)
    positive, positive_rest = _kahan_side(total, rest, other, positive=True)
    negative, negative_rest = _kahan_side(total, rest, other, positive=False)
    schema, threshold = min(total.schema, other.schema), total.zero_threshold
    return KahanStep(
        FloatHistogram(schema, count, sums, threshold, zero, positive, negative, total.custom_values, hint),
        FloatHistogram(
            schema,
            count_rest,
            sums_rest,
            threshold,
            zero_rest,
            positive_rest,
            negative_rest,
            rest.custom_values,
            rest.counter_reset_hint,
        ),
        collision,
        False,
    )


def no_rest(h: FloatHistogram) -> FloatHistogram:
    """Compensations of 0 (newCompensationHistogram)."""
    return replace(
        h,
        count=0.0,
        sum=0.0,
        zero_count=0.0,
        positive=h.positive.with_counts(np.zeros(len(h.positive))),
        negative=h.negative.with_counts(np.zeros(len(h.negative))),
    )


def _kahan_side(
    total: FloatHistogram, rest: FloatHistogram, other: FloatHistogram, *, positive: bool
) -> tuple[Buckets, Buckets]:
    mine, mine_rest = (total.positive, rest.positive) if positive else (total.negative, rest.negative)
    its = other.positive if positive else other.negative
    its_rest: Buckets | None = None
    if other.schema < total.schema:
        mine, mine_rest = _kahan_merge(mine, mine_rest, total.schema - other.schema)
    elif other.schema > total.schema:
        zero = its.with_counts(np.zeros(len(its)))
        its, its_rest = _kahan_merge(its, zero, other.schema - total.schema)
    schema = min(total.schema, other.schema)
    above = _above(its, total.zero_threshold, schema)
    if its_rest is not None:
        its_rest = above.with_counts(its_rest.counts[len(its) - len(above) :])
    return _kahan_buckets(mine, mine_rest, above, its_rest)


def _kahan_merge(buckets: Buckets, rest: Buckets, levels: int) -> tuple[Buckets, Buckets]:
    """kahanReduceResolution."""
    if not len(buckets):
        return buckets, rest
    targets, place = merged_indexes(buckets.indexes, levels)
    totals: list[float | None] = [None] * len(targets)
    rests = [0.0] * len(targets)
    rows = zip(place.tolist(), buckets.counts.tolist(), rest.counts.tolist(), strict=True)
    for at, count, compensation in rows:
        total = totals[at]
        if total is None:
            totals[at], rests[at] = count, compensation
            continue
        total, rests[at] = kahan_step(count, total, rests[at])
        totals[at], rests[at] = kahan_step(compensation, total, rests[at])
    merged = Buckets.of(targets, np.array(totals, np.float64))
    return merged, merged.with_counts(np.array(rests))


def _kahan_buckets(
    mine: Buckets, mine_rest: Buckets, its: Buckets, its_rest: Buckets | None
) -> tuple[Buckets, Buckets]:
    """kahanAddBuckets: a bucket that is new to the sum brings its own compensation; one that is there is added with
    it."""
    if not len(its):
        return mine, mine_rest
    if not len(mine):
        return its, its_rest if its_rest is not None else its.with_counts(np.zeros(len(its)))
    if mine.same_layout(its):
        counts, rests = _kahan_counts(
            mine.counts, mine_rest.counts, its.counts, its_rest.counts if its_rest is not None else None
        )
        return mine.with_counts(counts), mine.with_counts(rests)
    indexes, at_mine, at_its = _union(mine.indexes, its.indexes)
    counts, rests = np.zeros(len(indexes)), np.zeros(len(indexes))
    counts[at_its] = its.counts
    if its_rest is not None:
        rests[at_its] = its_rest.counts
    known = np.zeros(len(indexes), np.bool_)
    known[at_mine] = True
    both = known[at_its]
    counts[at_mine], rests[at_mine] = mine.counts, mine_rest.counts
    where = at_its[both]
    counts[where], rests[where] = _kahan_counts(
        counts[where], rests[where], its.counts[both], its_rest.counts[both] if its_rest is not None else None
    )
    summed = Buckets.of(indexes, counts)
    return summed, summed.with_counts(rests)


def _kahan_counts(counts: Floats, rests: Floats, inc: Floats, inc_rests: Floats | None) -> tuple[Floats, Floats]:
    counts, rests = kahan_steps(inc, counts, rests)
    if inc_rests is not None and inc_rests.any():
        more, more_rests = kahan_steps(inc_rests, counts, rests)
        has = inc_rests != 0
        counts, rests = np.where(has, more, counts), np.where(has, more_rests, rests)
    return counts, rests
