"""`/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit` and `/metrics`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush.errors import RulepushError
from rulepush.telemetry import Telemetry
from rulepush.web.compression import Compression


class LifecycleApi:
    """`reload` and `quit_` are called only when the lifecycle API is enabled. `reload` raises RulepushError."""

    def __init__(
        self,
        telemetry: Telemetry,
        ready: Callable[[], bool],
        reload: Callable[[], Awaitable[None]],
        quit_: Callable[[], None],
        enabled: bool,
    ):
        self._telemetry = telemetry
        self._ready = ready
        self._reload = reload
        self._quit = quit_
        self._enabled = enabled

    def routes(self) -> list[Route]:
        """The routes, at the root."""
        return [
            Route("/-/healthy", self.healthy, methods=["GET"]),
            Route("/-/ready", self.readiness, methods=["GET"]),
            Route("/-/reload", self.reload, methods=["POST", "PUT"]),
            Route("/-/quit", self.quit, methods=["POST", "PUT"]),
            Route("/metrics", self.metrics, methods=["GET"], middleware=[Middleware(Compression, ("gzip",))]),
        ]

    async def healthy(self, _: Request) -> Response:
        """200 while the process responds."""
        return PlainTextResponse("rulepush is Healthy.\n")

    async def readiness(self, _: Request) -> Response:
        """200 once the configuration is in effect and the state of the last run is restored."""
        if self._ready():
            return PlainTextResponse("rulepush is Ready.\n")
        return PlainTextResponse("Service Unavailable\n", 503)

    async def reload(self, _: Request) -> Response:
        """Reload the configuration. 500 when it is not valid; the running one then stays in effect."""
        if not self._enabled:
            return _disabled()
        try:
            await self._reload()
        except RulepushError as e:
            return PlainTextResponse(f"failed to reload config: {e}\n", 500)
        return PlainTextResponse("")

    async def quit(self, _: Request) -> Response:
        """Stop, as SIGTERM does."""
        if not self._enabled:
            return _disabled()
        self._quit()
        return PlainTextResponse("Requesting termination... Goodbye!\n")

    async def metrics(self, _: Request) -> Response:
        """Own metrics, text format 0.0.4."""
        return Response(self._telemetry.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _disabled() -> Response:
    return PlainTextResponse("Lifecycle API is not enabled: start rulepush with --web.enable-lifecycle.\n", 403)
