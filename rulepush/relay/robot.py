"""One robot: sends notifications within its rate limit, and queues those that exceed it.

Targets with the same address share a robot, because the limit is the robot's. A notification within the limit is sent
before `deliver` returns, so that Alertmanager learns of a failure and retries. One that exceeds the limit is accepted
and queued; the queue is sent as one digest as soon as the limit allows.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from rulepush.clock import Clock
from rulepush.relay.notification import Notification
from rulepush.relay.ratelimit import RateLimit
from rulepush.relay.render import render_digest, render_notification
from rulepush.relay.senders import Body, Message, RobotRequest, Sender, SendVerdict, VerdictKind
from rulepush.relay.settings import NO_MENTION, RobotTarget
from rulepush.relay.waiting import Key, NoStore, WaitingStore

log = logging.getLogger("rulepush.dingtalk")

MAX_BUSY_RETRIES: Final = 3
_BUSY_SECONDS: Final = (0.5, 1.0, 2.0)
MAX_WAITING: Final = 1000
MAX_WAITING_ALERTS: Final = 20_000
_PROGRESS_KEPT: Final = 1000
_UNCONFIRMED_MS: Final = 600_000
_RETRY_MS: Final = (5_000, 15_000, 60_000)


class PostError(Exception):
    """The robot could not be reached; the text holds no URL."""


class Post(Protocol):
    """Does one HTTP request: (status, body). Raises PostError."""

    async def __call__(self, request: RobotRequest, /) -> tuple[int, bytes]: ...


DisconnectCheck = Callable[[], Awaitable[bool]]


async def _never_disconnected() -> bool:
    return False


class DeliveryStatus(Enum):
    """The outcome of a notification."""

    SENT = "sent"
    WAITS = "waits"  # for the rate limit; it will be part of a digest
    LATER = "later"  # Alertmanager should retry
    REFUSED = "refused"  # a retry would fail, too


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of a notification and, unless it was sent, the reason."""

    status: DeliveryStatus
    reason: str = ""


DigestReport = Callable[[RobotTarget, Notification, Delivery], None]
"""Is told what became of a notification that had waited."""


def _untold(target: RobotTarget, notification: Notification, delivery: Delivery) -> None:
    pass


@dataclass(slots=True)
class _Waiting:
    target: RobotTarget
    notification: Notification
    since: int


@dataclass(slots=True)
class RobotStats:
    """What the metrics count: messages that were sent and failed, digests, and notifications that were lost."""

    sent: int = 0
    failed: int = 0
    digests: int = 0
    dropped: int = 0


