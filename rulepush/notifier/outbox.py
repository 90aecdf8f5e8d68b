"""The outbox of one Alertmanager: the newest state of each alert that it has not accepted yet.

What it promises: an alert that was put in stays until it is acknowledged, whatever happens in between, and what is sent
is its newest state.

- The key is the alert's label set, which is Alertmanager's own identity of an alert. A newer state replaces an older
  one in place, so memory is bounded by the number of alerts, not by the length of an outage. Nothing that matters is
  lost: Alertmanager acts on the last state it gets.
- The entry keeps its place in the order and its `queued_at` when its state is replaced: what has waited longest is sent
  first, so an alert that is renewed at each evaluation cannot starve. A state that replaced one that was being sent
  goes to the end: it has waited since it was put in, and where sending takes longer than a renewal (a batch that is
  refused is halved, alert by alert) the same alerts would be at the front for ever.
- `batch` only reads. The sender may be cancelled, or fail, between `batch` and `acknowledge`; the alerts are then sent
  again. Alertmanager takes an alert that it knows as an update, so sending twice is harmless.
- While a batch is being sent the rules keep evaluating, and `put` may replace an alert of it. `acknowledge` therefore
  compares by identity (`is`), not by labels: what was accepted is the old state, and the new one must still be sent. In
  particular, a resolution that is queued while the firing state is being sent does not count as delivered.
- A firing alert that waits needs no file: its rule sends it again after a restart. Its rule does not send a
  resolution a second time, so `SendLoop` keeps it in an UndeliveredStore until it is acknowledged, and takes it back
  (`SendLoop.take_back`) when the alert fires again before.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rulepush.model.labels import Labels
from rulepush.notifier.wire import WireAlert


@dataclass(frozen=True, slots=True)
class Entry:
    """An alert waiting since `queued_at` (ms), which stays when its state is replaced; this state since `put_at`."""

    alert: WireAlert
    queued_at: int
    put_at: int


class Outbox:
    """Insertion order is kept: what has waited longest is sent first."""

    def __init__(self) -> None:
        self._entries: dict[Labels, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, alert: WireAlert, ts: int) -> None:
        """Queue an alert at `ts`, in place of an older state of the same alert."""
        before = self._entries.get(alert.labels)
        self._entries[alert.labels] = Entry(alert, before.queued_at if before else ts, ts)

    def batch(self, limit: int) -> list[WireAlert]:
        """Up to `limit` alerts, the longest waiting first. They stay queued until `acknowledge`."""
        return [entry.alert for entry, _ in zip(self._entries.values(), range(limit), strict=False)]

    def acknowledge(self, alerts: Iterable[WireAlert]) -> list[WireAlert]:
        """Remove what was accepted, or refused permanently. An alert whose state changed while it was being sent stays
        queued with the new state, at the end. Returns what was removed."""
        removed = []
        for alert in alerts:
            entry = self._entries.pop(alert.labels, None)
            if entry is None:
                continue
            if entry.alert is alert:
                removed.append(alert)
            else:
                self._entries[alert.labels] = Entry(entry.alert, entry.put_at, entry.put_at)
        return removed

    def oldest(self) -> int | None:
        """When the longest waiting alert was queued (ms), None when nothing waits."""
        return min((entry.queued_at for entry in self._entries.values()), default=None)

    def waiting(self) -> Sequence[WireAlert]:
        """All queued alerts."""
        return [entry.alert for entry in self._entries.values()]
