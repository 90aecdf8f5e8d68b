"""SharedParts: what several discoverers use together, such as one watch of a server's pods, while any of them runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeVar, cast

from rulepush.clock import Clock

log = logging.getLogger("rulepush.discovery")

_AFTER_CRASH_SECONDS: Final = 30.0


class SharedPart(Protocol):
    """What is shared: it works until it is cancelled, in a task of its own, so that no user's end is its end."""

    async def run(self) -> None: ...


P = TypeVar("P", bound=SharedPart)


class _Entry:
    def __init__(self, part: SharedPart, task: asyncio.Task[None]):
        self.part = part
        self.task = task
        self.users = 0


class SharedParts:
    """One running part for each key in use. The first user makes it, the last one ends it.

    A reload of the configuration starts the new users before it ends the old ones, so what both use goes on.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}

    @asynccontextmanager
    async def use(self, key: Hashable, make: Callable[[], P], clock: Clock) -> AsyncIterator[P]:
        """The running part of `key`, from `make()` if nobody uses it yet; it stays until the last user has left.

        Equal keys must mean parts of one type: begin a key with something of your own, such as the part's class. A part
        that crashes runs again 30 s later.
        """
        entry = self._entries.get(key)
        if entry is None:
            part = make()
            task = asyncio.get_running_loop().create_task(keep_running(part.run, clock))
            entry = self._entries[key] = _Entry(part, task)
        entry.users += 1
        try:
            yield cast(P, entry.part)
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[key]
                entry.task.cancel()
                await asyncio.gather(entry.task, return_exceptions=True)

    def find(self, key: Hashable) -> SharedPart | None:
        """The running part of `key`, None when nobody uses it."""
        entry = self._entries.get(key)
        return entry.part if entry is not None else None

    def parts(self) -> Iterable[SharedPart]:
        """All that run, in the order in which they began."""
        return [entry.part for entry in self._entries.values()]

    def __len__(self) -> int:
        return len(self._entries)


async def keep_running(run: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run until cancelled, or until `run` returns. What crashes, by a bug in rulepush, begins again 30 s later, for it
    must stop neither the others nor the process."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("a discovery crashed, its last good list of targets stays; it begins again soon")
            await clock.sleep(_AFTER_CRASH_SECONDS)
        else:
            return
