"""The `alertmanagers` sections at work: discoveries in, destinations out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import httpx

from rulepush.config.sections import AlertmanagerConfig
from rulepush.discovery.groups import ADDRESS, Discoverer, Environment, GroupSink, TargetGroup
from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.discovery.static import StaticConfig
from rulepush.http_client.config import BasicAuth, HTTPClientConfig, HTTPHeader
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.model.secret import Secret
from rulepush.notifier.alertmanager_sets import AlertmanagerSets, relabel_chain
from rulepush.notifier.notifier import Notifier, SendSettings
from rulepush.relabel.relabel import RelabelConfig
from tests.fakes import FakeClock
from tests.notifier.test_notifier import alert
from tests.notifier.test_sendloop import FakeStore


@dataclass(frozen=True, slots=True)
class HandConfig:
    """A discovery that publishes by the hand of the test."""

    kind: str = "hand"

    def discoverer(self, env: Environment) -> Discoverer:
        return ByHand()


class ByHand:
    sink: GroupSink | None = None

    async def run(self, sink: GroupSink) -> None:
        ByHand.sink = sink
        await asyncio.Event().wait()


def publish(*addresses: str) -> None:
    assert ByHand.sink is not None
    ByHand.sink.replace([TargetGroup("0", tuple(Labels({ADDRESS: a}) for a in addresses))])


def static(*addresses: str, **settings: object) -> AlertmanagerConfig:
    found = (StaticConfig(addresses, EMPTY_LABELS),)
    return replace(AlertmanagerConfig(sd_configs=found), **settings)  # type: ignore[arg-type]


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.got: dict[str, list[str]] = {}
        self.tenants: list[str] = []
        self.clients: list[httpx.AsyncClient] = []
        self.notifier = Notifier(self.clock, FakeStore(), SendSettings("", EMPTY_LABELS))
        self.sections = AlertmanagerSets(self.notifier, Environment(self.clock, DiscoveryReporter()), self.client)

    def client(self, config: HTTPClientConfig) -> httpx.AsyncClient:
        headers = [(h.name, v) for h in config.headers for v in h.values]
        self.clients.append(httpx.AsyncClient(transport=httpx.MockTransport(self.answer), headers=headers))
        return self.clients[-1]

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.got.setdefault(str(request.url), []).append(request.content.decode())
        self.tenants.append(request.headers.get("X-Scope-OrgID", ""))
        return httpx.Response(200)

    async def sends_to(self) -> list[str]:
        """The hosts that an alert sent now arrives at."""
        self.got.clear()
        self.notifier.send([alert("A")], "up", 0)
        await self.clock.settle()
        return sorted(httpx.URL(url).host for url in self.got)


def play(act: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        running = [asyncio.create_task(world.notifier.run()), asyncio.create_task(world.sections.run())]
        await asyncio.sleep(0)
        try:
            await act(world)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await world.sections.aclose()
        assert all(client.is_closed for client in world.clients)

    asyncio.run(main())


def test_alerts_go_where_the_sections_say() -> None:
    async def act(world: World) -> None:
        move = RelabelConfig(source_labels=(ADDRESS,), regex="c", target_label=ADDRESS, replacement="")
        await world.sections.sync([static("a", "b"), static("c", "d", path_prefix="/am", relabel_configs=(move,))])
        await world.clock.settle()
        assert await world.sends_to() == ["a", "b", "d"]
        assert world.sections.active[2] == "http://d/am/api/v2/alerts"
        assert world.sections.dropped == ("http://c/am/api/v2/alerts",)

    play(act)


def test_a_reload_that_moves_an_alertmanager_to_another_section_keeps_its_outbox() -> None:
    async def act(world: World) -> None:
        await world.sections.sync([static("a"), static("b")])
        await world.clock.settle()
        loops = {loop.url: loop for loop in world.notifier.loops}
        await world.sections.sync([static("b", timeout_ms=1000), static("c")])
        await world.clock.settle()
        assert await world.sends_to() == ["b", "c"]
        after = {loop.url: loop for loop in world.notifier.loops}
        assert after["http://b/api/v2/alerts"] is loops["http://b/api/v2/alerts"]
        assert [c.is_closed for c in world.clients] == [True, True, False, False]

    play(act)


def login(password: str) -> AlertmanagerConfig:
    user = BasicAuth("u", password=Secret(password))
    return static("am:1", http_client=HTTPClientConfig(basic_auth=user))


def test_a_reload_that_changes_a_password_keeps_the_outbox() -> None:
    async def act(world: World) -> None:
        await world.sections.sync([login("1")])
        await world.clock.settle()
        (before,) = world.notifier.loops
        await world.sections.sync([login("2")])
        await world.clock.settle()
        (after,) = world.notifier.loops
        assert after is before

    play(act)


def tenant(name: str, *addresses: str) -> AlertmanagerConfig:
    return static(*addresses, http_client=HTTPClientConfig(headers=(HTTPHeader("X-Scope-OrgID", (name,)),)))


def test_two_tenants_of_one_server_both_get_the_alert() -> None:
    async def act(world: World) -> None:
        await world.sections.sync([tenant("a", "am:1"), tenant("b", "am:1", "other:1"), tenant("b", "am:1")])
        await world.clock.settle()
        await world.sends_to()
        assert sorted(world.tenants) == ["a", "b", "b"]
        urls = ["http://am:1/api/v2/alerts", "http://am:1/api/v2/alerts#2", "http://other:1/api/v2/alerts"]
        assert sorted(loop.url for loop in world.notifier.loops) == urls
        assert world.sections.active == (urls[0], urls[2])
        kept = {loop.url: loop for loop in world.notifier.loops}
        world.tenants.clear()
        await world.sections.sync([tenant("b", "am:1"), tenant("c", "am:1")])  # c in the place of a
        await world.clock.settle()
        await world.sends_to()
        assert sorted(world.tenants) == ["b", "c"]
        assert all(kept[loop.url] is loop for loop in world.notifier.loops)

    play(act)


def test_an_unchanged_section_goes_on_undisturbed() -> None:
    async def act(world: World) -> None:
        await world.sections.sync([static("a"), static("a")])
        await world.clock.settle()
        await world.sections.sync([static("a")])
        await world.clock.settle()
        assert len(world.clients) == 1
        assert await world.sends_to() == ["a"]

    play(act)


def test_until_a_new_discovery_has_answered_nobody_is_given_up() -> None:
    async def act(world: World) -> None:
        await world.sections.sync([static("a")])
        await world.clock.settle()
        by_hand = AlertmanagerConfig(sd_configs=(HandConfig(),))
        await world.sections.sync([by_hand])
        await world.clock.settle()
        assert await world.sends_to() == ["a"]  # it may be the one that the discovery will name
        publish("b")
        await world.clock.settle()
        assert await world.sends_to() == ["b"]
        await world.sections.sync([replace(by_hand, timeout_ms=1000)])  # knows what the former discovery knew
        await world.clock.settle()
        assert await world.sends_to() == ["b"]

    play(act)


def test_nothing_to_relabel_costs_nothing() -> None:
    assert relabel_chain(()) is None
    chain = relabel_chain((RelabelConfig(target_label="x", replacement="y"),))
    assert chain is not None
    assert chain(Labels.of(a="b")) == Labels.of(a="b", x="y")


def test_sections_synced_before_they_run_are_in_effect_once_they_do() -> None:
    async def main() -> None:
        world = World()
        await world.sections.sync([static("a")])
        running = [asyncio.create_task(world.notifier.run()), asyncio.create_task(world.sections.run())]
        await world.clock.settle()
        assert await world.sends_to() == ["a"]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await world.sections.aclose()

    asyncio.run(main())


def test_an_outbox_is_asked_about_as_its_section_reaches_it() -> None:
    asked: list[tuple[str, str, float]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        key = request.headers.get("X-Scope-OrgID", "")
        asked.append((str(request.url), key, request.extensions["timeout"]["read"]))
        return httpx.Response(200, json={"cluster": {}, "versionInfo": {"version": "0.27.0"}})

    def client(config: HTTPClientConfig) -> httpx.AsyncClient:
        headers = [(h.name, v) for h in config.headers for v in h.values]
        return httpx.AsyncClient(transport=httpx.MockTransport(answer), headers=headers)

    async def go() -> None:
        clock = FakeClock()
        notifier = Notifier(clock, FakeStore(), SendSettings("", EMPTY_LABELS))
        sections = AlertmanagerSets(notifier, Environment(clock, DiscoveryReporter()), client)
        tenant = HTTPClientConfig(headers=(HTTPHeader("X-Scope-OrgID", ("b",)),))
        running = asyncio.create_task(sections.run())
        await sections.sync([static("am:9093"), static("am:9093", http_client=tenant, timeout_ms=2_000)])
        await clock.settle()
        first, second = [loop.url for loop in notifier.loops]
        for name in (first, second):
            probe = await sections.probe(name, 5.0)
            assert probe is not None
            assert (probe.fault, probe.version) == ("", "0.27.0")
        assert await sections.probe("http://other:9093/api/v2/alerts", 5.0) is None
        running.cancel()
        await sections.aclose()

    asyncio.run(go())
    url = "http://am:9093/api/v2/status"
    assert asked == [(url, "", 5.0), (url, "b", 2.0)]
