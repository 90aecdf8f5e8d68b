"""ScrapeLoop: scrapes one target at the moments of its grid."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rulepush.clock import Clock
from rulepush.model.schedule import TickGrid
from rulepush.scrape.barrier import ScrapeBarrier
from rulepush.scrape.scraper import Scraper
from rulepush.scrape.stats import ScrapeStats

log = logging.getLogger("rulepush.scrape")


class ScrapeLoop:
    """One a target. `delay_ms` after each moment its request goes out; samples carry the moment itself."""

    def __init__(
        self,
        scraper: Scraper,
        clock: Clock,
        grid: TickGrid,
        barrier: ScrapeBarrier,
        stats: ScrapeStats,
        clock_set_back: Callable[[int], object],
    ):
        """`clock_set_back(now)` is told when the wall clock went back by more than an interval."""
        self.scraper = scraper
        self.delay_ms = 0.0
        self._clock = clock
        self._grid = grid
        self._barrier = barrier
        self._stats = stats
        self._clock_set_back = clock_set_back

    async def run(self) -> None:
        """Scrape until cancelled."""
        interval = self.scraper.target.interval_ms
        ts = self._grid.next_tick(self._clock.now(), interval)
        while True:
            # Nobody waits for a target that hung the last time: it would hold up every alert by its timeout.
            awaited = not self.scraper.timed_out
            if awaited:
                self._barrier.expect(ts)
            try:
                if await self._reach(ts, interval):
                    await self.scraper.scrape(ts)
            finally:
                if awaited:
                    self._barrier.done(ts)
            ts = self._after(ts, interval)

    async def _reach(self, ts: int, interval: int) -> bool:
        """Sleep until `ts`; False when the clock jumped so that this moment makes no sense any more."""
        while (left := ts + self.delay_ms - self._clock.now()) > 0:
            if left > interval + self.delay_ms:
                now = self._clock.now()
                log.warning("clock set back: target=%s by_ms=%d", self.scraper.target.url, left)
                self._clock_set_back(now)
                return False
            await self._clock.sleep(left / 1000)
        return -left <= interval

    def _after(self, ts: int, interval: int) -> int:
        """The next moment. What has passed meanwhile is skipped."""
        now, following = self._clock.now(), ts + interval
        if now <= following <= now + interval:
            return following
        planned = self._grid.next_tick(now, interval)
        self._stats.skipped += max(0, (planned - following) // interval)
        return planned
