"""When rulepush itself is the one that is late: no target fails for it, and it is reported."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rulepush.scrape.turns import WorkTurns
from tests.scrape.finding import found
from tests.scrape.test_pool import JOB, START, World, hosts, play


class Busy(WorkTurns):
    """No scrape may start unless `free`, and no body be read unless `reading`."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.free = asyncio.Event()
        self.free.set()
        self.reading = asyncio.Event()
        self.reading.set()

    async def body(self) -> None:
        await self.reading.wait()
        await super().body()

    async def start(self) -> None:
        await self.free.wait()
        await super().start()


def exact_times(w: World) -> list[int]:
    """The times of `x`, in ms after the first moment."""
    (table,) = [t for t in w.head.tables() if t.name == "x"]
    times, _, counts = table.columns()
    return [t - START - 4_000 for t in times[0, : counts[0]].tolist()]


def test_an_answer_that_came_while_the_loop_was_blocked_counts() -> None:
    w = World()
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        w.gates["a"] = asyncio.Event()
        await w.clock.advance(9.5)  # the request of the second moment is under way
        for _ in range(3):
            w.clock.stall(4)
            await w.clock.advance(0.05)
        w.gates["a"].set()
        await w.clock.settle()
        assert w.values("up") == [1.0, 1.0]
        assert w.values("x") == [1.0, 1.0]
        assert w.stats.failed == 0

    play(w, act)


def test_a_target_that_hangs_fails_after_its_timeout_of_loop_time() -> None:
    w = World()

    async def act() -> None:
        w.gates["a"] = asyncio.Event()
        w.scrape("a")
        await w.clock.advance(4.5)
        w.clock.stall(3)
        await w.clock.advance(4)
        assert w.values("up") == []
        await w.clock.advance(1)
        assert w.values("up") == [0.0]

    play(w, act)


def test_moments_that_cannot_be_kept_are_left_out_and_nothing_is_written_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "rulepush.scrape")
    turns = Busy()
    w = World(turns=turns)
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        assert (w.pools.overload.overloaded, w.pools.overload.lateness_s) == (False, 0.0)
        turns.free.clear()
        await w.clock.advance(35)  # from 1 s after the first moment to 36 s after it
        assert (w.values("x"), w.values("up")) == ([1.0], [1.0])
        turns.free.set()
        await w.clock.settle()
        assert w.values("x") == w.values("up") == [1.0, 1.0]
        assert exact_times(w) == [0, 36_000], "too late for its moment, it has its own time"
        assert (w.stats.skipped_overloaded, w.stats.skipped, w.stats.failed) == (2, 2, 0)
        pool = w.pools.get("j")
        assert pool is not None
        assert [status.skipped for _, status in pool.targets] == [2]
        assert (w.pools.overload.overloaded, w.pools.overload.lateness_s) == (True, 26.0)
        await w.clock.advance(30)
        assert exact_times(w) == [0, 36_000, 40_000, 50_000, 60_000]
        assert [r.message for r in caplog.records if "overloaded" in r.message] == [
            "rulepush is overloaded, scrapes are skipped: skipped=2 done=4 within_s=60 latest_by_s=26.0; "
            "give it more CPU, raise scrape_interval, or shard its targets"
        ]
        await w.clock.advance(60)
        assert "rulepush keeps up with its scrapes again: done=6 within_s=60" in caplog.text
        assert not w.pools.overload.overloaded
        await w.clock.advance(60)
        assert w.pools.overload.lateness_s == 0.0
        assert w.stats.skipped == 2

    play(w, act)


def test_a_scrape_that_is_a_little_late_carries_its_moment() -> None:
    turns = Busy()
    w = World(turns=turns)
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        turns.free.clear()
        await w.clock.advance(4.9)
        turns.free.set()
        await w.clock.settle()
        assert exact_times(w) == [0]
        assert not w.pools.overload.overloaded

    play(w, act)


def test_a_target_that_hangs_for_its_whole_interval_is_no_overload() -> None:
    w = World()

    async def act() -> None:
        w.pools.put(replace(JOB, defaults=replace(JOB.defaults, timeout_ms=10_000)), w.client)
        found(w.pools, "j", hosts("a"))
        w.gates["a"] = asyncio.Event()
        await w.clock.advance(45)
        assert w.values("up") == [0.0] * 4
        assert w.stats.skipped == 0
        w.clock.stall(8)  # it hangs, and a moment passes meanwhile
        await w.clock.advance(10)
        assert (w.stats.skipped_slow_target, w.stats.skipped) == (1, 1)
        assert not w.pools.overload.overloaded

    play(w, act)


def test_the_first_tick_waits_for_the_first_scrapes_of_all_targets_and_later_ones_do_not() -> None:
    turns = Busy()
    w = World(turns=turns)
    w.bodies = {"a": "x 1\n", "b": "y 1\n"}

    async def act() -> None:
        w.scrape("a", "b")
        await w.clock.settle()
        turns.reading.clear()
        await w.clock.advance(5)
        first = asyncio.ensure_future(w.pools.scrapes_done(START + 4_000))
        await w.clock.advance(20)
        assert not first.done()
        turns.reading.set()
        await w.clock.settle()
        assert await first is True
        assert w.values("up", instance="a") == w.values("up", instance="b") == [1.0]
        await w.clock.advance(10)  # they are not waited for the next time, for they took so long
        turns.reading.clear()
        await w.clock.advance(10)
        later = asyncio.ensure_future(w.pools.scrapes_done(START + 44_000))
        await w.clock.advance(5.2)
        assert (later.done(), later.result()) == (True, False)

    play(w, act)
