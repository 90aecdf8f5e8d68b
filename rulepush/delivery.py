"""How the delivery to each receiver stands: what senders note, and what pages and `/metrics` read of it.

A sender (the loop of an Alertmanager, a remote write, a Pushgateway) owns one DeliveryRecord and notes each attempt
in it. `DeliveryStatus` is a snapshot with what waits. Pure: times are arguments, in ms since the epoch, 0 for never.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

KEPT_REFUSALS: Final = 5
# A firing alert is sent again, and refused again, once a minute: refusals further apart than this are two runs.
REFUSALS_END_MS: Final = 10 * 60_000
REFUSED_LATELY_MS: Final = 5 * 60_000
_MAX_TEXT: Final = 400  # characters of what was refused, and of a reason: a receiver's answer may be long


class ReceiverKind(Enum):
    """What is delivered to. The value is for links and anchors."""

    ALERTMANAGER = "alertmanager"
    REMOTE_WRITE = "remote_write"
    PUSHGATEWAY = "pushgateway"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that the receiver refused for good: it was dropped. `what` names an alert's labels, a group, or a
    number of samples."""

    at: int
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """One receiver at one moment. Counts are alerts, samples or groups, by `kind`, and since the start.

    `name`            the URL of an Alertmanager, the name of another receiver in the configuration
    `address`         where it is: scheme, host and port, without what may be secret of a URL
    `waiting`         not accepted yet; of remote write those in memory, and `waiting_bytes` on disk
    `waiting_since`   since when the oldest of them waits; 0 when nothing does, or it is not known
    `failing_since`   the first of the failed attempts in a row; 0 when the last one succeeded
    `tries`           failed attempts in a row
    `next_try`        when the next one is planned
    `last_error`      in words, with its time: of the failure that lasts, or of the last one that is over
    `refused`         dropped, for the receiver refused it for good; `refusals` are the last few, newest first
    `refusing_since`  the first of the refusals in a row, `refusing` what was refused in these; 0 without any
    `lost`            dropped by rulepush: the buffer was full, or it waited too long
    """

    kind: ReceiverKind
    name: str
    address: str = ""
    waiting: int = 0
    waiting_bytes: int = 0
    waiting_since: int = 0
    accepted: int = 0
    last_success: int = 0
    failing_since: int = 0
    tries: int = 0
    next_try: int = 0
    last_error: str = ""
    last_error_at: int = 0
    refused: int = 0
    refusals: Sequence[Refusal] = ()
    refusing_since: int = 0
    refusing: int = 0
    lost: int = 0

    @property
    def shown_name(self) -> str:
        """The name for people: of an Alertmanager its address without user and password."""
        return self.address if self.kind is ReceiverKind.ALERTMANAGER and self.address else self.name

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self.failing_since > 0

    def refuses(self, now: int) -> bool:
        """Whether something was refused within the last minutes before `now` (ms)."""
        return bool(self.refusals) and now - self.refusals[0].at < REFUSED_LATELY_MS


@dataclass(slots=True)
class DeliveryRecord:
    """What a sender notes of its attempts. Bounded: the texts are cut, and the last few refusals stay."""

    last_success: int = 0
    failing_since: int = 0
    tries: int = 0
    next_try: int = 0
    last_error: str = ""
    last_error_at: int = 0
    refusing_since: int = 0
    refusing: int = 0
    _refusals: deque[Refusal] | None = None  # made at the first one: most receivers never refuse

    def accepted(self, now: int) -> None:
        """An attempt succeeded."""
        self.last_success = now
        self.failing_since = self.tries = self.next_try = 0

    def failed(self, now: int, reason: str, pause_s: float = 0.0) -> None:
        """An attempt failed and is repeated after `pause_s` seconds."""
        self.failing_since = self.failing_since or now
        self.tries += 1
        self.next_try = now + round(pause_s * 1000)
        self.last_error, self.last_error_at = reason[:_MAX_TEXT], now

    def refused(self, now: int, what: str, reason: str, count: int = 1) -> None:
        """The receiver refused `count` alerts, samples or groups for good. It answered, so it is not failing."""
        self.failing_since = self.tries = self.next_try = 0
        self.last_error, self.last_error_at = reason[:_MAX_TEXT], now
        if self._refusals is None:
            self._refusals = deque(maxlen=KEPT_REFUSALS)
        if not self._refusals or now - self._refusals[0].at > REFUSALS_END_MS:
            self.refusing_since, self.refusing = now, 0
        self.refusing += count
        self._refusals.appendleft(Refusal(now, what[:_MAX_TEXT], reason[:_MAX_TEXT]))

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """The last few, newest first."""
        return tuple(self._refusals or ())

    def status(
        self,
        kind: ReceiverKind,
        name: str,
        address: str,
        *,
        waiting: int,
        waiting_since: int,
        accepted: int,
        refused: int,
        waiting_bytes: int = 0,
        lost: int = 0,
    ) -> DeliveryStatus:
        """The snapshot, with what the sender knows itself."""
        return DeliveryStatus(
            kind,
            name,
            address,
            waiting,
            waiting_bytes,
            waiting_since,
            accepted,
            self.last_success,
            self.failing_since,
            self.tries,
            self.next_try,
            self.last_error,
            self.last_error_at,
            refused,
            self.refusals,
            self.refusing_since,
            self.refusing,
            lost,
        )


class HeartbeatState(Enum):
    """How a heartbeat stands."""

    STARTING = "starting"  # the first one waits for the first round of scrapes and evaluations
    BEATING = "beating"
    WITHHELD = "withheld"  # something does not work, so it must not come
    NOT_RECEIVED = "not received"  # all works, but the receiver does not take it


@dataclass(frozen=True, slots=True)
class HeartbeatStatus:
    """One heartbeat at one moment. `server` is scheme, host and port of its URL, whose path is a secret. `since` and
    `reason` say when and why it was withheld, or not received. `failed` counts tries."""

    name: str
    server: str
    interval_ms: int
    state: HeartbeatState
    sent: int = 0
    failed: int = 0
    withheld: int = 0
    last_success: int = 0
    since: int = 0
    reason: str = ""
