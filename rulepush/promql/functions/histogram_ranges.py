"""Functions of a range that has native histograms: one series at one step. Source: Prometheus promql/functions.go.

Series that have only floats are computed by the kernels of the families; what is here is asked only for a row with at
least one histogram.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from rulepush.histogram.errors import IncompatibleSchemas
from rulepush.histogram.histogram import FloatHistogram
from rulepush.promql.functions.histogram_rates import (
    anchored_rate,
    extrapolated_rate,
    instant_rate,
    smoothed_rate,
)
from rulepush.promql.functions.histogram_sums import Summed, mean_of, sum_of
from rulepush.promql.functions.mixed_range import MixedRange, Sampled, was_reset
from rulepush.promql.vectors import histogram_notes as words

MixedFunction = Callable[[MixedRange], Sampled | None]


def _sum(r: MixedRange) -> Sampled | None:
    return _summed(r, sum_of)


def _mean(r: MixedRange) -> Sampled | None:
    return _summed(r, mean_of)


def _summed(r: MixedRange, compute: Callable[[list[FloatHistogram]], Summed]) -> Sampled | None:
    if r.mixed():
        return None
    try:
        found = compute(r.histograms)
    except IncompatibleSchemas:
        r.notes.warn(words.mixed_schemas(r.name), r.arg)
        return None
    found.note(r.notes, r.arg)
    return found.histogram


def _changes(r: MixedRange) -> Sampled | None:
    return float(sum(_changed(before, after) for before, after in pairwise(r.samples)))


def _changed(before: Sampled, after: Sampled) -> bool:
    if isinstance(before, FloatHistogram) and isinstance(after, FloatHistogram):
        return not after.equals(before)
    if isinstance(before, FloatHistogram) or isinstance(after, FloatHistogram):
        return True
    return before != after and not (before != before and after != after)


def _resets(r: MixedRange) -> Sampled | None:
    return float(sum(was_reset(before, after) for before, after in pairwise(r.samples)))


def _from_anchor(function: MixedFunction) -> MixedFunction:
    """Over the samples after the start and the newest one before, of either kind."""

    def call(r: MixedRange) -> Sampled | None:
        before = sum(t <= r.start for t in r.times)
        if before == len(r.times):
            return None
        first = max(0, before - 1)
        part = MixedRange(r.times[first:], r.samples[first:], r.start, r.end, r.name, r.arg, r.notes, r.seconds)
        return function(part)

    return call


def _rate(*, is_counter: bool, is_rate: bool) -> tuple[MixedFunction, MixedFunction, MixedFunction]:
    """The plain, the anchored and the smoothed one."""

    def unmixed(rate: Callable[..., Sampled | None]) -> MixedFunction:
        return lambda r: None if r.mixed() else rate(r, is_counter=is_counter, is_rate=is_rate)

    return unmixed(extrapolated_rate), unmixed(anchored_rate), unmixed(smoothed_rate)


def _instant(*, is_rate: bool) -> MixedFunction:
    def call(r: MixedRange) -> Sampled | None:
        return instant_rate(r, is_rate=is_rate)

    return call


_RATE, _ANCHORED_RATE, _SMOOTHED_RATE = _rate(is_counter=True, is_rate=True)
_INCREASE, _ANCHORED_INCREASE, _SMOOTHED_INCREASE = _rate(is_counter=True, is_rate=False)
_DELTA, _ANCHORED_DELTA, _SMOOTHED_DELTA = _rate(is_counter=False, is_rate=False)

MIXED_RANGES: Final[dict[str, MixedFunction]] = {
    "avg_over_time": _mean,
    "changes": _changes,
    "delta": _DELTA,
    "idelta": _instant(is_rate=False),
    "increase": _INCREASE,
    "irate": _instant(is_rate=True),
    "rate": _RATE,
    "resets": _resets,
    "sum_over_time": _sum,
}
ANCHORED_MIXED_RANGES: Final[dict[str, MixedFunction]] = {
    "changes": _from_anchor(_changes),
    "delta": _ANCHORED_DELTA,
    "increase": _ANCHORED_INCREASE,
    "rate": _ANCHORED_RATE,
    "resets": _from_anchor(_resets),
}
SMOOTHED_MIXED_RANGES: Final[dict[str, MixedFunction]] = {
    "delta": _SMOOTHED_DELTA,
    "increase": _SMOOTHED_INCREASE,
    "rate": _SMOOTHED_RATE,
}
# What takes samples as they are, of either kind: the kernels of floats do.
ANY_SAMPLE: Final = frozenset(
    (
        "count_over_time",
        "first_over_time",
        "last_over_time",
        "present_over_time",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
    )
)
