"""One GET of the HTTP API of a registry (Consul, Docker): bounded in time and size, its failures in one sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from rulepush.discovery.group_format import MAX_BYTES
from rulepush.errors import DiscoveryError
from rulepush.http_client.client import reason, shown_url
from rulepush.http_client.pages import is_page, page_named
from rulepush.http_client.rules import SENT_SECRETS
from rulepush.model.json_text import parse_json
from rulepush.model.secret import MASK

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


async def ask_registry(
    client: httpx.AsyncClient,
    url: str,
    params: Sequence[tuple[str, str]],
    seconds: float,
    deadline: Deadline,
) -> RegistryAnswer:
    """GET `url`, within `seconds`. Raises DiscoveryError when no answer came, or only a part of it."""
    body = bytearray()
    timeout = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))
    try:
        async with (
            deadline(seconds),  # httpx' own timeout restarts at every byte received
            client.stream("GET", url, params=list(params), timeout=timeout) as response,
        ):
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    raise DiscoveryError(f"{shown_url(url)}: the answer is larger than {MAX_BYTES >> 20} MiB")
    except TimeoutError:
        raise DiscoveryError(f"{shown_url(url)}: no answer within {seconds:g}s") from None
    except httpx.HTTPError as e:
        raise DiscoveryError(f"{shown_url(url)}: {reason(e)}") from e
    reached = shown_url(str(response.url.copy_with(query=None))) if response.history else shown_url(url)
    sent = response.request
    secrets = (sent.headers.get("Authorization", "").partition(" ")[2], *sent.extensions.get(SENT_SECRETS, ()))
    return RegistryAnswer(response.status_code, response.reason_phrase, response.headers, bytes(body), reached, secrets)


def shown_selection(server: str, chosen: Mapping[str, str]) -> str:
    """`consul:8500 (tags a, b; datacenter d)`: the server, and what of it is asked for, with no empty texts."""
    parts = [
        f"{name} {value if len(value) <= _MAX_CHOSEN else value[:_MAX_CHOSEN] + '...'}"
        for name, value in chosen.items()
        if value
    ]
    return f"{server} ({'; '.join(parts)})" if parts else server
