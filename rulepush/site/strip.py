"""The strip beside an alert: its states over the last hours. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rulepush.rules.alert import Alert, AlertState

STRIP_MS: Final = 6 * 3600 * 1000
_THINNEST: Final = 0.5  # percent: what was short is seen too


@dataclass(frozen=True, slots=True)
class AlertChange:
    """From `ts` (ms) on the alert was in this state: `inactive`, `pending` or `firing`."""

    ts: int
    state: str


@dataclass(frozen=True, slots=True)
class StripBand:
    """A stretch of time in one state; `start` and `width` in percent of the strip."""

    start: float
    width: float
    state: str


def changes_of(alert: Alert) -> list[AlertChange]:
    """What an alert itself tells of its present life, without a history."""
    changes = [AlertChange(alert.active_at, AlertState.PENDING.value)]
    if alert.fired_at is not None:
        changes.append(AlertChange(alert.fired_at, AlertState.FIRING.value))
    if alert.resolved_at is not None:
        changes.append(AlertChange(alert.resolved_at, AlertState.INACTIVE.value))
    return changes


def bands(changes: Iterable[AlertChange], now: int, length_ms: int = STRIP_MS) -> Sequence[StripBand]:
    """The pending and firing stretches of the last `length_ms`. A state lasts until the next change, or until `now`;
    what began before the strip begins with it."""
    begins = now - length_ms
    ordered = sorted(changes, key=lambda change: change.ts)
    ends = [*(change.ts for change in ordered[1:]), now]
    found = []
    for change, end in zip(ordered, ends, strict=False):
        start, end = max(change.ts, begins), min(end, now)
        if change.state != AlertState.INACTIVE.value and end >= start:
            width = max(_THINNEST, (end - start) / length_ms * 100)
            at = min(100 - width, (start - begins) / length_ms * 100)
            found.append(StripBand(round(at, 2), round(width, 2), change.state))
    return found
