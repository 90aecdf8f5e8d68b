"""The HTTP side of the remote write receiver."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.remote.apply import RemoteWriteReceiver, WriteAnswer

_IN_THREAD_FROM: Final = 64 << 10  # bytes; smaller bodies are decoded faster than a thread is started


def remote_write_routes(receiver: RemoteWriteReceiver, clock: Clock) -> list[Route]:
    """POST /api/v1/write, and /api/v1/prom/write, which some clouds' agents use."""

    async def write(request: Request) -> Response:
        body = await _read(request, receiver.limits.max_body_bytes)
        if body is None:
            text = f"the body is larger than the limit of {receiver.limits.max_body_bytes} bytes"
            return _response(receiver.apply(WriteAnswer(413, text), clock.now()))
        content_type = request.headers.get("content-type", "")
        encoding = request.headers.get("content-encoding", "")
        if len(body) < _IN_THREAD_FROM:
            decoded = receiver.decode(body, content_type, encoding)
        else:
            decoded = await asyncio.to_thread(receiver.decode, body, content_type, encoding)
        return _response(receiver.apply(decoded, clock.now()))

    return [Route(path, write, methods=["POST"]) for path in ("/api/v1/write", "/api/v1/prom/write")]


def _response(answer: WriteAnswer) -> Response:
    if answer.status == 204:
        return Response(status_code=204, headers=answer.headers)
    return PlainTextResponse(answer.text + "\n", answer.status, answer.headers)


async def _read(request: Request, limit: int) -> bytes | None:
    """The whole body, or None as soon as it is known to exceed `limit`."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        return None
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