@dataclass(slots=True)
class Robot:
    """See the module."""

    sender: Sender
    post: Post
    clock: Clock
    limit: RateLimit
    store: WaitingStore = field(default_factory=NoStore)
    digested: DigestReport = _untold
    stats: RobotStats = field(default_factory=RobotStats)
    _waiting: dict[tuple[str, str], _Waiting] = field(default_factory=dict)
    _progress: dict[str, int] = field(default_factory=dict)  # of notifications sent in part: bodies that arrived
    _unconfirmed: dict[str, int] = field(default_factory=dict)  # sent after the client disconnected: when
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _not_before: int = 0  # a digest failed: the time of the next attempt
    _failures: int = 0

    @property
    def waiting(self) -> int:
        """Number of waiting notifications."""
        return len(self._waiting)

    async def deliver(
        self, target: RobotTarget, notification: Notification, is_disconnected: DisconnectCheck = _never_disconnected
    ) -> Delivery:
        """Send a notification, or queue it when the limit is reached.

        `is_disconnected` tells whether the client has disconnected. Alertmanager does so at its timeout, and retries:
        then the notification must be sent for one of the two requests only.
        """
        async with self._lock:
            now = self.clock.now()
            key = _content_key(target, notification)
            if now - self._unconfirmed.pop(key, 0) < _UNCONFIRMED_MS:
                return Delivery(DeliveryStatus.SENT)
            if await is_disconnected():
                return Delivery(DeliveryStatus.LATER, "the client has disconnected")
            if self._waiting or not self.limit.may_send(now):
                return self._enqueue(target, notification, now)
            messages = render_notification(target, self.sender, notification, now)
            bodies = [body for message in messages for body in self.sender.bodies(message)]
            if not self.limit.may_send(now, len(bodies)):
                return self._enqueue(target, notification, now)
            for number, body in enumerate(bodies):
                if number < self._progress.get(key, 0):
                    continue  # arrived at an earlier attempt
                verdict = await self._send(body)
                if verdict.kind is not VerdictKind.SENT:
                    return self._not_sent(target, notification, verdict)
                self._progress[key] = number + 1
            self._progress.pop(key, None)
            if await is_disconnected():
                self._unconfirmed = {k: t for k, t in self._unconfirmed.items() if now - t < _UNCONFIRMED_MS} | {
                    key: now
                }
            return Delivery(DeliveryStatus.SENT)

    def _not_sent(self, target: RobotTarget, notification: Notification, verdict: SendVerdict) -> Delivery:
        reason = describe(verdict, self.sender)
        if verdict.kind is VerdictKind.TOO_FAST:
            log.warning("the robot of target %s rate-limits: %s", target.name, reason)
            return self._enqueue(target, notification, self.clock.now())
        if verdict.kind is VerdictKind.REFUSED:
            log.error("the robot of target %s refused a message: %s", target.name, reason)
            self._progress.pop(_content_key(target, notification), None)
            return Delivery(DeliveryStatus.REFUSED, reason)
        log.warning("sending to the robot of target %s failed: %s", target.name, reason)
        while len(self._progress) > _PROGRESS_KEPT:
            self._progress.pop(next(iter(self._progress)))
        return Delivery(DeliveryStatus.LATER, reason)

    def _enqueue(self, target: RobotTarget, notification: Notification, now: int) -> Delivery:
        key = (target.name, notification.group_key or repr(notification.group_labels))
        known = self._waiting.get(key)
        since = now
        if known is not None:
            notification, since = known.notification.updated_by(notification), known.since
        alerts = len(notification.alerts) + sum(len(w.notification.alerts) for w in self._waiting.values())
        if alerts > MAX_WAITING_ALERTS or (known is None and len(self._waiting) >= MAX_WAITING):
            return Delivery(DeliveryStatus.LATER, "too many notifications wait for this robot already")
        self._waiting[key] = _Waiting(target, notification, since)
        self.store.put(key, since, notification)
        return Delivery(DeliveryStatus.WAITS, "the robot's rate limit is reached: this will be part of a digest")

    async def send_message(self, message: Message) -> SendVerdict:
        """Send one message now, whatever waits: up to the first of its bodies that the robot does not take."""
        verdict = SendVerdict(VerdictKind.SENT)
        for body in self.sender.bodies(message):
            verdict = await self._send(body)
            if verdict.kind is not VerdictKind.SENT:
                break
        return verdict

    # -- waiting notifications

    def restore(self, target: RobotTarget, key: Key, since: int, notification: Notification) -> None:
        """Restore a notification that waited when the last process ended."""
        self._waiting[key] = _Waiting(target, notification, since)

    def _clear(self) -> None:
        self.store.remove(self._waiting)
        self._waiting.clear()

    def due(self, now: int) -> int | None:
        """When (ms) to call `flush`; None when nothing waits."""
        return max(self.limit.digest_due(now), self._not_before) if self._waiting else None

    async def flush(self, final: bool = False) -> None:
        """Send the waiting notifications if a digest is due. `final`: the process ends, so send them in any case."""
        async with self._lock:
            now = self.clock.now()
            due = self.due(now)
            if due is None or (due > now and not final):
                return
            entries = list(self._waiting.values())
            for body in self._combined(entries, now):
                verdict = await self._send(body)
                if verdict.kind is not VerdictKind.SENT:
                    self._flush_failed(entries, verdict)
                    return
            self._failures = 0
            self._clear()
            for entry in entries:
                self.digested(entry.target, entry.notification, Delivery(DeliveryStatus.SENT))
            self.stats.digests += 1
            self.limit.record_digest(self.clock.now())

    def _combined(self, entries: list[_Waiting], now: int) -> list[Body]:
        """The bodies for all waiting notifications: a single one by itself when it is one message, else a digest."""
        first = entries[0]
        if len(entries) == 1:
            messages = render_notification(first.target, self.sender, first.notification, now)
            if len(messages) == 1:
                return self.sender.bodies(messages[0])
        mention = NO_MENTION
        for entry in entries:
            mention = mention.joined(entry.target.mention)
        since = min(e.since for e in entries)
        digest: Message = render_digest(
            first.target, self.sender, [e.notification for e in entries], mention, since, now
        )
        return self.sender.bodies(digest)

    def _flush_failed(self, entries: list[_Waiting], verdict: SendVerdict) -> None:
        reason = describe(verdict, self.sender)
        names = ", ".join(dict.fromkeys(e.target.name for e in entries))
        if verdict.kind is VerdictKind.REFUSED:
            log.error("the robot of target %s refused a digest, its notifications are lost: %s", names, reason)
            self.stats.dropped += len(entries)
            self._clear()
            for entry in entries:
                self.digested(entry.target, entry.notification, Delivery(DeliveryStatus.REFUSED, reason))
            return
        wait = _RETRY_MS[min(self._failures, len(_RETRY_MS) - 1)]
        self._failures += 1
        self._not_before = self.clock.now() + wait
        log.warning("sending a digest for target %s failed, next attempt in %d s: %s", names, wait // 1000, reason)

    # -- one body

    async def _send(self, body: Body) -> SendVerdict:
        """Post one body, with retries while the robot is busy."""
        verdict = SendVerdict(VerdictKind.LATER)
        for attempt in range(MAX_BUSY_RETRIES + 1):
            pause = self.limit.pause(self.clock.now())
            if pause:
                await self.clock.sleep(pause / 1000)
            verdict = await self._post_once(body)
            if verdict.kind is not VerdictKind.BUSY or attempt == MAX_BUSY_RETRIES:
                break
            await self.clock.sleep(_BUSY_SECONDS[attempt])
        if verdict.kind is VerdictKind.SENT:
            self.stats.sent += 1
        else:
            self.stats.failed += 1
        return verdict

    async def _post_once(self, body: Body) -> SendVerdict:
        try:
            status, content = await self.post(self.sender.request(body, self.clock.now()))
        except PostError as e:
            # It may have arrived: count it, rather than exceed the limit.
            self.limit.record(self.clock.now())
            return SendVerdict(VerdictKind.LATER, "", str(e))
        now = self.clock.now()
        self.limit.record(now)
        verdict = self.sender.verdict(status, content)
        if verdict.kind is VerdictKind.TOO_FAST:
            self.limit.block_until(now + self.sender.block_ms)
        return verdict


def _content_key(target: RobotTarget, notification: Notification) -> str:
    """By which a retry of Alertmanager is recognised as the same notification."""
    return hashlib.sha256(repr((target.name, notification)).encode("utf-8", "replace")).hexdigest()


def describe(verdict: SendVerdict, sender: Sender) -> str:
    """A verdict for the log, without secrets."""
    text = " ".join(f"{verdict.code} {verdict.reason}".split())[:500]
    if verdict.hint:
        text += f" ({verdict.hint})"
    for secret in sender.secrets():
        text = text.replace(secret, "<secret>")
    return text
