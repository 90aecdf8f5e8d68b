"""ClientOnDemand: a client that sends plain requests itself, and imports httpx for the first other one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rulepush.http_client.config import HTTPClientConfig
from rulepush.http_client.plain import NotPlain, PlainRequest
from rulepush.http_client.proxy import ProxyChooser

if TYPE_CHECKING:
    from typing import TypeAlias

    import httpx

    AnyClient: TypeAlias = "httpx.AsyncClient | ClientOnDemand"
    AnyClientFactory: TypeAlias = Callable[[HTTPClientConfig], AnyClient]

_Asked = tuple[str, str, dict[str, str]]
"""Method, URL and headers."""


class ClientOnDemand:
    """A client with the settings of a section of the configuration. Close it with `aclose`."""

    def __init__(
        self, config: HTTPClientConfig, user_agent: str, make: Callable[[], httpx.AsyncClient], *, plain: bool = True
    ):
        """`make` makes the client for what is not plain; without `plain`, for everything."""
        self._config = config
        self._make = make
        self._proxies = ProxyChooser(config.proxy, os.environ)
        special = config.headers or config.basic_auth or config.authorization or config.oauth2
        self._may_be_plain = plain and not special
        # httpx' own, in its order.
        self._defaults = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "keep-alive",
            "User-Agent": user_agent,
        }
        self._full: httpx.AsyncClient | None = None
        self._plain: dict[object, PlainRequest] = {}  # by owner
        self._asked: dict[object, _Asked] = {}  # what that was made of
        self._not_plain: set[object] = set()  # these owners
        self._is_closed = False

    def plain_request(self, method: str, url: str, headers: Mapping[str, str], owner: object) -> PlainRequest | None:
        """A way to send this request, which can be repeated, that is cheaper than through `full`; None where there is
        none. An owner has one at a time, and one connection as long as it asks one server; it is closed with the
        owner's other connections."""
        former = self._plain.get(owner)
        asked = (method, url, dict(headers))
        if former is not None and self._asked[owner] == asked and not self._is_closed:
            return former
        made = None if owner in self._not_plain else self._made(method, url, headers)
        if former is not None and made is not None:
            if former.is_like(made):
                self._asked[owner] = asked
                return former
            made.take_over(former)
        self._close_plain(owner)
        if made is not None:
            self._plain[owner], self._asked[owner] = made, asked
        return made

    def give_up(self, owner: object) -> None:
        """What answers the owner's plain requests is not plain: there are no more until `close_owned`."""
        self._close_plain(owner)
        self._not_plain.add(owner)

    def _made(self, method: str, url: str, headers: Mapping[str, str]) -> PlainRequest | None:
        if self._is_closed or not self._may_be_plain:
            return None
        try:
            made = PlainRequest(method, url, [*self._defaults_beside(headers), *headers.items()])
        except NotPlain:
            return None
        return None if self._proxies.choose("http", *made.address) else made

    def _defaults_beside(self, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self._defaults.items() if name not in headers]

    @property
    def full(self) -> httpx.AsyncClient:
        """The client for all other requests. Raises httpx.HTTPError when this one is closed."""
        if self._is_closed:
            import httpx

            raise httpx.RequestError("the connections are closed")
        if self._full is None:
            self._full = self._make()
        return self._full

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called: nothing is sent any more."""
        return self._is_closed

    def _close_plain(self, owner: object) -> None:
        former = self._plain.pop(owner, None)
        self._asked.pop(owner, None)
        if former is not None:
            former.close()

    async def close_owned(self, owner: object) -> None:
        """Close the connections of this owner: no requests will come."""
        self._close_plain(owner)
        self._not_plain.discard(owner)
        if self._full is not None:
            from rulepush.http_client.client import Client

            if isinstance(self._full, Client):
                await self._full.close_owned(owner)

    async def aclose(self) -> None:
        """Close all connections."""
        self._is_closed = True
        for owner in list(self._plain):
            self._close_plain(owner)
        if self._full is not None:
            await self._full.aclose()
