"""ScrapeLoop: scrapes one target at the moments of its grid."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rulepush.clock import Clock
from rulepush.model.schedule import TickGrid
from rulepush.scrape.barrier import ScrapeBarrier
from rulepush.scrape.overload import OverloadWatch
from rulepush.scrape.scraper import Scraper
from rulepush.scrape.stats import ScrapeStats
from rulepush.scrape.turns import WorkTurns

log = logging.getLogger("rulepush.scrape")

# A sample carries its moment of the grid where the scrape began at most this share of the interval later than planned.
# With more, a rate over two samples would be wrong by as much: then it carries the time at which it was taken.
_LATE_SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class Pace:
    """What the loops of all targets share."""

    clock: Clock
    began: int  # ms, when the first target could come
    grid: TickGrid
    barrier: ScrapeBarrier
    turns: WorkTurns
    stats: ScrapeStats
    overload: OverloadWatch
    clock_set_back: Callable[[int], object]
    """`clock_set_back(now)` is called when the wall clock went back by more than an interval."""


class ScrapeLoop:
    """One a target. `delay_ms` after each moment its request goes out; samples carry the moment itself.

    Where the moment cannot be kept, for we have too much to do, the scrape takes place late, in its turn. What moments
    have passed by then are left out: nothing is written of them.
    """

    def __init__(self, scraper: Scraper, pace: Pace, delay_ms: float = 0.0):
        self.scraper = scraper
        self.delay_ms = delay_ms
        self._pace = pace

    async def run(self) -> None:
        """Scrape until cancelled."""
        pace, interval = self._pace, self.scraper.target.interval_ms
        ts = self._first(int(pace.clock.now()), interval)
        while True:
            # Rules do not wait for a target that hung the last time: it would delay every alert by its timeout.
            awaited = not self.scraper.timed_out
            if awaited:
                pace.barrier.expect(ts)
            moment = ts
            try:
                if await self._reach(ts, interval):
                    moment, taken_at = await self._turn(ts, interval)
                    await self.scraper.scrape(taken_at)
            finally:
                if awaited:
                    pace.barrier.done(ts)
            ts = self._after(moment, interval)

    def _first(self, now: int, interval: int) -> int:
        """When to scrape for the first time. After a start of the process at once where the next moment of the grid is
        far, so that rules have data soon, and the many bodies of a start are spread over more time."""
        moment = self._pace.grid.next_tick(now, interval)
        starting = now - self._pace.began <= interval // 4
        return now if starting and moment - now > interval // 2 else moment

    async def _reach(self, ts: int, interval: int) -> bool:
        """Sleep until `ts`; False when the clock jumped so that this moment makes no sense any more."""
        clock = self._pace.clock
        while (left := ts + self.delay_ms - clock.now()) > 0:
            if left > interval + self.delay_ms:
                now = clock.now()
                log.warning("clock set back: target=%s by_ms=%d", self.scraper.target.url, left)
                self._pace.clock_set_back(now)
                return False
            await clock.sleep(left / 1000)
        return -left <= interval

    async def _turn(self, ts: int, interval: int) -> tuple[int, int]:
        """Wait until there is time for a scrape. Returns the newest moment by then, and the time of its samples."""
        pace = self._pace
        await pace.turns.start()
        late = max(0, int(pace.clock.now() - self.delay_ms) - ts)
        passed = late // interval
        if passed:
            self._left_out(passed)
        pace.overload.started(late)
        moment, late = ts + passed * interval, late % interval
        return moment, moment if late <= interval // _LATE_SHARE else moment + late

    def _after(self, ts: int, interval: int) -> int:
        """The next moment. What has passed meanwhile is left out."""
        pace = self._pace
        now, following = pace.clock.now(), pace.grid.next_tick(ts + 1, interval)
        if now - interval // _LATE_SHARE <= following <= now + interval:
            return following
        planned = pace.grid.next_tick(now, interval)
        passed = max(0, (planned - following) // interval)
        if passed and self.scraper.hung:
            pace.stats.skipped_slow_target += passed
        elif passed > 1 + self.scraper.status.last_duration_s * 1000 // interval:
            pace.stats.skipped_time_jump += passed  # the scrape took less
        elif passed:
            self._left_out(passed)
        return planned

    def _left_out(self, moments: int) -> None:
        """So many scrapes do not take place, for rulepush has too much to do."""
        self._pace.stats.skipped_overloaded += moments
        self._pace.overload.left_out(moments)
        self.scraper.status.skipped += moments
