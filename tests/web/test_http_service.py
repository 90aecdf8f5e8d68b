"""The frame of `rulepush run` and `rulepush dingtalk`: serving with a web configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path

import bcrypt
import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rulepush.web.http_service import HttpService
from rulepush.web.listener import address_of, bind
from rulepush.web.security import CHECK_SECONDS, WebConfigReloader
from tests.fakes import FakeClock


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
        await asyncio.wait_for(running, 60)

    asyncio.run(main())
