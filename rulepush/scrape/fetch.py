"""Fetching one body: headers as Prometheus sends them, limits while it streams, errors in Prometheus' words."""

from __future__ import annotations

import asyncio
import http
import ssl
import zlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

import httpx

from rulepush.errors import HTTPStatusError, ScrapeError
from rulepush.http_client.client import CONNECTION_OWNER, Client, failed_url, reason
from rulepush.model.floats import format_float

# Without body_size_limit a target may still not exhaust memory or time. Reading a body costs several times its size,
# and more for each line than for its bytes; a line without an end is no exposition.
DEFAULT_BODY_LIMIT: Final = 64 << 20
_BYTES_A_LINE: Final = 128
_MIN_LINE_LIMIT: Final = 100_000
_MAX_LINE_BYTES: Final = 1 << 20
_UNPACK_BYTES: Final = 1 << 18
_MAX_REDIRECTS: Final = 10
_ERROR_BODY_SECONDS: Final = 1.0
_GZIP: Final = 31  # zlib's wbits for a gzip header

_PROTOCOL_HEADERS: Final = {
    "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0",
    "OpenMetricsText0.0.1": "application/openmetrics-text;version=0.0.1",
    "PrometheusText1.0.0": "text/plain;version=1.0.0",
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
}

Deadline = Callable[[float], AbstractAsyncContextManager[object]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, decompressed, and how it is labelled."""

    body: bytes
    content_type: str


def accept_header(protocols: tuple[str, ...], escaping: str = "allow-utf-8") -> str:
    """The Accept header for `scrape_protocols`, in order of preference, as Prometheus weighs them."""
    values = []
    weight = 6
    for protocol in protocols:
        value = _PROTOCOL_HEADERS[protocol]
        if value.endswith("=1.0.0"):
            value += f";escaping={escaping}"
        values.append(f"{value};q=0.{weight}")
        weight -= 1
    return ",".join([*values, f"*/*;q=0.{weight}"])


class Fetcher:
    """Fetches for one target, through the client of its job, over connections of its own."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        accept: str,
        *,
        compression: bool = True,
        body_size_limit: int = 0,
        deadline: Deadline = asyncio.timeout,
        error_body_bytes: int = 0,
    ):
        """`body_size_limit` in decompressed bytes, 0 for the default. `deadline` raises TimeoutError in its block.
        `error_body_bytes` is how much of the body is read when the status is not 200, for the HTTPStatusError."""
        self._client = client
        self._headers = {"Accept": accept, "Accept-Encoding": "gzip" if compression else "identity"}
        self._limit = body_size_limit or DEFAULT_BODY_LIMIT
        self._deadline = deadline
        self._error_body_bytes = error_body_bytes
        self._prepared: tuple[str, int, httpx.Request] | None = None  # of the last URL and timeout

    async def fetch(self, url: str, timeout_ms: int) -> Fetched:
        """GET `url`, all of it within the timeout. Raises ScrapeError."""
        try:
            async with self._deadline(timeout_ms / 1000):
                response = await self._send(self._request(url, timeout_ms))
                try:
                    return await self._read(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise ScrapeError(f'Get "{url}": context deadline exceeded') from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError, OSError, ValueError) as e:
            raise ScrapeError(f'Get "{failed_url(e, url)}": {reason(e)}') from e

    async def close(self) -> None:
        """Close the connections: the target is gone."""
        if isinstance(self._client, Client):
            await self._client.close_owned(self)

    def _request(self, url: str, timeout_ms: int) -> httpx.Request:
        """A new one each time, for what sends it changes it; its URL and headers are put together once."""
        if self._prepared is None or self._prepared[:2] != (url, timeout_ms):
            headers = {**self._headers, "X-Prometheus-Scrape-Timeout-Seconds": format_float(timeout_ms / 1000)}
            request = self._client.build_request("GET", url, headers=headers, timeout=None)
            self._prepared = url, timeout_ms, request
        prepared = self._prepared[2]
        extensions = {**prepared.extensions, CONNECTION_OWNER: self}
        return httpx.Request("GET", prepared.url, headers=prepared.headers, extensions=extensions)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """Follow redirects here, for httpx would read the whole body of each one."""
        response = await self._client.send(request, stream=True, follow_redirects=False)
        for _ in range(_MAX_REDIRECTS):
            following = response.next_request if self._client.follow_redirects else None
            self._client.cookies.clear()  # Prometheus keeps none, and a job's targets share the client
            if following is None:
                return response
            await response.aclose()
            # The credentials are in its headers already if it stays on the same host, and must not go elsewhere.
            response = await self._client.send(following, auth=httpx.Auth(), stream=True, follow_redirects=False)
        await response.aclose()
        raise httpx.TooManyRedirects(f"stopped after {_MAX_REDIRECTS} redirects")

    async def _read(self, response: httpx.Response) -> Fetched:
        # Of several lines the first counts, as for Go; httpx would join them.
        content_type = next(iter(response.headers.get_list("Content-Type")), "")
        if response.status_code != 200:
            beginning = await self._beginning(response) if self._error_body_bytes else b""
            raise HTTPStatusError(response.status_code, _phrase(response), content_type, beginning)
        if response.headers.get("Content-Encoding", "").strip().lower() == "gzip":
            return Fetched(await self._gunzip(response), content_type)
        received = _Received(self._limit)
        async for part in _raw(response):
            received.add(part)
        return Fetched(received.body(), content_type)

    async def _beginning(self, response: httpx.Response) -> bytes:
        """Of a body that is only for people: what cannot be had soon, or unpacked, is left out."""
        limit, raw = self._error_body_bytes, b""
        try:
            async with asyncio.timeout(_ERROR_BODY_SECONDS):
                async for part in _raw(response):
                    raw += part
                    if len(raw) >= limit:
                        break
        except (httpx.HTTPError, httpx.StreamError, OSError, TimeoutError):
            pass
        if response.headers.get("Content-Encoding", "").strip().lower() == "gzip":
            try:
                raw = zlib.decompressobj(_GZIP).decompress(raw, limit)
            except zlib.error:
                return b""
        return raw[:limit]

    async def _gunzip(self, response: httpx.Response) -> bytes:
        """Decompress as it comes, and stop at the limit: a small body may unpack to an enormous one."""
        unpacker, received = zlib.decompressobj(_GZIP), _Received(self._limit)
        try:
            async for part in _raw(response):
                while part:
                    received.add(unpacker.decompress(part, _UNPACK_BYTES))
                    part = unpacker.unconsumed_tail
                    if unpacker.eof and unpacker.unused_data:  # gzip members may follow each other
                        part, unpacker = unpacker.unused_data, zlib.decompressobj(_GZIP)
        except zlib.error as e:
            raise ScrapeError(f"gzip: {e}") from None
        if not unpacker.eof:
            raise ScrapeError("unexpected EOF")
        return received.body()


