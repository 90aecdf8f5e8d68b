"""Bodies that take long to read: nobody else waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from rulepush.scrape.offload import Offload, ThreadOffload
from rulepush.scrape.pool import ScrapePools
from rulepush.scrape.scraper import ScrapeContext
from rulepush.scrape.target import TargetHealth
from rulepush.storage.demand import Demand, ManualDemand
from tests.scrape.test_pool import GRID, JOB, World, hosts, play

T = TypeVar("T")
LARGE = "".join(f'm{{i="{i}"}} {i}\n' for i in range(6_000))


class Held:
    """Does the work only when it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.runs = 0

    async def run(self, work: Callable[[], T]) -> T:
        self.runs += 1
        await self.go.wait()
        return work()


class Broken:
    """A mistake of ours."""

    async def run(self, work: Callable[[], T]) -> T:
        raise ZeroDivisionError("a mistake")


def world(apart: Offload, demand: Demand | None = None) -> World:
    one = World(demand=demand)
    one.pools = ScrapePools(ScrapeContext(one.head, one.clock, one.stats, offload=apart), GRID)
    one.bodies |= {"large": LARGE, "small": "s 1\n"}
    return one


def targets(w: World) -> dict[str, tuple[TargetHealth, str]]:
    return {t.labels.get("instance"): (s.health, s.last_error) for pool in w.pools for t, s in pool.targets}


def test_a_large_body_is_read_apart_and_others_do_not_wait() -> None:
    held = Held()
    w = world(held)

    async def act() -> None:
        w.pools.put(JOB, w.client)
        w.pools.sync("j", hosts("large", "small"))
        await w.clock.advance(5)
        assert (w.values("s"), w.values("m", i="5")) == ([1], [])
        held.go.set()
        await w.clock.settle()
        assert w.values("m", i="5") == [5]
        assert w.times("s") == w.times("up")[:1] == [0]
        await w.clock.advance(10)
        assert w.values("m", i="5") == [5, 5]
        assert held.runs == 1, "the second time its lines are known"

    play(w, act)


def test_what_the_rules_want_meanwhile_counts() -> None:
    held = Held()
    w = world(held, Demand.of([ManualDemand.metric("s", 60_000)]))

    async def act() -> None:
        w.pools.put(JOB, w.client)
        w.pools.sync("j", hosts("large"))
        await w.clock.advance(5)
        w.head.set_demand(Demand.keep_all(60_000))
        held.go.set()
        await w.clock.settle()
        assert (held.runs, w.values("m", i="5")) == (2, [5])

    play(w, act)


def test_a_mistake_of_ours_fails_one_scrape(caplog: pytest.LogCaptureFixture) -> None:
    w = world(Broken())

    async def act() -> None:
        w.pools.put(JOB, w.client)
        w.pools.sync("j", hosts("large", "small"))
        await w.clock.advance(15)
        assert targets(w) == {
            "large": (TargetHealth.DOWN, "internal error: ZeroDivisionError: a mistake"),
            "small": (TargetHealth.UP, ""),
        }
        assert w.values("up", instance="large") == [0, 0]
        assert "Traceback" in caplog.text

    play(w, act)


def test_who_takes_longer_than_its_timeout_is_not_waited_for_the_next_time() -> None:
    held = Held()
    w = world(held)

    async def act() -> None:
        w.pools.put(JOB, w.client)
        w.pools.sync("j", hosts("large"))
        await w.clock.advance(5)
        assert not w.pools.get("j").scrapers[0].timed_out  # type: ignore[union-attr]
        await w.clock.advance(8)
        held.go.set()
        await w.clock.settle()
        assert w.pools.get("j").scrapers[0].timed_out  # type: ignore[union-attr]

    play(w, act)


def test_the_worker_is_one_thread_of_its_own() -> None:
    async def act() -> None:
        worker = ThreadOffload()
        first, second = [await worker.run(threading.current_thread) for _ in range(2)]
        assert first is second
        assert first is not threading.current_thread()
        assert first.daemon
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 // 0)
        assert await worker.run(lambda: "goes on") == "goes on"

    asyncio.run(act())


def test_what_nobody_waits_for_is_not_begun() -> None:
    async def act() -> None:
        worker, free, done = ThreadOffload(), threading.Event(), []
        running = asyncio.ensure_future(worker.run(lambda: free.wait(10)))
        waiting = asyncio.ensure_future(worker.run(lambda: done.append("begun")))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        free.set()
        assert await running
        assert await worker.run(lambda: list(done)) == []

    asyncio.run(act())
