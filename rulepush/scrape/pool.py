"""ScrapePools: one pool a job, one loop a target. Targets come and go without disturbing the others."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from rulepush.discovery.groups import GroupChanges, SourceKey, TargetGroup
from rulepush.errors import ScrapeError
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
from rulepush.scrape.slots import Slots
from rulepush.scrape.target import Discovered, Dropped, Target, TargetStatus, build_target
from rulepush.slices import Slices
from rulepush.tasks import OwnedTask, TaskOwner

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

log = logging.getLogger("rulepush.scrape")

# Requests of one moment go out this far apart, so that a large fleet does not answer all at once into the memory. Where
# that takes more than half of the interval, the next ones begin anew, between the first.
_SPACING_MS: Final = 1.5
_FIRST_SCRAPES_MS: Final = 120_000  # half of the time after which Alertmanager takes an alert for ended
_SET_BACK_ONCE_MS: Final = 60_000
# What a target, and a group, take in objects that live long, as a number of series.
_SERIES_A_TARGET: Final = 40
_SERIES_A_GROUP: Final = 20

Key = tuple[Labels, str]


@dataclass(slots=True, eq=False)
class RunningTarget:
    """A target at work. `slot` is its place among all targets; `users` counts the label sets that lead to it."""

    loop: ScrapeLoop
    slot: int
    users: int = 0
    task: OwnedTask | None = None


Fate = RunningTarget | Target | str | None
"""What became of a discovered label set: a target, one that does not run yet, dropped ("" by relabelling, else the
error that makes it no target), or None where only other shards scrape it."""


@dataclass(slots=True)
class BuiltGroup:
    """A group, and the fate of each of its targets, in their order."""

    group: TargetGroup
    fates: list[Fate]

    def reusable(self, group: TargetGroup) -> dict[Labels, Fate]:
        """The fates of the label sets that are the same in a new version of the group."""
        return dict(zip(self.group.targets, self.fates, strict=True)) if self.group.labels == group.labels else {}


class ScrapePool:
    """The targets of one job. `ScrapePools` makes and drives it.

    Of what is no target here no more is kept than that it is none: `dropped` and `left_to_others` build it again from
    its group. The counts are those of the groups in effect; `due` are those whose change is not in effect yet, and
    `former` the targets of the job's former configuration, which run until those of this one do.
    """

    def __init__(self, job: Job, client: AnyClient):
        self.job = job
        self.client = client
        self.wanted: dict[SourceKey, TargetGroup] = {}
        self.due: dict[SourceKey, None] = {}
        self.built: dict[SourceKey, BuiltGroup] = {}
        self.running: dict[Key, RunningTarget] = {}
        self.former: dict[Labels, list[RunningTarget]] = {}
        self.found_count = 0
        self.dropped_count = 0  # with those of other shards
        self.elsewhere = 0
        self.refused = ""  # why no target is scraped
        self.updated_at = 0  # when discovery last told of a change, in ms; 0: not yet

    @property
    def is_changing(self) -> bool:
        """Whether what was found is not in effect yet."""
        return bool(self.due or self.former)

    def all_running(self) -> list[RunningTarget]:
        """One a target, in the order they came, and those of the former configuration."""
        return [*self.running.values(), *(one for some in self.former.values() for one in some)]

    @property
    def scrapers(self) -> list[Scraper]:
        """One a target."""
        return [running.loop.scraper for running in self.all_running()]

    @property
    def dropped(self) -> list[Dropped]:
        """What relabelling dropped, and what is no target: at most `keep_dropped_targets` of it."""
        every = (
            Dropped(self._discovered(built, i), fate)
            for built in self.built.values()
            for i, fate in enumerate(built.fates)
            if isinstance(fate, str)
        )
        return list(islice(every, self.job.keep_dropped or None))

    @property
    def kept_count(self) -> int:
        """How many `dropped` are."""
        count = self.dropped_count - self.elsewhere
        return min(count, self.job.keep_dropped) if self.job.keep_dropped else count

    def left_to_others(self) -> list[Dropped]:
        """The targets that only other shards scrape, and which."""
        if not self.elsewhere:
            return []
        found = (
            self._discovered(built, i)
            for built in self.built.values()
            for i, fate in enumerate(built.fates)
            if fate is None
        )
        again = [build_target(one, self.job.relabel, self.job.sharding) for one in found]
        return [one for one in again if isinstance(one, Dropped)]

    @property
    def targets(self) -> list[tuple[Target, TargetStatus]]:
        """The active targets and how they stand."""
        return [(scraper.target, scraper.status) for scraper in self.scrapers]

    def build(self, group: TargetGroup, before: BuiltGroup | None) -> Slices[BuiltGroup]:
        """What becomes of a group; nothing changes yet."""
        job = self.job
        known = before.reusable(group) if before is not None else {}
        built = BuiltGroup(group, [])
        for own in group.targets:
            if own in known:
                built.fates.append(known[own])
                continue
            try:
                target = build_target(Discovered(own, job.defaults, group.labels), job.relabel, job.sharding)
            except ScrapeError as e:
                built.fates.append(str(e))
            else:
                if isinstance(target, Target):
                    _ = target.key  # takes time: now, and not when the targets are exchanged
                    built.fates.append(target)
                else:
                    built.fates.append(None if target.shards else "")
            yield
        return built

    def put_in_effect(self, key: SourceKey, built: BuiltGroup | None) -> BuiltGroup | None:
        """The counts go with the group's new version, None when it ended. Returns the former one."""
        before = self.built.get(key)
        if before is not None:
            self._count(before, -1)
        if built is None:
            self.built.pop(key, None)
            return before
        self.built[key] = built
        self._count(built, 1)
        known = before.reusable(built.group) if before is not None else {}
        for i, fate in enumerate(built.fates):
            if isinstance(fate, str) and fate and known.get(built.group.targets[i]) != fate:
                bad = self._discovered(built, i).labels
                log.error("target cannot be scraped: job=%s labels=%s err=%s", self.job.name, bad, fate)
        return before

    def _count(self, built: BuiltGroup, sign: int) -> None:
        self.found_count += sign * len(built.fates)
        self.dropped_count += sign * sum(fate is None or isinstance(fate, str) for fate in built.fates)
        self.elsewhere += sign * built.fates.count(None)

    def _discovered(self, built: BuiltGroup, i: int) -> Discovered:
        return Discovered(built.group.targets[i], self.job.defaults, built.group.labels)


