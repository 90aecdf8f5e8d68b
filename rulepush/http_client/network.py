"""The network below httpx: connections that are kept, and requests that are repeated when a kept one turns out dead.

A server closes connections that were idle for its keep-alive timeout (uvicorn and Node 5 s, Jetty 30 s, load balancers
60 s). Where that is about the interval of our requests, the close and the next request cross on the wire: the request
ends in an EOF, a reset or a broken pipe although the server is healthy. Go's net/http repeats such a request
(transport.go, `shouldRetryRequest`), so a scrape by Prometheus does not fail there. `NetworkTransport` does the same:

- only where the connection had answered a request before. A new connection that dies is an error of the server.
- only where not one byte of the answer came. After that the server did handle the request.
- only where repeating is harmless: GET, HEAD, OPTIONS, TRACE as in Go, and requests marked with the extension
  IDEMPOTENT (alerts to Alertmanager, OAuth 2.0 tokens). Messages of the relay to chat robots never.

Each repetition uses up one dead connection of the pool, and a new connection is never repeated, so this ends.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, NoReturn

import httpcore
import httpx

from rulepush.http_client.rules import IDEMPOTENT, IDLE_SECONDS, NO_ANSWER

_IDEMPOTENT_METHODS: Final = ("GET", "HEAD", "OPTIONS", "TRACE")  # net/http request.go isReplayable
_NETWORK_ERRORS: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)


class DeadConnection(httpcore.ReadError):
    """A connection that had been used before ended before the first byte of an answer."""


class NetworkTransport(httpx.AsyncBaseTransport):
    """Requests over TCP, or through the unix socket `uds`, with the rule at the top of this file. `context` serves
    https requests, if any."""

    def __init__(
        self,
        context: ssl.SSLContext | None,
        proxy: httpx.Proxy | None = None,
        backend: httpcore.AsyncNetworkBackend | None = None,
        uds: str | None = None,
    ):
        """`backend` takes the place of sockets in tests."""
        watching = WatchingBackend(backend or httpcore.AnyIOBackend())
        if proxy is None:
            self._pool: httpcore.AsyncConnectionPool = httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=None,
                keepalive_expiry=IDLE_SECONDS,
                uds=uds,
                network_backend=watching,
            )
        else:
            self._pool = httpcore.AsyncHTTPProxy(
                proxy_url=_url(proxy.url),
                proxy_auth=proxy.raw_auth,
                proxy_headers=proxy.headers.raw,
                ssl_context=context,
                proxy_ssl_context=proxy.ssl_context,
                max_connections=None,
                keepalive_expiry=IDLE_SECONDS,
                network_backend=watching,
            )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await send_repeating(request, self._send)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        sent = httpcore.Request(
            method=request.method,
            url=_url(request.url),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        got = await self._pool.handle_async_request(sent)
        assert isinstance(got.stream, AsyncIterable)
        body = ResponseBody(got.stream, got.aclose)
        return httpx.Response(status_code=got.status, headers=got.headers, stream=body, extensions=dict(got.extensions))

    async def aclose(self) -> None:
        await self._pool.aclose()


async def send_repeating(
    request: httpx.Request, send: Callable[[httpx.Request], Awaitable[httpx.Response]]
) -> httpx.Response:
    """Send a request, again where a kept connection turns out dead and that is harmless. `send` raises httpcore's
    exceptions, this one httpx'."""
    while True:
        try:
            return await send(request)
        except DeadConnection as e:
            if not _is_repeatable(request):
                raise httpx.ReadError(str(e)) from e
        except _NETWORK_ERRORS as e:
            _raise_as_httpx(e)


def _is_repeatable(request: httpx.Request) -> bool:
    """Whether the request may be sent twice, and its body is still there to be sent."""
    if not isinstance(request.stream, httpx.ByteStream):
        return False
    return request.method in _IDEMPOTENT_METHODS or bool(request.extensions.get(IDEMPOTENT))


def _url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _raise_as_httpx(e: Exception) -> NoReturn:
    """Raise the exception of httpx that has the name of httpcore's, or of the nearest base that httpx has too."""
    for kind in type(e).__mro__:
        same = getattr(httpx, kind.__name__, None)
        if isinstance(same, type) and issubclass(same, httpx.RequestError):
            raise same(str(e)) from e
    raise httpx.TransportError(str(e)) from e


class ResponseBody(httpx.AsyncByteStream):
    """The body of an answer, with httpx' exceptions. `close` is called once, when the body is read or not wanted."""

    def __init__(self, parts: AsyncIterable[bytes], close: Callable[[], Awaitable[None]]):
        self._parts = parts
        self._close: Callable[[], Awaitable[None]] | None = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert self._close is not None
        try:
            async for part in self._parts:
                yield part
        except _NETWORK_ERRORS as e:
            _raise_as_httpx(e)

    async def aclose(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            await close()


class WatchingBackend(httpcore.AsyncNetworkBackend):
    """Opens connections as `inner` does, each watched by a `_WatchedStream`."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend):
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _WatchedStream(await self._inner.connect_tcp(host, port, timeout, local_address, socket_options))

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _WatchedStream(await self._inner.connect_unix_socket(path, timeout, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _WatchedStream(httpcore.AsyncNetworkStream):
    """Raises DeadConnection when the connection ends between a request that is not its first and the answer.

    httpcore's own errors cannot tell this: it says "disconnected without sending a response" after half a status line,
    too, and on a new connection. A TLS connection, and one through a proxy's CONNECT, has a stream of its own from
    `start_tls` on, so that what the handshake exchanged does not count as an answer.
    """

    def __init__(self, inner: httpcore.AsyncNetworkStream):
        self._inner = inner
        self._reused = False  # the request under way is not the first
        self._answering = False  # bytes came since the last write

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            data = await self._inner.read(max_bytes, timeout)
        except (httpcore.ReadError, ssl.SSLError) as e:
            if self._is_dead():
                raise DeadConnection(str(e)) from e
            raise
        if data:
            self._answering = True
        elif self._is_dead():
            raise DeadConnection(NO_ANSWER)
        return data

    def _is_dead(self) -> bool:
        return self._reused and not self._answering

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._reused = self._reused or self._answering
        self._answering = False
        # httpcore goes on to read after a WriteError, for a server may refuse a body early: `read` then decides.
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _WatchedStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
