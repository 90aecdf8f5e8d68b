"""A heartbeat on fake time: when it goes out, when not, and what of it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import httpx
import pytest

from rulepush.config.sections import HeartbeatConfig
from rulepush.delivery import HeartbeatState
from rulepush.heartbeat.sender import Heartbeat
from rulepush.heartbeat.work import FaultKind, WorkFault
from rulepush.http_client.build import build_client
from rulepush.model.secret import Secret
from tests.fakes import FakeClock

TOKEN = "0d4c3a1e-c0ff-4e11-8a77-1234567890ab"
URL = f"https://user:pass0word@hc.example/ping/{TOKEN}?rid=moretoken"
DEAD = WorkFault(FaultKind.DELIVERY, "http://am takes no alerts: not reached")
STARTING = WorkFault(FaultKind.STARTING, "the first round is not over")


class World:
    """One heartbeat each minute; `fault` is what does not work, `answer` what its receiver does."""

    def __init__(self, **settings: object) -> None:
        self.clock = FakeClock()
        self.fault: WorkFault | None = None
        self.asked: list[float] = []
        self.got: list[tuple[float, httpx.Request]] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(200, text="OK")
        config = HeartbeatConfig(Secret(URL), "hc", **settings)  # type: ignore[arg-type]
        client = build_client(transport=httpx.MockTransport(self._receive), clock=self.clock)
        self.heartbeat = Heartbeat(config, client, self.clock, self._check)

    async def _check(self) -> WorkFault | None:
        self.asked.append(self.clock.monotonic())
        return self.fault

    def _receive(self, request: httpx.Request) -> httpx.Response:
        self.got.append((self.clock.monotonic(), request))
        return self.answer(request)

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.got]


def play(world: World, script: Callable[[World], Awaitable[None]]) -> World:
    async def main() -> None:
        task = asyncio.create_task(world.heartbeat.run())
        await world.clock.settle()
        await script(world)
        task.cancel()
        await world.heartbeat.client.aclose()

    asyncio.run(main())
    return world


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "rulepush.heartbeat"]


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rulepush.heartbeat")


def test_it_goes_out_each_interval_while_all_works(caplog: pytest.LogCaptureFixture) -> None:
    async def script(world: World) -> None:
        await world.clock.advance(200)

    world = play(World(), script)
    assert world.times == [0, 60, 120, 180]
    (_, request), *_ = world.got
    assert (request.method, request.url.path, request.content) == ("GET", f"/ping/{TOKEN}", b"")
    assert request.extensions["timeout"]["read"] == 10.0
    status = world.heartbeat.status()
    assert (status.state, status.sent, status.failed, status.withheld) == (HeartbeatState.BEATING, 4, 0, 0)
    assert status.last_success == world.clock.now() - 20_000
    assert lines(caplog) == ["the first heartbeat is received: name=hc"]


def test_the_method_and_the_body_are_those_of_the_configuration() -> None:
    async def script(world: World) -> None:
        await world.clock.advance(1)

    (_, posted), *_ = play(World(method="POST", body='{"state": "up"}'), script).got
    assert (posted.method, posted.content) == ("POST", b'{"state": "up"}')
    assert posted.headers["Content-Type"] == "application/json"
    (_, plain), *_ = play(World(method="POST", body="up"), script).got
    assert plain.headers["Content-Type"] == "text/plain; charset=utf-8"
    (_, head), *_ = play(World(method="HEAD"), script).got
    assert head.method == "HEAD"


def test_the_first_waits_for_the_start_which_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def script(world: World) -> None:
        await world.clock.advance(29)
        assert world.times == []
        assert world.heartbeat.status().state is HeartbeatState.STARTING
        world.fault = None
        await world.clock.advance(2)

    world = World()
    world.fault = STARTING
    play(world, script)
    assert world.times == [30], "not a whole interval later"
    assert world.heartbeat.status().withheld == 0
    assert lines(caplog) == ["the first heartbeat is received: name=hc"]


def test_it_is_withheld_while_something_does_not_work_and_goes_on_soon_after(caplog: pytest.LogCaptureFixture) -> None:
    async def script(world: World) -> None:
        await world.clock.advance(70)
        world.fault = DEAD
        began = world.clock.now() + 50_000
        await world.clock.advance(300)
        status = world.heartbeat.status()
        assert (status.state, status.reason, status.since) == (HeartbeatState.WITHHELD, DEAD.text, began)
        assert status.withheld == 5, "one each interval, however often it is looked at"
        world.fault = None
        await world.clock.advance(15)

    world = play(World(), script)
    assert world.times == [0, 60, 375]
    assert lines(caplog)[1:] == [
        f"the heartbeat is withheld: name=hc err={DEAD.text}",
        "the heartbeat goes on, it was withheld for 255s: name=hc",
    ]


def test_another_kind_of_fault_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def script(world: World) -> None:
        await world.clock.advance(60)
        world.fault = WorkFault(FaultKind.EVALUATION, "rule group 'g' is not evaluated")
        await world.clock.advance(600)

    world = World()
    world.fault = DEAD
    play(world, script)
    assert [line.partition(":")[0] for line in lines(caplog)] == ["the heartbeat is withheld"] * 2


def test_a_receiver_that_fails_is_tried_again_within_the_interval(caplog: pytest.LogCaptureFixture) -> None:
    async def script(world: World) -> None:
        world.answer = lambda _: httpx.Response(503, text="busy")
        await world.clock.advance(60)
        assert world.times == [0, 60]
        await world.clock.advance(40)
        status = world.heartbeat.status()
        assert (status.state, status.failed) == (HeartbeatState.NOT_RECEIVED, 5)
        assert status.reason == "HTTP status 503 Service Unavailable: busy"
        world.answer = lambda _: httpx.Response(200)
        await world.clock.advance(61)

    world = play(World(), script)
    assert world.times == [0, 60, 61, 64, 73, 100, 160]
    assert len(world.asked) == len(world.times), "before each try it is looked again"
    assert lines(caplog)[1:] == [
        "the heartbeat is not received, it is tried again: name=hc err=HTTP status 503 Service Unavailable: busy",
        "the heartbeat is received again after 100s: name=hc",
    ]


def test_nothing_of_the_url_but_its_server_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def quotes(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text=f"Cannot GET {request.url.raw_path.decode()}; no check {TOKEN}; moretoken")

    def redirects(request: httpx.Request) -> httpx.Response:
        if request.url.host == "hc.example":
            return httpx.Response(301, headers={"Location": f"https://elsewhere/ping/{TOKEN}"})
        raise httpx.ConnectError("connection refused", request=request)

    def breaks(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError(str(request.url))

    async def script(world: World) -> None:
        for answer in (quotes, redirects, breaks):
            world.answer = answer
            await world.clock.advance(60)
            reasons.append(world.heartbeat.status().reason)
            shown.append(repr(world.heartbeat.status()) + repr(world.heartbeat.config))

    reasons: list[str] = []
    shown: list[str] = []
    play(World(), script)
    assert all(reasons)
    told = " ".join([*reasons, *shown, *lines(caplog)])
    for secret in (TOKEN, "moretoken", "pass0word"):
        assert secret not in told
    assert "server='https://hc.example'" in told


def test_a_bug_in_the_check_withholds_it_and_stops_nothing() -> None:
    async def script(world: World) -> None:
        await world.clock.advance(30)
        assert world.times == []
        assert world.heartbeat.status().reason == "internal error: ZeroDivisionError"
        broken.clear()
        await world.clock.advance(15)
        assert world.times == [45]

    broken = [ZeroDivisionError("x")]

    class Broken(World):
        async def _check(self) -> WorkFault | None:
            if broken:
                raise broken[0]
            return None

    play(Broken(), script)


def test_a_slow_receiver_gets_its_timeout_and_does_not_shift_the_next_heartbeat() -> None:
    async def script(world: World) -> None:
        await world.clock.advance(70)

    class Slow(World):
        async def _check(self) -> WorkFault | None:
            await self.clock.sleep(7)  # Alertmanagers that hang
            return None

    assert play(Slow(), script).times == [7, 67]
