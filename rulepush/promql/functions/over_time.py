"""The *_over_time functions: one number for all samples of a range. Source: Prometheus promql/functions.go."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.kahan import kahan_steps, kahan_sum
from rulepush.promql.functions.quantile import quantile_rows, quantile_warning
from rulepush.promql.functions.registry import AnnotationSink, RangeFunction
from rulepush.promql.functions.welford import compensated_variances
from rulepush.promql.syntax.signature import MATRIX, SCALAR, Signature

if TYPE_CHECKING:
    from rulepush.promql.vectors.windows import RangeWindow


def sum_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """Kahan-compensated sum."""
    total, rest = kahan_sum(w.values, None if w.full else w.mask)
    return total + rest, w.at_least(1)


def avg_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """Kahan-compensated mean; where the sum overflows, the incremental mean from there on."""
    mask = None if w.full else w.mask
    total, rest = kahan_sum(w.values, mask)
    counts: Ints | int = w.counts if w.axis is None else len(w.axis)
    present = w.at_least(1)
    result = total / counts + rest / counts
    finite = np.isfinite(total)
    if np.count_nonzero(finite) < len(finite):
        rows = np.flatnonzero(~finite & present)
        nan = np.isnan(w.values[rows])
        if mask is not None:
            nan &= mask[rows]
        rows = rows[~nan.any(axis=1)]  # a NaN sample makes NaN either way
        if len(rows):
            result[rows] = _incremental_mean(w, rows)
    return result, present


def _incremental_mean(w: RangeWindow, rows: Any) -> Floats:
    """The mean of rows whose sum overflows at some sample: sequential, for these rows at once."""
    columns = np.ascontiguousarray(w.values[rows].T)
    counts = w.counts[rows]
    total, rest = columns[0], np.zeros(len(rows))
    mean = np.zeros(len(rows))
    incremental = np.zeros(len(rows), np.bool_)
    for i in range(1, len(columns)):
        x, count = columns[i], float(i + 1)
        inside = i < counts
        new_total, new_rest = kahan_steps(x, total, rest)
        turns = inside & ~incremental & np.isinf(new_total)
        mean = np.where(turns, total / (count - 1), mean)
        rest = np.where(turns, rest / (count - 1), rest)
        incremental |= turns
        direct = inside & ~incremental
        q = (count - 1) / count
        new_mean, mean_rest = kahan_steps(x / count, q * mean, q * rest)
        step = inside & incremental
        total = np.where(direct, new_total, total)
        rest = np.where(direct, new_rest, np.where(step, mean_rest, rest))
        mean = np.where(step, new_mean, mean)
    return np.where(incremental, mean + rest, total / counts + rest / counts)


def count_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """The number of samples."""
    return w.counts.astype(np.float64), w.at_least(1)


def present_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """1 where there is any sample."""
    return np.ones(len(w.counts)), w.at_least(1)


def last_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """The newest sample."""
    return w.last()[1].copy(), w.at_least(1)


def first_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """The oldest sample."""
    return w.first()[1].copy(), w.at_least(1)


def max_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """The greatest sample; NaN only when all are."""
    return _extreme(w, np.fmax), w.at_least(1)


def min_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """The least sample; NaN only when all are."""
    return _extreme(w, np.fmin), w.at_least(1)


def _extreme(w: RangeWindow, choose: np.ufunc) -> Floats:
    n, k = w.values.shape
    if k == 0:
        return np.full(n, np.nan)
    values = w.values if w.full else np.where(w.mask, w.values, np.nan)
    best: Floats = choose.reduce(values, axis=1)
    zero = best == 0
    if np.count_nonzero(zero):  # 0 and -0 are equal: of them the first one counts, numpy takes any
        rows = np.flatnonzero(zero)
        own = values[rows]
        best[rows] = own[np.arange(len(rows)), (own == 0).argmax(axis=1)]
    return best


def ts_of_max_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """When, in seconds, the greatest sample was seen last."""
    return _time_of_extreme(w, np.fmax), w.at_least(1)


def ts_of_min_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """When, in seconds, the least sample was seen last."""
    return _time_of_extreme(w, np.fmin), w.at_least(1)


def _time_of_extreme(w: RangeWindow, choose: np.ufunc) -> Floats:
    n, k = w.values.shape
    if k == 0:
        return np.zeros(n)
    best = _extreme(w, choose)
    hit = (w.values == best[:, None]) | np.isnan(best)[:, None]
    hit &= w.mask
    newest = k - 1 - np.argmax(hit[:, ::-1], axis=1)
    times: Floats = w.times[np.arange(n), newest] / 1000.0
    return times


def ts_of_first_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """When, in seconds, the oldest sample was seen."""
    return w.first()[0] / 1000.0, w.at_least(1)


def ts_of_last_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """When, in seconds, the newest sample was seen."""
    return w.last()[0] / 1000.0, w.at_least(1)


def stdvar_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """Population variance."""
    return compensated_variances(w.values, None if w.full else w.mask), w.at_least(1)


def stddev_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """Population standard deviation."""
    variance, present = stdvar_over_time(w)
    return np.sqrt(variance), present


def quantile_over_time(w: RangeWindow, q: float) -> tuple[Floats, Bools]:
    """The q-quantile, interpolated between samples."""
    return quantile_rows(q, w.values, w.counts), w.at_least(1)


def mad_over_time(w: RangeWindow) -> tuple[Floats, Bools]:
    """The median distance from the median; NaN when any sample is."""
    median = quantile_rows(0.5, w.values, w.counts)
    result = quantile_rows(0.5, np.abs(w.values - median[:, None]), w.counts)
    nan = np.isnan(w.values) if w.full else np.isnan(w.values) & w.mask
    return np.where(nan.any(axis=1), math.nan, result), w.at_least(1)


def _note_quantile(
    w: RangeWindow, present: Bools, scalars: tuple[float, ...], notes: AnnotationSink, call: Any, args: tuple[Any, ...]
) -> None:
    if present.any():
        quantile_warning(scalars[0], notes, args[0])


def _plain(
    name: str, kernel: Callable[..., tuple[Floats, Bools]], *, keeps_name: bool = False, experimental: bool = False
) -> RangeFunction:
    return RangeFunction(name, Signature((MATRIX,), experimental=experimental), kernel, drop_name=not keeps_name)


def _time_of(name: str, kernel: Callable[..., tuple[Floats, Bools]]) -> RangeFunction:
    return RangeFunction(name, Signature((MATRIX,), experimental=True), kernel, absolute_times=True)


OVER_TIME: Final = {
    "avg_over_time": _plain("avg_over_time", avg_over_time),
    "count_over_time": _plain("count_over_time", count_over_time),
    "first_over_time": _plain("first_over_time", first_over_time, keeps_name=True, experimental=True),
    "last_over_time": _plain("last_over_time", last_over_time, keeps_name=True),
    "mad_over_time": _plain("mad_over_time", mad_over_time, experimental=True),
    "max_over_time": _plain("max_over_time", max_over_time),
    "min_over_time": _plain("min_over_time", min_over_time),
    "present_over_time": _plain("present_over_time", present_over_time),
    "quantile_over_time": RangeFunction(
        "quantile_over_time", Signature((SCALAR, MATRIX)), quantile_over_time, range_arg=1, note=_note_quantile
    ),
    "stddev_over_time": _plain("stddev_over_time", stddev_over_time),
    "stdvar_over_time": _plain("stdvar_over_time", stdvar_over_time),
    "sum_over_time": _plain("sum_over_time", sum_over_time),
    "ts_of_first_over_time": _time_of("ts_of_first_over_time", ts_of_first_over_time),
    "ts_of_last_over_time": _time_of("ts_of_last_over_time", ts_of_last_over_time),
    "ts_of_max_over_time": _time_of("ts_of_max_over_time", ts_of_max_over_time),
    "ts_of_min_over_time": _time_of("ts_of_min_over_time", ts_of_min_over_time),
}
