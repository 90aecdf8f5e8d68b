"""What is sent on besides alerts: over reloads that add, change and remove receivers, and over a stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rulepush.config.sections import Config, GlobalConfig, PushgatewayConfig, QueueConfig, RemoteWriteConfig
from rulepush.exposition import FamilyMetadata
from rulepush.http_client.config import HTTPClientConfig
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.model.secret import Secret
from rulepush.recorded.events import Origin
from rulepush.remote.receiver import WriteLimits, decode
from rulepush.scrape.target import Discovered, Target, TargetDefaults
from rulepush.service.consumers import SampleConsumers, TeeAppender
from rulepush.service.outputs import Outputs
from rulepush.service.recording import SampleRecording
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from tests.fakes import FakeClock

T = 1_700_000_000_000
FAR = RemoteWriteConfig(Secret("http://far/write"), "far", queue=QueueConfig(min_backoff_ms=1, max_backoff_ms=1))
NEAR = RemoteWriteConfig(Secret("http://near/write"), "near")
GATEWAY = PushgatewayConfig(Secret("http://gateway"), "gateway", jobs=("app",))
DEFAULTS = TargetDefaults("app", 1000, 1000)
TARGET = Target(Discovered(Labels(), DEFAULTS), Labels.of(job="app", instance="h:1"), (), 1000, 1000)


class Network:
    """Remote write receivers and a Pushgateway: what each host got. Those in `away` cannot be reached."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.samples: dict[str, list[Sample]] = {}
        self.pushes: list[tuple[str, str]] = []
        self.clients: list[httpx.AsyncClient] = []

    def client(self, _: HTTPClientConfig) -> httpx.AsyncClient:
        self.clients.append(httpx.AsyncClient(transport=httpx.MockTransport(self._handle)))
        return self.clients[-1]

    def _handle(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host in self.away:
            raise httpx.ConnectError("connection refused")
        if host == "gateway":
            self.pushes.append((request.method, request.content.decode()))
            return httpx.Response(200)
        batch = decode(request.content, request.headers["content-type"], "snappy", WriteLimits())
        self.samples.setdefault(host, []).extend(batch.samples)
        return httpx.Response(204)

    def got(self, host: str) -> list[tuple[str, float]]:
        return [(s.labels.name, s.value) for s in self.samples.get(host, [])]


class Scene:
    """Outputs at work, with a fake network and clock."""

    def __init__(self, network: Network, outputs: Outputs, clock: FakeClock):
        self.network = network
        self.outputs = outputs
        self.consumers = SampleConsumers(outputs, SampleRecording(None, clock), clock)
        self.clock = clock

    async def sync(self, *writes: RemoteWriteConfig, gateways: Sequence[PushgatewayConfig] = (), **labels: str) -> None:
        config = Config("x", GlobalConfig(external_labels=Labels(labels)), remote_write=writes)
        await self.outputs.sync(replace(config, pushgateways=tuple(gateways)))

    async def sent(self) -> None:
        """Let what waits go out."""
        await self.clock.advance(6)


def run(
    test: Callable[[Scene], Awaitable[None]], directory: Path | None = None, network: Network | None = None
) -> None:
    async def go() -> None:
        clock = FakeClock(T)
        net = network or Network()
        outputs = Outputs(clock, net.client, directory, dict, 0.05)
        running = asyncio.create_task(outputs.run())
        await asyncio.sleep(0)
        await test(Scene(net, outputs, clock))
        await outputs.aclose()
        running.cancel()
        await asyncio.wait([running])
        assert all(client.is_closed for client in net.clients)

    asyncio.run(go())


def metadata() -> dict[str, FamilyMetadata]:
    return {"m": FamilyMetadata("gauge", "A metric.")}


def sample(name: str, value: float, ts: int = T) -> Sample:
    return Sample(Labels({"__name__": name, "job": "app", "instance": "h:1"}), ts, value)


def test_a_scrape_goes_to_every_receiver() -> None:
    async def test(scene: Scene) -> None:
        assert not scene.outputs.active
        await scene.sync(FAR, NEAR, gateways=[GATEWAY], site="e2e")
        assert scene.outputs.active
        scene.outputs.scraped(TARGET, [sample("m", 1), sample("up", 1)], metadata)
        await scene.sent()
        net = scene.network
        assert net.got("far") == net.got("near") == [("m", 1), ("up", 1)]
        assert all(s.labels.get("site") == "e2e" for s in net.samples["far"])
        labels = '{instance="h:1",job="app"}'
        assert net.pushes == [("PUT", f"# HELP m A metric.\n# TYPE m gauge\nm{labels} 1\nup{labels} 1\n")]

    run(test)


def test_what_rules_and_pushes_write_is_stored_and_sent_on() -> None:
    async def test(scene: Scene) -> None:
        head = Head(Demand.of([]))
        tap = TeeAppender(head, scene.consumers, Origin.RULE)
        tap.append_many(iter([sample("before", 1)]))
        await scene.sync(FAR, gateways=[GATEWAY])
        tap.append_many(iter([sample("ALERTS", 1), sample("recorded", 2)]))
        await scene.sent()
        assert scene.network.got("far") == [("ALERTS", 1), ("recorded", 2)]
        assert scene.network.pushes == []  # a Pushgateway gets scrapes only

    run(test)


def test_the_storage_gets_the_same_with_and_without_receivers() -> None:
    async def test(scene: Scene) -> None:
        stored = []
        for writes in ([], [FAR]):
            await scene.sync(*writes)
            head = Head(Demand.keep_all(60_000))
            outcomes = TeeAppender(head, scene.consumers, Origin.RULE).append_many(
                iter([sample("m", 1), sample("m", 1), sample("n", 2)])
            )
            stored.append((outcomes, sorted(str(labels) for labels in head.series([]))))
        assert stored[0] == stored[1]

    run(test)


def test_a_reload_leaves_alone_what_did_not_change() -> None:
    async def test(scene: Scene) -> None:
        await scene.sync(FAR, gateways=[GATEWAY])
        senders, forwarders = scene.outputs.senders, scene.outputs.forwarders
        await scene.sync(NEAR, FAR, gateways=[GATEWAY])
        assert [s.name for s in scene.outputs.senders] == ["far", "near"]
        assert scene.outputs.senders[0] is senders[0]
        assert scene.outputs.forwarders[0] is forwarders[0]

    run(test)


def test_a_receiver_that_is_removed_gets_what_waits_and_nothing_more() -> None:
    async def test(scene: Scene) -> None:
        await scene.sync(FAR, gateways=[GATEWAY])
        scene.outputs.offer([sample("m", 1)])
        await scene.sync()
        scene.outputs.scraped(TARGET, [sample("m", 2, T + 1)], metadata)
        assert not scene.outputs.active
        await scene.sent()
        assert scene.network.got("far") == [("m", 1)]
        assert scene.network.pushes == []

    run(test)


def test_a_receiver_that_is_changed_goes_on_with_what_waits_on_disk(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        scene.network.away.add("far")
        await scene.sync(FAR, site="a")
        scene.outputs.offer([sample("m", 1)])
        await scene.sent()
        scene.outputs.offer([sample("m", 2, T + 1)])
        await scene.sync(replace(FAR, remote_timeout_ms=7), site="b")
        scene.outputs.offer([sample("m", 3, T + 2)])
        scene.network.away.clear()
        await scene.sent()
        assert scene.network.got("far") == [("m", 1), ("m", 2), ("m", 3)]
        assert [s.labels.get("site") for s in scene.network.samples["far"]] == ["a", "a", "b"]

    run(test, tmp_path)


@pytest.mark.parametrize("on_disk", [False, True])
def test_no_sample_is_missed_while_receivers_are_exchanged(tmp_path: Path, on_disk: bool) -> None:
    async def test(scene: Scene) -> None:
        await scene.sync(FAR)
        reload = asyncio.create_task(scene.sync(replace(FAR, remote_timeout_ms=7)))
        offered = 0
        while not reload.done():
            scene.outputs.offer([sample("m", offered, T + offered)])
            offered += 1
            await asyncio.sleep(0)
        await scene.sent()
        assert [value for _, value in scene.network.got("far")] == list(range(offered))

    run(test, tmp_path if on_disk else None)


def test_a_stop_sends_what_waits_or_saves_it(tmp_path: Path) -> None:
    network = Network()

    async def first(scene: Scene) -> None:
        scene.network.away.add("near")
        await scene.sync(FAR, NEAR)
        scene.outputs.offer([sample("m", 1)])
        stop = asyncio.create_task(scene.outputs.aclose())
        await scene.clock.advance(0)
        await asyncio.wait_for(stop, 60)
        assert network.got("far") == [("m", 1)]
        assert network.got("near") == []

    async def second(scene: Scene) -> None:
        network.away.clear()
        await scene.sync(FAR, NEAR)
        await scene.sent()
        assert network.got("far") == network.got("near") == [("m", 1)]

    run(first, tmp_path, network)
    run(second, tmp_path, network)


def test_a_changed_pushgateway_remembers_its_groups(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        await scene.sync(gateways=[GATEWAY])
        scene.outputs.scraped(TARGET, [sample("m", 1)], metadata)
        await scene.sent()
        await scene.sync(gateways=[replace(GATEWAY, timeout_ms=1000)])
        await scene.clock.advance(601)
        assert [method for method, _ in scene.network.pushes] == ["PUT", "DELETE"]  # the target did not come back

    run(test, tmp_path)


def test_without_receivers_nothing_is_opened() -> None:
    async def test(scene: Scene) -> None:
        await scene.sync()
        assert not scene.outputs.active
        assert (scene.outputs.senders, scene.outputs.forwarders, scene.network.clients) == ([], [], [])

    run(test)


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_waits_for_a_receiver_whose_url_changes_goes_to_the_new_one_or_out(tmp_path: Path, on_disk: bool) -> None:
    """From the disk the new one takes it over; what waits in memory is still sent to the old one."""

    async def test(scene: Scene) -> None:
        await scene.sync(replace(FAR, url=Secret("http://old/write")))
        scene.outputs.offer([sample("m", 1)])
        if on_disk:
            scene.network.away.add("old")
        await scene.sync(replace(FAR, url=Secret("http://new/write")))
        scene.outputs.offer([sample("m", 2, T + 1)])
        await scene.clock.advance(60)
        got = scene.network.got("old"), scene.network.got("new")
        assert got == (([], [("m", 1), ("m", 2)]) if on_disk else ([("m", 1)], [("m", 2)]))

    run(test, tmp_path if on_disk else None)


def test_in_memory_too_other_external_labels_are_for_what_comes_after_them() -> None:
    async def test(scene: Scene) -> None:
        await scene.sync(FAR, site="one")
        scene.outputs.offer([sample("m", 1)])
        await scene.sync(FAR, site="two")
        scene.outputs.offer([sample("m", 2, T + 1)])
        await scene.sent()
        assert [(s.labels.get("site"), s.value) for s in scene.network.samples["far"]] == [("one", 1), ("two", 2)]

    run(test)


def test_a_pushgateway_asks_for_metadata_with_each_scrape() -> None:
    """A family must not change its type between a scrape and its push."""
    asked: list[str] = []

    def ask(type_: str) -> Callable[[], dict[str, FamilyMetadata]]:
        def counted() -> dict[str, FamilyMetadata]:
            asked.append(type_)
            return {"m": FamilyMetadata(type_, "M.")}

        return counted

    async def test(scene: Scene) -> None:
        await scene.sync(gateways=[GATEWAY])
        scene.outputs.scraped(TARGET, [sample("m", 2)], ask("counter"))
        scene.outputs.scraped(TARGET, [sample("m", 3)], ask("gauge"))
        assert asked == ["counter", "gauge"]
        await scene.sent()
        assert "# TYPE m gauge\n" in scene.network.pushes[-1][1]
        await scene.sync()
        assert not scene.outputs.active

    run(test)


def test_the_storage_keeps_what_it_wants_and_the_receivers_get_everything() -> None:
    async def test(scene: Scene) -> None:
        head = Head(Demand.of([ManualDemand.metric("m", 60_000)]))
        tap = TeeAppender(head, scene.consumers, Origin.RULE)
        await scene.sync(FAR)
        tap.append_many(iter([sample("n", 9)]))
        assert sum(tap.append_many(iter([sample("m", 1)])).values()) == 1
        await scene.sent()
        assert head.sample_count == 1
        assert tap.querier() is head.querier()
        assert scene.network.got("far") == [("n", 9), ("m", 1)]

    run(test)


def test_outputs_may_be_synced_before_they_run() -> None:
    async def main() -> None:
        network = Network()
        outputs = Outputs(FakeClock(T), network.client, None, dict)
        await outputs.sync(Config("x", GlobalConfig(), remote_write=(FAR,)))
        assert outputs.active
        assert len(outputs.senders) == 1

    asyncio.run(main())
