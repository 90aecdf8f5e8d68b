"""ScrapeBarrier: what a group's tick waits for, so that it evaluates as soon as the scrapes of its moment are in."""

from __future__ import annotations

import asyncio

from rulepush.clock import Clock


class ScrapeBarrier:
    """Counts the scrapes that are planned or under way, by the moment of the grid that they belong to."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._pending: dict[int, int] = {}
        self._changed = asyncio.Event()

    def expect(self, ts: int) -> None:
        """A scrape of moment `ts` will come: call it before sleeping until then."""
        self._pending[ts] = self._pending.get(ts, 0) + 1

    def done(self, ts: int) -> None:
        """A scrape of moment `ts` is over, or will not come."""
        left = self._pending[ts] - 1
        if left:
            self._pending[ts] = left
            return
        del self._pending[ts]
        self._tell()

    def pending(self, ts: int) -> int:
        """How many scrapes of moments up to `ts` are not over."""
        return sum(count for moment, count in self._pending.items() if moment <= ts)

    async def scrapes_done(self, ts: int, timeout_s: float) -> bool:
        """Wait for the scrapes of all moments up to `ts`, at most `timeout_s`. Whether they are all over."""
        is_late = False

        def late() -> None:
            nonlocal is_late
            is_late = True
            self._tell()

        timer = self._clock.call_later(timeout_s, late)
        try:
            while self.pending(ts) and not is_late:
                await self._changed.wait()
        finally:
            timer.cancel()
        return not self.pending(ts)

    def _tell(self) -> None:
        """Let those that wait look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
