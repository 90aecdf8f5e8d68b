"""A discovery that follows the fake API server over real HTTP, on a fake clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rulepush.discovery.groups import Environment
from rulepush.discovery.kubernetes.connection import Connection
from tests.discovery.driving import Seen, environment, running
from tests.discovery.kubernetes.cluster import config_of
from tests.fakes import FakeClock


async def until(
    what: str, condition: Callable[[], object], clock: FakeClock | None = None, seconds: float = 15
) -> None:
    """Wait, with a bound, for what comes over real connections; the fake clock goes on meanwhile, if given."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds}s"
        await asyncio.sleep(0.01)
        if clock is not None:
            await clock.advance(0.1)


class Followed(Seen):
    """What a discovery found, and its environment."""

    env: Environment

    def names(self) -> list[str]:
        """The sources of all groups, sorted; nothing before the first list."""
        return sorted(self.known.by_source) if self.known.answered else []

    def error(self) -> str:
        """The last errors, each with what failed."""
        return "\n".join(f"{where}: {text}" for where, text in self.reporter.last_errors.items())


@asynccontextmanager
async def following(
    settings: str, env: Environment | None = None, connection: Connection | None = None
) -> AsyncIterator[Followed]:
    """Settings of `kubernetes_sd_configs` in flow style, without braces."""
    used = env or environment()
    config = config_of(settings)
    async with running(config.discoverer_by(connection or config.connection(), used), used) as seen:
        assert isinstance(used.clock, FakeClock)
        followed = Followed(used.clock, used.reporter)
        followed.known, followed.lists, followed.changes = seen.known, seen.lists, seen.changes
        followed.env = used
        yield followed
