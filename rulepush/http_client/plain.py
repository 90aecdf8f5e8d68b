"""PlainRequest: the same request again and again, over one connection, where nothing about it is special.

Nearly all scrapes are that, and what goes to Alertmanager: no TLS, no proxy, no credentials, an answer of a known
length or in chunks. httpx, h11 and streams take longer for such an answer than it takes to read the thousand samples in
it, and 6 MiB. What is special raises NotPlain, and then the request is httpx' and this connection is closed; the rules
of reuse are those of `network.py`.
"""

from __future__ import annotations

import asyncio
import re
import select
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NoReturn

from rulepush.http_client.rules import IDLE_SECONDS, NO_ANSWER

_READ_BYTES: Final = 1 << 18
_MAX_HEAD_BYTES: Final = 1 << 14
_HTTP_PORT: Final = 80
_LAST_PORT: Final = 65535
_CONNECT_STAGGER: Final = 0.25  # seconds before the next address of a name is tried, too: RFC 8305
# RFC 9112, sections 4 and 5, without what only few servers send: other versions, folded lines.
_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([2-5][0-9]{2})(?: ([\t !-~]*))?\r\n((?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t !-~\x80-\xff]*\r\n)*)\r\n"
)
# A URL that is sent as it is written: httpx would neither encode nor normalise anything in it.
_URL: Final = re.compile(
    r"http://(?:([0-9.]+)|([a-z0-9_.-]+)|\[([0-9a-f:.]+)\])(?::([0-9]{1,5}))?"
    r"((?:/(?:[A-Za-z0-9_.~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?(?:\?(?:[A-Za-z0-9_.~!$&()*+,;=:@/?-]|%[0-9A-Fa-f]{2})+)?)"
)
_DOTS: Final = re.compile(r"/\.{1,2}(?:[/?]|$)")
_HEADER_NAME: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[\t !-~]*[!-~])?)?")
_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")
_MAX_CHUNK_LINE: Final = 16
_FRAMING: Final = ("content-length", "transfer-encoding")
_SPECIAL: Final = frozenset(("upgrade", "trailer"))
_NO_BODY: Final = (204, 205, 304)
_incoming: Final = memoryview(bytearray(_READ_BYTES))  # of all connections: what comes is copied at once

Sink = Callable[[bytes], object]
"""Gets the parts of a body as they come. What it raises ends the request."""


class NotPlain(Exception):
    """The server, its answer, or the way to it needs more than is here: send the request through httpx."""


@dataclass(frozen=True, slots=True)
class PlainHead:
    """The head of an answer; `headers` by lower-case name, the first of each."""

    status: int
    phrase: str
    headers: dict[str, str]
    body_bytes: int | None  # None: it comes in chunks
    keeps: bool  # whether the server keeps the connection


