"""Providers: all discoveries of one job, merged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from rulepush.discovery.groups import Environment, GroupChanges, SdConfig, SourceKey, TargetGroup
from rulepush.discovery.running import RunningDiscovery, discovery_of


class Providers:
    """The discoveries of one job (or of one `alertmanagers` entry), and who is told of their changes.

    `changed` gets the groups that changed since it was called last, so that the cost follows the change. The first list
    of each discovery is passed on at once; later changes are collected for the `settle_s` of `env`, so that a rolling
    restart of a service is one change. A discovery with the same settings elsewhere in the process is the same one (as
    in Prometheus' discovery manager): it runs once, and a reload does not disturb it.
    """

    def __init__(
        self,
        configs: Sequence[SdConfig],
        env: Environment,
        changed: Callable[[GroupChanges], None],
    ):
        self._env = env
        self._changed = changed
        self._discoveries = {config: discovery_of(config, env) for config in configs}
        self._told: dict[int, dict[str, TargetGroup]] = {}  # what `changed` knows: discovery -> source -> group
        self._due: dict[int, set[str]] = {}  # the sources of changes that `changed` does not know yet
        self._first = asyncio.Event()
        self._later = asyncio.Event()

    def groups(self) -> list[TargetGroup]:
        """The current groups, in the order of the configuration."""
        return [group for discovery in self._discoveries.values() for group in discovery.known.by_source.values()]

    def take_over(self, previous: Providers) -> None:
        """Go on where `previous` was told what it was told, as after a reload: the groups of an unchanged discovery
        stay, and those of one that is no longer configured go once every one that came has answered. The caller cancels
        `previous` after this one runs."""
        self._told |= {number: dict(told) for number, told in previous._told.items()}
        for config, discovery in previous._discoveries.items():
            if config in self._discoveries:
                self._discoveries[config] = discovery

    @property
    def answered(self) -> bool:
        """Whether the first list of every discovery was passed on: until then, targets may be missing that exist."""
        return all(discovery.number in self._told for discovery in self._discoveries.values())

    async def run(self) -> None:
        """Run all discoveries until cancelled."""
        async with AsyncExitStack() as stack:
            for config, discovery in self._discoveries.items():
                # Nothing is awaited here: those that ran until now for others alone have ended only after this.
                running = await stack.enter_async_context(discovery.use(self._found))
                self._discoveries[config] = running
                if running.known.answered:
                    self._found(running, running.known.by_source.keys() | self._told.get(running.number, {}).keys())
                    self._first.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(self._first, 0.0))
                tasks.create_task(self._pass_on(self._later, self._env.settle_s))

    async def _pass_on(self, due: asyncio.Event, settle_s: float) -> None:
        while True:
            await due.wait()
            if settle_s:
                await self._env.clock.sleep(settle_s)
            if due.is_set():
                self._first.clear()
                self._later.clear()
                self._env.reporter.updates += 1
                self._changed(self._take_changes())

    def _found(self, discovery: RunningDiscovery, sources: set[str]) -> None:
        number = discovery.number
        (self._later if number in self._told or number in self._due else self._first).set()
        self._due.setdefault(number, set()).update(sources)

    def _take_changes(self) -> GroupChanges:
        """What `changed` is to be told now; it counts as told."""
        changes: dict[SourceKey, TargetGroup | None] = {}
        due, self._due = self._due, {}
        for discovery in self._discoveries.values():
            sources = due.get(discovery.number)
            if sources is None:
                continue
            known, told = discovery.known.by_source, self._told.setdefault(discovery.number, {})
            for source in [source for source in known if source in sources] if len(sources) > 1 else sources:
                group = known.get(source)
                if group is not None and told.get(source) != group:
                    changes[discovery.number, source] = told[source] = group
            for source in sorted(sources - known.keys()):
                if told.pop(source, None) is not None:
                    changes[discovery.number, source] = None
        if self.answered:
            current = {discovery.number for discovery in self._discoveries.values()}
            for number in [number for number in self._told if number not in current]:
                changes |= dict.fromkeys(((number, source) for source in self._told.pop(number)), None)
        return changes
