"""Small typed fakes that the tests share."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from rulepush.clock import Timer


class FakeClock:
    """A Clock whose time moves only when a test says so.

    `await clock.advance(seconds)` wakes the sleepers whose time has come, in order, and lets the tasks they
    belong to run until they all wait again.
    """

    def __init__(self, now: int = 1_700_000_000_000):
        self._start = now
        self._elapsed_ms = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> int:
        return self._start + round(self._elapsed_ms)

    def monotonic(self) -> float:
        return self._elapsed_ms / 1000

    def set_wall(self, now: int) -> None:
        """Step the wall clock, as NTP or an operator does; monotonic time does not move."""
        self._start += now - self.now()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_ms + seconds * 1000, next(self._order), future))
        await future

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or call())
        heapq.heappush(self._sleepers, (self._elapsed_ms + seconds * 1000, next(self._order), future))
        return future

    @property
    def planned(self) -> int:
        """Sleeps and calls that are still to come."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move time forward by `seconds`."""
        until = self._elapsed_ms + seconds * 1000
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            when, _, future = heapq.heappop(self._sleepers)
            self._elapsed_ms = max(self._elapsed_ms, when)
            if not future.done():
                future.set_result(None)
            await self.settle()
        self._elapsed_ms = until
        await self.settle()

    def stall(self, seconds: float) -> None:
        """Let time pass while nothing runs: the event loop is busy, or the machine gives no CPU."""
        self._elapsed_ms += seconds * 1000

    async def settle(self, turns: int = 50) -> None:
        """Let every runnable task run until it waits again."""
        for _ in range(turns):
            await asyncio.sleep(0)
