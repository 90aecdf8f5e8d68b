"""Answers that are compressed where the client takes it: gzip or deflate, as Prometheus' API.

Source: prometheus util/httputil/compression.go. Other than there, what is small is sent as it is, `q=0` refuses, and
answers that compression does not suit (streams of events, those that are encoded already) are left alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_BYTES: Final = 1024  # a whole body below this would hardly become smaller
_IN_THREAD: Final = 1 << 14  # bytes: more would hold the event loop for about a millisecond
_LEVEL: Final = 1  # a third of the time of zlib's default: 15 ms for a MiB of a query's answer, and 16 % larger
_WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}


class Compression:
    """Middleware: compresses bodies with one of `encodings`, large ones in a thread, which works without the
    interpreter's lock."""

    def __init__(self, app: ASGIApp, encodings: Sequence[str] = ("gzip", "deflate")):
        self._app = app
        self._encodings = encodings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoding = accepted_encoding(Headers(scope=scope).getlist("accept-encoding"), self._encodings)
        await self._app(scope, receive, _CompressedSend(send, encoding))


def accepted_encoding(accept: Sequence[str], offered: Sequence[str]) -> str:
    """The one of `offered` that the client wants most, of equals the one that it names first; "" for none."""
    best, best_quality = "", 0.0
    for part in ",".join(accept).split(","):
        name, *params = (text.strip().lower() for text in part.split(";"))
        quality = next((_quality(param[2:]) for param in params if param.startswith("q=")), 1.0)
        if name in offered and quality > best_quality:
            best, best_quality = name, quality
    return best


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


class _CompressedSend:
    """`send` of one answer. Its head waits for the first part of the body: that tells whether the body is small."""

    def __init__(self, send: Send, encoding: str):
        self._send = send
        self._encoding = encoding
        self._head: Message | None = None
        self._compressor: Any = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.add_vary_header("Accept-Encoding")
            media_type = headers.get("content-type", "")
            if self._encoding and "content-encoding" not in headers and not media_type.startswith("text/event-stream"):
                self._head = message
                return
        elif message["type"] == "http.response.body":
            await self._body(message)
            return
        await self._send(message)

    async def _body(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        head, self._head = self._head, None
        if head is not None:
            headers = MutableHeaders(scope=head)
            if more or len(body) >= MIN_BYTES:
                self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[self._encoding])
                body = await self._compressed(body, more)
                headers["Content-Encoding"] = self._encoding
                del headers["Content-Length"]
                if not more:
                    headers["Content-Length"] = str(len(body))
            await self._send(head)
        elif self._compressor is not None:
            body = await self._compressed(body, more)
        if body or not more:
            await self._send({**message, "body": body})

    async def _compressed(self, body: bytes, more: bool) -> bytes:
        def work() -> bytes:
            made: bytes = self._compressor.compress(body)
            return made if more else made + self._compressor.flush()

        return await run_in_threadpool(work) if len(body) >= _IN_THREAD else work()
