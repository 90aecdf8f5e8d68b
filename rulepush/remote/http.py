"""The HTTP side of the remote write receiver."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import BodyError
from rulepush.http_request import in_thread_if_large, read_body
from rulepush.remote.apply import RemoteWriteReceiver, WriteAnswer


def remote_write_routes(receiver: RemoteWriteReceiver, clock: Clock) -> list[Route]:
    """POST /api/v1/write, and /api/v1/prom/write, which some clouds' agents use."""

    async def write(request: Request) -> Response:
        try:
            body = await read_body(request, receiver.limits.max_body_bytes)
        except BodyError as e:
            return _response(receiver.apply(WriteAnswer(e.status, str(e)), clock.now()))
        content_type = request.headers.get("content-type", "")
        encoding = request.headers.get("content-encoding", "")
        decoded = await in_thread_if_large(body, lambda body: receiver.decode(body, content_type, encoding))
        return _response(receiver.apply(decoded, clock.now()))

    return [Route(path, write, methods=["POST"]) for path in ("/api/v1/write", "/api/v1/prom/write")]


def _response(answer: WriteAnswer) -> Response:
    if answer.status == 204:
        return Response(status_code=204, headers=answer.headers)
    return PlainTextResponse(answer.text + "\n", answer.status, answer.headers)
