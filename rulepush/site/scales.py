"""Axes: which ticks stand at which values and times, and how they are written. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_TIME_STEPS: Final = (
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 7, 14, 30, 90, 365)),
)
_SUFFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class AxisTick:
    """A mark of an axis: its place, 0 at the start or the bottom and 1 at the end or the top, and its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class ValueScale:
    """From values to places; `low` and `high` are the values at the bottom and the top."""

    low: float
    high: float
    ticks: tuple[AxisTick, ...]

    def place(self, value: float) -> float:
        """0 at the bottom, 1 at the top."""
        return (value - self.low) / (self.high - self.low)


def value_scale(low: float, high: float, count: int = 4) -> ValueScale:
    """A scale for values from `low` to `high`, both finite, with about `count` steps of 1, 2 or 5 times a power of ten.
    It begins at 0 where the values are far from it by less than their spread."""
    if low > high:
        low, high = high, low
    if low > 0 and low < 2 * (high - low):
        low = 0.0
    if high < 0 and -high < 2 * (high - low):
        high = 0.0
    if high - low <= abs(high) * 1e-12:  # one value: it stands in the middle
        low, high = (0.0, 2 * high) if high > 0 else (2 * low, 0.0) if low < 0 else (-1.0, 1.0)
    step = _round_step((high - low) / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    bottom, top = first * step, last * step
    numbers = [n * step for n in range(first, last + 1)]
    return ValueScale(bottom, top, tuple(AxisTick((n - bottom) / (top - bottom), tick_text(n, step)) for n in numbers))


def _round_step(step: float) -> float:
    """The next of 1, 2, 5, 10 times a power of ten that is not smaller."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(n * power for n in (1.0, 2.0, 5.0, 10.0) if n * power >= step * (1 - 1e-9))


def tick_text(value: float, step: float) -> str:
    """A value as short as its distance from the next tick, `step`, allows: `1.5k`, `0.02`, `2e+15`."""
    if value == 0 or abs(value) < step / 1000:
        return "0"
    if abs(value) >= 1e15 or abs(value) < 1e-6:
        return f"{value:.3g}"
    unit, suffix = next(((n, s) for n, s in _SUFFIXES if abs(value) >= n), (1.0, ""))
    decimals = max(0, -math.floor(math.log10(step / unit) + 1e-9))
    text = f"{value / unit:.{min(decimals, 9)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + suffix


def time_ticks(start: int, end: int, count: int = 6) -> tuple[AxisTick, ...]:
    """At most `count` + 1 round times between `start` and `end` (ms), in UTC: `14:05`, at midnight `11-29`. With
    seconds they are longer, and half as many fit on a phone."""
    span = end - start
    if span <= 0:
        return ()
    longest = _TIME_STEPS[-1] * math.ceil(span / _TIME_STEPS[-1])
    step = next((s for s in _TIME_STEPS if span / s <= (count if s >= MINUTE else count / 2)), longest)
    first = -(-start // step) * step
    return tuple(AxisTick((ts - start) / span, _time_text(ts, step)) for ts in range(first, end + 1, step))


def _time_text(ts: int, step: int) -> str:
    at = datetime.fromtimestamp(ts / 1000, UTC)
    if ts % DAY == 0:
        return at.strftime("%m-%d")
    return at.strftime("%H:%M:%S" if step < MINUTE else "%H:%M")