class PlainRequest:
    """One request at a time. The caller sets the deadline; a fetch that is cancelled closes its connection.

    `head` are its bytes up to the Content-Length, `address` are host and port.
    """

    def __init__(self, method: str, url: str, headers: Iterable[tuple[str, str]]):
        """`headers` are all but Host and Content-Length. Raises NotPlain when it cannot be sent like this."""
        host, port, target = _parts(url)
        self.address = host.strip("[]"), port
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}" if port == _HTTP_PORT else f"Host: {host}:{port}"]
        for name, value in headers:
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise NotPlain
            lines.append(f"{name}: {value}")
        self.head = "\r\n".join(lines).encode("ascii")
        self._connection: _Connection | None = None
        self._busy = False

    def is_like(self, other: PlainRequest) -> bool:
        """Whether both send the same to the same server."""
        return (self.head, self.address) == (other.head, other.address)

    def take_over(self, former: PlainRequest) -> None:
        """Send over the connection of a former request, if that was to the same server and has ended."""
        if former.address == self.address and not former._busy:
            self._connection, former._connection = former._connection, None

    async def fetch(self, begin: Callable[[PlainHead], Sink], content: bytes | None = None) -> None:
        """Send the request, with this content; again where a kept connection turns out dead. `begin` says where the
        body of the answer goes; it may raise, as the sink may. Raises NotPlain, or httpx.HTTPError."""
        length = b"" if content is None else b"\r\nContent-Length: %d" % len(content)
        request = self.head + length + b"\r\n\r\n" + (content or b"")
        if self._busy:
            raise NotPlain
        self._busy = True
        try:
            while True:
                kept = self._connection
                connection = kept if kept is not None and kept.is_reusable() else await self._connect()
                answer = connection.ask(request, begin)
                try:
                    await answer.done
                except _Dead as e:
                    if connection is not kept:
                        _raise_protocol_error(NO_ANSWER, e.__cause__)
                else:
                    return
                finally:
                    if not answer.is_whole:
                        self.close()
                        answer.done.cancel()
        finally:
            self._busy = False

    async def _connect(self) -> _Connection:
        self.close()
        host, port = self.address
        try:
            _, self._connection = await asyncio.get_running_loop().create_connection(
                _Connection, host, port, happy_eyeballs_delay=_CONNECT_STAGGER
            )
        except (OSError, ValueError, OverflowError) as e:
            raise NotPlain from e  # httpx will fail as well, and say why
        return self._connection

    def close(self) -> None:
        """Close the connection; a fetch that is under way fails."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Dead(Exception):
    """The connection ended before the first byte of an answer."""


class _Connection(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: PlainAnswer | None = None
        self._idle_since = 0.0
        self._readable = select.poll()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._readable.register(transport.get_extra_info("socket"), select.POLLIN)
        self._idle_since = time.monotonic()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _incoming

    def buffer_updated(self, nbytes: int) -> None:
        if self._answer is None:
            self.close()  # nothing was asked
            return
        self._answer.receive(bytes(_incoming[:nbytes]))
        if self._answer.done.done():
            if not (self._answer.is_whole and self._answer.keeps):
                self.close()
            self._answer = None
            self._idle_since = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end(exc)

    def is_reusable(self) -> bool:
        """Whether the connection is open and has received nothing, neither its end nor unexpected bytes."""
        if self._transport is None or self._transport.is_closing():
            return False
        return time.monotonic() - self._idle_since <= IDLE_SECONDS and not self._readable.poll(0)

    def ask(self, request: bytes, begin: Callable[[PlainHead], Sink]) -> PlainAnswer:
        """Send a request; the answer comes."""
        answer = self._answer = PlainAnswer(begin, asyncio.get_running_loop().create_future())
        assert self._transport is not None
        self._transport.write(request)
        return answer

    def close(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()


class PlainAnswer:
    """An answer as it comes; `done` is a future, which raises what went wrong."""

    def __init__(self, begin: Callable[[PlainHead], Sink], done: asyncio.Future[None]):
        self.done = done
        self.is_whole = False
        self.keeps = False
        self._begin = begin
        self._unread = b""  # of the head, or of a line between two chunks
        self._sink: Sink | None = None
        self._chunks: _Chunks | None = None
        self._left = self._size = 0

    def receive(self, data: bytes) -> None:
        """What came."""
        if self.done.done():  # the caller has given up
            return
        try:
            if self._sink is None:
                data = self._read_head(self._unread + data)
            if self._chunks is not None:
                self._end_with(self._chunks.read(data))
            elif self._sink is not None:
                self._read_body(self._sink, data)
        except Exception as e:
            self.done.set_exception(e)

    def end(self, error: Exception | None) -> None:
        """The connection has ended."""
        if self.done.done():
            return
        if self._sink is not None:
            got = f"received {self._size - self._left} bytes, expected {self._size}"
            what = "incomplete chunked read" if self._chunks is not None else got
            text = f"peer closed connection without sending complete message body ({what})"
            problem: Exception = _protocol_error(text)  # h11's words
        elif self._unread:
            problem = NotPlain()  # httpx knows what to say of half a head
        else:
            problem = _Dead()
        problem.__cause__ = error
        self.done.set_exception(problem)

    def _read_head(self, data: bytes) -> bytes:
        """Returns what follows the head."""
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            if len(data) > _MAX_HEAD_BYTES:
                raise NotPlain
            self._unread = data
            return b""
        head = _plain_head(data[:end])
        self.keeps = head.keeps
        self._sink = self._begin(head)
        if head.body_bytes is None:
            self._chunks = _Chunks(self._sink)
        else:
            self._left = self._size = head.body_bytes
        self._unread = b""
        return data[end:]

    def _read_body(self, sink: Sink, data: bytes) -> None:
        part, rest = data[: self._left], data[self._left :]
        self._left -= len(part)
        if part:
            sink(part)
        self._end_with(None if self._left else rest)

    def _end_with(self, rest: bytes | None) -> None:
        """The body is whole, unless `rest` is None, and this follows it."""
        if rest is not None:
            self.keeps = self.keeps and not rest  # after bytes that were not asked for the connection is of no more use
            self.is_whole = True
            self.done.set_result(None)


class _Chunks:
    """A body in chunks (RFC 9112, section 7.1), without extensions and trailers."""

    def __init__(self, sink: Sink):
        self._sink = sink
        self._left = 0  # bytes of the chunk
        self._unread = b""  # the beginning of a line
        self._ends_chunk = False  # whether the next line is what ends a chunk
        self._is_last = False  # whether the last chunk has come

    def read(self, data: bytes) -> bytes | None:
        """Returns what follows the body, None before its end. Raises NotPlain."""
        data = self._unread + data
        at = 0
        while True:
            if self._left:
                part = data[at : at + self._left]
                at += len(part)
                self._left -= len(part)
                if part:
                    self._sink(part)
            end = -1 if self._left else data.find(b"\r\n", at)
            if end < 0:
                self._unread = data[at:]
                if len(self._unread) > _MAX_CHUNK_LINE:
                    raise NotPlain
                return None
            line, at = data[at:end], end + 2
            if self._ends_chunk:
                if line:
                    raise NotPlain
                if self._is_last:
                    return data[at:]
                self._ends_chunk = False
                continue
            if not _CHUNK_SIZE.fullmatch(line):
                raise NotPlain
            self._left = int(line, 16)
            self._ends_chunk, self._is_last = True, not self._left


def _protocol_error(text: str) -> Exception:
    """httpx' RemoteProtocolError: who asks knows the errors of one library."""
    import httpx

    return httpx.RemoteProtocolError(text)


