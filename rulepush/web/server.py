"""The HTTP server: routes in, TLS and passwords. The only file that imports uvicorn."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import socket
from collections.abc import Generator, Sequence
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from rulepush.http_request import CLIENT_CLOSED_REQUEST
from rulepush.web.answers import ApiError, ErrorType, failure
from rulepush.web.cors import CrossOriginReads
from rulepush.web.security import Verify, WebSecurity

log = logging.getLogger("rulepush.web")

SHUTDOWN_SECONDS: Final = 3
CANCELLED_SECONDS: Final = 1

_ONLY_READ: Final = ("GET", "HEAD", "OPTIONS")
_HARMLESS: Final = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


def build_app(routes: Sequence[BaseRoute], security: WebSecurity, reads: CrossOriginReads | None = None) -> ASGIApp:
    """The ASGI application: the routes, passwords and extra headers where configured, errors in the API's envelope.
    `reads` is what pages of other sites may POST."""

    async def api_error(_: Request, e: Exception) -> Response:
        assert isinstance(e, ApiError)
        return failure(e.kind, str(e))

    async def disconnected(request: Request, e: Exception) -> Response:
        log.debug("the client closed the connection before it had its answer: path=%s", request.url.path)
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    async def http_error(_: Request, e: Exception) -> Response:
        assert isinstance(e, HTTPException)
        return PlainTextResponse(f"{e.detail}\n", e.status_code, headers=e.headers)

    async def crash(request: Request, e: Exception) -> Response:
        log.error("request failed: path=%s", request.url.path, exc_info=e)
        return failure(ErrorType.INTERNAL, f"{type(e).__name__}: {e}")

    app: ASGIApp = Starlette(
        routes=list(routes),
        exception_handlers={
            ApiError: api_error,
            ClientDisconnect: disconnected,  # while it sent its body, or its answer was computed
            HTTPException: http_error,
            Exception: crash,
        },
    )
    app = _CrossOriginProtection(app, reads)
    if security.verify is not None:
        app = _BasicAuth(app, security.verify)
    app = _HarmlessAnswers(_AnswersAtStop(app))
    return _ExtraHeaders(app, security.headers) if security.headers else app


class _Server(uvicorn.Server):
    """uvicorn, but the process keeps its signal handlers, and no timer wakes an idle sidecar."""

    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self.stopped = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        # uvicorn's own loop wakes ten times a second to see whether to stop, and renews a Date header.
        await self.on_tick(0)
        await self.stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn waits for the close_notify of TLS connections, which an idle client may never send.
        for connection in list(self.server_state.connections):
            if isinstance(connection, H11Protocol) and _is_idle(connection):
                connection.transport.abort()
        await super().shutdown(sockets)
        # Requests that took too long are cancelled by now. Let them end, so that nothing of them is logged afterwards.
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=CANCELLED_SECONDS)


def _is_idle(connection: H11Protocol) -> bool:
    answered = connection.cycle is None or connection.cycle.response_complete
    return answered and connection.transport.get_write_buffer_size() == 0


class WebServer:
    """Serves an app on a socket until it is stopped."""

    def __init__(self, app: ASGIApp, listener: socket.socket, security: WebSecurity):
        self._listener = listener
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            ws="none",
            http="h11",
            loop="none",
        )
        config.load()
        config.ssl = security.tls
        self._server = _Server(config)

    async def run(self) -> None:
        """Serve; returns after `stop`."""
        await self._server.serve(sockets=[self._listener])

    def stop(self) -> None:
        """Ask `run` to finish what is under way, at most SHUTDOWN_SECONDS, and return."""
        self._server.should_exit = True
        self._server.stopped.set()


class _BasicAuth:
    def __init__(self, app: ASGIApp, verify: Verify):
        self._app = app
        self._verify = verify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not await self._allowed(Request(scope)):
            answer = PlainTextResponse("Unauthorized\n", 401, headers={"WWW-Authenticate": 'Basic realm="rulepush"'})
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _allowed(self, request: Request) -> bool:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return False
        return bool(colon) and await self._verify(user, password)


class _CrossOriginProtection:
    """Refuses what a page of another site makes a browser send, perhaps with its passwords, unless it only reads.

    Clients that are no browsers send neither of these headers, and are let through. The rules are those of Go's
    http.CrossOriginProtection.
    """

    def __init__(self, app: ASGIApp, reads: CrossOriginReads | None):
        self._app = app
        self._reads = reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_refused(scope):
            text = "refused: the request comes from a page of another site\n"
            await PlainTextResponse(text, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_refused(self, scope: Scope) -> bool:
        only_reads = scope["method"] in _ONLY_READ or (self._reads is not None and self._reads.allow(scope))
        return not only_reads and _is_cross_origin(Request(scope))


def _is_cross_origin(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")  # without TLS browsers do not send Sec-Fetch-Site
    return origin is not None and origin.partition("://")[2] != request.headers.get("host", "")


class _AnswersAtStop:
    """Answers 503 to a request that uvicorn cancels because the server stops; uvicorn would log a traceback."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except asyncio.CancelledError:
            log.warning("request cut short, the server stops: path=%s", scope.get("path", ""))
            if started:
                raise
            await PlainTextResponse("the server is stopping\n", 503)(scope, receive, send)


class _HarmlessAnswers:
    """Whatever is no page has a policy, too, by which a browser runs and loads nothing of it: errors and the API repeat
    what others wrote."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def harmless_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers") or [])
                given = {name for name, _ in headers}
                message = {**message, "headers": [*headers, *(one for one in _HARMLESS if one[0] not in given)]}
            await send(message)

        await self._app(scope, receive, harmless_send)


class _ExtraHeaders:
    def __init__(self, app: ASGIApp, headers: Sequence[tuple[str, str]]):
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers") or []
                message = {**message, "headers": [*headers, *self._headers]}  # type: ignore[misc]
            await send(message)

        await self._app(scope, receive, send_with_headers)  # type: ignore[arg-type]
