"""Functions that fit the samples of a range: deriv, predict_linear, double_exponential_smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import numpy as np

from rulepush.errors import EvaluationError
from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.kahan import kahan_sum
from rulepush.promql.functions.registry import RangeFunction
from rulepush.promql.syntax.signature import MATRIX, SCALAR, Signature

if TYPE_CHECKING:
    from rulepush.promql.vectors.windows import RangeWindow

_FEW_ROWS: Final = 64  # with more, one step for all of them costs less than a step for each


def deriv(w: RangeWindow) -> tuple[Floats, Bools]:
    """Slope per second of the least squares line."""
    # The time of intercept does not matter for the slope; one near the samples keeps the numbers small.
    slope, _ = _linear_regression(w, w.first()[0])
    return slope, w.at_least(2)


def predict_linear(w: RangeWindow, seconds: float) -> tuple[Floats, Bools]:
    """The least squares line's value `seconds` after the evaluation time."""
    slope, intercept = _linear_regression(w, np.full(len(w.values), w.ts))
    return slope * seconds + intercept, w.at_least(2)


def _linear_regression(w: RangeWindow, intercept_time: Ints) -> tuple[Floats, Floats]:
    """`linearRegression`: (slope per second[n], value at intercept_time[n]). A constant row is exact."""
    mask = None if w.full else w.mask
    y = w.values
    if w.axis is None:
        times, counts, ends = w.times, w.counts, intercept_time
    else:  # all rows have the same times: what is made of times alone is one row
        times, counts, ends = w.axis[None, :], np.array((len(w.axis),)), intercept_time[:1]
    n = counts.astype(np.float64)
    x = (times - ends[:, None]) / 1000.0
    sum_x, sum_y, sum_xy, sum_x2 = _sums((x, y, x * y, x * x), mask)
    cov_xy = sum_xy - sum_x * sum_y / n
    var_x = sum_x2 - sum_x * sum_x / n
    slope = cov_xy / var_x
    intercept = sum_y / n - slope * sum_x / n
    first = y[:, 0] if y.shape[1] else np.full(len(y), np.nan)
    differs = y != first[:, None]
    if mask is not None:
        differs &= mask
    constant = ~differs[:, 1:].any(axis=1)
    if np.count_nonzero(constant):
        infinite = np.isinf(first)
        slope = np.where(constant, np.where(infinite, np.nan, 0.0), slope)
        intercept = np.where(constant, np.where(infinite, np.nan, first), intercept)
    return slope, intercept


def _sums(parts: Sequence[Floats], mask: Bools | None) -> list[Floats]:
    """The sums of the rows of each part; of few rows all at once."""
    if mask is not None or sum(map(len, parts)) > _FEW_ROWS:
        return [total + rest for total, rest in (kahan_sum(part, mask) for part in parts)]
    total, rest = kahan_sum(np.concatenate(parts))
    total = total + rest
    ends = list(accumulate(map(len, parts)))
    return [total[end - len(part) : end] for part, end in zip(parts, ends, strict=True)]


def double_exponential_smoothing(w: RangeWindow, smoothing: float, trend: float) -> tuple[Floats, Bools]:
    """Holt's double exponential smoothing; inherently sequential, so a loop over samples, for many rows at once."""
    if (w.counts > 0).any():
        # Prometheus' panic happens only where there is data.
        if not 0 < smoothing < 1 and smoothing == smoothing:
            raise EvaluationError(f"invalid smoothing factor. Expected: 0 < sf < 1, got: {_f(smoothing)}")
        if not 0 < trend < 1 and trend == trend:
            raise EvaluationError(f"invalid trend factor. Expected: 0 < tf < 1, got: {_f(trend)}")
    present = w.counts >= 2
    if not present.any():
        return np.zeros(len(w.counts)), present
    if len(w.counts) <= _FEW_ROWS:
        rows = zip(w.values, w.counts.tolist(), strict=True)
        smoothed = [_smoothed(row[:count].tolist(), smoothing, trend) for row, count in rows]
        return np.array(smoothed), present
    columns = np.ascontiguousarray(w.values.T)
    before, now = np.zeros(len(w.counts)), columns[0]
    slope = columns[1] - columns[0]
    for i in range(1, len(columns)):
        if i > 1:
            slope_next = trend * (now - before) + (1 - trend) * slope
        else:
            slope_next = slope
        after = smoothing * columns[i] + (1 - smoothing) * (now + slope_next)
        inside = i < w.counts
        before, now = np.where(inside, now, before), np.where(inside, after, now)
        slope = np.where(inside, slope_next, slope)
    return now, present


def _smoothed(samples: Sequence[float], smoothing: float, trend: float) -> float:
    """One row, in Python: a subquery's row may have a million samples, and numpy takes microseconds for each step."""
    if len(samples) < 2:
        return 0.0
    before, now = 0.0, samples[0]
    slope = samples[1] - samples[0]
    for i, sample in enumerate(samples[1:]):
        if i:
            slope = trend * (now - before) + (1 - trend) * slope
        before, now = now, smoothing * sample + (1 - smoothing) * (now + slope)
    return now


def _f(value: float) -> str:
    """Go's %f."""
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:f}"


REGRESSION: Final = {
    "deriv": RangeFunction("deriv", Signature((MATRIX,)), deriv),
    "double_exponential_smoothing": RangeFunction(
        "double_exponential_smoothing",
        Signature((MATRIX, SCALAR, SCALAR), experimental=True),
        double_exponential_smoothing,
    ),
    "predict_linear": RangeFunction("predict_linear", Signature((MATRIX, SCALAR)), predict_linear),
}
