"""The loop that empties one outbox into one Alertmanager."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from rulepush.clock import Clock
from rulepush.delivery import DeliveryRecord, DeliveryStatus, ReceiverKind
from rulepush.model.labels import Labels
from rulepush.notifier.alertmanager import PostOutcome, PostResponse
from rulepush.notifier.delivery_log import DeliveryLog
from rulepush.notifier.endpoints import shown_endpoint
from rulepush.notifier.outbox import Outbox
from rulepush.notifier.wire import WireAlert

log = logging.getLogger("rulepush.notifier")

BATCH_SIZE: Final = 256  # Prometheus' --alertmanager.notification-batch-size
BACKOFF_MIN: Final = 0.5  # seconds
BACKOFF_MAX: Final = 30.0


class Poster(Protocol):
    """Delivers a batch: `Alertmanager`, or a fake."""

    url: str

    async def post(self, alerts: Sequence[WireAlert]) -> PostResponse: ...


class UndeliveredStore(Protocol):
    """Keeps undelivered resolutions across restarts. Firing alerts need not be kept: their rule sends them again."""

    def save(self, url: str, alerts: Sequence[WireAlert]) -> None: ...
    def remove(self, url: str, alerts: Sequence[WireAlert]) -> None: ...
    def load(self, url: str) -> list[WireAlert]: ...


OnAttempt = Callable[[str, Sequence[WireAlert], PostResponse], None]
"""Told of every attempt to send: the URL, the alerts, the answer. It must neither block nor raise."""


def untold(_url: str, _alerts: Sequence[WireAlert], _answer: PostResponse) -> None:
    """An OnAttempt for nobody."""


@dataclass(slots=True)
class SendStats:
    """Counters since the start, in alerts (`errors` in attempts)."""

    sent: int = 0
    retried: int = 0
    rejected: int = 0
    errors: int = 0


def backoff(attempt: int, jitter: float) -> float:
    """Seconds before attempt number `attempt` + 1: doubling, capped, times 0.5..1 by `jitter` in 0..1."""
    return float(min(BACKOFF_MAX, BACKOFF_MIN * 2 ** min(attempt, 20)) * (0.5 + 0.5 * jitter))


class SendLoop:
    """Owns an outbox. `offer` is synchronous and never blocks; `run` delivers until it is cancelled."""

    def __init__(
        self,
        alertmanager: Poster,
        clock: Clock,
        store: UndeliveredStore,
        jitter: Callable[[], float] = random.random,
        on_attempt: OnAttempt = untold,
    ):
        self.url = alertmanager.url
        self._shown = shown_endpoint(self.url)
        self.outbox = Outbox()
        self.counts = SendStats()
        self.record = DeliveryRecord()
        self.pausing = False  # between a failed attempt and the next
        self._alertmanager = alertmanager
        self._clock = clock
        self._store = store
        self._jitter = jitter
        self._on_attempt = on_attempt
        self._log = DeliveryLog(clock, self._shown, lambda: len(self.outbox))
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        waiting = store.load(self.url)
        self._stored = {alert.labels for alert in waiting}
        for alert in waiting:
            self._queue(alert)

    @property
    def last_error(self) -> str:
        """Why the last attempt failed; "" when it did not."""
        return self._log.reason

    def status(self) -> DeliveryStatus:
        """How the delivery to this Alertmanager stands now."""
        return self.record.status(
            ReceiverKind.ALERTMANAGER,
            self.url,
            self._shown,
            waiting=len(self.outbox),
            waiting_since=self.outbox.oldest() or 0,
            accepted=self.counts.sent,
            refused=self.counts.rejected,
        )

    def offer(self, alerts: Sequence[WireAlert]) -> None:
        """Queue alerts for delivery."""
        for alert in alerts:
            self._queue(alert)
        self._keep([a for a in alerts if a.resolved])
        # Fires again before its resolution was delivered, which must not be restored after a restart.
        self._drop([a for a in alerts if not a.resolved])

    def _queue(self, alert: WireAlert) -> None:
        self.outbox.put(alert, self._clock.now())
        self._idle.clear()
        self._wake.set()

    def take_back(self, firing: Container[Labels]) -> None:
        """Drop the undelivered resolutions of these alerts."""
        self._acknowledge([a for a in self.outbox.waiting() if a.resolved and a.labels in firing])

    def use(self, alertmanager: Poster) -> None:
        """Deliver through this client from the next attempt on: same URL, perhaps new credentials."""
        self._alertmanager = alertmanager

    async def drained(self) -> None:
        """Return when the outbox is empty."""
        await self._idle.wait()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            await self._run()
        finally:
            self._log.close()

    async def _run(self) -> None:
        attempt = 0
        while True:
            await self._wake.wait()
            batch = self.outbox.batch(BATCH_SIZE)
            if not batch:
                self._wake.clear()
                self._idle.set()
                continue
            try:
                answer = await self._deliver(batch)
            except Exception as e:  # a bug in rulepush must not stop the process, nor lose the outbox
                log.exception("sending alerts crashed: url=%s", self._shown)
                answer = PostResponse(PostOutcome.RETRY, f"internal error: {type(e).__name__}: {e}")
                self._on_attempt(self.url, batch, answer)
            if answer.outcome is not PostOutcome.RETRY:
                attempt = 0
                self._log.answered()
                continue
            self.counts.errors += 1
            self.counts.retried += len(batch)
            pause = backoff(attempt, self._jitter())
            if answer.retry_after is not None:
                pause = max(answer.retry_after, backoff(0, 0.0))  # "Retry-After: 0" must not cause a tight loop
            attempt += 1
            self.record.failed(self._clock.now(), answer.reason, pause)
            self._log.failed(answer.reason)
            self.pausing = True
            try:
                await self._clock.sleep(pause)
            finally:
                self.pausing = False

    async def _deliver(self, batch: Sequence[WireAlert]) -> PostResponse:
        """Send a batch; where it is refused, halve it until the refused alert is alone."""
        answer = await self._alertmanager.post(batch)
        if answer.outcome is not PostOutcome.REFUSED or len(batch) == 1:  # which of them is refused is not known yet
            self._on_attempt(self.url, batch, answer)
        match answer.outcome:
            case PostOutcome.RETRY:
                return answer
            case PostOutcome.ACCEPTED:
                self.counts.sent += len(batch)
                self.record.accepted(self._clock.now())
                self._acknowledge(batch)
                return answer
            case PostOutcome.REFUSED if len(batch) == 1:
                self.counts.rejected += 1
                self.record.refused(self._clock.now(), str(batch[0].labels), answer.reason)
                self._log.refused(str(batch[0].labels), answer.reason)
                self._acknowledge(batch)
                return PostResponse(PostOutcome.ACCEPTED)
            case PostOutcome.REFUSED:
                middle = len(batch) // 2
                for half in (batch[:middle], batch[middle:]):
                    answer = await self._deliver(half)
                    if answer.outcome is PostOutcome.RETRY:
                        return answer
                return answer

    def _acknowledge(self, batch: Sequence[WireAlert]) -> None:
        self._drop(self.outbox.acknowledge(batch))

    def _keep(self, resolved: Sequence[WireAlert]) -> None:
        if resolved:
            self._stored.update(a.labels for a in resolved)
            self._store.save(self.url, resolved)

    def _drop(self, alerts: Sequence[WireAlert]) -> None:
        stored = [a for a in alerts if a.labels in self._stored]
        if stored:
            self._stored.difference_update(a.labels for a in stored)
            self._store.remove(self.url, stored)
