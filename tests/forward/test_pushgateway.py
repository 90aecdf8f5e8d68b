"""Scrapes sent on to a Pushgateway: the newest one wins, and a group goes when its target does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rulepush.config.sections import PushgatewayConfig
from rulepush.exposition import FamilyMetadata
from rulepush.forward.body import Lines, PushBody
from rulepush.forward.pushgateway import FORGOTTEN_AFTER, PushgatewayForwarder
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample
from rulepush.model.secret import Secret
from rulepush.push.bodies import parse_push_text
from rulepush.relabel.relabel import Action, RelabelConfig
from tests.fakes import FakeClock

CONFIG = PushgatewayConfig(Secret("http://gw"), "gw", jobs=("nac.*",))
TARGET = Labels.of(job="nacos", instance="h:1", zone="a")
T = 1_700_000_000_000


class FakeGateway:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.status == 0:
            raise httpx.ConnectError("refused")
        self.seen.append((request.method, request.url.raw_path.decode(), request.content.decode()))
        return httpx.Response(self.status, text="why")


def scrape(value: float, target: Labels = TARGET, name: str = "m") -> list[Sample]:
    return [
        Sample(target.with_({"__name__": name}), T, value),
        Sample(target.with_({"__name__": "up"}), T, STALE if value != value else 1.0),
    ]


def body(value: int, name: str = "m") -> str:
    labels = '{instance="h:1",job="nacos",zone="a"}'
    return f"{name}{labels} {value}\nup{labels} 1\n"


def run(
    test: Callable[[PushgatewayForwarder, FakeClock], Awaitable[None]],
    gateway: FakeGateway,
    config: PushgatewayConfig = CONFIG,
    known: Path | None = None,
) -> None:
    async def go() -> None:
        clock = FakeClock(T)
        async with httpx.AsyncClient(transport=httpx.MockTransport(gateway)) as client:
            forwarder = PushgatewayForwarder(config, client, clock, known, jitter=lambda: 1.0)
            task = asyncio.create_task(forwarder.run())
            try:
                await test(forwarder, clock)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    asyncio.run(go())


def test_each_scrape_replaces_the_group() -> None:
    gateway = FakeGateway()

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        for value in (1, 2):
            forwarder.offer(TARGET, scrape(value))
            await clock.settle()
        forwarder.offer(Labels.of(job="other", instance="x"), scrape(3))
        await clock.settle()

    run(test, gateway)
    path = "/metrics/job/nacos/instance/h:1"
    assert gateway.seen == [("PUT", path, body(1)), ("PUT", path, body(2))]


def test_the_group_is_deleted_when_the_target_is_gone() -> None:
    gateway = FakeGateway()

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        forwarder.offer(TARGET, scrape(1))
        await clock.settle()
        forwarder.offer(TARGET, scrape(STALE))
        await clock.settle()
        assert len(forwarder) == 0
        forwarder.offer(TARGET, scrape(STALE))
        await clock.settle()

    run(test, gateway)
    assert [m for m, _, _ in gateway.seen] == ["PUT", "DELETE"]
    gateway.seen.clear()
    run(test, gateway, replace(CONFIG, delete_when_gone=False))
    assert [m for m, _, _ in gateway.seen] == ["PUT"]


def test_a_target_that_came_back_before_its_farewell_stays() -> None:
    gateway = FakeGateway()

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        later = [Sample(s.labels, s.ts + 1, s.value) for s in scrape(1)]
        forwarder.offer(TARGET, later)
        forwarder.offer(TARGET, scrape(STALE))
        await clock.settle()

    run(test, gateway)
    assert [m for m, _, _ in gateway.seen] == ["PUT"]


def test_targets_of_one_group_are_pushed_together() -> None:
    gateway = FakeGateway()
    other = Labels.of(job="nacos", instance="h:2")

    known = {"m": FamilyMetadata("gauge", "A metric.")}

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        forwarder.offer(TARGET, scrape(1), known)
        forwarder.offer(other, scrape(2, other), known)
        await clock.settle()
        forwarder.offer(TARGET, scrape(STALE), known)
        await clock.settle()

    run(test, gateway, replace(CONFIG, grouping_key=("cluster",)))
    (first, last) = gateway.seen
    pushed = parse_push_text(first[2].encode()).families["m"]
    assert (pushed.type.value, pushed.help, len(pushed.metrics)) == ("GAUGE", "A metric.", 2)
    assert first[1] == "/metrics/job/nacos/cluster@base64/="
    assert 'instance="h:1"' in first[2]
    assert 'instance="h:2"' in first[2]
    assert (last[0], "h:1" in last[2], "h:2" in last[2]) == ("PUT", False, True)


def test_an_outage_keeps_the_newest_scrape() -> None:
    gateway = FakeGateway()
    gateway.status = 0

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        for value in range(5):
            forwarder.offer(TARGET, scrape(value))
            await clock.advance(15)
        assert forwarder.waiting == 1
        gateway.status = 200
        await clock.advance(61)
        assert (forwarder.waiting, forwarder.last_error) == (0, "")
        assert forwarder.counts.pushed == 1

    run(test, gateway)
    assert [b for _, _, b in gateway.seen] == [body(4)]


def test_a_refused_body_is_not_insisted_on() -> None:
    gateway = FakeGateway()
    gateway.status = 400

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        forwarder.offer(TARGET, scrape(1))
        await clock.advance(100)
        assert (forwarder.counts.refused, forwarder.waiting) == (1, 0)

    run(test, gateway)
    assert len(gateway.seen) == 1


def test_min_interval() -> None:
    gateway = FakeGateway()

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        for value in range(8):
            forwarder.offer(TARGET, scrape(value))
            await clock.advance(10)

    run(test, gateway, replace(CONFIG, min_interval_ms=30_000))
    assert [b for _, _, b in gateway.seen] == [body(0), body(2), body(5)] or [b for _, _, b in gateway.seen] == [
        body(0),
        body(3),
        body(6),
    ]


def test_groups_whose_target_went_away_during_a_restart_are_deleted(tmp_path: Path) -> None:
    gateway = FakeGateway()
    known = tmp_path / "forward" / "gw.json"
    other = Labels.of(job="nacos", instance="h:2")

    async def before(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        forwarder.offer(TARGET, scrape(1))
        forwarder.offer(other, scrape(1, other))
        await clock.settle()

    async def after(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        forwarder.offer(other, scrape(2, other))
        await clock.advance(FORGOTTEN_AFTER - 1)
        assert [m for m, _, _ in gateway.seen] == ["PUT"]
        await clock.advance(2)

    run(before, gateway, known=known)
    gateway.seen.clear()
    run(after, gateway, known=known)
    assert [(m, p) for m, p, _ in gateway.seen][1:] == [("DELETE", "/metrics/job/nacos/instance/h:1")]


def test_a_damaged_list_of_groups_is_survived(tmp_path: Path) -> None:
    known = tmp_path / "gw.json"
    known.write_text('{"a": 1')
    gateway = FakeGateway()

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        forwarder.offer(TARGET, scrape(1))
        await clock.settle()

    run(test, gateway, known=known)
    assert len(gateway.seen) == 1


def test_bodies_are_what_a_pushgateway_reads() -> None:
    drop = RelabelConfig(source_labels=("__name__",), regex="go_.*", action=Action.DROP)
    lines = Lines((drop,))
    samples = [
        Sample(Labels.of(__name__="h_bucket", le="1"), T, 1.0),
        Sample(Labels.of(__name__="c_total"), T, 1e20),
        Sample(Labels.of(__name__="h_sum"), T, float("nan")),
        Sample(Labels.of(__name__="h_count"), T, 2.0),
        Sample(Labels.of(__name__="g", x='a\\b\n"c'), T, float("-inf")),
        Sample(Labels.of(__name__="go_threads"), T, 1.0),
        Sample(Labels.of(__name__="utf.8"), T, 1.0),
        Sample(Labels.of(__name__="gone"), T, STALE),
        Sample(Labels.of(__name__="g", x='a\\b\n"c'), T, 1.0),
    ]
    metadata = {
        "h": FamilyMetadata("histogram", "of\nh"),
        "c": FamilyMetadata("counter"),
        "g": FamilyMetadata("gauge", 'a "b"'),
    }
    text = PushBody()
    lines.write(text, samples, metadata)
    parsed = parse_push_text(text.encode()).families
    assert {n: f.type.value for n, f in parsed.items()} == {"h": "HISTOGRAM", "c_total": "COUNTER", "g": "GAUGE"}
    assert parsed["h"].help == "of\nh"
    assert parsed["g"].metrics[0].pairs == (("x", 'a\\b\n"c'),)


def test_a_refusal_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    gateway = FakeGateway()

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        for status in (400, 400, 401, 200, 400):
            gateway.status = status
            forwarder.offer(TARGET, scrape(1))
            await clock.settle()

    with caplog.at_level(logging.INFO):
        run(test, gateway)
    logged = [r.getMessage() for r in caplog.records if r.name == "rulepush.forward"]
    assert ["400" in t or "401" in t for t in logged] == [True, True, False, True]


def test_the_status_of_an_outage_says_since_when_why_and_what_waits() -> None:
    gateway = FakeGateway()

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        forwarder.offer(TARGET, scrape(1))
        await clock.advance(1)
        good = forwarder.status()
        assert (good.failing, good.waiting, good.waiting_since, good.accepted) == (False, 0, 0, 1)
        assert good.last_success >= T
        gateway.status = 0
        forwarder.offer(TARGET, scrape(2))
        await clock.advance(3)
        forwarder.offer(TARGET, scrape(3))
        await clock.advance(3)
        bad = forwarder.status()
        assert (bad.failing, bad.waiting, bad.waiting_since) == (True, 1, T + 1_000)
        assert bad.tries >= 2
        assert "refused" in bad.last_error
        assert bad.address == "http://gw"
        gateway.status = 400
        await clock.advance(60)
        refused = forwarder.status()
        assert (refused.failing, refused.refused, refused.waiting, refused.waiting_since) == (False, 1, 0, 0)
        assert 'job="nacos"' in refused.refusals[0].what

    run(test, gateway)


def test_a_group_that_waits_for_its_interval_is_not_late() -> None:
    gateway = FakeGateway()

    async def test(forwarder: PushgatewayForwarder, clock: FakeClock) -> None:
        forwarder.offer(TARGET, scrape(1))
        await clock.advance(1)
        forwarder.offer(TARGET, scrape(2))
        await clock.advance(50)
        assert (forwarder.status().waiting, forwarder.status().waiting_since) == (1, 0)
        gateway.status = 503
        await clock.advance(20)
        assert forwarder.status().waiting_since == T + 1_000

    run(test, gateway, replace(CONFIG, min_interval_ms=60_000))
