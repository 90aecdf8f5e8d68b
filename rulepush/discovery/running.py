"""RunningDiscovery: one discoverer at work, for all jobs and `alertmanagers` sections that have its configuration."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from rulepush.discovery.groups import Environment, SdConfig
from rulepush.discovery.known_groups import KnownGroups

_NUMBERS: Final = itertools.count()

Listener = Callable[["RunningDiscovery", set[str]], None]


class RunningDiscovery:
    """A shared part (see `SharedParts`). It outlives its runs: while a server is down, a reload of the configuration
    must not lose its targets, and the discoverer holds the last good list of each of its files or names."""

    def __init__(self, config: SdConfig, env: Environment):
        self.config = config
        self.number = next(_NUMBERS)
        self.known = KnownGroups(self._tell)
        self._env = env
        self._discoverer = config.discoverer(env)
        self._listeners: list[Listener] = []

    async def run(self) -> None:
        """Discover until cancelled."""
        await self._discoverer.run(self.known)

    @asynccontextmanager
    async def use(self, listener: Listener) -> AsyncIterator[RunningDiscovery]:
        """The discovery of this configuration that runs: this one, unless another does so already. `listener` gets the
        sources of the groups that change; what is known already is not told."""
        async with self._env.shared.use((RunningDiscovery, self.config), lambda: self, self._env.clock) as running:
            running._listeners.append(listener)
            try:
                yield running
            finally:
                running._listeners.remove(listener)

    def _tell(self, sources: set[str]) -> None:
        self._env.reporter.received += 1
        for listener in self._listeners:
            listener(self, sources)


def discovery_of(config: SdConfig, env: Environment) -> RunningDiscovery:
    """The running one of an equal configuration, else a new one."""
    found = env.shared.find((RunningDiscovery, config))
    return found if isinstance(found, RunningDiscovery) else RunningDiscovery(config, env)
