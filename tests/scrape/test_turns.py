"""Who may work in a turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence

import pytest

from rulepush.scrape.target import TargetHealth
from rulepush.scrape.turns import MAX_LONG_BODIES, SLICE_SECONDS, WorkTurns
from rulepush.slices import Slices
from rulepush.storage.demand import Demand, ManualDemand
from tests.scrape.finding import found
from tests.scrape.test_pool import JOB, World, hosts, play

LARGE = "".join(f'm{{i="{i}"}} {i}\n' for i in range(6_000))


class Work:
    """Turns whose stopwatch moves only while something works, and a diary of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = WorkTurns(lambda: self.now)
        self.diary: list[str] = []

    def works(self, what: str) -> None:
        """Work for a little longer than a slice."""
        self.diary.append(what)
        self.now += 1.01 * SLICE_SECONDS

    async def start(self, name: str) -> None:
        await self.turns.start()
        self.diary.append(name)

    async def body(self, name: str, slices: int = 1) -> None:
        def reads() -> Slices[None]:
            for n in range(slices):
                self.works(name if slices == 1 else f"{name}.{n}")
                if n < slices - 1:
                    yield

        await self.turns.body()
        try:
            await self.turns.work(reads())
        finally:
            self.turns.done()


def run(act: Callable[[Work], Awaitable[None]]) -> list[str]:
    """The diary of a world in which `act` was played."""

    async def go() -> Work:
        work = Work()
        async with asyncio.timeout(60):
            await act(work)
        return work

    return asyncio.run(go()).diary


async def most_in_a_turn(w: Work, work: Sequence[Coroutine[object, object, None]]) -> int:
    """How many of these, each of which makes one entry in the diary, were done in one turn of the loop at the most."""
    tasks = [asyncio.ensure_future(one) for one in work]
    most, done = 0, 0
    while done < len(tasks):
        await asyncio.sleep(0)
        most, done = max(most, len(w.diary) - done), len(w.diary)
    await asyncio.gather(*tasks)
    return most


def test_a_turn_of_the_loop_holds_one_piece_of_work() -> None:
    async def act(w: Work) -> None:
        assert await most_in_a_turn(w, [w.body(str(n)) for n in range(5)]) == 1

    assert run(act) == ["0", "1", "2", "3", "4"]


def test_bodies_come_before_starts_and_a_long_one_takes_turns_with_them() -> None:
    async def act(w: Work) -> None:
        await asyncio.gather(
            w.body("long", 4), w.start("start a"), w.start("start b"), w.start("start c"), w.body("short")
        )

    assert run(act) == ["long.0", "short", "start a", "long.1", "start b", "long.2", "start c", "long.3"]


def test_few_scrapes_start_in_a_turn() -> None:
    async def act(w: Work) -> None:
        assert await most_in_a_turn(w, [w.start(str(n)) for n in range(6)]) == 2

    assert run(act) == ["0", "1", "2", "3", "4", "5"]


def test_no_scrape_starts_while_many_long_bodies_are_in_work() -> None:
    async def act(w: Work) -> None:
        await asyncio.gather(*(w.body(f"b{n}", 2) for n in range(MAX_LONG_BODIES)), w.start("start"))

    diary = run(act)
    assert diary[:MAX_LONG_BODIES] == [f"b{n}.0" for n in range(MAX_LONG_BODIES)]
    assert diary[MAX_LONG_BODIES : MAX_LONG_BODIES + 2] == ["b0.1", "start"]


def test_who_gives_up_hands_the_turn_on() -> None:
    async def act(w: Work) -> None:
        first = asyncio.ensure_future(w.body("first"))
        waiting = [asyncio.ensure_future(w.start(name)) for name in ("given up", "woken and given up", "next")]
        await first
        waiting[0].cancel()
        await asyncio.sleep(0)  # the turn is now that of the second
        waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    assert run(act) == ["first", "next"]


