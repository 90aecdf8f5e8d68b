"""Which pages of other sites may read the API: Prometheus' `--web.cors.origin`.

Source: prometheus util/httputil/cors.go; web/api/v1/api.go answers every OPTIONS below /api/v1 with 204.

Credentials are never allowed (there is no Access-Control-Allow-Credentials), so a browser gives another site nothing
that it got with a password or a client's certificate it holds: with authentication a page reads the API only when it
knows the password itself. So the default of Prometheus, every origin, needs no exception there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rulepush.errors import RulepushError
from rulepush.model.errors import RegexError
from rulepush.model.regex import compile_regex

ANY_ORIGIN: Final = ".*"

_HEADERS: Final = (
    ("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin"),
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    ("Access-Control-Expose-Headers", "Date"),
)


class CorsOrigins:
    """The origins that may read: those that a regular expression matches whole."""

    def __init__(self, pattern: str = ANY_ORIGIN):
        """Raises RulepushError."""
        try:
            self._regex = compile_regex(pattern, captures=False)
        except RegexError as e:
            raise RulepushError(f"--web.cors.origin: {e}") from None
        self._any = pattern == ANY_ORIGIN

    def allowed(self, origin: str) -> str:
        """What Access-Control-Allow-Origin says to a page of `origin`; "" where it may not read."""
        if self._any:
            return "*"
        return origin if self._regex.fullmatch(origin) is not None else ""


class CorsHeaders:
    """Middleware: the headers of every answer, and the answer to a browser that asks before it sends (OPTIONS)."""

    def __init__(self, app: ASGIApp, origins: CorsOrigins):
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = Headers(scope=scope).get("origin", "")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("Origin")
                if origin:
                    for name, value in _HEADERS:
                        headers[name] = value
                    if allowed := self._origins.allowed(origin):
                        headers["Access-Control-Allow-Origin"] = allowed
            await send(message)

        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await Response(status_code=204)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


class CrossOriginReads:
    """What a page of an allowed origin may POST: the endpoints that only read, to which a long query is posted."""

    def __init__(self, origins: CorsOrigins, paths: Iterable[str]):
        """`paths` are whole paths, with the prefix."""
        self._origins = origins
        self._paths = frozenset(paths)

    def allow(self, scope: Scope) -> bool:
        """Whether this request is one of them."""
        origin = Headers(scope=scope).get("origin", "")
        return (
            scope["method"] == "POST"
            and scope["path"] in self._paths
            and origin != ""
            and bool(self._origins.allowed(origin))
        )
