"""One request with a body to a receiver that may be sick: bounded in time as a whole, and in what is read of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from rulepush.http_client.auth import SENT_SECRETS
from rulepush.http_client.network import IDEMPOTENT
from rulepush.model.secret import MASK

_MAX_READ: Final = 4096  # bytes of an answer: its status says what to do, the text is for the log


@dataclass(frozen=True, slots=True)
class HTTPExchange:
    """An answer. `text` is the beginning of its body; `headers` are looked up in any case."""

    status: int
    phrase: str
    text: str
    headers: Mapping[str, str]

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    def described(self) -> str:
        """`HTTP status 400 Bad Request: out of order sample`, for the log."""
        return f"HTTP status {self.status} {self.phrase}: {self.text[:300].strip()}"


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    seconds: float,
    secrets: Iterable[str] = (),
    *,
    idempotent: bool = False,
) -> HTTPExchange:
    """Send and read within `seconds`; what comes beyond the beginning of a body is not read. A redirect
    that drops the body is a failure.

    `secrets` are those in `headers`; the client's own it knows. With `idempotent` the request is repeated where a kept
    connection turns out to be dead, whatever its method (see network.py). Raises TimeoutError or httpx.HTTPError.
    """
    asked = {**headers, "Accept-Encoding": "identity"}
    marks = {IDEMPOTENT: True} if idempotent else {}
    text = b""
    try:
        async with (
            asyncio.timeout(seconds),  # httpx' own timeout restarts at every byte received
            client.stream(method, url, content=content, headers=asked, timeout=seconds, extensions=marks) as response,
        ):
            if response.request.method != method:
                # A 301, 302 or 303 makes a GET of a POST (RFC 9110, section 15.4): the 200 of a login page, or of the
                # list of alerts, would count as a delivery.
                raise httpx.RemoteProtocolError(
                    f"redirected by status {response.history[-1].status_code}, which sends no body on: not delivered"
                )
            assert isinstance(response.stream, httpx.AsyncByteStream)
            async for part in response.stream:
                text += part[:_MAX_READ]
                if len(text) >= _MAX_READ:
                    break
    except httpx.TimeoutException:
        raise TimeoutError from None
    shown = _without_secrets(text.decode(errors="replace"), response.request, secrets)
    return HTTPExchange(response.status_code, response.reason_phrase, shown, response.headers)


def _without_secrets(text: str, request: httpx.Request, more: Iterable[str]) -> str:
    """There are servers that quote the request that they refuse."""
    credentials = request.headers.get("Authorization", "").partition(" ")[2]
    for secret in (credentials, *request.extensions.get(SENT_SECRETS, ()), *more):
        text = text.replace(secret, MASK) if secret else text
    return text
