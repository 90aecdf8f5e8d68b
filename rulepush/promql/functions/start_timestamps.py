"""Start timestamps: since when a counter counts. rate(), increase(), irate() and resets() of series that have some, one
series at one step. Source: Prometheus 3.14, promql/functions.go (isStartTimestampReset, extrapolatedRate)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from rulepush.histogram.adding import add
from rulepush.histogram.histogram import FloatHistogram
from rulepush.promql.functions.histogram_rates import HistogramSteps, difference, instant_rate
from rulepush.promql.functions.mixed_range import MixedRange, Sampled, was_reset
from rulepush.promql.vectors import histogram_notes as words
from rulepush.promql.vectors.annotations import start_time_overlap

Starts = Sequence[int]  # ms, of each sample; 0 where it is not known


def _restarted(before: int, before_t: int, start: int, time: int) -> bool:
    """Whether a start says that the counter was reset after the sample before."""
    if start == 0 or start >= time or start < before_t:
        return False
    if start > before_t:
        return True
    # It began at the sample before: a delta, unless the start of that was not known.
    return before <= before_t and before not in (0, before_t)


def _restarts(times: Sequence[int], starts: Starts) -> list[bool]:
    """Of each sample but the first."""
    points = list(zip(starts, times, strict=True))
    return [_restarted(*before, *after) for before, after in pairwise(points)]


def _note_overlap(r: MixedRange, starts: Starts) -> None:
    points = zip(starts, r.times, strict=True)
    if any(st and st < before_t and st != before for (before, before_t), (st, _) in pairwise(points)):
        r.notes.counted_warning(start_time_overlap(r.name), r.arg)


def _rate(r: MixedRange, starts: Starts, *, is_rate: bool) -> Sampled | None:
    """extrapolatedRate of a counter."""
    if r.histograms and r.mixed():
        return None
    restarts = _restarts(r.times, starts)
    result: Sampled | None = None
    if len(r.samples) > 1:
        if r.histograms:
            result = difference(r, r.histograms, restarts, is_counter=True)
            if result is None:
                return None
        else:
            floats = r.floats
            result = floats[-1] - floats[0]
            for (before, after), restarted in zip(pairwise(floats), restarts, strict=True):
                if after < before or restarted:
                    result += before
        _note_overlap(r, starts)
    first, last = r.times[0], r.times[-1]
    to_start, to_end = (first - r.start) / 1000.0, (r.end - last) / 1000.0
    gaps = len(r.samples) - 1
    sampled = (last - first) / 1000.0
    average = sampled / gaps if gaps else 0.0
    threshold = average * 1.1
    if starts[0] and r.start < starts[0] < first:  # as if there were a sample of 0 at the start
        to_start, sampled = 0.0, (last - starts[0]) / 1000.0
        result = _plus(r, result, r.samples[0])
        if result is None:
            return None
    elif not gaps or result is None:
        return None
    else:
        if to_start >= threshold:
            to_start = average / 2
        counted, began = _count(result), _count(r.samples[0])
        if counted > 0 and began >= 0:
            to_start = min(to_start, sampled * (began / counted))
    if to_end >= threshold:
        to_end = average / 2
    factor = (sampled + to_start + to_end) / sampled if sampled else 1.0
    if is_rate:
        factor /= r.seconds
    return result.multiplied(factor) if isinstance(result, FloatHistogram) else result * factor


def _plus(r: MixedRange, result: Sampled | None, first: Sampled) -> Sampled | None:
    if isinstance(first, FloatHistogram):
        if not isinstance(result, FloatHistogram):
            return first
        return HistogramSteps(r.name, r.arg, r.notes).take(add, result, first, words.ADDITION)
    return first + (result if isinstance(result, float) else 0.0)


def _count(sample: Sampled) -> float:
    return sample.count if isinstance(sample, FloatHistogram) else sample


def _irate(r: MixedRange, starts: Starts) -> Sampled | None:
    if len(r.samples) < 2:
        return None
    return instant_rate(r, is_rate=True, restarted=_restarts(r.times[-2:], starts[-2:])[0])


def _resets(r: MixedRange, starts: Starts) -> Sampled | None:
    pairs = zip(pairwise(r.samples), _restarts(r.times, starts), strict=True)
    return float(sum(restarted or was_reset(before, after) for (before, after), restarted in pairs))


def _increase_of(r: MixedRange, starts: Starts) -> Sampled | None:
    return _rate(r, starts, is_rate=False)


def _rate_of(r: MixedRange, starts: Starts) -> Sampled | None:
    return _rate(r, starts, is_rate=True)


STARTED_RANGES: Final[dict[str, Callable[[MixedRange, Starts], Sampled | None]]] = {
    "increase": _increase_of,
    "irate": _irate,
    "rate": _rate_of,
    "resets": _resets,
}
