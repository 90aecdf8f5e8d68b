"""rate() and its family: differences between the samples of a range. Source: Prometheus promql/functions.go."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.columns import each_distinct, only
from rulepush.model.index import LabelIndex
from rulepush.model.labels import METADATA_NAMES, METRIC_NAME
from rulepush.promql.functions import extended
from rulepush.promql.functions.extended import range_seconds
from rulepush.promql.functions.registry import AnnotationSink, RangeFunction
from rulepush.promql.syntax.signature import MATRIX, Signature
from rulepush.promql.vectors.annotations import counter_doubt
from rulepush.promql.vectors.values import everywhere, nowhere

if TYPE_CHECKING:
    from rulepush.promql.vectors.windows import RangeWindow

_FEW_ROWS: Final = 2  # up to so many, one after the other costs less than numpy's calls
_NAME: Final = only((METRIC_NAME,))
_KEYS: Final = ("not a counter", "not of type counter")
_NAME_AND_TYPE: Final = only((METRIC_NAME, METADATA_NAMES[0]))


def rate(w: RangeWindow) -> tuple[Floats, Bools]:
    """Per-second increase of a counter, extrapolated to the range."""
    return _extrapolated(w, is_counter=True, is_rate=True)


def increase(w: RangeWindow) -> tuple[Floats, Bools]:
    """Increase of a counter, extrapolated to the range."""
    return _extrapolated(w, is_counter=True, is_rate=False)


def delta(w: RangeWindow) -> tuple[Floats, Bools]:
    """Difference of a gauge, extrapolated to the range."""
    return _extrapolated(w, is_counter=False, is_rate=False)


def _extrapolated(w: RangeWindow, *, is_counter: bool, is_rate: bool) -> tuple[Floats, Bools]:
    """`extrapolatedRate`. A series needs two samples."""
    if w.axis is not None:
        return _extrapolated_in_step(w, w.axis, is_counter=is_counter, is_rate=is_rate)
    present = w.counts >= 2
    if not present.any():
        return np.zeros(len(w.counts)), present
    first_t, first = w.first()
    last_t, last = w.last()
    result = last - first
    if is_counter:
        _add_lost_in_resets(w, result)
    gaps = np.maximum(w.counts - 1, 1)
    sampled = (last_t - first_t) / 1000.0
    average = sampled / gaps
    to_start = (first_t - w.start) / 1000.0
    to_end = (w.end - last_t) / 1000.0
    # A sample closer to the boundary than 1.1 average spacings: the series goes on beyond it. Else it is guessed
    # to begin (or end) half a spacing outside of the samples seen.
    threshold = average * 1.1
    half = average / 2
    to_start = np.where(to_start >= threshold, half, to_start)
    to_end = np.where(to_end >= threshold, half, to_end)
    if is_counter:
        # A counter was never negative: do not extrapolate beyond its zero.
        to_zero = np.where((result > 0) & (first >= 0), sampled * (first / result), to_start)
        to_start = np.where(to_zero < to_start, to_zero, to_start)
    factor = (sampled + to_start + to_end) / sampled
    if is_rate:
        factor /= range_seconds(w)
    result *= factor
    return result, present


def _extrapolated_in_step(w: RangeWindow, axis: Ints, *, is_counter: bool, is_rate: bool) -> tuple[Floats, Bools]:
    """The same where all rows have the same times: what depends on times alone is one number."""
    n, k = w.values.shape
    if k < 2:
        return np.zeros(n), nowhere(n)
    first_t, last_t = int(axis[0]), int(axis[-1])
    sampled = (last_t - first_t) / 1000.0
    average = sampled / (k - 1)
    to_start = (first_t - w.start) / 1000.0
    to_end = (w.end - last_t) / 1000.0
    if to_start >= average * 1.1:
        to_start = average / 2
    if to_end >= average * 1.1:
        to_end = average / 2
    seconds = range_seconds(w) if is_rate else 1.0
    if n <= _FEW_ROWS:
        increase_of = _counter_row if is_counter else _gauge_row
        return np.array(
            [increase_of(row, sampled, to_start, to_end, seconds) for row in w.values.tolist()]
        ), everywhere(n)
    first, last = w.values[:, 0], w.values[:, -1]
    result = last - first
    factor: float | Floats = (sampled + to_start + to_end) / sampled
    if is_counter:
        _add_lost_in_resets(w, result)
        to_zero = first / result
        to_zero *= sampled
        sooner = to_zero < to_start
        sooner &= result > 0
        sooner &= first >= 0
        if np.count_nonzero(sooner):
            factor = (sampled + np.where(sooner, to_zero, to_start) + to_end) / sampled
    result *= factor / seconds
    return result, everywhere(n)


def _counter_row(values: list[float], sampled: float, to_start: float, to_end: float, seconds: float) -> float:
    """The same of one row, in Python: most rules of one target read one series, or a few, and numpy's calls would cost
    five times as much."""
    first = values[0]
    result = values[-1] - first
    for before, after in pairwise(values):
        if after < before:
            result += before
    if result > 0 and first >= 0:
        to_start = min(to_start, first / result * sampled)
    return result * ((sampled + to_start + to_end) / sampled / seconds)


def _gauge_row(values: list[float], sampled: float, to_start: float, to_end: float, seconds: float) -> float:
    return (values[-1] - values[0]) * ((sampled + to_start + to_end) / sampled / seconds)


def _add_lost_in_resets(w: RangeWindow, increase: Floats) -> None:
    """Adds to increase[n], in place, what the counters had counted before each of their resets. One reset after the
    other, as Prometheus does: a sum of its own would round otherwise, and `==` and `>` see the last bit."""
    values = w.values
    if values.shape[1] < 2:
        return
    fell = values[:, 1:] < values[:, :-1]
    if not w.full:
        fell &= w.mask[:, 1:]
    if not np.count_nonzero(fell):
        return
    columns = np.flatnonzero(np.logical_or.reduce(fell, axis=0)).tolist()
    if len(columns) <= len(values):
        for column in columns:
            np.add(increase, values[:, column], out=increase, where=fell[:, column])
        return
    for row in np.flatnonzero(np.logical_or.reduce(fell, axis=1)).tolist():
        total = float(increase[row])
        for before in values[row, :-1][fell[row]].tolist():
            total += before
        increase[row] = total


def irate(w: RangeWindow) -> tuple[Floats, Bools]:
    """Per-second rate between the last two samples; after a reset the last sample itself is the increase."""
    previous, last, seconds, present = _last_two(w)
    return np.where(last < previous, last, last - previous) / seconds, present


def idelta(w: RangeWindow) -> tuple[Floats, Bools]:
    """Difference between the last two samples."""
    previous, last, _, present = _last_two(w)
    return last - previous, present


def _last_two(w: RangeWindow) -> tuple[Floats, Floats, Floats, Bools]:
    """(previous[n], last[n], seconds between[n], present[n])."""
    n, k = w.times.shape
    if k < 2:
        empty = np.zeros(n)
        return empty, empty, empty, np.zeros(n, np.bool_)
    if w.full:
        previous, last = w.values[:, -2], w.values[:, -1]
        passed = w.times[:, -1] - w.times[:, -2]
        return previous, last, passed / 1000.0, passed != 0
    rows = np.arange(n)
    at = np.maximum(w.counts - 1, 1)
    passed = w.times[rows, at] - w.times[rows, at - 1]
    return w.values[rows, at - 1], w.values[rows, at], passed / 1000.0, (w.counts >= 2) & (passed != 0)


def changes(w: RangeWindow) -> tuple[Floats, Bools]:
    """How often the value changed; NaN to NaN is no change."""
    before, after = w.values[:, :-1], w.values[:, 1:]
    changed = after != before
    nan = after != after
    if np.count_nonzero(nan):
        changed &= ~(nan & (before != before))
    return _count(w, changed)


def resets(w: RangeWindow) -> tuple[Floats, Bools]:
    """How often the value fell."""
    return _count(w, w.values[:, 1:] < w.values[:, :-1])


def _count(w: RangeWindow, events: Bools) -> tuple[Floats, Bools]:
    if not w.full:
        events &= w.mask[:, 1:]
    return np.count_nonzero(events, axis=1).astype(np.float64), w.at_least(1)


def _note_counters(
    w: RangeWindow, present: Bools, scalars: tuple[float, ...], notes: AnnotationSink, call: Any, args: tuple[Any, ...]
) -> None:
    """The info that a metric does not look like a counter, for each such metric with a result."""
    key = _KEYS[notes.type_labels]
    for text, rows in w.index.memo(key, lambda: _suspects(w.index, notes.type_labels)):
        if np.count_nonzero(present[rows]):
            notes.info(text, args[0])


def _suspects(index: LabelIndex, type_labels: bool) -> tuple[tuple[str, npt.NDArray[np.intp]], ...]:
    """(what to say, its rows) of each metric that does not look like a counter."""
    pool, codes = index.reduced(_NAME_AND_TYPE if type_labels else _NAME)
    texts, of_row = each_distinct(codes, lambda code: counter_doubt(pool.labels[code], type_labels=type_labels))
    return tuple((text, np.flatnonzero(of_row == i)) for i, text in enumerate(texts) if text is not None)


_ONE_RANGE: Final = Signature((MATRIX,))

RATES: Final = {
    "changes": RangeFunction("changes", _ONE_RANGE, changes, anchored=extended.from_anchor(changes)),
    "delta": RangeFunction(
        "delta", _ONE_RANGE, delta, anchored=extended.anchored_delta, smoothed=extended.smoothed_delta
    ),
    "idelta": RangeFunction("idelta", _ONE_RANGE, idelta),
    "increase": RangeFunction(
        "increase",
        _ONE_RANGE,
        increase,
        note=_note_counters,
        anchored=extended.anchored_increase,
        smoothed=extended.smoothed_increase,
    ),
    "irate": RangeFunction("irate", _ONE_RANGE, irate),
    "rate": RangeFunction(
        "rate",
        _ONE_RANGE,
        rate,
        note=_note_counters,
        anchored=extended.anchored_rate,
        smoothed=extended.smoothed_rate,
    ),
    "resets": RangeFunction("resets", _ONE_RANGE, resets, anchored=extended.from_anchor(resets)),
}
