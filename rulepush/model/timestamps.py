"""Times: integer milliseconds inside, RFC 3339 at the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

UNKNOWN_TIME: Final = 1 << 62
"""In place of a time (ms) that is not known yet: when something that goes on will end. Later than any."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def format_rfc3339(ms: int) -> str:
    """1_700_000_000_123 -> `2023-11-14T22:13:20.123Z`, as Go prints a UTC time: no trailing zeros, no bare dot."""
    when = _EPOCH + timedelta(milliseconds=ms)
    text = f"{when:%Y-%m-%dT%H:%M:%S}"
    if when.year < 1000:  # strftime does not pad the year on Linux
        text = text.rjust(19, "0")
    rest = ms % 1000
    return text + (f".{rest:03d}".rstrip("0") if rest else "") + "Z"


def parse_rfc3339(text: str) -> int:
    """The inverse; any offset, digits beyond milliseconds are cut. Raises ValueError."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None or "T" not in text.upper():
        raise ValueError(f"cannot parse {text!r} to a valid timestamp")
    return (when - _EPOCH) // timedelta(milliseconds=1)


def parse_time(text: str) -> int:
    """What Prometheus' API takes as a time: Unix seconds with decimals, or RFC 3339. Raises ValueError."""
    try:
        seconds = float(text)
    except ValueError:
        return parse_rfc3339(text)
    if seconds != seconds or abs(seconds) > 9.2e15:
        raise ValueError(f"cannot parse {text!r} to a valid timestamp")
    return round(seconds * 1000)
