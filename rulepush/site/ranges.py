"""The ranges of time that the charts of alerts and rules can show."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

RANGES: Final[Mapping[str, int]] = {
    "5m": 300_000,
    "15m": 900_000,
    "1h": 3_600_000,
    "6h": 21_600_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
    "2d": 172_800_000,
    "1w": 604_800_000,
}
"""All of them, in ms."""

# The history has the changes of alerts over these in any case.
_ALWAYS: Final = ("5m", "15m", "1h", "6h", "1d")
_LONG_MS: Final = 3_600_000
_REFRESH_S: Final = 15
_REFRESH_LONG_S: Final = 120


def offered_ranges(recorded_since: int | None, now: int) -> list[str]:
    """The names of those that are offered: the others where they show more of a recording (which begins at
    `recorded_since`, ms; None: there is none) than the next shorter one does."""
    shorter = {name: RANGES[before] for before, name in pairwise(RANGES)}
    return [
        name
        for name in RANGES
        if name in _ALWAYS or (recorded_since is not None and now - recorded_since > shorter[name])
    ]


def refresh_seconds(range_ms: int) -> int:
    """How often a page with a chart over so much is made anew: a long one reads much of the recording, and changes
    little."""
    return _REFRESH_S if range_ms <= _LONG_MS else _REFRESH_LONG_S


def chart_timeout_ms(range_ms: int) -> int:
    """How long a chart over so much may take."""
    return 3_000 if range_ms <= _LONG_MS else 20_000
