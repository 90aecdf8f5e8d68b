"""Deliveries: for each alert, what became of it at each Alertmanager. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any, Final

from rulepush.model.timestamps import format_rfc3339

MAX_DELIVERIES: Final = 10_000
# An alert is sent again each minute: that it was accepted once more is not worth a write each time.
_REWRITE_MS: Final = 10 * 60_000


class Outcome(Enum):
    """How an attempt ended."""

    ACCEPTED = "accepted"
    FAILED = "failed"  # it is tried again
    REFUSED = "refused"  # it is given up


@dataclass(frozen=True, slots=True)
class SentAlert:
    """An alert as it was sent: the fingerprint of its labels in the rules, when it began to fire (ms), whether it is
    its end."""

    fingerprint: str
    starts_at: int
    resolved: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send some alerts to one Alertmanager at `ts` (ms). `status` is that of HTTP, 0 where there was no
    answer; `words` say what it answered, or why there was no answer."""

    url: str
    ts: int
    outcome: Outcome
    status: int
    words: str


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """What became of one state of an alert at one Alertmanager. Times in ms; `tries` counts attempts since `began_at`,
    those that were accepted, `acceptances`, included."""

    url: str
    fingerprint: str
    starts_at: int
    resolved: bool
    began_at: int
    tries: int = 0
    acceptances: int = 0
    accepted_at: int | None = None  # first
    confirmed_at: int | None = None  # last
    outcome: str = ""  # of the last attempt
    status: int = 0
    words: str = ""
    failures: int = 0
    failed_at: int | None = None
    failure: str = ""  # of the last attempt that failed

    def after(self, attempt: Attempt) -> AlertDelivery:
        """As it is after another attempt."""
        fields: dict[str, Any] = {
            "tries": self.tries + 1,
            "outcome": attempt.outcome.value,
            "status": attempt.status,
            "words": attempt.words,
        }
        if attempt.outcome is Outcome.ACCEPTED:
            fields["acceptances"] = self.acceptances + 1
            fields["confirmed_at"] = attempt.ts
            fields["accepted_at"] = attempt.ts if self.accepted_at is None else self.accepted_at
        else:
            fields |= {"failures": self.failures + 1, "failed_at": attempt.ts, "failure": attempt.words}
        return replace(self, **fields)

    def as_json(self) -> dict[str, Any]:
        """For the API: as the other times and names there."""
        return {
            "alertmanager": self.url,
            "state": "resolved" if self.resolved else "firing",
            "startsAt": format_rfc3339(self.starts_at),
            "tries": self.tries,
            "acceptedAt": _time(self.accepted_at),
            "lastAcceptedAt": _time(self.confirmed_at),
            "outcome": self.outcome,
            "status": self.status,
            "answer": self.words,
            "failures": self.failures,
            "lastFailureAt": _time(self.failed_at),
            "lastFailure": self.failure,
        }


_Key = tuple[str, str, bool]


class Deliveries:
    """The newest delivery of each alert, state and Alertmanager, at most MAX_DELIVERIES: those that were tried longest
    ago make room. `take_changed` gives what is worth writing since it was last called."""

    def __init__(self) -> None:
        self._known: dict[_Key, AlertDelivery] = {}  # the one tried longest ago first
        self._written_at: dict[_Key, int] = {}
        self._changed: dict[_Key, None] = {}

    def attempted(self, attempt: Attempt, alerts: Iterable[SentAlert]) -> None:
        """Note what an attempt came to."""
        for alert in alerts:
            key = (alert.fingerprint, attempt.url, alert.resolved)
            before = self._known.pop(key, None)
            if before is None or before.starts_at != alert.starts_at:
                before = AlertDelivery(attempt.url, alert.fingerprint, alert.starts_at, alert.resolved, attempt.ts)
            now = self._known[key] = before.after(attempt)
            is_news = (before.outcome, before.status, before.words) != (now.outcome, now.status, now.words)
            if is_news or attempt.ts - self._written_at.get(key, 0) >= _REWRITE_MS:
                self._changed[key] = None
                self._written_at[key] = attempt.ts
        while len(self._known) > MAX_DELIVERIES:
            self._drop(next(iter(self._known)))

    def restore(self, found: Iterable[AlertDelivery]) -> None:
        """Those of a former process, the one tried longest ago first."""
        self._known = {(d.fingerprint, d.url, d.resolved): d for d in found} | self._known

    def of(self, fingerprint: str) -> list[AlertDelivery]:
        """Of one alert, by URL; the firing state before the resolved one."""
        found = [d for (known, _, _), d in self._known.items() if known == fingerprint]
        return sorted(found, key=lambda d: (d.url, d.resolved))

    def all(self) -> Sequence[AlertDelivery]:
        """All, the one tried longest ago first."""
        return list(self._known.values())

    @property
    def has_changed(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._changed)

    def take_changed(self) -> list[AlertDelivery]:
        """What is to be written; it counts as written."""
        changed, self._changed = self._changed, {}
        return [self._known[key] for key in changed if key in self._known]

    def give_back(self, unwritten: Iterable[AlertDelivery]) -> None:
        """What could not be written is to be written again."""
        self._changed = {(d.fingerprint, d.url, d.resolved): None for d in unwritten} | self._changed

    def _drop(self, key: _Key) -> None:
        del self._known[key]
        self._written_at.pop(key, None)


def dump_delivery(delivery: AlertDelivery) -> str:
    """For the database."""
    return json.dumps(asdict(delivery))


def load_delivery(text: str) -> AlertDelivery:
    """The inverse of `dump_delivery`. Raises ValueError or TypeError on what it did not write."""
    return AlertDelivery(**json.loads(text))


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_rfc3339(ms)
