"""Reading a request: its body within bounds, and giving up work when the client has disconnected.

The push receiver, the remote write receiver, the relay and the API's forms read their bodies here. The module is below
all of them, for `push` and `remote` may not import `web`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from rulepush.errors import BodyError

T = TypeVar("T")
Decompress = Callable[[bytes, int], bytes]
"""(body, limit) -> its content. Raises BodyError: 413 as soon as it exceeds `limit` bytes, 400 for corrupt data."""

CLIENT_CLOSED_REQUEST: Final = 499  # nginx's status for its log; no client reads it
_THREAD_THRESHOLD_BYTES: Final = 64 << 10


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body as sent. Raises BodyError 413 for more than `limit` bytes, without reading on, and
    ClientDisconnect, which `build_app` handles."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise body_too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise body_too_large(limit)
    return bytes(body)


async def read_content(request: Request, limit: int, encodings: Mapping[str, Decompress]) -> bytes:
    """The body, decompressed as its Content-Encoding says. `limit` bounds it as sent and decompressed.

    Raises what `read_body` does, and BodyError 415 for an encoding that is not one of `encodings`, before reading.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return await read_body(request, limit)
    if encoding not in encodings:
        raise BodyError(415, f"content encoding {encoding} is not supported: send {', or '.join([*encodings, 'none'])}")
    body = await read_body(request, limit)
    return await in_thread_if_large(body, lambda data: encodings[encoding](data, limit))


async def in_thread_if_large(body: bytes, decode: Callable[[bytes], T]) -> T:
    """`decode(body)`; in a thread when the body is so large that it would hold up the event loop, and with it the
    rules. A small one is decoded faster than a thread takes over."""
    return decode(body) if len(body) < _THREAD_THRESHOLD_BYTES else await asyncio.to_thread(decode, body)


def gunzip(data: bytes, limit: int) -> bytes:
    """The content of gzip data, of one member or several. Raises BodyError."""
    out = bytearray()
    try:
        while data:
            member = zlib.decompressobj(wbits=31)
            out += member.decompress(data, limit - len(out) + 1)
            if len(out) > limit:
                raise body_too_large(limit)
            if not member.eof:
                raise BodyError(400, "unexpected EOF")
            data = member.unused_data
    except zlib.error as e:
        raise BodyError(400, f"gzip: invalid body: {e}") from None
    return bytes(out)


GZIP: Final[Mapping[str, Decompress]] = {"gzip": gunzip}
NO_ENCODING: Final[Mapping[str, Decompress]] = {}


def body_too_large(limit: int) -> BodyError:
    """The refusal of a body of more than `limit` bytes."""
    return BodyError(413, f"the body is larger than the limit of {limit} bytes")


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client of `request` disconnects; ClientDisconnect is raised
    then. The body must have been read."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        watching.cancel()
        working.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