class ScrapePools:
    """All jobs. `put`, `change` and `remove` may be called at any time in the event loop; `run` owns every task."""

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
        self._tasks.start(self._change_pools, "changes of targets")
        self._slots = Slots()
        self._work = asyncio.Event()  # some pool has changes that are due
        self._progress = asyncio.Event()
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
        loops = [running.loop for pool in self for running in pool.all_running()]
        longest = max((loop.scraper.target.timeout_ms for loop in loops), default=0.0)
        longest += max((loop.delay_ms for loop in loops), default=0.0)
        if any(not loop.scraper.status.last_scrape for loop in loops):
            longest = max(longest, _FIRST_SCRAPES_MS)
        return await self._barrier.scrapes_done(ts, longest / 1000 + 0.1)

    def pass_on(self, on_scrape: OnScrape | None) -> None:
        """Hand the samples of scrapes to this from now on. Jobs that run already must be `put` again."""
        self._context = replace(self._context, on_scrape=on_scrape)

    def put(self, job: Job, client: AnyClient) -> None:
        """A new job, or a job with a new configuration: its targets are rebuilt, and keep their series. Until a target
        is, it is scraped as before.

        The client stays the caller's to close, once no scrape uses it: see `taken_over`.
        """
        pool = ScrapePool(job, client)
        old = self._pools.get(job.name)
        self._pools[job.name] = pool
        if old is None:
            return
        pool.wanted, pool.updated_at = old.wanted, old.updated_at
        pool.due = dict.fromkeys(pool.wanted)
        for running in (*(one for some in old.former.values() for one in some), *old.running.values()):
            pool.former.setdefault(running.loop.scraper.target.labels, []).append(running)
        self._work.set()

    def change(self, job_name: str, changes: GroupChanges) -> None:
        """What discovery found of a job. It comes into effect in turns, a little work at a time."""
        pool = self._pools[job_name]
        pool.updated_at = self._context.clock.now()
        for key, group in changes.items():
            if group is not None:
                pool.wanted[key] = group
            else:
                pool.wanted.pop(key, None)
            pool.due[key] = None
        self._work.set()

    def remove(self, job_name: str) -> None:
        """The job is no longer configured."""
        pool = self._pools.pop(job_name, None)
        if pool is not None:
            for running in pool.all_running():
                self._stop(running, end_of_run=True)
            self._tell()

    async def taken_over(self, job_name: str) -> None:
        """Wait until no target of the job's former configuration runs."""
        while self._tasks.running and (pool := self._pools.get(job_name)) is not None and pool.former:
            await self._progress.wait()

    async def _change_pools(self) -> None:
        """Put into effect what was found, one pool after the other: those of many jobs that have the same discovery
        change together."""
        turns = self._context.turns
        while True:
            await self._work.wait()
            self._work.clear()
            for pool in list(self):
                if pool.is_changing:
                    await turns.body()
                    try:
                        await turns.work(self._apply(pool))
                    finally:
                        turns.done()
            self._tell()

    def _tell(self) -> None:
        """Let those that wait look again."""
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    def _apply(self, pool: ScrapePool) -> Slices[None]:
        """Put into effect what is due of a pool. Each time others had their turn, it may have been replaced: then its
        successor has all that it runs, and builds all groups anew."""
        while pool.due and self._is_current(pool):
            due, pool.due = pool.due, {}
            built: dict[SourceKey, BuiltGroup | None] = {}
            for key in due:
                group = pool.wanted.get(key)
                built[key] = (yield from pool.build(group, pool.built.get(key))) if group is not None else None
                self._context.series_came(_SERIES_A_GROUP)
                if not self._is_current(pool):
                    return
            yield from self._exchange(pool, built)
        if self._is_current(pool):
            for former in [one for some in pool.former.values() for one in some]:
                self._stop(former, end_of_run=True)
            pool.former.clear()

    def _is_current(self, pool: ScrapePool) -> bool:
        return self._pools.get(pool.job.name) is pool

    def _exchange(self, pool: ScrapePool, built: Mapping[SourceKey, BuiltGroup | None]) -> Slices[None]:
        """Start the targets that come with these groups, then end those that go: one that only moves from one group to
        another goes on."""
        change = yield from _change_of_users(pool, built)
        if not self._is_current(pool):
            return
        came = {key: target for key, (n, target) in change.items() if n > 0 and key not in pool.running}
        gone = {key for key, (n, _) in change.items() if key in pool.running and pool.running[key].users + n <= 0}
        self._refuse(pool, len(pool.running) + len(came) - len(gone))
        alone = Counter[Labels]()  # of two with the same labels it is not known which wrote what
        if self._context.restored:
            alone.update(running.loop.scraper.target.labels for key, running in pool.running.items() if key not in gone)
            alone.update(target.labels for target in came.values())
        for version in built.values():
            for i, fate in enumerate(version.fates if version is not None else ()):
                if isinstance(fate, (RunningTarget, Target)):
                    assert version is not None
                    version.fates[i] = self._hold(pool, fate, alone)
                    if fate is version.fates[i]:
                        continue  # it ran already: that takes no time
                    yield
                    if not self._is_current(pool):
                        return
        for key, version in built.items():
            before = pool.put_in_effect(key, version)
            for fate in before.fates if before is not None else ():
                if isinstance(fate, RunningTarget):
                    self._release(pool, fate)
            yield
            if not self._is_current(pool):
                return

    def _refuse(self, pool: ScrapePool, count: int) -> None:
        """Fail every scrape of a pool of more targets than its limit."""
        limit, refused = pool.job.target_limit, ""
        if limit and count > limit:
            refused = f"target_limit exceeded (number of targets: {count}, limit: {limit})"
        if refused != pool.refused:
            pool.refused = refused
            for running in pool.running.values():
                running.loop.scraper.forced_error = refused

    def _hold(self, pool: ScrapePool, fate: RunningTarget | Target, alone: Mapping[Labels, int]) -> RunningTarget:
        """The running target of one more label set that leads to it."""
        if isinstance(fate, RunningTarget):
            running = fate
        elif (known := pool.running.get(fate.key)) is not None:
            running, running.loop.scraper.target = known, fate  # what it was made of is another
        else:
            running = pool.running[fate.key] = self._begin(pool, fate, alone)
        running.users += 1
        return running

    def _release(self, pool: ScrapePool, running: RunningTarget) -> None:
        """A label set that led to it no longer does."""
        running.users -= 1
        if not running.users:
            del pool.running[running.loop.scraper.target.key]
            self._stop(running, end_of_run=True)

    def _begin(self, pool: ScrapePool, target: Target, alone: Mapping[Labels, int]) -> RunningTarget:
        """Start a target: where the job's former configuration has one with the same labels, in its slot and with its
        series."""
        former = pool.former.pop(target.labels, [])
        running = self._make(pool, target, former[-1].slot if former else self._slots.take())
        scraper = running.loop.scraper
        if former:
            *others, last = former
            scraper.take_over(last.loop.scraper)
            self._stop(last, end_of_run=False, frees_slot=False)
            for other in others:
                self._stop(other, end_of_run=False)
        elif alone.get(target.labels) == 1:
            scraper.cache.add_restored(self._context.restored.take(target.labels))
        running.task = self._tasks.start(running.loop.run, f"scrape {target.url}")
        self._context.series_came(_SERIES_A_TARGET)
        return running

    def _make(self, pool: ScrapePool, target: Target, slot: int) -> RunningTarget:
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
            histograms=target.histograms(job.defaults.histograms),
            max_lines=line_limit(job.body_size_limit),
            zero_at_start=job.zero_at_start,
            extra_metrics=job.extra_metrics,
            forced_error=pool.refused,
        )
        # Requests of one moment are spread a little. What comes or goes elsewhere does not move a target's own time.
        delay_ms = slot * _SPACING_MS % (target.interval_ms / 2)
        return RunningTarget(ScrapeLoop(scraper, self._pace, delay_ms), slot)

    def _stop(self, running: RunningTarget, end_of_run: bool, frees_slot: bool = True) -> None:
        if frees_slot:
            self._slots.free(running.slot)
        if running.task is not None:
            running.task.cancel()
        if self._tasks.running:
            self._tasks.start(running.loop.scraper.close, "close connections")
            if end_of_run and running.loop.scraper.status.last_scrape:  # without a scrape there are no series to end
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


def _change_of_users(
    pool: ScrapePool, built: Mapping[SourceKey, BuiltGroup | None]
) -> Slices[dict[Key, tuple[int, Target]]]:
    """By how many label sets more, or fewer, lead to a target once these versions of groups are in effect."""
    change: dict[Key, tuple[int, Target]] = {}
    running: dict[RunningTarget, int] = {}  # most stay in their group, and cost no more than this
    for key, version in built.items():
        for group, n in ((version, 1), (pool.built.get(key), -1)):
            for fate in group.fates if group is not None else ():
                if isinstance(fate, RunningTarget):
                    running[fate] = running.get(fate, 0) + n
                elif isinstance(fate, Target):
                    change[fate.key] = change.get(fate.key, (0,))[0] + n, fate
        yield
    for one, n in running.items():
        if n:
            target = one.loop.scraper.target
            change[target.key] = change.get(target.key, (0,))[0] + n, target
    return change
