"""The outbox of one Alertmanager: the newest state of each alert that it has not accepted yet.

Keyed by the alert's labels (Alertmanager's own identity of an alert), so a newer state replaces an older one: memory is
bounded by the number of alerts, not by the length of an outage, and nothing that matters is lost in one.
Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rulepush.model.labels import Labels
from rulepush.notifier.wire import WireAlert


@dataclass(frozen=True, slots=True)
class Entry:
    """An alert waiting since `queued_at` (ms; when its oldest unsent state came in)."""

    alert: WireAlert
    queued_at: int


class Outbox:
    """Insertion order is kept: what has waited longest is sent first."""

    def __init__(self) -> None:
        self._entries: dict[Labels, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, alert: WireAlert, ts: int) -> None:
        """Queue an alert at `ts`, in place of an older state of the same alert."""
        before = self._entries.get(alert.labels)
        self._entries[alert.labels] = Entry(alert, before.queued_at if before else ts)

    def batch(self, limit: int) -> list[WireAlert]:
        """Up to `limit` alerts, the longest waiting first. They stay queued until `settle`."""
        return [entry.alert for entry, _ in zip(self._entries.values(), range(limit), strict=False)]

    def settle(self, alerts: Iterable[WireAlert]) -> list[WireAlert]:
        """Remove what was accepted, or refused for good. An alert whose state changed while it was under way stays
        queued with the new state. Returns what was removed."""
        removed = []
        for alert in alerts:
            entry = self._entries.get(alert.labels)
            if entry is not None and entry.alert is alert:
                del self._entries[alert.labels]
                removed.append(alert)
        return removed

    def oldest(self) -> int | None:
        """When the longest waiting alert was queued (ms), None when nothing waits."""
        return min((entry.queued_at for entry in self._entries.values()), default=None)

    def waiting(self) -> Sequence[WireAlert]:
        """All that waits."""
        return [entry.alert for entry in self._entries.values()]
