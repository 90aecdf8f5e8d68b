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
    thread = threading.Thread(target=lambda: asyncio.run(server.run()), daemon=True)
    thread.start()
    try:
        wait_for("the robot", lambda: httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 404)
        yield
    finally:
        server.stop()
        thread.join(60)
