from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import httpx

from rulepush.exposition import FamilyMetadata
from rulepush.http_client.build import RoutingTransport, build_client
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import is_stale
from rulepush.model.schedule import TickGrid
from rulepush.scrape.barrier import ScrapeBarrier
from rulepush.scrape.bodies import TargetBodies
from rulepush.scrape.job import Job
from rulepush.scrape.pool import ScrapePools
from rulepush.scrape.restored import RestoredSeries
from rulepush.scrape.sample_labels import SampleRules
from rulepush.scrape.scraper import OnScrape, ScrapeContext
from rulepush.scrape.sharding import ScrapeSharding
from rulepush.scrape.stats import ScrapeStats
from rulepush.scrape.target import Target, TargetDefaults, TargetHealth
from rulepush.scrape.turns import WorkTurns
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from tests.fakes import FakeClock
from tests.scrape.finding import found

GRID = TickGrid("test")
INTERVAL = 10_000
JOB = Job(TargetDefaults("j", INTERVAL, 5_000))
START = GRID.next_tick(1_700_000_000_000, INTERVAL) - 4_000  # the first moment comes in 4 s


class World:
    """Pools over fake targets: `bodies` by host, a string or an exception to raise."""

    def __init__(
        self,
        on_scrape: OnScrape | None = None,
        demand: Demand | None = None,
        turns: WorkTurns | None = None,
        start: int = START,
        bodies: TargetBodies | None = None,
    ) -> None:
        self.clock = FakeClock(start)
        self.head = Head(demand or Demand.keep_all(3_600_000))
        self.stats = ScrapeStats()
        self.bodies: dict[str, str | Exception | httpx.Response] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        self.restored = RestoredSeries()
        context = ScrapeContext(
            self.head,
            self.clock,
            self.stats,
            on_scrape=on_scrape,
            restored=self.restored,
            turns=turns or WorkTurns(lambda: 0.0),  # nothing takes time
            bodies=bodies,
        )
        self.pools = ScrapePools(context, GRID)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host in self.gates:
            await self.gates[host].wait()
        body = self.bodies.get(host, "")
        if isinstance(body, Exception):
            raise body
        if isinstance(body, httpx.Response):
            return body
        return httpx.Response(200, text=body, headers={"Content-Type": "text/plain"})

    def scrape(self, *names: str) -> None:
        """The job is JOB, its targets are these hosts."""
        self.pools.put(JOB, self.client)
        found(self.pools, "j", hosts(*names))

    def values(self, metric: str, **labels: str) -> list[float | str]:
        """The values of the one series that matches."""
        matchers = [Matcher(n, MatchOp.EQUAL, v) for n, v in {"__name__": metric, **labels}.items()]
        s = self.head.select(matchers, 0, 2**62)
        if not len(s.index):
            return []
        assert len(s.index) == 1
        return ["stale" if is_stale(v) else v for v in s.values[0, : s.counts[0]].tolist()]

    def times(self, metric: str) -> list[int]:
        """The times of the one series of a metric, in seconds after the first moment."""
        s = self.head.select([Matcher("__name__", MatchOp.EQUAL, metric)], 0, 2**62)
        return [(t - START - 4_000) // 1000 for t in s.times[0, : s.counts[0]].tolist()]


def hosts(*names: str) -> list[Labels]:
    return [Labels.of(__address__=name, instance=name) for name in names]


def play(world: World, act: Callable[[], Awaitable[None]]) -> None:
    """Run the pools while `act` goes on."""

    async def run() -> None:
        task = asyncio.ensure_future(world.pools.run())
        try:
            await act()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await world.client.aclose()

    asyncio.run(run())


def test_after_the_start_a_far_moment_is_not_waited_for() -> None:
    w = World(start=START - 5_000)  # the first moment comes in 9 s
    w.bodies = {"a": "x 1\n", "b": "y 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(11)
        assert w.times("x") == [-9, 0]
        found(w.pools, "j", hosts("a", "b"))  # the moment is as far, but this is no start
        await w.clock.advance(10)
        assert w.times("x") == [-9, 0, 10]
        assert w.times("y") == [10]

    play(w, act)


def test_targets_are_scraped_at_the_moments_of_the_grid() -> None:
    w = World()
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(3)
        assert w.stats.scrapes == 0
        await w.clock.advance(22)
        assert w.times("x") == [0, 10, 20]
        assert w.values("up") == [1.0, 1.0, 1.0]
        assert w.values("scrape_samples_scraped") == [1.0, 1.0, 1.0]
        assert w.values("scrape_series_added") == [1.0, 0.0, 0.0]
        assert w.values("scrape_samples_post_metric_relabeling") == [1.0, 1.0, 1.0]
        assert len(w.values("scrape_duration_seconds")) == 3

    play(w, act)


def test_a_target_says_how_much_was_scraped_and_how_much_of_it_is_kept() -> None:
    w = World(demand=Demand.of([ManualDemand.metric("x", 300_000)]))
    w.bodies = {"a": 'x{n="1"} 1\nx{n="2"} 1\nother 1\n'}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        pool = w.pools.get("j")
        assert pool is not None
        ((_, status),) = pool.targets
        assert (status.samples_scraped, status.samples_kept, status.body_bytes) == (3, 2, 30)
        w.bodies["a"] = "x 1\nbroken\n"
        await w.clock.advance(10)
        assert (status.samples_kept, status.body_bytes) == (0, 11)
        w.bodies["a"] = httpx.ConnectError("refused")
        await w.clock.advance(10)
        assert (status.samples_scraped, status.samples_kept, status.body_bytes) == (0, 0, 0)

    play(w, act)


def test_a_failed_scrape_sets_up_to_zero_and_ends_its_series() -> None:
    w = World()
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        w.bodies["a"] = "x 1\nbroken\n"
        await w.clock.advance(10)
        pool = w.pools.get("j")
        assert pool is not None
        ((_, status),) = pool.targets
        assert status.health is TargetHealth.DOWN
        assert status.last_error.startswith("line 2: expected value after metric")
        assert status.failing_since == START + 14_000
        w.bodies["a"] = httpx.ConnectError("refused")
        await w.clock.advance(10)
        assert status.failing_since == START + 14_000
        w.bodies["a"] = "x 2\n"
        await w.clock.advance(10)
        assert (status.health, status.last_error, status.failing_since) == (TargetHealth.UP, "", 0)
        assert w.values("x") == [1.0, "stale", 2.0]
        assert w.values("up") == [1.0, 0.0, 0.0, 1.0]
        assert (w.stats.scrapes, w.stats.failed) == (4, 2)

    play(w, act)


def test_targets_come_and_go_without_disturbing_the_others() -> None:
    w = World()
    w.bodies = {"a": "x 1\n", "b": "y 1\n"}

    async def act() -> None:
        w.scrape("a", "b")
        await w.clock.advance(5)
        found(w.pools, "j", hosts("a"))
        await w.clock.advance(40)
        found(w.pools, "j", hosts("a", "b"))
        await w.clock.advance(10)
        assert w.times("x") == [0, 10, 20, 30, 40, 50]
        assert w.values("y") == [1.0, "stale", 1.0]
        assert w.times("y") == [0, 10, 50]
        assert w.values("up", instance="b") == [1.0, "stale", 1.0]

    play(w, act)


def test_the_connections_of_a_target_go_with_it() -> None:
    w = World()
    w.bodies = {"a": "x 1\n", "b": "y 1\n"}
    full = build_client(transport=httpx.MockTransport(w.answer))
    client = ClientOnDemand(NO_CLIENT_SETTINGS, "test", lambda: full, plain=False)
    network = full._transport
    assert isinstance(network, RoutingTransport)

    async def act() -> None:
        w.pools.put(JOB, client)
        found(w.pools, "j", hosts("a", "b"))
        await w.clock.advance(5)
        assert network.route_count == 2
        found(w.pools, "j", hosts("b"))
        await w.clock.settle()
        assert network.route_count == 1
        await w.clock.advance(10)
        assert network.route_count == 1
        await client.aclose()

    play(w, act)


def test_a_target_that_comes_back_soon_gets_no_stale_marker() -> None:
    w = World()
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        found(w.pools, "j", [])
        found(w.pools, "j", hosts("a"))
        await w.clock.advance(50)
        assert w.values("x") == [1.0] * 6

    play(w, act)


def test_a_target_that_comes_back_within_an_interval_of_its_end_gets_no_stale_marker() -> None:
    w = World()
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        found(w.pools, "j", [])  # ends at the moment 10, which is 9 s from now
        await w.clock.advance(11)
        found(w.pools, "j", hosts("a"))  # too late for that moment, in time for the next
        await w.clock.advance(20)
        assert w.times("x") == [0, 20, 30]
        assert w.values("x") == [1.0] * 3

    play(w, act)


def test_of_two_targets_with_equal_labels_neither_ends_what_was_there_before_the_restart() -> None:
    def relabel(labels: Labels) -> Labels:
        return labels.with_({"instance": "same"})

    w = World()
    w.bodies = {"a": "x 1\n", "b": "y 1\n"}
    old = [Labels.of(__name__=name, job="j", instance="same") for name in ("x", "y", "z")]
    for labels in old:
        w.head.append(labels, START - 10_000, 0.0)
    w.restored.add(old, ())

    async def act() -> None:
        w.pools.put(replace(JOB, relabel=relabel), w.client)
        found(w.pools, "j", hosts("a", "b"))
        await w.clock.advance(15)
        assert w.values("x") == [0.0, 1.0, 1.0]
        assert w.values("y") == [0.0, 1.0, 1.0]
        assert w.values("z") == [0.0]

    play(w, act)


def test_a_new_configuration_of_a_job_keeps_its_series() -> None:
    w = World()
    w.bodies = {"a": "x 1\ny 1\n"}

    async def act() -> None:
        w.scrape("a", "b")
        await w.clock.advance(5)
        drop_y = SampleRules(metric_relabel=lambda labels: None if labels.name == "y" else labels)
        w.pools.put(replace(JOB, rules=drop_y, relabel=lambda x: x if x.get("__address__") == "a" else None), w.client)
        await w.clock.advance(50)
        assert w.values("x") == [1.0] * 6
        assert w.values("y") == [1.0, "stale"]
        assert w.values("scrape_series_added", instance="a") == [2.0] + [0.0] * 5
        assert w.values("up", instance="b") == [1.0, "stale"]

    play(w, act)


def test_a_removed_job_ends_its_series() -> None:
    w = World()
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        w.pools.remove("j")
        assert list(w.pools) == []
        await w.clock.advance(50)
        assert w.values("x") == [1.0, "stale"]

    play(w, act)


def test_a_tick_waits_for_the_scrapes_of_its_moment_and_no_longer() -> None:
    w = World()
    w.bodies = {"a": "x 1\n", "b": "y 1\n"}

    async def act() -> None:
        w.gates["b"] = asyncio.Event()
        w.scrape("a", "b")
        await w.clock.settle()
        tick = asyncio.ensure_future(w.pools.scrapes_done(START + 4_000))
        assert await w.pools.scrapes_done(START + 3_999)
        await w.clock.advance(4.5)
        assert w.values("x") == [1.0]
        assert not tick.done()
        w.gates["b"].set()
        await w.clock.settle()
        assert tick.done()
        assert await tick is True
        assert w.times("y") == [0]

    play(w, act)


def test_a_tick_waits_for_a_target_that_hangs_until_its_timeout() -> None:
    w = World()

    async def act() -> None:
        w.gates["a"] = asyncio.Event()
        w.scrape("a")
        await w.clock.advance(4)
        tick = asyncio.ensure_future(w.pools.scrapes_done(START + 4_000))
        await w.clock.advance(4.9)
        assert not tick.done()
        await w.clock.advance(0.2)
        assert await tick is True
        assert w.values("up") == [0.0]

    play(w, act)


def test_a_tick_waits_no_longer_than_a_scrape_may_take() -> None:
    async def act() -> None:
        clock = FakeClock()
        barrier = ScrapeBarrier(clock)
        barrier.expect(1)
        tick = asyncio.ensure_future(barrier.scrapes_done(1, 5.1))
        await clock.advance(5)
        assert not tick.done()
        await clock.advance(0.2)
        assert await tick is False

    asyncio.run(act())


def test_between_two_scrapes_nothing_but_the_next_one_wakes_the_process() -> None:
    w = World()

    async def act() -> None:
        w.scrape("a")
        await w.clock.settle()
        before = w.clock.planned
        w.gates["a"] = asyncio.Event()
        await w.clock.advance(4)
        tick = asyncio.ensure_future(w.pools.scrapes_done(START + 4_000))
        await w.clock.settle()
        assert w.clock.planned == before + 1  # the deadline of the scrape, and how long rules wait
        w.gates["a"].set()
        await w.clock.settle()
        assert await tick
        assert w.clock.planned == before

    play(w, act)


def test_nobody_waits_for_a_target_that_hung_the_last_time() -> None:
    w = World()

    async def act() -> None:
        w.bodies["a"] = TimeoutError()
        w.scrape("a")
        await w.clock.advance(5)
        w.gates["a"] = asyncio.Event()
        await w.clock.advance(10)
        tick = asyncio.ensure_future(w.pools.scrapes_done(START + 14_000))
        await w.clock.settle()
        assert tick.done()
        w.gates["a"].set()

    play(w, act)


def test_more_targets_than_the_limit_fail_all() -> None:
    w = World()

    async def act() -> None:
        w.pools.put(replace(JOB, target_limit=1), w.client)
        found(w.pools, "j", hosts("a", "b"))
        await w.clock.advance(5)
        pool = w.pools.get("j")
        assert pool is not None
        errors = {status.last_error for _, status in pool.targets}
        assert errors == {"target_limit exceeded (number of targets: 2, limit: 1)"}
        assert w.values("up", instance="a") == [0.0]
        found(w.pools, "j", hosts("b"))
        await w.clock.advance(10)
        assert w.values("up", instance="b") == [0.0, 1.0]

    play(w, act)


def test_after_the_clock_is_set_back_scraping_goes_on_at_once() -> None:
    w = World()
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(25)
        w.clock.set_wall(w.clock.now() - 3_600_000)
        await w.clock.advance(25)
        assert w.times("x") == [-3570, -3560]
        pool = w.pools.get("j")
        assert pool is not None
        assert pool.targets[0][1].health is TargetHealth.UP

    play(w, act)


def test_after_the_clock_is_set_forward_the_missed_moments_are_skipped() -> None:
    w = World()
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        w.clock.set_wall(w.clock.now() + 3_600_000)
        await w.clock.advance(20)
        assert w.times("x")[-1] in (3610, 3620)
        assert w.stats.scrapes <= 4
        assert w.stats.skipped >= 359

    play(w, act)


def test_whoever_listens_gets_all_samples_of_a_scrape_at_once() -> None:
    received: list[tuple[str, list[tuple[str, float | str]]]] = []

    def on_scrape(
        target: Target, blocks: Sequence[SampleBlock], metadata: Callable[[], Mapping[str, FamilyMetadata]]
    ) -> None:
        assert metadata() == {"x": FamilyMetadata("gauge")}
        got = [(s.labels.name, "stale" if is_stale(s.value) else s.value) for b in blocks for s in b.samples()]
        received.append((target.labels.get("instance"), [g for g in got if not g[0].startswith("scrape_")]))

    w = World(on_scrape, Demand.of([]))
    w.bodies = {"a": "# TYPE x gauge\nx 1\ny 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        w.bodies["a"] = "# TYPE x gauge\nx 2\n"
        await w.clock.advance(10)
        found(w.pools, "j", [])
        await w.clock.advance(30)

    play(w, act)
    assert received == [
        ("a", [("x", 1.0), ("y", 1.0), ("up", 1.0)]),
        ("a", [("x", 2.0), ("up", 1.0), ("y", "stale")]),
        ("a", [("x", "stale"), ("up", "stale")]),
    ]
    assert w.head.series_count == 0


def test_with_another_number_of_shards_what_stays_is_scraped_on_at_its_moments() -> None:
    w = World()
    fleet = hosts(*(f"app-{i}" for i in range(1_000)))
    shards = ScrapeSharding(0, 5), ScrapeSharding(0, 6)
    first, second = ({t.get("instance") for t in fleet if s.taken(t) is not None} for s in shards)
    stays, goes, comes = first & second, first - second, second - first
    w.bodies = dict.fromkeys(first | second, "x 1\n")

    async def act() -> None:
        w.pools.put(replace(JOB, sharding=shards[0]), w.client)
        found(w.pools, "j", fleet)
        await w.clock.advance(25)
        w.pools.put(replace(JOB, sharding=shards[1]), w.client)
        await w.clock.settle()
        (pool,) = w.pools
        assert {target.labels.get("instance") for target, _ in pool.targets} == second
        assert (pool.dropped, pool.elsewhere) == ([], 1_000 - len(second)), "of the others only the number is kept"
        await w.clock.advance(30)

    play(w, act)
    assert min(len(stays), len(goes), len(comes)) > 20
    s = w.head.select([Matcher("__name__", MatchOp.EQUAL, "x")], 0, 2**62)
    moments = {
        labels.get("instance"): [(t - START - 4_000) // 1000 for t in times[:count].tolist()]
        for labels, times, count in zip(s.index.labels, s.times, s.counts, strict=True)
    }
    assert {tuple(moments[name]) for name in stays} == {(0, 10, 20, 30, 40, 50)}
    assert {tuple(moments[name][:3]) for name in goes} == {(0, 10, 20)}
    assert {tuple(moments[name]) for name in comes} == {(30, 40, 50)}