@pytest.mark.parametrize(
    ("seconds", "asked"), [(0.1 * SLICE_SECONDS, 0), (0.3 * SLICE_SECONDS, 3), (2 * SLICE_SECONDS, 10)]
)
def test_the_cpu_time_is_asked_for_only_when_a_slice_may_be_over(seconds: float, asked: int) -> None:
    """It is a system call. By the stopwatch no slice is ever over here: others worked meanwhile."""
    clock, asks = [0.0], []

    def stopwatch() -> float:
        asks.append(clock[0])
        return 0.0

    def work() -> Slices[None]:
        for _ in range(9):
            clock[0] += seconds
            yield

    async def go() -> None:
        turns = WorkTurns(stopwatch, clock=lambda: clock[0])
        await turns.body()
        try:
            await turns.work(work())
        finally:
            turns.done()

    asyncio.run(go())
    assert len(asks) == 1 + asked  # one where it begins


# --- bodies that take many slices, in pools


class Ticking(WorkTurns):
    """Each reading of the stopwatch finds a slice over."""

    def __init__(self) -> None:
        self.looks = 0
        super().__init__(self.look)

    def look(self) -> float:
        self.looks += 1
        return self.looks * SLICE_SECONDS


def world(demand: Demand | None = None) -> tuple[World, Ticking]:
    turns = Ticking()
    one = World(demand=demand, turns=turns)
    one.bodies |= {"large": LARGE, "small": "s 1\n"}
    return one, turns


def targets(w: World) -> dict[str, tuple[TargetHealth, str]]:
    return {t.labels.get("instance"): (s.health, s.last_error) for pool in w.pools for t, s in pool.targets}


def test_a_large_body_is_read_in_slices_and_others_do_not_wait() -> None:
    w, _ = world()

    async def act() -> None:
        w.pools.put(JOB, w.client)
        found(w.pools, "j", hosts("large", "small"))
        await w.clock.advance(4.1)
        assert (w.values("s"), w.values("m", i="5")) == ([1], [])
        await w.clock.settle(2_000)
        assert w.values("m", i="5") == [5]
        assert w.times("s") == w.times("up")[:1] == [0]
        await w.clock.advance(10)
        assert w.values("m", i="5") == [5, 5], "the second time its lines are known"

    play(w, act)


def test_what_the_rules_want_meanwhile_counts() -> None:
    w, _ = world(Demand.of([ManualDemand.metric("s", 60_000), ManualDemand.metric("m", 1)]))

    async def act() -> None:
        w.pools.put(JOB, w.client)
        found(w.pools, "j", hosts("large"))
        await w.clock.advance(4.1)
        assert w.head.series_count == 0
        w.head.set_demand(Demand.keep_all(60_000))
        await w.clock.settle(2_000)
        assert w.values("m", i="5") == [5]
        assert w.values("up") == [1]

    play(w, act)


def test_a_mistake_of_ours_fails_one_scrape(caplog: pytest.LogCaptureFixture) -> None:
    w, _ = world()

    async def act() -> None:
        w.pools.put(JOB, w.client)
        found(w.pools, "j", hosts("small"))
        await w.clock.advance(5)
        w.pools.get("j").scrapers[0].cache.begin = None  # type: ignore[union-attr, method-assign]
        await w.clock.advance(10)
        assert targets(w) == {
            "small": (TargetHealth.DOWN, "internal error: TypeError: 'NoneType' object is not callable")
        }
        assert w.values("up") == [1, 0]
        assert "Traceback" in caplog.text

    play(w, act)


def test_who_takes_longer_than_its_timeout_is_not_waited_for_the_next_time() -> None:
    w, _ = world()

    async def act() -> None:
        w.pools.put(JOB, w.client)
        found(w.pools, "j", hosts("large"))
        await w.clock.advance(4.1)
        (scraper,) = w.pools.get("j").scrapers  # type: ignore[union-attr]
        assert not scraper.timed_out
        w.clock.stall(6)
        await w.clock.settle(2_000)
        assert w.values("up") == [1]
        assert scraper.timed_out

    play(w, act)
