"""Building an httpx client from Prometheus' settings.

What goes below httpx' own handling of redirects and authentication is in `RoutingTransport`: it chooses the proxy,
speaks TLS with a context that is built when the first https request needs it and again when its files change, and adds
`http_headers` to requests to the first host only.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import httpx

from rulepush.clock import Clock, SystemClock
from rulepush.http_client.auth import AuthorizationFlow, BasicAuthFlow, ExtraHeaders, TokenFlow, drop_body, header_bytes
from rulepush.http_client.client import Client
from rulepush.http_client.config import NO_CLIENT_SETTINGS, HTTPClientConfig
from rulepush.http_client.direct import DirectTransport
from rulepush.http_client.network import NetworkTransport
from rulepush.http_client.proxy import ProxyChooser
from rulepush.http_client.rules import CONNECTION_OWNER
from rulepush.http_client.tls import Stamps, client_context, tls_stamps

MAX_REDIRECTS: Final = 10  # Go's http.Client
_LAST_PORT: Final = 65535
_FIRST_URL: Final = "rulepush_first_url"
_AUTHORIZATION: Final = "rulepush_authorization"

ClientFactory = Callable[[HTTPClientConfig], httpx.AsyncClient]
"""Makes a client for a section of the configuration; the caller closes it."""
TransportFactory = Callable[[ssl.SSLContext | None, httpx.Proxy | None, bool], httpx.AsyncBaseTransport]
"""Opens what sends requests, given the context for TLS (None: they are plain), the proxy, and whether the requests
have one owner."""


def build_client(
    config: HTTPClientConfig = NO_CLIENT_SETTINGS,
    user_agent: str = "rulepush",
    *,
    timeout: float = 10.0,
    clock: Clock | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    uds: str = "",
) -> Client:
    """A client with these settings; `timeout` in seconds is a default for its requests. Close it with `aclose`.

    With `uds` every request goes through the unix socket with this path, whatever its host. `transport` takes the
    place of the network in tests. Requests raise httpx.HTTPError, see `Client`; credentials that cannot be read raise
    CredentialsError, which is one.
    """
    if transport is not None:
        routing = RoutingTransport(config, lambda *_: transport)
    elif uds:
        routing = RoutingTransport(config, lambda context, *_: NetworkTransport(context, uds=uds))
    else:
        routing = RoutingTransport(config, _network)
    auth: httpx.Auth | None = None  # then httpx takes a user and password that stand in the URL
    if config.basic_auth:
        auth = BasicAuthFlow(config.basic_auth)
    elif config.authorization:
        auth = AuthorizationFlow(config.authorization)
    elif config.oauth2:
        from rulepush.http_client.oauth2 import ClientCredentials

        inner = HTTPClientConfig(tls=config.oauth2.tls, proxy=config.oauth2.proxy)
        token_client = build_client(inner, user_agent, timeout=timeout, clock=clock, transport=transport)
        tokens = ClientCredentials(config.oauth2, token_client, clock or SystemClock())
        routing.closers.append(tokens.aclose)
        auth = TokenFlow(tokens)
    return Client(
        routing,
        transport=routing,
        auth=auth,
        headers={"User-Agent": user_agent},
        timeout=timeout,
        follow_redirects=config.follow_redirects,
        max_redirects=MAX_REDIRECTS,
        trust_env=False,  # neither proxies nor .netrc from the environment, unless the settings say so
    )


def _network(context: ssl.SSLContext | None, proxy: httpx.Proxy | None, owned: bool) -> httpx.AsyncBaseTransport:
    return DirectTransport(context) if owned and proxy is None else NetworkTransport(context, proxy)


class _Route:
    """One way out: plain or TLS, through one proxy or none, with the certificates of one moment."""

    def __init__(self, transport: httpx.AsyncBaseTransport, stamps: Stamps):
        self.transport = transport
        self.stamps = stamps
        self.busy = 0
        self.replaced = False

    async def release(self) -> None:
        """One request less."""
        self.busy -= 1
        await self._close_if_done()

    async def replace(self) -> None:
        """No new requests come; those under way end on the old connections."""
        self.replaced = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self.replaced and self.busy == 0:
            await self.transport.aclose()


_Routes = dict[tuple[bool, str], _Route]  # by whether the request speaks TLS, and its proxy


class RoutingTransport(httpx.AsyncBaseTransport):
    """See the top of this file."""

    def __init__(self, config: HTTPClientConfig, factory: TransportFactory):
        self._config = config
        self._factory = factory
        self._proxies = ProxyChooser(config.proxy, os.environ)
        self._headers = ExtraHeaders(config.headers)
        self._owned: dict[object, _Routes] = {None: {}}  # None has what requests without an owner share
        self.closers: list[Callable[[], Awaitable[None]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        _check_port(url)
        owner = request.extensions.get(CONNECTION_OWNER)
        first = request.extensions.setdefault(_FIRST_URL, url)
        if first.host == url.host and (first.scheme, url.scheme) != ("https", "http"):
            self._headers.add_to(request)
            _keep_authorization(request)
        else:  # a redirect elsewhere, or out of TLS: httpx hands on the extensions, and the headers with them
            self._headers.remove_from(request)
            request.extensions[_AUTHORIZATION] = ""
        proxy = self._proxies.choose(url.scheme, url.host, url.port)
        route, old = self._route(url.scheme == "https", proxy, owner)
        route.busy += 1
        try:
            if old is not None:
                await old.replace()
            response = await route.transport.handle_async_request(request)
        except BaseException:
            await route.release()
            raise
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Releasing(response.stream, route)
        else:
            await route.release()
        if self._config.follow_redirects and response.has_redirect_location:
            await drop_body(response)
        return response

    async def close_owned(self, owner: object) -> None:
        """Close the connections of an owner that goes away, those with a request under way after its end."""
        for route in self._owned.pop(owner, {}).values():
            await route.replace()

    @property
    def route_count(self) -> int:
        """How many routes have been opened and not closed."""
        return sum(map(len, self._owned.values()))

    def _route(self, secure: bool, proxy: str, owner: object) -> tuple[_Route, _Route | None]:
        """The route of a request, and the one that it replaces now."""
        routes = self._owned.setdefault(owner, {})
        stamps = tls_stamps(self._config.tls) if secure or proxy.startswith("https://") else ()
        old = routes.get((secure, proxy))
        if old is not None and old.stamps == stamps:
            return old, None
        route = routes[secure, proxy] = _Route(self._open(secure, proxy, owner is not None), stamps)
        return route, old

    def _open(self, secure: bool, proxy: str, owned: bool) -> httpx.AsyncBaseTransport:
        context = client_context(self._config.tls) if secure else None
        if not proxy:
            return self._factory(context, None, owned)
        scheme = proxy.partition("://")[0].lower()
        if scheme not in ("http", "https"):  # from the environment; httpx would raise ImportError for SOCKS
            raise httpx.UnsupportedProtocol(f"a proxy of the kind {scheme}:// is not supported")
        # They belong to CONNECT. httpx would send them along with plain requests, too, and these reach the target.
        connect_headers = self._config.proxy.connect_headers if secure else ()
        headers = [header_bytes(n, v.reveal()) for n, values in connect_headers for v in values]
        proxy_context = client_context(self._config.tls) if scheme == "https" else None
        through = httpx.Proxy(proxy, headers=headers, ssl_context=proxy_context)
        _check_port(through.url)
        return self._factory(context, through, owned)

    async def aclose(self) -> None:
        owned, self._owned = self._owned, {None: {}}
        for route in [route for routes in owned.values() for route in routes.values()]:
            await route.transport.aclose()
        for close in self.closers:
            await close()


def _keep_authorization(request: httpx.Request) -> None:
    """Send the credentials on to another port of the same host, where httpx drops them: Go compares host names alone
    (net/http client.go, `shouldCopyHeaderOnRedirect`). What was dropped at another host does not come back."""
    sent = request.headers.get("Authorization")
    if sent is not None:
        request.extensions[_AUTHORIZATION] = sent
    elif request.extensions.get(_AUTHORIZATION):
        request.headers["Authorization"] = request.extensions[_AUTHORIZATION]


def _check_port(url: httpx.URL) -> None:
    """A target is redirected anywhere, and discoveries name any number; the socket would raise OverflowError."""
    if url.port is not None and url.port > _LAST_PORT:
        raise httpx.ConnectError(f"{url.host}:{url.port}: invalid port")


class _Releasing(httpx.AsyncByteStream):
    """Tells the route when a response has been read or closed."""

    def __init__(self, inner: httpx.AsyncByteStream, route: _Route):
        self._inner = inner
        self._route: _Route | None = route

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._inner:
                yield part
        except OSError as e:  # a TLS record that is no good: httpcore lets ssl's own error through
            raise httpx.ReadError(str(e)) from e

    async def aclose(self) -> None:
        route, self._route = self._route, None
        await self._inner.aclose()
        if route is not None:
            await route.release()
