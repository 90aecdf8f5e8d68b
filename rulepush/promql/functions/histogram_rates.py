"""rate() and its family over native histograms. Source: Prometheus promql/functions.go (histogramRate,
extendedHistogramRate, instantValue)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from rulepush.histogram.adding import Combined, add, subtract
from rulepush.histogram.errors import IncompatibleSchemas
from rulepush.histogram.histogram import EMPTY, CounterResetHint, FloatHistogram
from rulepush.histogram.resets import detect_reset
from rulepush.histogram.resolution import copy_to_schema
from rulepush.histogram.schema import CUSTOM_SCHEMA
from rulepush.promql.functions.mixed_range import MixedRange
from rulepush.promql.functions.registry import AnnotationSink
from rulepush.promql.vectors import histogram_notes as words

if TYPE_CHECKING:
    from collections.abc import Callable

_GAUGE: Final = CounterResetHint.GAUGE
_NOT_RESET: Final = CounterResetHint.NOT_RESET


def extrapolated_rate(r: MixedRange, *, is_counter: bool, is_rate: bool) -> FloatHistogram | None:
    """rate(), increase() and delta() of at least two histograms, extrapolated as floats are."""
    histograms = r.histograms
    if len(histograms) < 2:
        return None
    result = difference(r, histograms, [False] * (len(histograms) - 1), is_counter=is_counter)
    if result is None:
        return None
    sampled = (r.times[-1] - r.times[0]) / 1000.0
    average = sampled / (len(histograms) - 1)
    to_start, to_end = (r.times[0] - r.start) / 1000.0, (r.end - r.times[-1]) / 1000.0
    if to_start >= average * 1.1:
        to_start = average / 2
    if is_counter and result.count > 0 and histograms[0].count >= 0:
        to_start = min(to_start, sampled * (histograms[0].count / result.count))
    if to_end >= average * 1.1:
        to_end = average / 2
    factor = (sampled + to_start + to_end) / sampled
    return result.multiplied(factor / r.seconds if is_rate else factor)


def difference(
    r: MixedRange, histograms: list[FloatHistogram], restarts: Sequence[bool], *, is_counter: bool
) -> FloatHistogram | None:
    """The last one less the first, and what was counted before each reset (histogramRate). `restarts`: of each but the
    first, whether it is known to come after one."""
    first, last = histograms[0], histograms[-1]
    hints = [h.counter_reset_hint for h in histograms]
    if is_counter and _GAUGE in hints:
        r.notes.warn(words.not_a_counter(r.name), r.arg)
    before = first
    if is_counter and (restarts[0] or detect_reset(histograms[1], first)):
        # The first one does not count, so its buckets may be of any kind.
        before = replace(EMPTY, schema=histograms[1].schema, custom_values=histograms[1].custom_values)
    schemas = {h.schema for h in (histograms[1:] if is_counter else histograms[-1:])}
    schemas.add(before.schema)
    if CUSTOM_SCHEMA in schemas and len(schemas) > 1:
        r.notes.warn(words.mixed_schemas(r.name), r.arg)
        return None
    steps = HistogramSteps(r.name, r.arg, r.notes)
    result = last
    if not last.uses_custom_buckets:
        result = copy_to_schema(last, min(schemas))
    found = steps.take(subtract, result, before, words.SUBTRACTION)
    if is_counter:
        # The storage has compared nearly all of them with the one before.
        unsure = [i for i, hint in enumerate(hints) if i and (hint is not _NOT_RESET or restarts[i - 1])]
        for i in unsure:
            previous = before if i == 1 else histograms[i - 1]
            if found is not None and (restarts[i - 1] or detect_reset(histograms[i], previous)):
                found = steps.take(add, found, previous, words.ADDITION)
    elif first.counter_reset_hint is not _GAUGE or last.counter_reset_hint is not _GAUGE:
        r.notes.warn(words.not_a_gauge(r.name), r.arg)
    return None if found is None else found.with_hint(_GAUGE).compacted()


class HistogramSteps:
    """Sums and differences of the histograms of one series, with what is said of them."""

    def __init__(self, name: str, arg: Any, notes: AnnotationSink):
        """`name` of the metric, `arg` the node that is spoken of."""
        self._name, self._arg, self._notes = name, arg, notes

    def take(
        self,
        combine: Callable[[FloatHistogram, FloatHistogram], Combined],
        a: FloatHistogram,
        b: FloatHistogram,
        operation: str,
    ) -> FloatHistogram | None:
        """`combine(a, b)`; None when their buckets do not fit together."""
        try:
            found = combine(a, b)
        except IncompatibleSchemas:
            self.mixed()
            return None
        if found.bounds_reconciled:
            self._notes.info(words.reconciled_bounds(operation), self._arg)
        return found.histogram

    def mixed(self) -> None:
        """There are exponential and custom buckets."""
        self._notes.warn(words.mixed_schemas(self._name), self._arg)


def instant_rate(r: MixedRange, *, is_rate: bool, restarted: bool = False) -> float | FloatHistogram | None:
    """irate() and idelta(): of the last two samples. `restarted`: whether a reset between them is known."""
    if len(r.samples) < 2:
        return None
    before, after = r.samples[-2:]
    seconds = (r.times[-1] - r.times[-2]) / 1000.0
    if not seconds:
        return None
    if not isinstance(before, FloatHistogram) and not isinstance(after, FloatHistogram):
        result = after if is_rate and (restarted or after < before) else after - before
        return result / seconds if is_rate else result
    if not isinstance(before, FloatHistogram) or not isinstance(after, FloatHistogram):
        r.notes.warn(words.mixed_floats_and_histograms(r.name), r.arg)
        return None
    gauges = [h.counter_reset_hint is _GAUGE for h in (before, after)]
    if is_rate and any(gauges):
        r.notes.warn(words.not_a_counter(r.name), r.arg)
    if not is_rate and not all(gauges):
        r.notes.warn(words.not_a_gauge(r.name), r.arg)
    found: FloatHistogram | None = after
    if not is_rate or not (restarted or detect_reset(after, before)):
        found = HistogramSteps(r.name, r.arg, r.notes).take(subtract, after, before, words.SUBTRACTION)
    if found is None:
        return None
    found = found.with_hint(_GAUGE).compacted()
    return found.divided(seconds) if is_rate else found


def anchored_rate(r: MixedRange, *, is_counter: bool, is_rate: bool) -> FloatHistogram | None:
    """From the newest histogram before the range to the last one in it."""
    return _extended_rate(r, is_counter=is_counter, is_rate=is_rate, smoothed=False)


def smoothed_rate(r: MixedRange, *, is_counter: bool, is_rate: bool) -> FloatHistogram | None:
    """Between the histograms that are on the line between neighbours at both bounds of the range."""
    return _extended_rate(r, is_counter=is_counter, is_rate=is_rate, smoothed=True)


def _extended_rate(r: MixedRange, *, is_counter: bool, is_rate: bool, smoothed: bool) -> FloatHistogram | None:
    """extendedHistogramRate."""
    times, h = r.times, r.histograms
    last = len(h) - 1
    first = max(0, sum(t <= r.start for t in times[:last]) - 1)
    if smoothed:
        last = sum(t < r.end for t in times[:last])
    if times[last] <= r.start or (smoothed and times[first] > r.end):
        return None
    inside = h[first : last + 1]
    if any(one.uses_custom_buckets is not inside[0].uses_custom_buckets for one in inside):
        r.notes.warn(words.mixed_schemas(r.name), r.arg)
        return None
    if is_counter and any(one.counter_reset_hint is _GAUGE for one in inside):
        r.notes.warn(words.not_a_counter(r.name), r.arg)
    steps = HistogramSteps(r.name, r.arg, r.notes)
    left: FloatHistogram | None = h[first]
    right: FloatHistogram | None = h[last]
    if smoothed and times[first] < r.start:
        left = interpolated(steps, (h[first], times[first]), (h[first + 1], times[first + 1]), r.start, is_counter)
    if smoothed and last > 0 and times[last] > r.end:
        right = interpolated(steps, (h[last - 1], times[last - 1]), (h[last], times[last]), r.end, is_counter)
    if left is None or right is None:
        return None
    if not is_counter and not (left.counter_reset_hint is right.counter_reset_hint is _GAUGE):
        r.notes.warn(words.not_a_gauge(r.name), r.arg)
    result = steps.take(subtract, right, left, words.SUBTRACTION)
    if result is not None and is_counter:
        skips = smoothed and times[first] < r.start and detect_reset(h[first + 1], h[first])
        between = h[first + 1 : last]
        lost = _before_resets(steps, h[first + 1] if skips else left, between[skips:], right, last - first - skips)
        result = None if lost is None else result if lost is EMPTY else steps.take(add, result, lost, words.ADDITION)
    if result is None:
        return None
    if is_rate:
        result = result.divided(r.seconds)
    return result.with_hint(_GAUGE).compacted()


def _before_resets(
    steps: HistogramSteps, previous: FloatHistogram, between: Sequence[FloatHistogram], right: FloatHistogram, gaps: int
) -> FloatHistogram | None:
    """What was counted before resets (correctForCounterResetsHistogram); EMPTY where there was none, None when it does
    not fit together. `gaps`: how many differences there are to look at."""
    if gaps < 1:
        return EMPTY
    lost: FloatHistogram | None = EMPTY
    for h in (*between, right):
        if lost is not None and detect_reset(h, previous):
            lost = previous if lost is EMPTY else steps.take(add, lost, previous, words.ADDITION)
        previous = h
    return lost


def interpolated(
    steps: HistogramSteps,
    before: tuple[FloatHistogram, int],
    after: tuple[FloatHistogram, int],
    at: int,
    is_counter: bool,
) -> FloatHistogram | None:
    """interpolateHistograms: the line of a counter that was reset starts at 0."""
    (h1, t1), (h2, t2) = before, after
    if at == t1:
        return h1
    if at == t2:
        return h2
    fraction = (at - t1) / (t2 - t1)
    if is_counter and detect_reset(h2, h1):
        return h2.multiplied(fraction)
    difference = steps.take(subtract, h2, h1, words.SUBTRACTION)
    return None if difference is None else steps.take(add, difference.multiplied(fraction), h1, words.ADDITION)
