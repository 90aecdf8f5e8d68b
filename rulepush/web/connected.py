"""What is computed for a client is given up when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from starlette.requests import Request

T = TypeVar("T")
CLIENT_CLOSED_REQUEST: Final = 499  # nginx's number for its log; no client reads it


class ClientLeft(Exception):
    """The client has closed the connection: nobody reads an answer. `build_app` ends the request."""


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client of `request` leaves. The body must have been read.
    Raises ClientLeft then."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_until_left(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        watching.cancel()
        working.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
