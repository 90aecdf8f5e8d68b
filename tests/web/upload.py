"""Uploading a body piece by piece to an ASGI application, and perhaps disconnecting before its end."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Message


async def upload(app: ASGIApp, path: str, pieces: Sequence[bytes], complete: bool, method: str = "POST") -> int:
    """The status of the response. When not `complete`, the client disconnects where more was to come."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if complete:
        messages[-1]["more_body"] = False
    status = 0

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }
    await app(scope, receive, send)
    return status
