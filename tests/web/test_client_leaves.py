"""Clients that close their connection while they send a body, over real sockets: at most a line at debug."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rulepush.push.groups import PushedGroups
from rulepush.push.http import push_routes
from rulepush.push.store import SqliteGroupStore
from rulepush.relay.app import RelayApp, RelayOptions
from rulepush.remote.apply import RemoteWriteReceiver
from rulepush.remote.http import remote_write_routes
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.web.listener import bind
from rulepush.web.security import WebSecurity
from rulepush.web.server import WebServer, build_app
from tests.fakes import FakeClock
from tests.web.app_parts import Parts

LEFT = "the client closed the connection before it had its answer"


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    """The port of this application, for the length of the block."""
    listener = bind("127.0.0.1:0")
    server = WebServer(app, listener, WebSecurity())
    running = asyncio.create_task(server.run())
    try:
        yield listener.getsockname()[1]
    finally:
        server.stop()
        await asyncio.wait_for(running, 60)


def push(_: Path) -> ASGIApp:
    return build_app([*push_routes(PushedGroups(SqliteGroupStore(None)), FakeClock())], WebSecurity())


def remote_write(_: Path) -> ASGIApp:
    return build_app([*remote_write_routes(RemoteWriteReceiver(Head(Demand.of([]))), FakeClock())], WebSecurity())


def query(_: Path) -> ASGIApp:
    return build_app(Parts().routes(), WebSecurity())


def relay(directory: Path) -> ASGIApp:
    (directory / "config.yml").write_text(
        "targets: {ops: {url: 'https://oapi.dingtalk.com/robot/send?access_token=t'}}"
    )
    return RelayApp(RelayOptions(str(directory / "config.yml"), "127.0.0.1:0", False), FakeClock()).http.asgi


@pytest.mark.parametrize(
    ("build", "path"),
    [
        (push, "/metrics/job/backup"),
        (remote_write, "/api/v1/write"),
        (query, "/api/v1/query"),
        (relay, "/dingtalk/ops/send"),
    ],
)
def test_a_client_that_leaves_while_it_sends_its_body_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, build: Callable[[Path], ASGIApp], path: str
) -> None:
    caplog.set_level(logging.DEBUG, "rulepush")
    app, ended = build(tmp_path), asyncio.Event()
    caplog.clear()

    async def main() -> None:
        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                ended.set()

        async with served(noting) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            writer.write(f"{head}Content-Length: 100\r\n\r\nquery=1".encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            await asyncio.wait_for(ended.wait(), 60)

    asyncio.run(main())
    logged = [record for record in caplog.records if record.name != "asyncio"]
    assert [(record.levelno, record.getMessage()) for record in logged] == [(logging.DEBUG, f"{LEFT}: path={path}")]


def test_a_request_that_outlasts_the_stop_is_answered_with_503_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = asyncio.Event()

    async def forever(_: Request) -> Response:
        begun.set()
        await asyncio.Event().wait()
        return PlainTextResponse("never")

    async def main() -> bytes:
        async with served(build_app([Route("/forever", forever)], WebSecurity())) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /forever HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(begun.wait(), 60)
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return answer

    answer = asyncio.run(main())
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"the server is stopping\n")
    ours = [record for record in caplog.records if record.name == "rulepush.web"]
    assert [record.getMessage() for record in ours] == ["request cut short, the server stops: path=/forever"]
    assert not any(record.exc_info for record in caplog.records)
