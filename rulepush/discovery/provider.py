"""Providers: all discoveries of one job, merged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from rulepush.discovery.groups import Discoverer, Environment, SdConfig, TargetGroup

log = logging.getLogger("rulepush.discovery")

SETTLE_SECONDS: Final = 5.0  # Prometheus' discovery manager
_AFTER_CRASH_SECONDS: Final = 30.0


class Providers:
    """Runs the discoveries of one job (or of one `alertmanagers` entry) and reports changes.

    `changed` gets the full list of groups. The first list of each discovery is passed on at once; later changes are
    collected for `settle_s`, so that a rolling restart of a service is one change.
    """

    def __init__(
        self,
        configs: Sequence[SdConfig],
        env: Environment,
        changed: Callable[[Sequence[TargetGroup]], None],
        settle_s: float = SETTLE_SECONDS,
    ):
        self._env = env
        self._changed = changed
        self._settle_s = settle_s
        self._configs = tuple(configs)
        self._discoverers: list[Discoverer] = [config.discoverer(env) for config in configs]
        self._groups: list[Sequence[TargetGroup] | None] = [None] * len(configs)
        self._first = asyncio.Event()
        self._later = asyncio.Event()

    def groups(self) -> list[TargetGroup]:
        """The current groups, in the order of the configuration."""
        return [group for groups in self._groups if groups is not None for group in groups]

    def take_over(self, previous: Providers) -> None:
        """Start from the groups of `previous` where a discovery is unchanged: while its server is down, a reload of the
        configuration must not lose its targets. The discoverer is taken over as well, for it holds the last good list
        of each of its files or names; the caller cancels `previous`."""
        for i, config in enumerate(self._configs):
            for old, groups, discoverer in zip(previous._configs, previous._groups, previous._discoverers, strict=True):
                if old == config and groups is not None:
                    self._groups[i] = groups
                    self._discoverers[i] = discoverer
                    self._first.set()

    @property
    def answered(self) -> bool:
        """Whether every discovery has given its first list: until then, targets may be missing that exist."""
        return all(groups is not None for groups in self._groups)

    async def run(self) -> None:
        """Run all discoveries until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for i, discoverer in enumerate(self._discoverers):
                tasks.create_task(self._discover(discoverer, self._publisher(i)))
            tasks.create_task(self._pass_on(self._first, 0.0))
            tasks.create_task(self._pass_on(self._later, self._settle_s))

    async def _discover(self, discoverer: Discoverer, publish: Callable[[Sequence[TargetGroup]], None]) -> None:
        while True:
            try:
                await discoverer.run(publish)
            except Exception:  # a bug in rulepush in one discovery must not stop the others, nor the process
                log.exception("a discovery crashed, its last good list of targets stays; it begins again soon")
                await self._env.clock.sleep(_AFTER_CRASH_SECONDS)
            else:
                return

    async def _pass_on(self, due: asyncio.Event, settle_s: float) -> None:
        while True:
            await due.wait()
            if settle_s:
                await self._env.clock.sleep(settle_s)
            if due.is_set():
                self._first.clear()
                self._later.clear()
                self._changed(self.groups())

    def _publisher(self, i: int) -> Callable[[Sequence[TargetGroup]], None]:
        def publish(groups: Sequence[TargetGroup]) -> None:
            before = self._groups[i]
            if before == groups:
                return
            self._groups[i] = groups
            (self._first if before is None else self._later).set()

        return publish
