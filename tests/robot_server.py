"""A simulated DingTalk robot on a loopback port, for programs that run beside the test."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import httpx

from rulepush.demo.fake_dingtalk import FakeDingTalk
from rulepush.web.listener import bind
from rulepush.web.security import WebSecurity
from rulepush.web.server import WebServer, build_app
from tests.servers import wait_for


@contextlib.contextmanager
def serving_robot(robot: FakeDingTalk, port: int) -> Iterator[None]:
    """The robot on a loopback port, in a thread of its own."""
    listener = bind(f"127.0.0.1:{port}")
    server = WebServer(build_app(robot.routes(), WebSecurity()), listener, WebSecurity())
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.run()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        wait_for("the robot", lambda: httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 404)
        yield
    finally:
        loops[0].call_soon_threadsafe(server.stop)
        thread.join(60)
        assert not thread.is_alive()
