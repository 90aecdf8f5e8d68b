"""What `rulepush run` and `rulepush dingtalk` share: an HTTP server with `--web.config.file`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from starlette.routing import BaseRoute

from rulepush.clock import Clock
from rulepush.web.cors import CrossOriginReads
from rulepush.web.security import WebConfigReloader
from rulepush.web.server import WebServer, build_app


class HttpService:
    """Serves routes on a bound socket, from `run` to `stop`. Certificates and passwords are renewed meanwhile.

    `asgi` is the application that is served, for tests without a socket.
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        listener: socket.socket,
        web_config: WebConfigReloader,
        clock: Clock,
        reads: CrossOriginReads | None = None,
    ):
        """`reads` is what pages of other sites may POST."""
        self.asgi = build_app(routes, web_config.security, reads)
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
