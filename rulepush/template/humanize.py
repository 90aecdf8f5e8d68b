"""Numbers for people: humanize and its relatives, toTime, toDuration.

Source: prometheus/common helpers/templates and Prometheus' template package.
"""

from __future__ import annotations

import math
from datetime import UTC
from typing import Final

from rulepush.gotext.gofmt import sprintf
from rulepush.gotext.gofmt_numbers import append_float
from rulepush.gotext.goquote import go_quote
from rulepush.gotext.gotime import Duration, DurationPointer, Time
from rulepush.gotext.values import CallError, type_of
from rulepush.model.floats import parse_float

_LARGE: Final = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL: Final = ("m", "u", "n", "p", "f", "a", "z", "y")
_BINARY: Final = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
_INT64_MAX: Final = 9_223_372_036_854_775_807
_INT64_MIN: Final = -_INT64_MAX - 1


def convert_to_float(value: object) -> float:
    """A number from a number, a text or a duration (its seconds). Raises CallError with Prometheus' text."""
    if isinstance(value, bool) or value is None:
        raise CallError(f"can't convert {'<nil>' if value is None else 'bool'} to float")
    if type(value) is Duration:
        return value / 1e9
    if type(value) in (int, float):
        return float(value)  # type: ignore[arg-type]
    if type(value) is str:
        try:
            return _go_float(value)
        except ValueError:
            raise CallError(f"strconv.ParseFloat: parsing {go_quote(value)}: invalid syntax") from None
    raise CallError(f"can't convert {type_of(value)} to float")


def _go_float(text: str) -> float:
    value = parse_float(text)
    if math.isinf(value) and "inf" not in text.lower():
        raise CallError(f"strconv.ParseFloat: parsing {go_quote(text)}: value out of range")
    return value


def _four_digits(value: float) -> str:
    return append_float(value, "g", 4)


def humanize(value: object) -> str:
    """1234567 -> `1.235M`: metric prefixes, four significant digits."""
    number = convert_to_float(value)
    if number == 0 or not math.isfinite(number):
        return _four_digits(number)
    if abs(number) >= 1:
        return _scale_down(number, 1000, _LARGE)
    return _scale_up(number)


def humanize1024(value: object) -> str:
    """Like humanize, with binary prefixes."""
    number = convert_to_float(value)
    if abs(number) <= 1 or not math.isfinite(number):
        return _four_digits(number)
    return _scale_down(number, 1024, _BINARY)


def _scale_down(number: float, base: int, prefixes: tuple[str, ...]) -> str:
    prefix = ""
    for candidate in prefixes:
        if abs(number) < base:
            break
        prefix = candidate
        number /= base
    return _four_digits(number) + prefix


def _scale_up(number: float) -> str:
    prefix = ""
    for candidate in _SMALL:
        if abs(number) >= 1:
            break
        prefix = candidate
        number *= 1000
    return _four_digits(number) + prefix


def humanize_duration(value: object) -> str:
    """Seconds -> `1d 2h 3m 4s`; below a second with a metric prefix."""
    number = convert_to_float(value)
    if not math.isfinite(number):
        return _four_digits(number)
    if number == 0:
        return _four_digits(number) + "s"
    if abs(number) < 1:
        return _scale_up(number) + "s"
    sign, number = ("-", -number) if number < 0 else ("", number)
    # Out of int64's range, amd64 converts to the smallest int64.
    whole = int(number) if number < _INT64_MAX else _INT64_MIN
    seconds, minutes = _rest(whole, 60), _rest(_quotient(whole, 60), 60)
    hours, days = _rest(_quotient(whole, 3600), 24), _quotient(whole, 86_400)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{_four_digits(number)}s"


def _quotient(a: int, b: int) -> int:
    return a // b if a >= 0 else -(-a // b)


def _rest(a: int, b: int) -> int:
    return a - b * _quotient(a, b)


def humanize_percentage(value: object) -> str:
    """0.1234 -> `12.34%`."""
    return _four_digits(convert_to_float(value) * 100) + "%"


def _time_of(number: float) -> Time:
    nanoseconds = number * 1e9
    if nanoseconds > _INT64_MAX or nanoseconds < _INT64_MIN:
        shown = sprintf("%v", (number,))
        raise CallError(f"{shown} cannot be represented as a nanoseconds timestamp since it overflows int64")
    whole = int(nanoseconds) if nanoseconds < _INT64_MAX else _INT64_MIN
    return Time(_quotient(whole, 1_000_000) * 1_000_000, UTC, pointer=True)


def humanize_timestamp(value: object) -> str:
    """Unix seconds -> `2015-05-01 12:00:00 +0000 UTC`."""
    number = convert_to_float(value)
    return _time_of(number).go_string() if math.isfinite(number) else _four_digits(number)


def to_time(value: object) -> Time:
    """Unix seconds -> a time with Go's methods."""
    number = convert_to_float(value)
    if not math.isfinite(number):
        raise CallError("value is NaN or Inf")
    return _time_of(number)


def to_duration(value: object) -> DurationPointer:
    """Seconds -> a duration with Go's methods."""
    nanoseconds = convert_to_float(value) * 1e9
    if not math.isfinite(nanoseconds) or not _INT64_MIN <= nanoseconds < _INT64_MAX:
        return DurationPointer(_INT64_MIN)
    return DurationPointer(int(nanoseconds))
