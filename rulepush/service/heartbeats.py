"""Heartbeats of a running service: what its parts say of themselves, and the senders. These are imported only when the
configuration has one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rulepush.config.sections import HeartbeatConfig
from rulepush.delivery import DeliveryStatus, HeartbeatStatus
from rulepush.heartbeat.work import (
    FaultKind,
    GroupWork,
    JobWork,
    Takes,
    WorkFacts,
    WorkFault,
    all_failing,
    answer_counts,
    delivery_fault,
    takes_alerts,
    work_fault,
)
from rulepush.service.alerting import Alerting
from rulepush.service.ingestion import Ingestion
from rulepush.service.resources import ProcessResources
from rulepush.tasks import OwnedTask, TaskOwner

if TYPE_CHECKING:
    from rulepush.heartbeat.sender import Heartbeat

_PROBE_SECONDS: Final = 10.0
_FIRST_SCRAPES_MS: Final = 120_000  # for which evaluations wait while a target was never scraped, see ScrapePools


class ServiceWork:
    """Whether scraping, evaluation and delivery work, for all heartbeats."""

    def __init__(self, resources: ProcessResources, ingestion: Ingestion, alerting: Alerting):
        self._clock = resources.clock
        self._ingestion = ingestion
        self._alerting = alerting
        self._applied_at: int | None = None
        self._started = False
        self._delivery = asyncio.Lock()
        self._delivered: tuple[float, WorkFault | None] | None = None  # when it was last seen, and what was wrong

    def applied(self) -> None:
        """A configuration was put into effect."""
        self._applied_at = self._clock.now()
        self._delivered = None

    async def fault(self) -> WorkFault | None:
        """What does not work now."""
        if self._applied_at is None:
            return WorkFault(FaultKind.STARTING, "the configuration is not in effect yet")
        self._alerting.clock_watch.check()
        fault = work_fault(self._facts(self._applied_at), self._clock.now(), started=self._started)
        if fault is not None:
            return fault
        self._started = True
        return await self._delivery_fault()

    def _facts(self, applied_at: int) -> WorkFacts:
        groups = [
            GroupWork(
                group.name,
                group.interval_ms,
                group.last_evaluation or 0,
                all_failing([[one.error for one in rule.status.recent] for rule in group.rules]),
            )
            for group in self._alerting.groups.all()
        ]
        jobs, timeouts, is_new = [], [0.0], False
        for pool in self._ingestion.jobs:
            scraped = [status.last_scrape for _, status in pool.targets]
            timeouts += [target.timeout_ms for target, _ in pool.targets]
            is_new = is_new or not all(scraped)
            intervals = [target.interval_ms for target, _ in pool.targets]
            if scraped:  # the shortest: the others must not hide that nothing happens
                jobs.append(JobWork(pool.job.name, min(intervals), max(scraped)))
        wait_ms = max(*timeouts, _FIRST_SCRAPES_MS if is_new else 0)
        return WorkFacts(groups, jobs, max(applied_at, self._alerting.clock_watch.since), int(wait_ms))

    async def _delivery_fault(self) -> WorkFault | None:
        """Asked once for all heartbeats that want to know at the same moment."""
        async with self._delivery:
            now = self._clock.monotonic()
            if self._delivered is None or now - self._delivered[0] > 1.0:
                fault = await self._ask()
                self._delivered = self._clock.monotonic(), fault
            return self._delivered[1]

    async def _ask(self) -> WorkFault | None:
        loops = self._alerting.notifier.loops
        if not loops and not self._alerting.configured:
            return None  # alerts are only logged
        now = self._clock.now()
        statuses = [loop.status() for loop in loops]
        takes = [takes_alerts(status, now) for status in statuses]
        if Takes.YES in takes:
            return None
        reasons = [(s.shown_name, s.last_error) for s, t in zip(statuses, takes, strict=True) if t is Takes.NO]
        asking = [asyncio.create_task(self._probe(s)) for s, t in zip(statuses, takes, strict=True) if t is Takes.ASK]
        try:
            for answer in asyncio.as_completed(asking):
                url, why = await answer
                if not why:
                    return None
                reasons.append((url, why))
        finally:
            for task in asking:
                task.cancel()
            # A reload may close their clients next.
            await asyncio.gather(*asking, return_exceptions=True)
        return delivery_fault(sorted(reasons))

    async def _probe(self, status: DeliveryStatus) -> tuple[str, str]:
        probe = await self._alerting.alertmanagers.probe(status.name, _PROBE_SECONDS)
        if probe is None:
            return status.shown_name, "it is no longer configured"
        counts = answer_counts(status, probe.status, self._clock.now())
        return status.shown_name, probe.fault if counts else ""


@dataclass(slots=True)
class _Beating:
    heartbeat: Heartbeat
    task: OwnedTask


class Heartbeats:
    """`run` once, `sync` at start and at each reload. An entry that did not change goes on."""

    def __init__(self, resources: ProcessResources, work: ServiceWork):
        self._resources = resources
        self._work = work
        self._tasks = TaskOwner()
        self._beating: dict[HeartbeatConfig, _Beating] = {}

    async def run(self) -> None:
        """Send until cancelled."""
        await self._tasks.run()

    async def sync(self, configs: Sequence[HeartbeatConfig]) -> None:
        """Send these from now on."""
        self._work.applied()
        gone = [self._beating.pop(config) for config in list(self._beating) if config not in configs]
        for config in configs:
            if config not in self._beating:
                self._beating[config] = self._begin(config)
        self._beating = {config: self._beating[config] for config in configs}
        for beating in gone:
            beating.task.cancel()
            await beating.task.wait()
            await beating.heartbeat.client.aclose()

    def _begin(self, config: HeartbeatConfig) -> _Beating:
        from rulepush.heartbeat.sender import Heartbeat

        client = self._resources.client_on_demand(config.http_client)
        heartbeat = Heartbeat(config, client, self._resources.clock, self._work.fault)
        return _Beating(heartbeat, self._tasks.start(heartbeat.run, f"heartbeat {config.name}"))

    def statuses(self) -> list[HeartbeatStatus]:
        """In the order of the configuration."""
        return [beating.heartbeat.status() for beating in self._beating.values()]

    async def aclose(self) -> None:
        """Close the connections."""
        for beating in self._beating.values():
            await beating.heartbeat.client.aclose()
