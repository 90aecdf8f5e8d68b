"""Running a discoverer for a while, on a fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rulepush.discovery.groups import Discoverer, Environment, SdConfig, TargetGroup
from rulepush.discovery.known_groups import KnownGroups
from rulepush.discovery.registry import sd_reader
from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.yaml.nodes import LoadSession, MapReader, SourceFile, compose
from tests.fakes import FakeClock


class Seen:
    """What a discoverer published, and the clock it runs on."""

    def __init__(self, clock: FakeClock, reporter: DiscoveryReporter) -> None:
        self.clock = clock
        self.reporter = reporter
        self.known = KnownGroups(self._changed)
        self.lists: list[Sequence[TargetGroup]] = []  # all groups, after each change
        self.changes: list[set[str]] = []  # the sources that each change was of

    def _changed(self, sources: set[str]) -> None:
        self.changes.append(sources)
        self.lists.append(list(self.known.by_source.values()))

    def addresses(self) -> list[str]:
        """Of the last list."""
        return [t.get("__address__") for g in self.lists[-1] for t in g.targets]

    def merged(self) -> list[dict[str, str]]:
        """Every target of the last list with all its labels."""
        return [t.as_dict() for g in self.lists[-1] for t in g.merged()]


def environment() -> Environment:
    clock = FakeClock()
    return Environment(clock, DiscoveryReporter(clock), "test", chance=lambda: 0.0)


@asynccontextmanager
async def running(discoverer: Discoverer, env: Environment) -> AsyncIterator[Seen]:
    assert isinstance(env.clock, FakeClock)
    seen = Seen(env.clock, env.reporter)
    task = asyncio.get_running_loop().create_task(discoverer.run(seen.known))
    try:
        await env.clock.settle()
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def read_sd(key: str, text: str, directory: str = "/") -> tuple[SdConfig, list[str]]:
    """One entry of a discovery's list, as YAML in flow style, and the problems found."""
    reading = LoadSession()
    source = SourceFile("f.yml", directory, reading)
    root = compose(text.encode(), source)
    config = sd_reader(key)(MapReader(source, root, key))  # type: ignore[arg-type]
    return config, [p.message for p in reading.problems]
