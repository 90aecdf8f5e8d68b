"""Native histograms with custom buckets from classic histograms, and back.

Source: Prometheus util/convertnhcb/convertnhcb.go (TempHistogram), model/histogram/convert.go (ConvertNHCBToClassic).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.errors import HistogramError, InvalidHistogram
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.schema import CUSTOM_SCHEMA
from rulepush.histogram.validate import validate_histogram
from rulepush.model.floats import format_float_g

_EMPTY_KEPT = 2  # so many empty buckets between filled ones does an integer histogram keep


def custom_histogram(
    buckets: Iterable[tuple[float, float]], count: float | None = None, total: float = 0.0
) -> FloatHistogram:
    """A histogram of custom buckets from (le, cumulative count) in any order, the `_count` and the `_sum`. Without a
    count the greatest bucket gives it; of a bound that comes twice the first counts. Raises InvalidHistogram."""
    if count is not None and count < 0:
        raise InvalidHistogram(f"count must be non-negative: count={format_float_g(count)}")
    found = _sorted(buckets)
    count = float(count) if count is not None else found[-1][1] if found else 0.0
    if not found or found[-1][0] != math.inf:
        found.append((math.inf, count))
    previous, counts = 0.0, []
    for _, cumulative in found:
        counts.append(cumulative - previous)
        previous = cumulative
    if not count == previous:
        raise InvalidHistogram(
            f"count mismatch: count={format_float_g(count)} != le=+Inf count={format_float_g(previous)}"
        )
    h = FloatHistogram(
        schema=CUSTOM_SCHEMA,
        count=count,
        sum=total,
        positive=Buckets.at(0, counts),
        custom_values=tuple(bound for bound, _ in found[:-1]),
    )
    whole = count.is_integer() and all(cumulative.is_integer() for _, cumulative in found)
    return replace(h, positive=h.positive.compacted(_EMPTY_KEPT if whole else 0))


def _sorted(buckets: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Ascending, each bound once. Raises InvalidHistogram when a count falls."""
    counts: dict[float, float] = {}
    for bound, count in buckets:
        if bound != bound:
            raise InvalidHistogram("bucket boundary must not be NaN")
        if count < 0:
            raise InvalidHistogram(
                f"bucket count must be non-negative: le={format_float_g(bound)}, count={format_float_g(count)}"
            )
        counts.setdefault(float(bound), float(count))
    found = sorted(counts.items())
    for (_, before), (_, count) in pairwise(found):
        if count < before:
            raise InvalidHistogram(f"count is not cumulative: {format_float_g(count)} < {format_float_g(before)}")
    return found


def classic_buckets(h: FloatHistogram) -> list[tuple[float, float]]:
    """(le, cumulative count) of a histogram of custom buckets, +Inf last. Raises HistogramError for another one, and
    InvalidHistogram."""
    if not h.uses_custom_buckets:
        raise HistogramError("unsupported histogram schema, not a NHCB")
    validate_histogram(h)
    return cumulative_buckets(h)


def cumulative_buckets(h: FloatHistogram) -> list[tuple[float, float]]:
    """The same of a histogram of custom buckets that may contradict itself, as one that was computed may."""
    own = [0.0] * (len(h.custom_values) + 1)
    for index, count in zip(h.positive.indexes.tolist(), h.positive.counts.tolist(), strict=True):
        own[index] = count
    found, cumulative = [], 0.0
    for bound, count in zip((*h.custom_values, math.inf), own, strict=True):
        cumulative += count
        found.append((bound, cumulative))
    return found
