"""The frame of `rulepush run` and `rulepush dingtalk`: serving with a web configuration, and signals."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import bcrypt
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rulepush.errors import ConfigError, Problem, RulepushError
from rulepush.web.http_service import HttpService, address_of, run_until_signal
from rulepush.web.security import CHECK_SECONDS, WebConfigReloader
from rulepush.web.server import bind
from tests.fakes import FakeClock

log = logging.getLogger("rulepush.test")


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def write_password(path: Path, password: bytes) -> None:
    path.write_text(f"basic_auth_users: {{alice: {bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()}}}\n")


def test_it_serves_until_it_is_stopped_and_takes_changed_passwords(tmp_path: Path) -> None:
    web_config = tmp_path / "web.yml"
    write_password(web_config, b"wonder")

    async def main() -> None:
        listener, clock = bind("127.0.0.1:0"), FakeClock()
        service = HttpService([Route("/", hello)], listener, WebConfigReloader(str(web_config)), clock)
        running = asyncio.create_task(service.run())
        url = f"http://{address_of(listener)}/"
        async with httpx.AsyncClient(auth=("alice", "land")) as client:
            assert (await client.get(url)).status_code == 401
            write_password(web_config, b"land")
            await clock.advance(CHECK_SECONDS)
            assert (await client.get(url)).status_code == 200
        service.stop()
        await asyncio.wait_for(running, 10)

    asyncio.run(main())


@pytest.mark.parametrize(("address", "shown"), [("127.0.0.1:0", "127.0.0.1:{}"), ("[::1]:0", "[::1]:{}")])
def test_the_address_of_a_socket_can_be_used_in_a_url(address: str, shown: str) -> None:
    with bind(address) as listener:
        assert address_of(listener) == shown.format(listener.getsockname()[1])


class Process:
    """Sends itself the signals; ends at `stop`."""

    def __init__(self, *signals: signal.Signals):
        self.signals = signals
        self.reloads = 0
        self.reason = ""
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        for number in self.signals:
            os.kill(os.getpid(), number)
        await asyncio.wait_for(self._stopped.wait(), 10)

    def request_reload(self) -> None:
        self.reloads += 1

    def stop(self, reason: str) -> None:
        self.reason = reason
        self._stopped.set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reload_and_stop(number: signal.Signals) -> None:
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(signal.SIGHUP, number))
        return started[0]

    assert run_until_signal(start, log) == 0
    assert (started[0].reloads, started[0].reason) == (1, number.name)


def test_a_process_that_cannot_start_logs_every_problem_and_ends_with_1(caplog: pytest.LogCaptureFixture) -> None:
    def start() -> Process:
        raise ConfigError([Problem("a.yml", 1, "one"), Problem("a.yml", 2, "two")])

    assert run_until_signal(start, log) == 1
    assert [r.getMessage() for r in caplog.records] == ["a.yml:1: one", "a.yml:2: two"]


def test_an_error_of_the_running_process_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Process):
        async def run(self) -> None:
            raise RulepushError("the disk is full")

    assert run_until_signal(Failing, log) == 1
    assert [r.getMessage() for r in caplog.records] == ["the disk is full"]
