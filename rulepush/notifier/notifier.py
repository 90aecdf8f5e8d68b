"""Hands every alert to every Alertmanager, each through a loop and an outbox of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rulepush.clock import Clock
from rulepush.model.labels import Labels
from rulepush.notifier.sendloop import OnAttempt, Poster, SendLoop, UndeliveredStore, untold
from rulepush.notifier.wire import WireAlert, relabelled, wire_alert
from rulepush.relabel.relabel import Relabel
from rulepush.rules.alert import Alert, AlertState
from rulepush.tasks import OwnedTask, TaskOwner

log = logging.getLogger("rulepush.notifier")


@dataclass(frozen=True, slots=True)
class Destination:
    """An Alertmanager to send to, with the relabelling of its section of the configuration."""

    poster: Poster
    relabel: Relabel | None = None


@dataclass(frozen=True, slots=True)
class SendSettings:
    """What is done to an alert before any outbox: from the configuration, replaced whole by a reload."""

    external_url: str
    external_labels: Labels
    relabel: Relabel | None = None


@dataclass(slots=True)
class _Running:
    loop: SendLoop
    task: OwnedTask
    relabel: Relabel | None


class Notifier:
    """The rules call `send`.

    `run` owns the tasks of the send loops; `sync` may be called before and while it runs.
    """

    def __init__(
        self,
        clock: Clock,
        store: UndeliveredStore,
        sending: SendSettings,
        active: Callable[[], Iterable[Alert]] = tuple,
        on_attempt: OnAttempt = untold,
    ):
        """`active` returns the alerts that are pending or firing now; `on_attempt` is told of every attempt to send."""
        self.sending = sending
        self._active = active
        self._on_attempt = on_attempt
        self._clock = clock
        self._store = store
        self._tasks = TaskOwner()
        self._running: dict[str, _Running] = {}
        self.dropped_by_relabel = 0

    @property
    def loops(self) -> list[SendLoop]:
        """The send loops, one an Alertmanager."""
        return [running.loop for running in self._running.values()]

    async def run(self) -> None:
        """Own the send loops until cancelled."""
        await self._tasks.run()

    def sync(self, destinations: Sequence[Destination], *, remove: bool = True) -> None:
        """Send to these from now on. A loop whose URL stays keeps its outbox; one whose URL is gone is stopped, unless
        `remove` is false: then all keep running."""
        wanted: Mapping[str, Destination] = {d.poster.url: d for d in destinations}
        for url in [u for u in self._running if remove and u not in wanted]:
            running = self._running.pop(url)
            running.task.cancel()
            if len(running.loop.outbox):
                log.warning("Alertmanager removed while %d alerts waited for it: url=%s", len(running.loop.outbox), url)
        for url, destination in wanted.items():
            known = self._running.get(url)
            if known is not None:
                known.relabel = destination.relabel
                known.loop.use(destination.poster)
                continue
            loop = SendLoop(destination.poster, self._clock, self._store, on_attempt=self._on_attempt)
            if len(loop.outbox):
                # Resolutions kept from when this Alertmanager was configured before, or from the former process. They
                # must not resolve an alert that fires again since: no `take_back` reached them in between.
                loop.take_back(self._firing(destination.relabel))
            task = self._tasks.start(loop.run, f"sending to {url}")
            self._running[url] = _Running(loop, task, destination.relabel)

    def send(self, alerts: Sequence[Alert], expr: str, ts: int) -> None:
        """Queue the rule's alerts for every Alertmanager; with none configured, log them."""
        wire = []
        for alert in alerts:
            done = self._wire(alert, expr)
            if done is None:
                self.dropped_by_relabel += 1
            else:
                wire.append(done)
        if not self._running:
            for one in wire:
                _log_alert(one)
        for running in self._running.values():
            running.loop.offer([a for a in (relabelled(w, running.relabel) for w in wire) if a is not None])

    def _wire(self, alert: Alert, expr: str) -> WireAlert | None:
        sending = self.sending
        return relabelled(wire_alert(alert, expr, sending.external_url, sending.external_labels), sending.relabel)

    def _firing(self, relabel: Relabel | None) -> set[Labels]:
        """The alerts that fire now, relabelled as for this Alertmanager."""
        wire = [self._wire(alert, "") for alert in self._active() if alert.state is AlertState.FIRING]
        known = (relabelled(one, relabel) for one in wire if one is not None)
        return {one.labels for one in known if one is not None}

    def sent_as(self, alert: Alert) -> dict[str, Labels]:
        """The labels by which each Alertmanager, by its URL, knows the alert; without those that it is not sent to.
        May be called in a thread."""
        wire = self._wire(alert, "")
        if wire is None:
            return {}
        known = {url: relabelled(wire, running.relabel) for url, running in list(self._running.items())}
        return {url: one.labels for url, one in known.items() if one is not None}

    async def drain(self) -> None:
        """Return when every outbox is empty. Loops that pause after a failure retry at once: it may be the last try."""
        for running in self._running.values():
            if self._tasks.running and running.loop.pausing:
                running.task.cancel()
                running.task = self._tasks.start(running.loop.run, f"sending to {running.loop.url}")
        await asyncio.gather(*(running.loop.drained() for running in self._running.values()))


def _log_alert(alert: WireAlert) -> None:
    state = "RESOLVED" if alert.resolved else "FIRING"
    text = " ".join(f"{name}={value!r}" for name, value in alert.annotations)
    log.warning("%s %s %s (there is no Alertmanager to send it to)", state, alert.labels, text)
