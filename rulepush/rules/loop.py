"""When groups are evaluated: each on its grid, as soon as the scrapes of that moment are in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from rulepush.clock import Clock
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.groups import RuleGroups
from rulepush.tasks import OwnedTask, TaskOwner

log = logging.getLogger("rulepush.rules")

_TURN_SECONDS: Final = 0.02  # of a rehearsal, between two turns of the event loop

NextTick = Callable[[int, int], int]
"""(time, interval), both in ms -> the first moment of the grid of this interval that is not before the time."""
ScrapesDone = Callable[[int], Awaitable[object]]
"""Returns when the scrapes of this moment are done or timed out; False when the time jumped since it was planned, and
nothing is known about it any more."""


@dataclass(slots=True)
class _Running:
    interval_ms: int
    task: OwnedTask


class RuleLoops:
    """One task a group. `run` owns them; `sync` follows `RuleGroups.update` while it runs."""

    def __init__(
        self,
        groups: RuleGroups,
        clock: Clock,
        next_tick: NextTick,
        scrapes_done: ScrapesDone,
        evaluated: Callable[[], object] = lambda: None,
    ):
        """`evaluated` is called after each evaluation."""
        self._groups = groups
        self._clock = clock
        self._next_tick = next_tick
        self._scrapes_done = scrapes_done
        self._evaluated = evaluated
        self._tasks = TaskOwner()
        self._running: dict[tuple[str, str], _Running] = {}

    async def run(self) -> None:
        """Evaluate until cancelled."""
        self.sync()
        try:
            await self._tasks.run()
        finally:
            self._running.clear()

    def sync(self) -> None:
        """Start loops for new groups, stop those of groups that are gone or have another interval."""
        wanted = {group.spec.key: group for group in self._groups.all()}
        former: dict[tuple[str, str], int] = {}
        for key, running in list(self._running.items()):
            group = wanted.get(key)
            if group is None or group.interval_ms != running.interval_ms:
                running.task.cancel()
                del self._running[key]
                former[key] = running.interval_ms
        for key, group in wanted.items():
            if key not in self._running:
                # When the interval grew, evaluate once more after the former one: the `endsAt` that Alertmanager has
                # is four of the shorter intervals away, and would pass before the alert is sent again.
                soonest = min(group.interval_ms, former.get(key, group.interval_ms))
                loop = partial(self._loop, key, group.interval_ms, self._first(key, soonest))
                task = self._tasks.start(loop, f"rules {group.name}")
                self._running[key] = _Running(group.interval_ms, task)

    async def _loop(self, key: tuple[str, str], interval: int, ts: int) -> None:
        while (group := self._groups.get(key)) is not None:
            delay = ts - self._clock.now()
            if delay > interval:  # the clock was set back
                log.warning("clock set back, group goes on from now: group=%s by_ms=%d", group.name, delay)
                ts = self._next_tick(self._clock.now(), interval)
                continue
            if delay > 0:
                await self._clock.sleep(delay / 1000)
                continue  # read the clock again: it may have been set meanwhile
            good = await self._scrapes_done(ts) if group.context.datasource is None else True
            group = self._groups.get(key)
            if group is None:
                return
            if good is False:
                planned = self._next_tick(self._clock.now(), interval)
                self._missed(group, max(0, (planned - ts) // interval))
                ts = planned
                continue
            datasource = group.context.datasource
            if datasource is not None:
                await self._groups.evaluate_on(datasource, group, ts, self._clock.now())
            else:
                if group.last_ts is None:
                    await self._rehearse(group, ts)
                    group = self._groups.get(key)
                    if group is None:
                        return
                self._groups.evaluate(group, ts, self._clock.now())
            self._evaluated()
            ts = self._after(group, ts, interval)

    async def _rehearse(self, group: EvaluationGroup, ts: int) -> None:
        """Before the first evaluation, which over many series would hold up everything else for seconds."""
        began = self._clock.monotonic()
        for _ in group.rehearsal(ts):
            if self._clock.monotonic() - began >= _TURN_SECONDS:
                await asyncio.sleep(0)
                began = self._clock.monotonic()

    def _first(self, key: tuple[str, str], interval: int) -> int:
        group = self._groups.get(key)
        now = self._clock.now()
        last = group.last_ts if group is not None else None
        if last is not None and now <= last < now + interval:
            now = last + 1  # a loop that starts again does not evaluate the same moment twice
        return self._next_tick(now, interval)

    def _after(self, group: EvaluationGroup, ts: int, interval: int) -> int:
        """The next moment; what has passed meanwhile is skipped, but for the last."""
        following = self._next_tick(ts + 1, interval)
        passed = (self._clock.now() - following) // interval
        if passed <= 0:
            return following
        self._missed(group, passed)
        return following + passed * interval

    @staticmethod
    def _missed(group: EvaluationGroup, count: int) -> None:
        if count:
            group.counters.iterations_missed += count
            group.counters.iterations += count
            log.warning("group is late, evaluations skipped: group=%s missed=%d", group.name, count)
