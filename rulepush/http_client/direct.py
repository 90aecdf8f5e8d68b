"""Connections that belong to one owner: HTTP/1.1 straight over a stream, without a pool that many share.

A scrape asks one server again and again, so it needs one connection, and none of what httpcore's pool does to share
many: that visits every connection there is for each request, and costs several times what h11 costs. The rules of
reuse are those of `network.py`: a kept connection that turns out dead is replaced, a new one that dies is an error.
"""

from __future__ import annotations

import select
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio
import h11
import httpcore
import httpx

from rulepush.http_client.network import ResponseBody, WatchingBackend, send_repeating
from rulepush.http_client.rules import IDLE_SECONDS, NO_ANSWER

_READ_BYTES: Final = 1 << 18  # what asyncio reads from a socket
_MAX_HEAD_BYTES: Final = 10 << 20  # as Go's net/http has it
_MAX_QUOTED: Final = 64
_PORTS: Final = {"http": 80, "https": 443}

_Origin = tuple[str, str, int]  # scheme, host, port


class DirectTransport(httpx.AsyncBaseTransport):
    """The requests of one owner, which has few under way at a time. The caller sets the deadline: httpx' timeouts have
    no effect here."""

    def __init__(self, context: ssl.SSLContext | None, backend: httpcore.AsyncNetworkBackend | None = None):
        """`context` serves https requests, None: there are none; `backend` takes the place of sockets in tests."""
        self._context = context
        self._backend = WatchingBackend(backend or httpcore.AnyIOBackend())
        self._open: list[_Connection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        port = url.port or _PORTS.get(url.scheme)
        if port is None:
            raise httpx.UnsupportedProtocol(f"Request URL has an unsupported protocol '{url.scheme}://'.")
        origin = url.scheme, url.raw_host.decode("ascii"), port

        async def send(request: httpx.Request) -> httpx.Response:
            connection = await self._kept(origin) or await self._connect(origin)
            return await connection.exchange(request)

        return await send_repeating(request, send)

    async def aclose(self) -> None:
        for connection in list(self._open):
            await connection.close()

    async def _kept(self, origin: _Origin) -> _Connection | None:
        """An idle connection to this server. One that has ended, or has received unexpected bytes, is closed."""
        for connection in [c for c in self._open if not c.busy and c.origin == origin]:
            if connection.is_reusable():
                return connection
            await connection.close()
        return None

    async def _connect(self, origin: _Origin) -> _Connection:
        scheme, host, port = origin
        stream = await self._backend.connect_tcp(host, port)
        if scheme == "https":
            assert self._context is not None
            self._context.set_alpn_protocols(["http/1.1"])
            stream = await stream.start_tls(self._context, host)
        connection = _Connection(origin, stream, self._open)
        self._open.append(connection)
        return connection


class _Connection:
    """One connection, and the state of its protocol."""

    def __init__(self, origin: _Origin, stream: httpcore.AsyncNetworkStream, siblings: list[_Connection]):
        """`siblings` are those that are open: this one leaves them when it closes."""
        self.origin = origin
        self.busy = False
        self._stream = stream
        self._siblings = siblings
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._idle_since = time.monotonic()
        self._asked: tuple[list[tuple[bytes, bytes]], bytes, h11.Request] | None = None
        self._readable: select.poll | None = None
        raw = stream.get_extra_info("socket")
        if raw is not None:
            self._readable = select.poll()
            self._readable.register(raw, select.POLLIN)

    def is_reusable(self) -> bool:
        """Whether an idle connection has received nothing, neither its end nor unexpected bytes."""
        if time.monotonic() - self._idle_since > IDLE_SECONDS:
            return False
        return self._readable is None or not self._readable.poll(0)

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and read the head of the answer; its stream gives the body, and the connection back."""
        self.busy = True
        try:
            await self._send(request)
            head = await self._head()
        except BaseException:
            await self.close()
            raise
        extensions = {"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason}
        return httpx.Response(
            head.status_code,
            headers=head.headers.raw_items(),
            stream=ResponseBody(self.body(), self.finish),
            extensions=extensions,
        )

    async def _send(self, request: httpx.Request) -> None:
        raw, target = request.headers.raw, request.url.raw_path
        if self._asked is None or self._asked[0] != raw or self._asked[1] != target:
            try:
                event = h11.Request(method=request.method, target=target, headers=raw)
            except h11.LocalProtocolError as e:
                raise httpcore.LocalProtocolError(str(e)) from e
            self._asked = raw, target, event
        parts = [self._h11.send(self._asked[2])]
        assert isinstance(request.stream, httpx.AsyncByteStream)
        parts += [self._h11.send(h11.Data(data=part)) async for part in request.stream]
        parts.append(self._h11.send(h11.EndOfMessage()))
        try:
            await self._stream.write(b"".join(part for part in parts if part))
        except httpcore.WriteError:
            pass  # a server may refuse before it has read all: what it answered decides

    async def _head(self) -> h11.Response:
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                raise httpcore.RemoteProtocolError("the server switches to another protocol, which was not requested")

    async def body(self) -> AsyncIterator[bytes]:
        """The parts of the body as they come."""
        while True:
            event = await self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                return

    async def _event(self) -> Any:
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as e:
                text = str(e)
                if text == "illegal request line":  # of h11's server side: it looks at the first byte, even in a client
                    text = self._no_answer()
                raise httpcore.RemoteProtocolError(text) from e
            if event is not h11.NEED_DATA:
                return event
            data = await self._stream.read(_READ_BYTES)
            if not data and self._h11.their_state is h11.SEND_RESPONSE:
                raise httpcore.RemoteProtocolError(self._no_answer())  # h11 would speak of its states
            self._h11.receive_data(data)

    def _no_answer(self) -> str:
        """What to say where the head of an answer never came: what came begins like the greeting of an SSH server, or
        is a TLS alert."""
        begun = self._h11.trailing_data[0].lstrip(b"\r\n")
        if not begun:
            return NO_ANSWER
        return f"malformed HTTP response {begun.splitlines()[0][:_MAX_QUOTED].decode('latin-1')!a}"

    async def finish(self) -> None:
        """The answer is read, or not wanted any more. A connection in the middle of one is of no use, nor one on which
        more came than was asked for."""
        state = self._h11
        if state.our_state is h11.DONE and state.their_state is h11.DONE and state.trailing_data == (b"", False):
            self._h11.start_next_cycle()
            self._idle_since = time.monotonic()
            self.busy = False
        else:
            await self.close()

    async def close(self) -> None:
        """Close the connection, even while the caller is being cancelled."""
        if self in self._siblings:
            self._siblings.remove(self)
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