def _raise_protocol_error(text: str, cause: BaseException | None) -> NoReturn:
    raise _protocol_error(text) from cause


def _parts(url: str) -> tuple[str, int, str]:
    """(host as it stands in the URL, port, path and query). Raises NotPlain."""
    found = _URL.fullmatch(url)
    if found is None:
        raise NotPlain
    v4, name, v6, port, target = found.groups()
    path = target.partition("?")[0]
    try:
        if v4:
            IPv4Address(v4)
        elif v6:
            IPv6Address(v6)
    except AddressValueError:
        raise NotPlain from None
    number = int(port or _HTTP_PORT)
    if not 0 < number <= _LAST_PORT or _DOTS.search(path):
        raise NotPlain
    return f"[{v6}]" if v6 else v4 or name, number, target if path else f"/{target}"


@lru_cache(maxsize=16)
def _plain_head(data: bytes) -> PlainHead:
    """Raises NotPlain. A server that is asked often within a second answers with the same head."""
    found = _HEAD.fullmatch(data)
    if found is None:
        raise NotPlain
    minor, status, phrase, lines = found.groups()
    is_old = minor == b"0"  # HTTP/1.0, as of Python's own simple servers
    headers: dict[str, str] = {}
    for line in lines.split(b"\r\n")[:-1]:
        raw_name, _, value = line.partition(b":")
        name = raw_name.lower().decode("ascii")
        if name in _SPECIAL or (name in _FRAMING and name in headers):
            raise NotPlain
        headers.setdefault(name, value.strip(b" \t").decode("latin-1"))
    code, length, coding = int(status), headers.get("content-length"), headers.get("transfer-encoding")
    keeps = not is_old and headers.get("connection", "").lower() in ("", "keep-alive")
    if code == 204 and length in (None, "0") and coding is None:  # what a remote write is answered
        return PlainHead(code, (phrase or b"").decode("ascii"), headers, 0, keeps)
    if code in _NO_BODY or 300 <= code < 400 or (length is None) == (coding is None) or (is_old and coding):
        raise NotPlain
    if (coding or "chunked").lower() != "chunked" or not _LENGTH.fullmatch(length or "0"):
        raise NotPlain
    return PlainHead(code, (phrase or b"").decode("ascii"), headers, None if length is None else int(length), keeps)
