"""A real HTTP server on loopback for the tests of commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.http_server import HttpReply, LoopbackServer

Reply = tuple[int, str, bytes]
"""Status, content type, body."""


@contextmanager
def serving(reply: Callable[[str], Reply]) -> Iterator[str]:
    """Serve `reply(path)` on a free port; gives `host:port`."""

    def answer(path: str) -> HttpReply:
        status, content_type, body = reply(path)
        return HttpReply(body, status, content_type)

    server = LoopbackServer(lambda request: answer(request.path))
    try:
        yield server.address
    finally:
        server.close()
