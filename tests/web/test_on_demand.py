"""A service that is made when somebody connects."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rulepush.web.http_service import HttpService
from rulepush.web.listener import address_of, bind
from rulepush.web.on_demand import HttpOnDemand
from rulepush.web.security import WebConfigReloader
from tests.fakes import FakeClock


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


class Maker:
    """Counts the services that are made for a listener."""

    def __init__(self, listener: socket.socket):
        self.listener = listener
        self.made = 0

    def __call__(self) -> HttpService:
        self.made += 1
        return HttpService([Route("/", hello)], self.listener, WebConfigReloader(""), FakeClock())


def test_the_first_connection_is_answered_by_a_service_that_is_made_for_it() -> None:
    async def main() -> None:
        listener = bind("127.0.0.1:0")
        make = Maker(listener)
        service = HttpOnDemand(listener, make)
        running = asyncio.create_task(service.run())
        await asyncio.sleep(0)
        assert make.made == 0
        for _ in range(2):
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"http://{address_of(listener)}/")).text == "hello"
        assert make.made == 1
        service.stop()
        await asyncio.wait_for(running, 60)

    asyncio.run(main())


def test_the_modules_are_imported_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "served_on_demand.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def main() -> None:
        listener = bind("127.0.0.1:0")
        make = Maker(listener)

        def make_with_module() -> HttpService:
            assert "served_on_demand" in sys.modules
            return make()

        service = HttpOnDemand(listener, make_with_module, ["served_on_demand"])
        running = asyncio.create_task(service.run())
        await asyncio.sleep(0)
        assert "served_on_demand" not in sys.modules
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://{address_of(listener)}/")).text == "hello"
        service.stop()
        await asyncio.wait_for(running, 60)

    asyncio.run(main())


def test_it_stops_though_nobody_ever_connected_and_then_refuses_connections() -> None:
    async def main() -> None:
        listener = bind("127.0.0.1:0")
        make, address = Maker(listener), listener.getsockname()
        service = HttpOnDemand(listener, make)
        running = asyncio.create_task(service.run())
        await asyncio.sleep(0)
        service.stop()
        await asyncio.wait_for(running, 60)
        assert make.made == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    asyncio.run(main())
