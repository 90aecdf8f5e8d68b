"""Requests to a server with the Prometheus HTTP API: bounded in time and size, with one clear message for each way in
which they fail.

Sources: prometheus web/api/v1/api.go (statuses of errors), thanos pkg/api/api.go (`warnings`), VictoriaMetrics
app/vmselect/prometheus/query_response.qtpl of the cluster branch (`isPartial`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from rulepush.errors import SampleSourceError
from rulepush.http_client.client import reason, shown_url

MAX_ANSWER_BYTES: Final = 128 << 20
DEFAULT_TIMEOUT_S: Final = 60.0
_MAX_URL: Final = 4096  # bytes of parameters; above, they go into the body
_MAX_QUOTED: Final = 300
_FORM: Final = "application/x-www-form-urlencoded"
_TOO_MUCH: Final = frozenset((413, 422, 503, 504))
_WHERE: Final = (
    "give the base URL of the API, without /api/v1: http://prometheus:9090, http://thanos-query:10902, "
    "http://mimir:8080/prometheus, http://victoria-metrics:8428 or http://vmselect:8481/select/0/prometheus"
)

Params = Sequence[tuple[str, str]]


class WindowTooLarge(Exception):
    """The server, or the bound on an answer, refuses what was asked for; less may do. The text says why."""


@dataclass(frozen=True, slots=True)
class APIReply:
    """An answer of any status. `content_type` is without parameters, in lower case."""

    status: int
    content_type: str
    body: bytes

    def text(self) -> str:
        """The beginning of the body, on one line."""
        try:
            said = json.loads(self.body).get("error", "")
        except (ValueError, AttributeError):
            said = ""
        text = str(said) or self.body[: _MAX_QUOTED * 4].decode(errors="replace")
        return " ".join(text.split())[:_MAX_QUOTED]


@dataclass(frozen=True, slots=True)
class QueryReply:
    """`data` of a successful answer, and what the server said of its being incomplete."""

    data: Any
    warnings: tuple[str, ...]


class PrometheusAPI:
    """The API at one base URL."""

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
    ):
        """`client` has the credentials and certificates. Raises SampleSourceError when it is not a URL."""
        self._base = base_url(url)
        self._client = client
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self.shown = shown_url(self._base)

    @property
    def max_bytes(self) -> int:
        """How large an answer may be when it is unpacked."""
        return self._max_bytes

    async def query(self, expr: str, at: int) -> QueryReply:
        """An instant query at `at` (ms). Raises SampleSourceError and WindowTooLarge."""
        reply = await self.ask("/api/v1/query", [("query", expr), ("time", seconds(at))])
        return self.decoded(reply)

    async def ask(self, path: str, params: Params = ()) -> APIReply:
        """A request whose parameters may be many. Raises SampleSourceError when there is no answer."""
        text = urlencode(params)
        if len(text) <= _MAX_URL:
            return await self._send("GET", f"{path}?{text}" if text else path, b"", {})
        return await self._send("POST", path, text.encode(), {"Content-Type": _FORM})

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> APIReply:
        """A request with a body. Raises SampleSourceError when there is no answer."""
        return await self._send("POST", path, body, headers)

    def decoded(self, reply: APIReply) -> QueryReply:
        """The data of an answer. Raises SampleSourceError and WindowTooLarge."""
        self.check(reply)
        try:
            answer = json.loads(reply.body)
            if answer["status"] != "success":
                raise ValueError
            data, warnings = answer["data"], [str(w) for w in answer.get("warnings") or ()]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._not_the_api(reply) from None
        if answer.get("isPartial") is True:
            warnings.append("the answer is partial: some storage nodes did not answer (isPartial)")
        return QueryReply(data, tuple(warnings))

    def check(self, reply: APIReply) -> None:
        """Nothing for a status of success. Raises SampleSourceError and WindowTooLarge."""
        if 200 <= reply.status < 300:
            return
        status = f"{self.shown} answered {reply.status}"
        if reply.status == 401:
            raise SampleSourceError(
                f"{status} Unauthorized: it wants credentials; give them in --http.config.file, or in the URL as "
                "http://user:password@host"
            )
        if reply.status == 403:
            raise SampleSourceError(f"{status} Forbidden: these credentials may not read here: {reply.text()}")
        if reply.status == 404:
            raise SampleSourceError(f"{status} Not Found, so the Prometheus HTTP API is not there; {_WHERE}")
        if reply.status in _TOO_MUCH or "exceeded sample limit" in reply.text():
            raise WindowTooLarge(f"{status}: {reply.text()}")
        if reply.content_type == "text/html":
            raise self._not_the_api(reply)
        raise SampleSourceError(f"{status}: {reply.text()}")

    def _not_the_api(self, reply: APIReply) -> SampleSourceError:
        what = "an HTML page (of a login, perhaps)" if reply.content_type == "text/html" else "something else"
        return SampleSourceError(
            f"{self.shown} answered {what} where the Prometheus HTTP API answers JSON: {reply.text()[:80]!r}; {_WHERE}"
        )

    async def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> APIReply:
        parts: list[bytes] = []
        size = 0
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(
                    method, self._base + path, content=body or None, headers=dict(headers), timeout=self._timeout_s
                ) as response,
            ):
                async for part in response.aiter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > self._max_bytes:
                        raise WindowTooLarge(f"the answer of {self.shown} has more than {self._max_bytes >> 20} MiB")
        except (TimeoutError, httpx.TimeoutException):
            raise WindowTooLarge(f"{self.shown} did not answer within {self._timeout_s:g}s") from None
        except httpx.HTTPError as e:
            raise SampleSourceError(f"{self.shown} cannot be reached: {reason(e)}") from None
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return APIReply(response.status_code, content_type, b"".join(parts))


def base_url(url: str) -> str:
    """The URL that the paths of the API are appended to; `http` where no scheme is given. Raises SampleSourceError."""
    given = url if "://" in url else f"http://{url}"
    try:
        parsed = httpx.URL(given)
        good = parsed.scheme in ("http", "https") and bool(parsed.host)
    except (httpx.InvalidURL, ValueError):
        good = False
    if not good:
        raise SampleSourceError(f"{shown_url(url)!r} is not a URL; {_WHERE}")
    return given.partition("?")[0].rstrip("/").removesuffix("/api/v1")


def seconds(ms: int) -> str:
    """A time as a parameter of the API."""
    return f"{ms // 1000}.{ms % 1000:03d}"
