"""One request with a body to a receiver that may be sick: bounded in time as a whole, and in what is read of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.http_client.plain import NotPlain, PlainHead, Sink
from rulepush.http_client.rules import IDEMPOTENT, SENT_SECRETS
from rulepush.model.secret import MASK

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

_MAX_READ: Final = 4096  # bytes of an answer: its status says what to do, the text is for the log


@dataclass(frozen=True, slots=True)
class HTTPExchange:
    """An answer. `text` is the beginning of its body; `headers` are looked up in lower case. `redirects` are the
    statuses of the redirects on the way to it, `url` is where they led, without secrets, "" when there were none."""

    status: int
    phrase: str
    text: str
    headers: Mapping[str, str]
    redirects: tuple[int, ...] = field(default=(), compare=False)
    url: str = field(default="", compare=False)

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    def described(self) -> str:
        """`HTTP status 400 Bad Request: out of order sample`, for the log."""
        return f"HTTP status {self.status} {self.phrase}: {self.text[:300].strip()}"


async def exchange(
    client: AnyClient,
    method: str,
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    seconds: float,
    secrets: Iterable[str] = (),
    *,
    idempotent: bool = False,
    max_bytes: int = _MAX_READ,
    owner: object = None,
) -> HTTPExchange:
    """Send and read within `seconds`; what comes beyond `max_bytes` of a body is not read. A redirect
    that drops the body is a failure.

    `secrets` are those in `headers`; the client's own it knows. With `idempotent` the request is repeated where a kept
    connection turns out to be dead, whatever its method (see network.py). An `owner` sends one plain request at a time;
    by default there is one for each method and URL. Raises TimeoutError or httpx.HTTPError.
    """
    if isinstance(client, ClientOnDemand):
        reading = _Reading(max_bytes, (method, url) if owner is None else owner)
        found = await _plainly(client, method, url, content, headers, seconds, secrets, reading) if idempotent else None
        if found is not None:
            return found
        client = client.full
    import httpx

    from rulepush.http_client.client import server_of, shown_url

    asked = {**headers, "Accept-Encoding": "identity"}
    marks = {IDEMPOTENT: True} if idempotent else {}
    text = bytearray()
    try:
        async with (
            asyncio.timeout(seconds),  # httpx' own timeout restarts at every byte received
            client.stream(method, url, content=content, headers=asked, timeout=seconds, extensions=marks) as response,
        ):
            if response.request.method != method:
                # A 301, 302 or 303 makes a GET of a POST (RFC 9110, section 15.4): the 200 of a login page, or of the
                # list of alerts, would count as a delivery.
                last = response.history[-1].status_code
                raise httpx.RemoteProtocolError(dropped_body(last, server_of(str(response.request.url))))
            async for part in cast(httpx.AsyncByteStream, response.stream):
                text += part[:max_bytes]
                if len(text) >= max_bytes:
                    break
    except httpx.TimeoutException:
        raise TimeoutError from None
    sent = response.request
    credentials = sent.headers.get("Authorization", "").partition(" ")[2]
    shown = _without(text, (credentials, *sent.extensions.get(SENT_SECRETS, ()), *secrets))
    redirects = tuple(former.status_code for former in response.history)
    reached = shown_url(str(sent.url)) if redirects else ""
    return HTTPExchange(response.status_code, response.reason_phrase, shown, response.headers, redirects, reached)


def dropped_body(status: int, url: str) -> str:
    """What became of a request with a body that was redirected with this status to `url`, which holds no secret."""
    return f"redirected by status {status} to {url}, which sends no body on: not delivered"


@dataclass(frozen=True, slots=True)
class _Reading:
    """How much of a body is read, and who reads."""

    max_bytes: int
    owner: object


class _EnoughRead(Exception):
    """The beginning of a body is there."""


async def _plainly(
    client: ClientOnDemand,
    method: str,
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    seconds: float,
    secrets: Iterable[str],
    reading: _Reading,
) -> HTTPExchange | None:
    """The same without httpx; None where that cannot be, and httpx must send it, perhaps for the second time."""
    owner = reading.owner
    request = client.plain_request(method, url, headers, owner)
    if request is None:
        return None
    text, answered = bytearray(), None

    def begin(head: PlainHead) -> Sink:
        nonlocal answered
        answered = head
        return add

    def add(part: bytes) -> None:
        text.extend(part[: reading.max_bytes])
        if len(text) >= reading.max_bytes:
            raise _EnoughRead

    try:
        async with asyncio.timeout(seconds):
            await request.fetch(begin, content)
    except NotPlain as e:
        if e.__cause__ is None:  # the server is not like that; an error may be over the next time
            client.give_up(owner)
        return None
    except _EnoughRead:
        pass
    assert answered is not None
    return HTTPExchange(answered.status, answered.phrase, _without(text, secrets), answered.headers)


def _without(text: bytes | bytearray, secrets: Iterable[str]) -> str:
    """There are servers that quote the request that they refuse."""
    shown = text.decode(errors="replace")
    for secret in secrets:
        shown = shown.replace(secret, MASK) if secret else shown
    return shown
