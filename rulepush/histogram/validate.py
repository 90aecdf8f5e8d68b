"""Whether a histogram contradicts itself. Source: Prometheus model/histogram: FloatHistogram.Validate and, for integer
histograms, Histogram.Validate. The spans themselves are checked when buckets are made of them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.errors import InvalidHistogram
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.schema import CUSTOM_SCHEMA, MAX_SCHEMA, MIN_SCHEMA, is_exponential
from rulepush.model.floats import format_float_g

_EXACT: Final = 1 << 53  # integers below it are exact as floats


def validate_histogram(h: FloatHistogram, *, integer: bool = False) -> None:
    """Raises InvalidHistogram with Prometheus' words. `integer`: its counts were integers, so the count must be that of
    the buckets (more only with NaN observations); sums of floats may differ by rounding."""
    if h.uses_custom_buckets:
        _check_custom(h)
    elif is_exponential(h.schema):
        _check_counts("negative side", h.negative)
        if h.zero_count < 0:
            raise InvalidHistogram(
                f"zero bucket has observation count of {format_float_g(h.zero_count)}: "
                "histogram has a bucket whose observation count is negative"
            )
        if h.custom_values:
            raise InvalidHistogram("histogram with exponential schema must not have custom bounds")
    else:
        raise InvalidHistogram(
            f"histogram has an invalid schema, which must be between {MIN_SCHEMA} and {MAX_SCHEMA} for exponential "
            f"buckets, or {CUSTOM_SCHEMA} for custom buckets, got schema {h.schema}"
        )
    if h.count < 0:
        raise InvalidHistogram(
            f"observation count is  {format_float_g(h.count)}: histogram's observation count is negative"
        )
    _check_counts("positive side", h.positive)
    if integer:
        _check_total(h)


def _check_custom(h: FloatHistogram) -> None:
    bounds = h.custom_values
    for i, bound in enumerate(bounds):
        if bound != bound:
            raise InvalidHistogram("custom buckets: histogram custom bounds must not be NaN")
        if i and bound <= bounds[i - 1]:
            raise InvalidHistogram(
                f"custom buckets: previous bound is {bounds[i - 1]:f} and current is {bound:f}: "
                "histogram custom bounds must be in strictly increasing order"
            )
    if bounds and bounds[-1] == math.inf:
        raise InvalidHistogram(
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
        )
    if len(h.positive):
        first, last = int(h.positive.indexes[0]), int(h.positive.indexes[-1])
        if first < 0:
            raise InvalidHistogram(
                f"custom buckets: span number 1 with offset {first}: histogram has a span whose offset is negative"
            )
        if last > len(bounds):
            raise InvalidHistogram(
                f"custom buckets: only {len(bounds)} custom bounds defined which is insufficient to cover total span "
                f"length of {last + 1}: histogram custom bounds are too few"
            )
    if h.zero_count != 0:
        raise InvalidHistogram("custom buckets: must have zero count of 0")
    if h.zero_threshold != 0:
        raise InvalidHistogram("custom buckets: must have zero threshold of 0")
    if len(h.negative):
        raise InvalidHistogram("custom buckets: must not have negative spans")


def _check_counts(side: str, buckets: Buckets) -> None:
    below = buckets.counts < 0
    if np.count_nonzero(below):
        place = int(below.argmax())
        count = format_float_g(float(buckets.counts[place]))
        raise InvalidHistogram(
            f"{side}: bucket number {place + 1} has observation count of {count}: "
            "histogram has a bucket whose observation count is negative"
        )


def _check_total(h: FloatHistogram) -> None:
    if h.count >= _EXACT:
        return  # the sum of the buckets is rounded, so that a right histogram would be refused
    observed = _sum(h.negative) + _sum(h.positive) + h.zero_count
    found = f"{observed:.0f} observations found in buckets, but the Count field is {h.count:.0f}"
    if h.sum != h.sum:
        if observed > h.count:
            raise InvalidHistogram(
                f"{found}: histogram's observation count should be at least the number of observations found in the "
                "buckets"
            )
    elif observed != h.count:
        raise InvalidHistogram(
            f"{found}: histogram's observation count should equal the number of observations found in the buckets "
            "(in absence of NaN)"
        )


def _sum(buckets: Buckets) -> float:
    return float(np.add.reduce(buckets.counts)) if len(buckets) else 0.0
