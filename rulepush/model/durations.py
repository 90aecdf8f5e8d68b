"""Prometheus' duration notation (`1h30m`), as whole milliseconds. Source: prometheus/common model/time.go."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = (
    ("y", 365 * 24 * 3600 * 1000),
    ("w", 7 * 24 * 3600 * 1000),
    ("d", 24 * 3600 * 1000),
    ("h", 3600 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
)
_FORM: Final = re.compile("".join(f"(?:([0-9]+){unit})?" for unit, _ in _UNITS))
_MAX_MS: Final = (1 << 63) // 1_000_000  # Go's Duration counts nanoseconds in an int64


def parse_duration(text: str) -> int:
    """`"1h30m"` -> 5_400_000. `"0"` is allowed without a unit. Raises ValueError with Prometheus' text."""
    if text == "0":
        return 0
    if text == "":
        raise ValueError("empty duration string")
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f'not a valid duration string: "{text}"')
    total = sum(int(n) * ms for n, (_, ms) in zip(match.groups(), _UNITS, strict=True) if n is not None)
    if total > _MAX_MS:
        raise ValueError("duration out of range")
    return total


def format_duration(ms: int) -> str:
    """5_400_000 -> `"1h30m"`, as Prometheus' model.Duration prints: years, weeks and days only when exact."""
    if ms == 0:
        return "0s"
    out, rest = "-" if ms < 0 else "", abs(ms)
    for unit, size in _UNITS:
        if unit in ("y", "w", "d") and rest % size:
            continue
        count, rest_after = divmod(rest, size)
        if count:
            out += f"{count}{unit}"
            rest = rest_after
    return out
