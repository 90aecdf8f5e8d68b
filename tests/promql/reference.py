"""Prometheus' range functions, one series at a time in plain Python, transcribed from promql/functions.go: what the
vectorised kernels must agree with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Point = tuple[int, float]  # (ms, value)


@dataclass(frozen=True)
class Range:
    """One row of a window."""

    points: Sequence[Point]
    start: int
    end: int
    ts: int

    @property
    def values(self) -> list[float]:
        return [v for _, v in self.points]


def _inc(inc: float, total: float, rest: float) -> tuple[float, float]:
    t = total + inc
    if math.isinf(t):
        return t, 0.0
    if abs(total) >= abs(inc):
        return t, rest + ((total - t) + inc)
    return t, rest + ((inc - t) + total)


def _divide(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def _extrapolated(r: Range, is_counter: bool, is_rate: bool) -> float | None:
    if len(r.points) < 2:
        return None
    (first_t, first), (last_t, last) = r.points[0], r.points[-1]
    result = last - first
    if is_counter:
        previous = first
        for value in r.values[1:]:
            if value < previous:
                result += previous
            previous = value
    to_start = (first_t - r.start) / 1000
    to_end = (r.end - last_t) / 1000
    sampled = (last_t - first_t) / 1000
    average = sampled / (len(r.points) - 1)
    threshold = average * 1.1
    if to_start >= threshold:
        to_start = average / 2
    if is_counter:
        to_zero = to_start
        if result > 0 and first >= 0:
            to_zero = sampled * _divide(first, result)
        if to_zero < to_start:
            to_start = to_zero
    if to_end >= threshold:
        to_end = average / 2
    factor = (sampled + to_start + to_end) / sampled
    if is_rate:
        factor /= (r.end - r.start) / 1000
    return result * factor


def rate(r: Range) -> float | None:
    return _extrapolated(r, True, True)


def increase(r: Range) -> float | None:
    return _extrapolated(r, True, False)


def delta(r: Range) -> float | None:
    return _extrapolated(r, False, False)


def irate(r: Range) -> float | None:
    if len(r.points) < 2:
        return None
    (t0, v0), (t1, v1) = r.points[-2:]
    return (v1 if v1 < v0 else v1 - v0) / ((t1 - t0) / 1000)


def idelta(r: Range) -> float | None:
    if len(r.points) < 2:
        return None
    return r.values[-1] - r.values[-2]


def changes(r: Range) -> float | None:
    if not r.points:
        return None
    pairs = zip(r.values, r.values[1:], strict=False)
    return float(sum(b != a and not (a != a and b != b) for a, b in pairs))


def resets(r: Range) -> float | None:
    if not r.points:
        return None
    return float(sum(b < a for a, b in zip(r.values, r.values[1:], strict=False)))


def sum_over_time(r: Range) -> float | None:
    if not r.points:
        return None
    total = rest = 0.0
    for value in r.values:
        total, rest = _inc(value, total, rest)
    return total if math.isinf(total) else total + rest


def avg_over_time(r: Range) -> float | None:
    if not r.points:
        return None
    total, rest, mean, incremental, count = r.values[0], 0.0, 0.0, False, 1.0
    for i, value in enumerate(r.values[1:]):
        count = float(i + 2)
        if not incremental:
            new_total, new_rest = _inc(value, total, rest)
            if not math.isinf(new_total):
                total, rest = new_total, new_rest
                continue
            incremental = True
            mean = total / (count - 1)
            rest /= count - 1
        q = (count - 1) / count
        mean, rest = _inc(value / count, q * mean, q * rest)
    return mean + rest if incremental else total / count + rest / count


def count_over_time(r: Range) -> float | None:
    return float(len(r.points)) or None


def present_over_time(r: Range) -> float | None:
    return 1.0 if r.points else None


def last_over_time(r: Range) -> float | None:
    return r.values[-1] if r.points else None


def first_over_time(r: Range) -> float | None:
    return r.values[0] if r.points else None


def _extreme(r: Range, better: Callable[[float, float], bool]) -> Point | None:
    if not r.points:
        return None
    best_t, best = r.points[0]
    for t, value in r.points:
        if better(value, best) or best != best:
            best_t, best = t, value
    return best_t, best


def max_over_time(r: Range) -> float | None:
    found = _extreme(r, lambda a, b: a > b)
    return found and found[1]


def min_over_time(r: Range) -> float | None:
    found = _extreme(r, lambda a, b: a < b)
    return found and found[1]


def ts_of_max_over_time(r: Range) -> float | None:
    found = _extreme(r, lambda a, b: a >= b)
    return found and found[0] / 1000


def ts_of_min_over_time(r: Range) -> float | None:
    found = _extreme(r, lambda a, b: a <= b)
    return found and found[0] / 1000


def ts_of_first_over_time(r: Range) -> float | None:
    return r.points[0][0] / 1000 if r.points else None


def ts_of_last_over_time(r: Range) -> float | None:
    return r.points[-1][0] / 1000 if r.points else None


def stdvar_over_time(r: Range) -> float | None:
    if not r.points:
        return None
    count = mean = mean_rest = aux = aux_rest = 0.0
    for value in r.values:
        count += 1
        difference = value - (mean + mean_rest)
        mean, mean_rest = _inc(difference / count, mean, mean_rest)
        aux, aux_rest = _inc(difference * (value - (mean + mean_rest)), aux, aux_rest)
    return (aux + aux_rest) / count


def stddev_over_time(r: Range) -> float | None:
    variance = stdvar_over_time(r)
    return None if variance is None else math.sqrt(max(variance, 0.0) if variance == variance else variance)


def quantile(q: float, values: Sequence[float]) -> float:
    if not values or q != q:
        return math.nan
    if not 0 <= q <= 1:
        return math.copysign(math.inf, q)
    ordered = sorted(values, key=lambda v: (v == v, v))  # NaN first
    rank = q * (len(ordered) - 1)
    lower = max(0, math.floor(rank))
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - math.floor(rank)
    return ordered[lower] * (1 - weight) + ordered[upper] * weight


def quantile_over_time(r: Range, q: float) -> float | None:
    return quantile(q, r.values) if r.points else None


def mad_over_time(r: Range) -> float | None:
    if not r.points:
        return None
    if any(v != v for v in r.values):
        return math.nan
    median = quantile(0.5, r.values)
    return quantile(0.5, [abs(v - median) for v in r.values])


def _regression(r: Range, at: int) -> tuple[float, float]:
    n = sum_x = x_rest = sum_y = y_rest = sum_xy = xy_rest = sum_x2 = x2_rest = 0.0
    first = r.values[0]
    constant = True
    for i, (t, y) in enumerate(r.points):
        if constant and i > 0 and y != first:
            constant = False
        n += 1
        x = (t - at) / 1000
        sum_x, x_rest = _inc(x, sum_x, x_rest)
        sum_y, y_rest = _inc(y, sum_y, y_rest)
        sum_xy, xy_rest = _inc(x * y, sum_xy, xy_rest)
        sum_x2, x2_rest = _inc(x * x, sum_x2, x2_rest)
    if constant:
        return (math.nan, math.nan) if math.isinf(first) else (0.0, first)
    sum_x, sum_y, sum_xy, sum_x2 = sum_x + x_rest, sum_y + y_rest, sum_xy + xy_rest, sum_x2 + x2_rest
    slope = _divide(sum_xy - sum_x * sum_y / n, sum_x2 - sum_x * sum_x / n)
    return slope, sum_y / n - slope * sum_x / n


def deriv(r: Range) -> float | None:
    return _regression(r, r.points[0][0])[0] if len(r.points) > 1 else None


def predict_linear(r: Range, seconds: float) -> float | None:
    if len(r.points) < 2:
        return None
    slope, intercept = _regression(r, r.ts)
    return slope * seconds + intercept


def double_exponential_smoothing(r: Range, smoothing: float, trend: float) -> float | None:
    if len(r.points) < 2:
        return None
    before, now, slope = 0.0, r.values[0], r.values[1] - r.values[0]
    for i, value in enumerate(r.values[1:], 1):
        if i > 1:
            slope = trend * (now - before) + (1 - trend) * slope
        before, now = now, smoothing * value + (1 - smoothing) * (now + slope)
    return now