class _Received:
    """What has come of a body, held to its limits."""

    def __init__(self, limit: int):
        """`limit` in bytes."""
        self._limit = limit
        self._max_lines = max(_MIN_LINE_LIMIT, limit // _BYTES_A_LINE)
        self._parts: list[bytes] = []
        self._size = self._lines = self._since_newline = 0

    def add(self, part: bytes) -> None:
        """Raises ScrapeError at a limit."""
        self._size += len(part)
        if self._size > self._limit:
            raise ScrapeError("body size limit exceeded")
        newlines = part.count(b"\n")
        self._lines += newlines
        if self._lines > self._max_lines:
            raise ScrapeError(f"body size limit exceeded: more than {self._max_lines} lines")
        self._since_newline = len(part) - part.rfind(b"\n") - 1 if newlines else self._since_newline + len(part)
        if self._since_newline > _MAX_LINE_BYTES:
            raise ScrapeError(f"body size limit exceeded: a line of more than {_MAX_LINE_BYTES >> 20} MiB")
        self._parts.append(part)

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)


def _raw(response: httpx.Response) -> httpx.AsyncByteStream:
    """The bytes as they come over the wire; httpx' own way would unpack them without a limit."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return response.stream


def _phrase(response: httpx.Response) -> str:
    phrase = response.reason_phrase
    if not phrase:
        try:
            phrase = http.HTTPStatus(response.status_code).phrase
        except ValueError:
            return ""
    return phrase
