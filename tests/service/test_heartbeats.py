"""Heartbeats of a whole rulepush on fake time and a fake network."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from rulepush.delivery import HeartbeatState
from rulepush.service.app import App
from rulepush.service.options import ServiceOptions
from tests.fakes import FakeClock
from tests.notifier.test_probe import STATUS

RULES = "groups: [{{name: g, interval: 15s, rules: [{{alert: A, expr: {expr}}}]}}]\n"


class World:
    """An app, two Alertmanagers and a receiver of heartbeats. Hosts in `down` refuse connections."""

    def __init__(self, directory: Path):
        self.clock = FakeClock()
        self.down: set[str] = set()
        self.beats: list[float] = []
        self.posts = self.asked = 0
        self.directory = directory
        self.rules("up == 5")
        self.configure("am1, am2")
        self.app = App(ServiceOptions(str(directory / "prometheus.yml")), self.clock, httpx.MockTransport(self._answer))

    def rules(self, expr: str) -> None:
        (self.directory / "rules.yml").write_text(RULES.format(expr=expr))

    def configure(self, alertmanagers: str, heartbeats: str = "{url: http://hc/ping/tokentoken}") -> None:
        (self.directory / "prometheus.yml").write_text(
            "global: {scrape_interval: 15s}\nrule_files: [rules.yml]\n"
            "scrape_configs: [{job_name: app, static_configs: [{targets: [app]}]}]\n"
            f"alerting: {{alertmanagers: [{{static_configs: [{{targets: [{alertmanagers}]}}]}}]}}\n"
            f"heartbeats: [{heartbeats}]\n"
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host in self.down:
            raise httpx.ConnectError("connection refused", request=request)
        if host == "hc":
            self.beats.append(self.clock.monotonic())
            return httpx.Response(200, text="OK")
        if request.url.path == "/api/v2/status":
            self.asked += 1
            return httpx.Response(200, text=STATUS)
        self.posts += request.method == "POST"
        return httpx.Response(
            200, text='m{x="1"} 1\nm{x="2"} 1\n' if host == "app" else "", headers={"Content-Type": "text/plain"}
        )

    def beats_since(self, moment: float) -> int:
        return sum(at > moment for at in self.beats)

    def state(self) -> HeartbeatState:
        (status,) = self.app.heartbeats.statuses()
        return status.state

    def reason(self) -> str:
        (status,) = self.app.heartbeats.statuses()
        return status.reason

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.app.run())
        try:
            await self.clock.settle()
            yield
        finally:
            self.app.stop("test")
            await self.clock.advance(10)
            await task


def test_it_beats_without_alerts_with_a_dead_target_and_with_one_dead_alertmanager(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        async with world.running():
            assert world.beats == [], "nothing is known before the first round"
            await world.clock.advance(46)
            assert len(world.beats) == 1
            world.down = {"app", "am1"}
            began = world.clock.monotonic()
            await world.clock.advance(300)
            assert world.beats_since(began) == 5
            assert world.state() is HeartbeatState.BEATING
            assert world.posts == 0, "no alert was sent to find out"

    asyncio.run(go())


def test_no_alertmanager_that_takes_alerts_withholds_it_within_an_interval(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        async with world.running():
            await world.clock.advance(120)
            world.down = {"am1", "am2"}
            began = world.clock.monotonic()
            await world.clock.advance(60)
            assert world.beats_since(began) == 0
            assert world.state() is HeartbeatState.WITHHELD
            assert "takes no alerts, nor does the other: not reached: connection refused" in world.reason()
            await world.clock.advance(600)
            assert world.beats_since(began) == 0
            world.down = {"am1"}
            began = world.clock.monotonic()
            await world.clock.advance(16)
            assert world.beats_since(began) == 1

    asyncio.run(go())


def test_alerts_that_wait_withhold_it_and_those_accepted_spare_the_question(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        world.rules("vector(1)")
        world.app = App(world.app.resources.options, world.clock, httpx.MockTransport(world._answer))
        async with world.running():
            await world.clock.advance(120)
            assert world.posts > 0
            assert world.state() is HeartbeatState.BEATING
            world.down = {"am1", "am2"}
            await world.clock.advance(120)
            assert world.state() is HeartbeatState.WITHHELD
            world.down = set()
            await world.clock.advance(60)
            assert world.state() is HeartbeatState.BEATING

    asyncio.run(go())


def test_rules_that_all_fail_withhold_it(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        async with world.running():
            await world.clock.advance(60)
            assert world.state() is HeartbeatState.BEATING
            world.rules("m / on () m")  # many to many: fails whenever it is evaluated
            await world.app.reload()
            await world.clock.advance(120)
            assert world.state() is HeartbeatState.WITHHELD
            assert world.reason().startswith("every rule of group 'g' fails: ")
            world.rules("m / on (x) m")
            await world.app.reload()
            await world.clock.advance(60)
            assert world.state() is HeartbeatState.BEATING

    asyncio.run(go())


def test_a_reload_changes_adds_and_removes_heartbeats(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rulepush.heartbeat")

    async def go() -> None:
        world = World(tmp_path)
        async with world.running():
            await world.clock.advance(60)
            sent = world.app.heartbeats.statuses()[0].sent
            assert sent
            kept = "{url: http://hc/ping/tokentoken}"
            world.configure("am1", f"{kept}, {{name: second, url: http://hc/ping/second, interval: 10s}}")
            await world.app.reload()
            await world.clock.advance(25)
            first, second = world.app.heartbeats.statuses()
            assert first.sent >= sent, "the one that did not change goes on"
            assert (second.name, second.sent) == ("second", 3)
            world.configure("am1", "")
            await world.app.reload()
            assert world.app.heartbeats.statuses() == []
            began = world.clock.monotonic()
            await world.clock.advance(300)
            assert world.beats_since(began) == 0
            text = world.app.telemetry.render().decode()
            assert "rulepush_heartbeats_total{" not in text

    asyncio.run(go())


def test_the_metrics_tell_of_each_by_name(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        async with world.running():
            await world.clock.advance(60)
            world.down = {"am1", "am2"}
            await world.clock.advance(60)
            text = world.app.telemetry.render().decode()
            assert 'rulepush_heartbeats_total{name="hc",outcome="sent"} 1' in text
            assert 'rulepush_heartbeats_total{name="hc",outcome="withheld"} 1' in text
            assert 'rulepush_heartbeat_withheld{name="hc"} 1' in text
            assert 'rulepush_heartbeat_interval_seconds{name="hc"} 60' in text
            assert "tokentoken" not in text

    asyncio.run(go())


def test_an_evaluation_that_stops_withholds_it(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        async with world.running():
            await world.clock.advance(60)
            for group in world.app.alerting.groups.all():
                group.interval_ms = 3600_000  # its loop has ended: nothing is due for an hour
            world.app.alerting.loops.sync()
            for group in world.app.alerting.groups.all():
                group.interval_ms = 15_000
            began = world.clock.monotonic()
            await world.clock.advance(180)
            assert world.state() is HeartbeatState.WITHHELD
            assert world.reason() == "rule group 'g' is not evaluated"
            assert world.beats_since(began + 60) == 0

    asyncio.run(go())


def test_while_alerts_are_accepted_nobody_is_asked(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        world.rules("up == 1")
        world.configure("am1, am2", "{url: http://hc/ping/tokentoken, interval: 1s}")
        world.app = App(world.app.resources.options, world.clock, httpx.MockTransport(world._answer))
        async with world.running():
            while not world.posts:
                await world.clock.advance(1)
            world.asked, began = 0, world.clock.monotonic()
            await world.clock.advance(8)
            assert (world.asked, world.beats_since(began)) == (0, 8)

    asyncio.run(go())


def test_a_group_that_a_reload_brings_gets_its_time_and_holds_up_no_heartbeat(tmp_path: Path) -> None:
    async def go() -> None:
        world = World(tmp_path)
        world.configure("am1", "{url: http://hc/ping/tokentoken, interval: 5s}")
        world.app = App(world.app.resources.options, world.clock, httpx.MockTransport(world._answer))
        async with world.running():
            await world.clock.advance(900)
            more = "- {name: new, interval: 4m, rules: [{alert: B, expr: up == 7}]}\n"
            (tmp_path / "rules.yml").write_text("groups:\n- {name: g, rules: [{alert: A, expr: up == 5}]}\n" + more)
            await world.app.reload()
            assert [g.last_evaluation for g in world.app.alerting.groups.all() if g.name == "new"] == [None]
            began = world.clock.monotonic()
            await world.clock.advance(20)
            assert world.beats_since(began) >= 3

    asyncio.run(go())
