"""ScrapePools: one pool a job, one loop a target. Targets come and go without disturbing the others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from rulepush.model.labels import Labels
from rulepush.model.schedule import TickGrid
from rulepush.scrape.barrier import ScrapeBarrier
from rulepush.scrape.bodies import MAX_ERROR_BODY_BYTES
from rulepush.scrape.fetch import Fetcher, line_limit
from rulepush.scrape.job import Job
from rulepush.scrape.loop import Pace, ScrapeLoop
from rulepush.scrape.loop_time import LoopTime
from rulepush.scrape.overload import OverloadWatch
from rulepush.scrape.scraper import OnScrape, ScrapeContext, Scraper
from rulepush.scrape.target import Dropped, Target, TargetStatus, build_targets
from rulepush.tasks import OwnedTask, TaskOwner

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

log = logging.getLogger("rulepush.scrape")

# Requests of one moment go out this far apart, so that a large fleet does not answer all at once into the memory; and
# nearer to each other where that would take more than half of the interval.
_SPACING_MS: Final = 1.5
_FIRST_SCRAPES_MS: Final = 120_000  # half of the time after which Alertmanager takes an alert for ended
_SET_BACK_ONCE_MS: Final = 60_000

Key = tuple[Labels, str]


@dataclass(slots=True)
class _Running:
    loop: ScrapeLoop
    task: OwnedTask | None = None


class ScrapePool:
    """The targets of one job. `ScrapePools` makes and drives it.

    Of the targets that only other shards scrape, the most in a large fleet, no more is kept than how many they are:
    `elsewhere`. `left_to_others` builds them again."""

    def __init__(self, job: Job, client: AnyClient):
        self.job = job
        self.client = client
        self.found: list[Labels] = []
        self.running: dict[Key, _Running] = {}
        self.dropped: list[Dropped] = []
        self.dropped_count = 0  # with those of other shards
        self.elsewhere = 0

    @property
    def scrapers(self) -> list[Scraper]:
        """One a target, in the order they were found."""
        return [running.loop.scraper for running in self.running.values()]

    def left_to_others(self) -> list[Dropped]:
        """The targets that only other shards scrape, and which."""
        if not self.elsewhere:
            return []
        _, dropped = build_targets(self.found, self.job.defaults, self.job.relabel, self.job.sharding)
        return [d for d in dropped if d.shards]

    @property
    def targets(self) -> list[tuple[Target, TargetStatus]]:
        """The active targets and how they stand."""
        return [(scraper.target, scraper.status) for scraper in self.scrapers]


class ScrapePools:
    """All jobs. `put`, `sync` and `remove` may be called at any time in the event loop; `run` owns every task."""

    def __init__(self, context: ScrapeContext, grid: TickGrid):
        self._context = context
        self._grid = grid
        self._barrier = ScrapeBarrier(context.clock)
        self._loop_time = LoopTime(context.clock)
        self.overload = OverloadWatch(context.clock)
        self._pace = Pace(
            context.clock,
            int(context.clock.now()),
            grid,
            self._barrier,
            context.turns,
            context.stats,
            self.overload,
            self._clock_set_back,
        )
        self._pools: dict[str, ScrapePool] = {}
        self._tasks = TaskOwner()
        self._tasks.start(self.overload.run, "overload watch")
        self._rewound_at = 0

    def __iter__(self) -> Iterator[ScrapePool]:
        return iter(self._pools.values())

    @property
    def nbytes(self) -> int:
        """About the bytes of what is known of all targets' lines."""
        return self._context.interner.nbytes + sum(s.cache.nbytes for pool in self for s in pool.scrapers)

    def __len__(self) -> int:
        return len(self._pools)

    def get(self, job_name: str) -> ScrapePool | None:
        """The pool of a job."""
        return self._pools.get(job_name)

    async def run(self) -> None:
        """Scrape until cancelled. No stale markers are written at the end: after a restart the series go on."""
        await self._tasks.run()

    async def scrapes_done(self, ts: int) -> bool:
        """Wait until the scrapes of all moments up to `ts` are over, at most until the last one planned has had the
        longest scrape timeout.

        After the start, until every target was scraped once, the limit is higher: where there are many new bodies to
        read, evaluations over half of them find nothing that may be sent, and hold up the other half.
        """
        if not self._barrier.pending(ts):
            return True
        loops = [running.loop for pool in self for running in pool.running.values()]
        longest = max((loop.scraper.target.timeout_ms for loop in loops), default=0.0)
        longest += max((loop.delay_ms for loop in loops), default=0.0)
        if any(not loop.scraper.status.last_scrape for loop in loops):
            longest = max(longest, _FIRST_SCRAPES_MS)
        return await self._barrier.scrapes_done(ts, longest / 1000 + 0.1)

    def pass_on(self, on_scrape: OnScrape | None) -> None:
        """Hand the samples of scrapes to this from now on. Jobs that run already must be `put` again."""
        self._context = replace(self._context, on_scrape=on_scrape)

    def put(self, job: Job, client: AnyClient) -> None:
        """A new job, or a job with a new configuration: its targets are rebuilt, and keep their series.

        The client stays the caller's to close, once no scrape uses it.
        """
        pool = ScrapePool(job, client)
        old = self._pools.get(job.name)
        self._pools[job.name] = pool
        if old is None:
            return
        before = {running.loop.scraper.target.labels: running.loop.scraper for running in old.running.values()}
        self._fill(pool, old.found)
        for running in pool.running.values():
            former = before.pop(running.loop.scraper.target.labels, None)
            if former is not None:
                running.loop.scraper.take_over(former)
        for running in old.running.values():
            self._stop(running, end_of_run=running.loop.scraper.target.labels in before)
        self._space()

    def sync(self, job_name: str, found: Iterable[Labels]) -> None:
        """The label sets that discovery knows now, the targets' and their group's labels merged."""
        pool = self._pools[job_name]
        self._fill(pool, list(found))
        self._space()

    def remove(self, job_name: str) -> None:
        """The job is no longer configured."""
        pool = self._pools.pop(job_name, None)
        if pool is not None:
            for running in pool.running.values():
                self._stop(running, end_of_run=True)

    def _fill(self, pool: ScrapePool, found: list[Labels]) -> None:
        """Make the pool's loops those of `found`."""
        job, pool.found = pool.job, found
        targets, everything_dropped = build_targets(found, job.defaults, job.relabel, job.sharding)
        dropped = [d for d in everything_dropped if not d.shards]
        for bad in dropped:
            if bad.error and bad not in pool.dropped:
                log.error("target cannot be scraped: job=%s labels=%s err=%s", job.name, bad.discovered, bad.error)
        pool.dropped_count = len(everything_dropped)
        pool.elsewhere = len(everything_dropped) - len(dropped)
        pool.dropped = dropped[: job.keep_dropped] if job.keep_dropped else dropped
        limit = job.target_limit
        refused = ""
        if limit and len(targets) > limit:
            refused = f"target_limit exceeded (number of targets: {len(targets)}, limit: {limit})"
        before, pool.running = pool.running, {}
        same = Counter(target.labels for target in targets)
        for target in targets:
            running = before.pop(target.key, None)
            if running is None:
                running = self._make(pool, target)
                if same[target.labels] == 1:  # of two with the same labels it is not known which wrote what
                    running.loop.scraper.cache.add_restored(self._context.restored.take(target.labels))
                self._start(running)
            running.loop.scraper.forced_error = refused
            pool.running[target.key] = running
        for running in before.values():
            self._stop(running, end_of_run=True)

    def _make(self, pool: ScrapePool, target: Target) -> _Running:
        job, context = pool.job, self._context
        fetcher = Fetcher(
            pool.client,
            job.accept,
            compression=job.compression,
            body_size_limit=job.body_size_limit,
            deadline=self._loop_time.deadline,
            error_body_bytes=MAX_ERROR_BODY_BYTES if context.bodies is not None else 0,
        )
        scraper = Scraper(
            target,
            context,
            fetcher,
            job.rules,
            fallback=job.fallback,
            histograms=job.histograms,
            max_lines=line_limit(job.body_size_limit),
            extra_metrics=job.extra_metrics,
        )
        return _Running(ScrapeLoop(scraper, self._pace))

    def _start(self, running: _Running) -> None:
        running.task = self._tasks.start(running.loop.run, f"scrape {running.loop.scraper.target.url}")

    def _stop(self, running: _Running, end_of_run: bool) -> None:
        if running.task is not None:
            running.task.cancel()
        if self._tasks.running:
            self._tasks.start(running.loop.scraper.close, "close connections")
            if end_of_run:
                self._tasks.start(partial(self._write_end_of_run, running.loop.scraper), "end of run")

    async def _write_end_of_run(self, scraper: Scraper) -> None:
        """Mark the series of a target that went away as ended at its next moment, two intervals later.

        If the target has come back by then, under whatever job, its new samples refuse the markers (scrape.go
        endOfRunStaleness).
        """
        clock, interval = self._context.clock, scraper.target.interval_ms
        ended_at = self._grid.next_tick(clock.now(), interval)
        await clock.sleep((ended_at - clock.now() + interval + interval / 10) / 1000)
        scraper.end(ended_at)

    def _clock_set_back(self, now: int) -> None:
        """Forget what lies in the future now: it would refuse every sample until then. Each loop tells; one acts."""
        if not self._rewound_at <= now < self._rewound_at + _SET_BACK_ONCE_MS:
            self._rewound_at = now
            dropped = self._context.head.rewind(now)
            log.warning("clock set back, samples of the future are forgotten: samples=%d", dropped)

    def _space(self) -> None:
        """Spread the requests of one moment a little, in a large fleet."""
        loops = [running.loop for pool in self for running in pool.running.values()]
        for i, loop in enumerate(loops):
            spacing = min(_SPACING_MS, loop.scraper.target.interval_ms / 2 / len(loops))
            loop.delay_ms = i * spacing
