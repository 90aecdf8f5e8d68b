"""Counter resets between two histograms. Source: Prometheus model/histogram/float_histogram.go, DetectReset."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.resolution import merge_buckets, zero_count_at
from rulepush.histogram.schema import exponential_bound, exponential_bounds

_FEW: Final = 2  # histograms: up to so many, one comparison costs less


def detect_reset(h: FloatHistogram, previous: FloatHistogram) -> bool:
    """Whether the counter was reset between `previous` and `h`: some count fell, or a filled bucket is gone, or the
    resolution became finer, or the zero bucket smaller. The hint of `h` decides when it knows; a gauge is treated as a
    counter."""
    if h.counter_reset_hint is CounterResetHint.RESET:
        return True
    if h.counter_reset_hint is CounterResetHint.NOT_RESET:
        return False
    if h.count < previous.count:
        return True
    if h.uses_custom_buckets:
        if not previous.uses_custom_buckets:
            return True
        if h.custom_values != previous.custom_values:
            return _custom_reset(h, previous)
    if h.schema > previous.schema or h.zero_threshold < previous.zero_threshold:
        return True
    zero, threshold, _ = zero_count_at(previous, h.zero_threshold)
    if threshold != h.zero_threshold or h.zero_count < zero:
        return True
    return _fell(h, h.positive, previous, previous.positive) or _fell(h, h.negative, previous, previous.negative)


def detect_resets(histograms: Sequence[FloatHistogram]) -> list[bool]:
    """`detect_reset` of each histogram but the first since the one before; those of one layout are compared at once."""
    if len(histograms) > _FEW and all(_like(h, histograms[0]) for h in histograms):
        rows = np.concatenate([part for h in histograms for part in (h.positive.counts, h.negative.counts)])
        rows = rows.reshape(len(histograms), -1)
        fell = np.any(rows[1:] < rows[:-1], axis=1)
        totals = pairwise((h.count, h.zero_count) for h in histograms)
        return [
            less or now[0] < before[0] or now[1] < before[1]
            for less, (before, now) in zip(fell.tolist(), totals, strict=True)
        ]
    return [detect_reset(h, before) for before, h in pairwise(histograms)]


def _like(h: FloatHistogram, first: FloatHistogram) -> bool:
    """Whether each count of the one stands for the same observations as that of the other, and no hint knows better."""
    return (
        h.schema == first.schema
        and h.zero_threshold == first.zero_threshold
        and h.custom_values == first.custom_values
        and h.counter_reset_hint is not CounterResetHint.RESET
        and h.counter_reset_hint is not CounterResetHint.NOT_RESET
        and h.positive.same_layout(first.positive)
        and h.negative.same_layout(first.negative)
        and (h is not first or _outside_zero(h))
    )


def _outside_zero(h: FloatHistogram) -> bool:
    """Whether all buckets end beyond the zero bucket."""
    return h.uses_custom_buckets or all(
        not len(side) or exponential_bound(int(side.indexes[0]), h.schema) > h.zero_threshold
        for side in (h.positive, h.negative)
    )


def _fell(h: FloatHistogram, now: Buckets, previous: FloatHistogram, before: Buckets) -> bool:
    """Whether a bucket above the zero bucket has less than it had."""
    if not len(before):
        return False
    if h.schema != previous.schema:
        before = merge_buckets(before, previous.schema - h.schema)
    reaches_in = h.zero_threshold > 0 and not h.uses_custom_buckets
    if reaches_in and exponential_bound(int(before.indexes[0]), h.schema) <= h.zero_threshold:
        inside = int(np.count_nonzero(exponential_bounds(before.indexes, h.schema) <= h.zero_threshold))
        if inside:
            before = Buckets.of(before.indexes[inside:], before.counts[inside:])
    counts = before.counts
    if now.same_layout(before):
        return bool(np.count_nonzero(now.counts < counts))
    if not len(now):
        return bool((counts != 0).any())
    at = np.minimum(np.searchsorted(now.indexes, before.indexes), len(now) - 1)
    there = now.indexes[at] == before.indexes
    return bool(np.where(there, now.counts[at] < counts, counts != 0).any())


def _custom_reset(h: FloatHistogram, previous: FloatHistogram) -> bool:
    """The same of different custom bounds, in the buckets that the common ones make
    (detectResetWithMismatchedCustomBounds)."""
    others = set(previous.custom_values)
    bounds = np.array([bound for bound in h.custom_values if bound in others])
    counts = []
    for side in (h, previous):
        uppers = np.array((*side.custom_values, np.inf))[side.positive.indexes]
        place = np.searchsorted(bounds, uppers)
        counts.append(np.bincount(place, weights=side.positive.counts, minlength=len(bounds) + 1))
    return bool((counts[0] < counts[1]).any())
