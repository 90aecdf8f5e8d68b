"""Providers: all discoveries of one job, merged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from rulepush.discovery.groups import Discoverer, Environment, SdConfig, TargetGroup
from rulepush.discovery.known_groups import KnownGroups

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
        self._known = [KnownGroups(partial(self._found, i)) for i in range(len(configs))]
        self._passed = [False] * len(configs)  # whether a first list was passed on, or is about to be
        self._first = asyncio.Event()
        self._later = asyncio.Event()

    def groups(self) -> list[TargetGroup]:
        """The current groups, in the order of the configuration."""
        return [group for known in self._known for group in known.by_source.values()]

    def take_over(self, previous: Providers) -> None:
        """Start from the groups of `previous` where a discovery is unchanged: while its server is down, a reload of the
        configuration must not lose its targets. The discoverer is taken over as well, for it holds the last good list
        of each of its files or names; the caller cancels `previous`."""
        for i, config in enumerate(self._configs):
            for old, known, discoverer in zip(previous._configs, previous._known, previous._discoverers, strict=True):
                if old == config and known.answered:
                    self._discoverers[i] = discoverer
                    self._known[i].replace(list(known.by_source.values()))

    @property
    def answered(self) -> bool:
        """Whether every discovery has given its first list: until then, targets may be missing that exist."""
        return all(known.answered for known in self._known)

    async def run(self) -> None:
        """Run all discoveries until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for discoverer, known in zip(self._discoverers, self._known, strict=True):
                tasks.create_task(self._discover(discoverer, known))
            tasks.create_task(self._pass_on(self._first, 0.0))
            tasks.create_task(self._pass_on(self._later, self._settle_s))

    async def _discover(self, discoverer: Discoverer, known: KnownGroups) -> None:
        while True:
            try:
                await discoverer.run(known)
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

    def _found(self, i: int, sources: set[str]) -> None:
        (self._later if self._passed[i] else self._first).set()
        self._passed[i] = True
