"""What is sent on besides alerts, over starts, reloads and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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
from rulepush.scrape.target import TargetDefaults, build_targets
from rulepush.service.outputs import Outputs, TeeAppender
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from tests.fakes import FakeClock
from tests.remote.sending import FakeReceiver

T = 1_700_000_000_000
QUICK = QueueConfig(batch_send_deadline_ms=100)


def write(name: str, host: str = "", **settings: object) -> RemoteWriteConfig:
    made = RemoteWriteConfig(Secret(f"http://{host or name}/api/v1/write"), name, queue=QUICK)
    return replace(made, **settings)  # type: ignore[arg-type]


GATEWAY = PushgatewayConfig(Secret("http://gateway"), "gateway", ("app",))
(TARGET,), _ = build_targets([Labels.of(__address__="h:1")], TargetDefaults("app", 10_000, 5_000), None)


def samples(*values: float, name: str = "m") -> list[Sample]:
    return [Sample(Labels.of(__name__=name), T + i, value) for i, value in enumerate(values)]


class World:
    def __init__(self, directory: Path | None) -> None:
        self.clock = FakeClock(T)
        self.receivers: dict[str, FakeReceiver] = {}
        self.pushed: list[httpx.Request] = []
        self.clients: list[httpx.AsyncClient] = []
        self.outputs = Outputs(self.clock, self.client, directory, self.metadata, flush_seconds=0.2)
        self.asked_metadata = 0

    def client(self, _: HTTPClientConfig) -> httpx.AsyncClient:
        self.clients.append(httpx.AsyncClient(transport=httpx.MockTransport(self.answer)))
        return self.clients[-1]

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "gateway":
            self.pushed.append(request)
            return httpx.Response(200)
        return self.at(request.url.host)(request)

    def at(self, host: str) -> FakeReceiver:
        return self.receivers.setdefault(host, FakeReceiver())

    def metadata(self) -> dict[str, FamilyMetadata]:
        self.asked_metadata += 1
        return {"m": FamilyMetadata("gauge", "M.", "")}

    async def sync(
        self, *writes: RemoteWriteConfig, gateways: tuple[PushgatewayConfig, ...] = (), **labels: str
    ) -> None:
        config = Config("c.yml", GlobalConfig(external_labels=Labels(labels)))
        await self.outputs.sync(replace(config, remote_write=writes, pushgateways=gateways))


def play(act: Callable[[World], Awaitable[None]], directory: Path | None = None) -> World:
    async def main() -> World:
        world = World(directory)
        running = asyncio.create_task(world.outputs.run())
        await asyncio.sleep(0)
        try:
            await act(world)
            await world.outputs.aclose()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert all(client.is_closed for client in world.clients)
        return world

    return asyncio.run(main())


def test_every_remote_write_gets_what_is_offered() -> None:
    async def act(world: World) -> None:
        await world.sync(write("a"), write("b"), site="hz1")
        assert world.outputs.active
        world.outputs.offer(samples(1, 2))
        world.outputs.scraped(TARGET, samples(3, name="n"), world.metadata)
        await world.clock.advance(1)

    world = play(act)
    for name in ("a", "b"):
        assert world.at(name).values("m") == [1, 2]
        assert world.at(name).values("n") == [3]
        assert {s.labels.get("site") for s in world.at(name).samples} == {"hz1"}


def test_nothing_is_wanted_when_nothing_is_configured() -> None:
    async def act(world: World) -> None:
        await world.sync()
        assert not world.outputs.active
        assert (world.outputs.senders, world.outputs.forwarders) == ([], [])

    assert play(act).clients == []


def test_an_entry_that_did_not_change_keeps_its_queue() -> None:
    async def act(world: World) -> None:
        await world.sync(write("a"), write("b"))
        kept = world.outputs.senders[0]
        await world.sync(write("a"), write("c"))
        assert world.outputs.senders[0] is kept
        assert [sender.name for sender in world.outputs.senders] == ["a", "c"]

    play(act)


@pytest.mark.parametrize("saved", [True, False])
def test_what_waits_for_an_entry_that_changes_goes_to_its_heir_or_out(tmp_path: Path, saved: bool) -> None:
    async def act(world: World) -> None:
        await world.sync(write("a", "old"))
        world.outputs.offer(samples(1))
        if saved:
            world.at("old").away = True
        await world.sync(write("a", "new"))
        world.outputs.offer(samples(2))
        await world.clock.advance(60)

    world = play(act, tmp_path if saved else None)
    assert (world.at("old").values("m"), world.at("new").values("m")) == (([], [1, 2]) if saved else ([1], [2]))


def test_other_external_labels_begin_a_new_queue() -> None:
    async def act(world: World) -> None:
        await world.sync(write("a"), site="one")
        world.outputs.offer(samples(1))
        await world.sync(write("a"), site="two")
        world.outputs.offer(samples(2))
        await world.clock.advance(1)

    world = play(act)
    assert [(s.labels.get("site"), s.value) for s in world.at("a").samples] == [("one", 1), ("two", 2)]


def test_a_pushgateway_gets_the_scrapes_of_its_jobs_and_nothing_else() -> None:
    async def act(world: World) -> None:
        await world.sync(gateways=(GATEWAY,))
        assert world.outputs.active
        world.outputs.offer(samples(1, name="recorded"))
        world.outputs.scraped(TARGET, samples(2), world.metadata)
        world.outputs.scraped(TARGET, samples(3), world.metadata)
        await world.clock.advance(1)
        assert world.asked_metadata == 2  # with each scrape: a family must not change its type later
        await world.sync()
        assert not world.outputs.active

    world = play(act)
    bodies = [request.content.decode() for request in world.pushed]
    assert all(str(request.url).startswith("http://gateway/metrics/job") for request in world.pushed)
    assert "# TYPE m gauge" in bodies[-1]
    assert not any("recorded" in body for body in bodies)


def test_the_storage_gets_what_it_wants_and_the_outputs_get_everything() -> None:
    async def act(world: World) -> None:
        head = Head(Demand.of([ManualDemand.metric("m", 60_000)]))
        tap = TeeAppender(head, world.outputs)
        assert sum(tap.append_many(iter(samples(1))).values()) == 1
        await world.sync(write("a"))
        tap.append_many(iter(samples(9, name="n")))
        tap.append_many(iter([Sample(Labels.of(__name__="m"), T + 5, 2.0)]))
        await world.clock.advance(1)
        assert head.sample_count == 2
        assert tap.querier() is head.querier()

    world = play(act)
    assert (world.at("a").values("m"), world.at("a").values("n")) == ([2], [9])
