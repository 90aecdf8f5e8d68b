"""What `rulepush run` and `rulepush dingtalk` share: an HTTP server with `--web.config.file`, and signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.routing import BaseRoute

from rulepush.clock import Clock
from rulepush.errors import RulepushError
from rulepush.web.security import WebConfigReloader
from rulepush.web.server import WebServer, build_app


class HttpService:
    """Serves routes on a bound socket, from `run` to `stop`. Certificates and passwords are renewed meanwhile.

    `asgi` is the application that is served, for tests without a socket.
    """

    def __init__(
        self, routes: Sequence[BaseRoute], listener: socket.socket, web_config: WebConfigReloader, clock: Clock
    ):
        self.asgi = build_app(routes, web_config.security)
        self._server = WebServer(self.asgi, listener, web_config.security)
        self._web_config = web_config
        self._clock = clock

    async def run(self) -> None:
        """Serve; returns after `stop`, when the requests under way are answered."""
        async with asyncio.TaskGroup() as tasks:
            renewing = tasks.create_task(self._web_config.run(self._clock), name="web configuration")
            await self._server.run()
            renewing.cancel()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._server.stop()


def address_of(listener: socket.socket) -> str:
    """`host:port` or `[host]:port` of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"


class ServiceProcess(Protocol):
    """What signals control. `request_reload` logs errors itself; `stop` makes `run` return."""

    async def run(self) -> None: ...
    def request_reload(self) -> None: ...
    def stop(self, reason: str) -> None: ...


def run_until_signal(start: Callable[[], ServiceProcess], log: logging.Logger) -> int:
    """Start a process, and run it until SIGINT or SIGTERM; SIGHUP reloads.

    Returns the exit code: 0 after a stop, 1 after a RulepushError, each line of which is logged.
    """

    async def main() -> None:
        process = start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, process.stop, signal.Signals(number).name)
        loop.add_signal_handler(signal.SIGHUP, process.request_reload)
        await process.run()

    try:
        asyncio.run(main())
    except RulepushError as e:
        for line in str(e).splitlines():
            log.error("%s", line)
        return 1
    return 0
