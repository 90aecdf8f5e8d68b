"""One GET of the HTTP API of a registry (Consul, Docker): bounded in time and size, its failures in one sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import httpx

from rulepush.discovery.answer_body import SizeLimit
from rulepush.errors import DiscoveryError
from rulepush.http_client.client import reason, shown_url
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.http_client.pages import is_page, page_named
from rulepush.http_client.plain import NotPlain, PlainHead, PlainRequest, Sink
from rulepush.http_client.rules import CONNECTION_OWNER, SENT_SECRETS
from rulepush.model.json_text import parse_json
from rulepush.model.secret import MASK

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

Deadline = Callable[[float], asyncio.Timeout]
"""What ends a request after so many seconds: asyncio.timeout, but in tests."""

_CONNECT_SECONDS: Final = 10.0
_MAX_QUOTED: Final = 300
_MAX_CHOSEN: Final = 60


@dataclass(frozen=True, slots=True)
class RegistryAnswer:
    """An answer with any status. `url` is where it came from, without secrets; another one after a redirect."""

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes
    url: str
    secrets: tuple[str, ...] = field(default=(), repr=False)  # those in the request's headers: some servers quote it

    @property
    def described(self) -> str:
        """`status 403 Forbidden: ACL not found`, one line, for a message."""
        shown = f"status {self.status} {self.phrase}".strip()
        text = self.body[: 16 * _MAX_QUOTED].decode(errors="replace")
        if is_page(text):
            return f"{shown} with {page_named(text)}"
        for secret in filter(None, self.secrets):
            text = text.replace(secret, MASK)
        said = " ".join(text.split())[:_MAX_QUOTED]
        return f"{shown}: {said}" if said else shown

    def parsed(self, expected: type, what: str) -> Any:
        """The body, JSON of the type `expected` (list or dict). Raises DiscoveryError, which says what came instead;
        `what` names the API that should have answered."""
        try:
            text = self.body.decode("utf-8-sig")
            if is_page(text):
                raise DiscoveryError(f"{self.url} answered with {page_named(text)}, which is not the API of {what}")
            found = parse_json(text)
        except RecursionError:
            raise DiscoveryError(f"{self.url}: nested too deeply") from None
        except json.JSONDecodeError as e:
            raise DiscoveryError(f"{self.url}: not the API of {what}, or cut off: not valid JSON: {e.msg}") from None
        except UnicodeDecodeError:
            raise DiscoveryError(f"{self.url}: not the API of {what}: not valid UTF-8") from None
        if found is None:
            return expected()  # an empty list of Go, too
        if not isinstance(found, expected):
            raise DiscoveryError(f"{self.url}: not the API of {what}: the JSON is of another kind than its own")
        return found


@dataclass(frozen=True, slots=True)
class RegistryAsking:
    """How one GET goes out. Requests with the same `owner`, which sends one at a time, have a connection of their own;
    `plain_headers` are those that the full client adds by itself: secrets. `is_known` says, by the headers of a 200,
    that its body need not be kept."""

    owner: object = None
    plain_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_known: Callable[[Mapping[str, str]], bool] = lambda _: False


async def ask_registry(
    client: AnyClient,
    url: str,
    params: Sequence[tuple[str, str]],
    seconds: float,
    deadline: Deadline,
    asking: RegistryAsking | None = None,
) -> RegistryAnswer:
    """GET `url`, within `seconds`. Raises DiscoveryError when no answer came, or only a part of it. The headers of the
    answer are looked up in lower case."""
    asking = asking or RegistryAsking()
    whole = f"{url}?{urlencode(params, quote_via=quote, safe='')}" if params else url
    body = _Body(url)
    try:
        if isinstance(client, ClientOnDemand):
            plain = client.plain_request("GET", whole, asking.plain_headers, asking.owner)
            if plain is not None:
                try:
                    async with deadline(seconds):
                        head = await _fetch_plainly(plain, asking, body)
                except NotPlain as e:
                    if e.__cause__ is None:  # the server is not like that; an error may be over the next time
                        client.give_up(asking.owner)
                    body = _Body(url)
                else:
                    secrets = tuple(asking.plain_headers.values())
                    return RegistryAnswer(
                        head.status, head.phrase, head.headers, bytes(body.content), shown_url(url), secrets
                    )
            client = client.full
        return await _ask_fully(client, url, whole, seconds, deadline, asking, body)
    except TimeoutError:
        raise DiscoveryError(f"{shown_url(url)}: no answer within {seconds:g}s") from None
    except httpx.HTTPError as e:
        raise DiscoveryError(f"{shown_url(url)}: {reason(e)}") from e


async def _fetch_plainly(request: PlainRequest, asking: RegistryAsking, body: _Body) -> PlainHead:
    answered: list[PlainHead] = []

    def begin(head: PlainHead) -> Sink:
        answered.append(head)
        return _dropped if head.status == 200 and asking.is_known(head.headers) else body.add

    await request.fetch(begin)
    return answered[-1]


async def _ask_fully(
    client: httpx.AsyncClient,
    url: str,
    whole: str,
    seconds: float,
    deadline: Deadline,
    asking: RegistryAsking,
    body: _Body,
) -> RegistryAnswer:
    timeout = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))
    marks = {} if asking.owner is None else {CONNECTION_OWNER: asking.owner}
    async with (
        deadline(seconds),  # httpx' own timeout restarts at every byte received
        client.stream("GET", whole, timeout=timeout, extensions=marks) as response,
    ):
        is_known = response.status_code == 200 and asking.is_known(response.headers)
        async for part in response.aiter_bytes():  # to its end: the connection is kept
            if not is_known:
                body.add(part)
    reached = shown_url(str(response.url.copy_with(query=None))) if response.history else shown_url(url)
    sent = response.request
    secrets = (sent.headers.get("Authorization", "").partition(" ")[2], *sent.extensions.get(SENT_SECRETS, ()))
    return RegistryAnswer(
        response.status_code, response.reason_phrase, response.headers, bytes(body.content), reached, secrets
    )


class _Body:
    """What comes of a body, bounded."""

    def __init__(self, url: str):
        self.content = bytearray()
        self._limit = SizeLimit(f"{shown_url(url)}: the answer")

    def add(self, part: bytes) -> None:
        self._limit.count(part)
        self.content += part


def _dropped(_: bytes) -> None:
    pass


def shown_selection(server: str, chosen: Mapping[str, str]) -> str:
    """`consul:8500 (tags a, b; datacenter d)`: the server, and what of it is asked for, with no empty texts."""
    parts = [
        f"{name} {value if len(value) <= _MAX_CHOSEN else value[:_MAX_CHOSEN] + '...'}"
        for name, value in chosen.items()
        if value
    ]
    return f"{server} ({'; '.join(parts)})" if parts else server
