"""Scrape configurations at work: what a reload keeps, what it changes, and what is known of the targets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import httpx
import pytest

from rulepush.config.sections import ScrapeConfig
from rulepush.discovery.groups import ADDRESS, Discoverer, Environment, GroupSink, TargetGroup
from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.discovery.static import StaticConfig
from rulepush.exposition import FamilyMetadata
from rulepush.http_client.config import HTTPClientConfig
from rulepush.model.block import SampleBlock
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.model.schedule import TickGrid
from rulepush.scrape.target import Target
from rulepush.service.scraping import Jobs
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.fakes import FakeClock

START = 1_700_000_000_000
GRID = TickGrid("replica-3957")  # its moments: 4 s after START (every 5 s), 9 s (every 15 s), 24 s (every 30 s)
INTERVAL = 10_000


@dataclass(frozen=True, slots=True)
class SlowConfig:
    """A discovery that answers only when the test says so."""

    name: str = "slow"
    kind: str = "slow"

    def discoverer(self, env: Environment) -> Discoverer:
        return SlowDiscovery()


class SlowDiscovery:
    sink: GroupSink | None = None

    async def run(self, sink: GroupSink) -> None:
        SlowDiscovery.sink = sink
        await asyncio.Event().wait()


def job(name: str, *addresses: str, **settings: object) -> ScrapeConfig:
    found = (StaticConfig(addresses, EMPTY_LABELS),)
    return replace(ScrapeConfig(name, INTERVAL, 5_000, sd_configs=found), **settings)  # type: ignore[arg-type]


class World:
    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.head = Head(Demand.keep_all(3_600_000))
        self.asked: list[str] = []
        self.down: set[str] = set()
        self.clients: list[httpx.AsyncClient] = []
        self.sunk: list[tuple[str, str]] = []
        self.jobs = Jobs(self.head, GRID, Environment(self.clock, DiscoveryReporter()), self.client)

    def client(self, _: HTTPClientConfig) -> httpx.AsyncClient:
        self.clients.append(httpx.AsyncClient(transport=httpx.MockTransport(self.answer)))
        return self.clients[-1]

    def answer(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        self.asked.append(host)
        if host in self.down:
            raise httpx.ConnectError("connection refused", request=request)
        body = f"# TYPE of_{host} gauge\n# HELP of_{host} Exposed by {host}.\nof_{host} 1\n"
        return httpx.Response(200, text=body, headers={"Content-Type": "text/plain"})

    def sink(
        self, target: Target, blocks: Sequence[SampleBlock], _: Callable[[], Mapping[str, FamilyMetadata]]
    ) -> None:
        self.sunk += [(target.url, s.labels.name) for block in blocks for s in block.samples()]

    def scrapes(self) -> list[str]:
        """The hosts scraped since the last call."""
        asked, self.asked = sorted(self.asked), []
        return asked

    @property
    def urls(self) -> list[str]:
        return [target.url for pool in self.jobs for target, _ in pool.targets]


def play(act: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        running = asyncio.create_task(world.jobs.run())
        await asyncio.sleep(0)
        try:
            await act(world)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await world.jobs.aclose()
        assert all(client.is_closed for client in world.clients)

    asyncio.run(main())


def test_jobs_are_scraped_at_their_interval() -> None:
    async def act(world: World) -> None:
        await world.jobs.sync([job("a", "h1", "h2"), job("b", "h3", scrape_interval_ms=30_000)])
        assert world.jobs.complete_since is None
        await world.clock.advance(15)
        assert world.scrapes() == ["h1"] * 2 + ["h2"] * 2 + ["h3"]  # h3 at once, for its first moment is far
        assert world.jobs.target_count == 3
        assert world.jobs.scraped_since is not None
        assert world.jobs.complete_since is None  # h3 was scraped once
        await world.clock.advance(15)
        assert world.scrapes() == ["h1", "h2", "h3"]
        since = world.jobs.complete_since
        assert since is not None
        assert since % INTERVAL == next(iter(world.head.tables())).newest()[0] % INTERVAL
        assert START + 15_000 < since <= START + 30_000

    play(act)


def test_a_reload_leaves_what_did_not_change_alone() -> None:
    async def act(world: World) -> None:
        same, other = job("same", "h1"), job("other", "h2")
        await world.jobs.sync([same, other, job("gone", "h3")])
        await world.clock.advance(10)
        world.scrapes()
        client = world.clients[0]
        await world.jobs.sync([same, replace(other, metrics_path="/m"), job("new", "h4")])
        await world.clock.advance(10)
        assert world.scrapes() == ["h1", "h2", "h4"]
        assert world.urls == ["http://h1/metrics", "http://h2/m", "http://h4/metrics"]
        assert [c.is_closed for c in world.clients] == [False, True, True, False, False]
        assert world.clients[0] is client

    play(act)


def test_with_another_sink_every_job_begins_anew_and_fills_it() -> None:
    async def act(world: World) -> None:
        await world.jobs.sync([job("a", "h1")])
        await world.clock.advance(10)
        assert world.sunk == []
        await world.jobs.sync([job("a", "h1")], world.sink)
        await world.clock.advance(10)
        assert ("http://h1/metrics", "of_h1") in world.sunk
        assert ("http://h1/metrics", "up") in world.sunk

    play(act)


def test_until_a_discovery_has_answered_nothing_is_complete() -> None:
    async def act(world: World) -> None:
        slow = replace(job("slow"), sd_configs=(SlowConfig(),))
        await world.jobs.sync([job("a", "h1"), slow])
        await world.clock.advance(60)
        assert (world.jobs.scraped_since, world.jobs.complete_since) == (None, None)
        assert SlowDiscovery.sink is not None
        SlowDiscovery.sink.replace([TargetGroup("0", (Labels({ADDRESS: "h2"}),))])
        await world.clock.settle()
        assert world.jobs.scraped_since is None
        await world.clock.advance(20)
        assert world.jobs.scraped_since is not None
        since = world.jobs.complete_since
        assert since is not None
        assert since > START + 60_000
        # A reload that changes the job goes on with the targets it knows, although nothing is published again.
        await world.jobs.sync([replace(slow, metrics_path="/m")])
        await world.clock.settle()
        assert world.urls == ["http://h2/m"]
        assert world.jobs.complete_since == since

    play(act)


def test_an_interruption_makes_what_was_scraped_count_no_longer() -> None:
    async def act(world: World) -> None:
        await world.jobs.sync([job("a", "h1")])
        await world.clock.advance(20)
        before = world.jobs.complete_since
        assert before is not None
        world.jobs.interrupted()
        assert world.jobs.complete_since is None
        await world.clock.advance(20)
        assert world.jobs.complete_since == before + 20_000

    play(act)


@pytest.mark.parametrize(
    ("labels", "down"),
    [
        ({"job": "a", "instance": "h2"}, True),
        ({"job": "a", "instance": "h1"}, False),
        ({"job": "b"}, False),
        ({"job": "a"}, True),
        ({"instance": "h2"}, True),
        ({}, True),
        ({"job": "nothing"}, False),
    ],
)
def test_whether_the_target_of_a_series_is_down(labels: dict[str, str], down: bool) -> None:
    async def act(world: World) -> None:
        world.down.add("h2")
        await world.jobs.sync([job("a", "h1", "h2"), job("b", "h3")])
        await world.clock.advance(10)
        assert world.jobs.target_down(Labels(labels)) is down

    play(act)


def test_metadata_is_what_the_targets_exposed_last() -> None:
    async def act(world: World) -> None:
        await world.jobs.sync([job("a", "h1"), job("b", "h2")])
        await world.clock.advance(10)
        metadata = world.jobs.metadata()
        assert {name: (m.type, m.help) for name, m in metadata.items()} == {
            "of_h1": ("gauge", "Exposed by h1."),
            "of_h2": ("gauge", "Exposed by h2."),
        }

    play(act)


def test_jobs_synced_before_they_run_are_scraped_once_they_do() -> None:
    async def main() -> None:
        world = World()
        await world.jobs.sync([job("a", "h1")])
        running = asyncio.create_task(world.jobs.run())
        await world.clock.advance(10)
        assert world.scrapes() == ["h1"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await world.jobs.aclose()

    asyncio.run(main())


def test_jobs_with_one_discovery_share_it_and_a_reload_of_a_job_leaves_it_running() -> None:
    async def act(world: World) -> None:
        one, two = (replace(job(name), sd_configs=(SlowConfig(),)) for name in ("one", "two"))
        SlowDiscovery.sink = None
        await world.jobs.sync([one, two])
        await world.clock.settle()
        sink = SlowDiscovery.sink
        assert sink is not None
        sink.replace([TargetGroup("0", (Labels({ADDRESS: "h1"}),))])
        await world.clock.advance(10)
        assert world.scrapes() == ["h1", "h1"]
        SlowDiscovery.sink = None
        await world.jobs.sync([replace(one, metrics_path="/m"), two])
        await world.jobs.sync([replace(one, metrics_path="/n"), job("other", "h2")])
        await world.clock.settle()
        assert SlowDiscovery.sink is None, "none began anew"
        assert world.urls == ["http://h1/n", "http://h2/metrics"]
        sink.replace([TargetGroup("0", (Labels({ADDRESS: "h3"}),))])
        await world.clock.advance(10)
        assert world.urls == ["http://h3/n", "http://h2/metrics"]

    play(act)
