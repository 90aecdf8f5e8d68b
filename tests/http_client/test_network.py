"""Requests are repeated when a kept connection turns out dead, as Go's net/http does; on real sockets.

What a server may do and Go's answer: golang/go src/net/http/transport.go (`shouldRetryRequest`, `errServerClosedIdle`,
`transportReadFromServerError`) and transport_test.go (`TestRetryRequestsOnError`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from rulepush.http_client.build import build_client
from rulepush.http_client.config import HTTPClientConfig, OAuth2, ProxyConfig, TLSConfig
from rulepush.http_client.rules import IDEMPOTENT
from rulepush.model.labels import Labels
from rulepush.model.secret import Secret
from rulepush.notifier.alertmanager import Alertmanager, PostOutcome
from rulepush.notifier.wire import WireAlert
from rulepush.scrape.fetch import Fetcher
from tests.http_client.certificates import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n"
FIN, RST = b"", b"RST"


@dataclass
class ClosingServer:
    """Connection number n answers its requests with `script[n]`, one after the other, then stays open and silent.

    FIN closes instead of an answer, RST resets; bytes that are no whole answer are sent, and the connection is closed.
    What comes beyond the script is answered with `OK`.
    """

    script: list[list[bytes]]
    tls: ssl.SSLContext | None = None
    requests: list[tuple[int, str]] = field(default_factory=list)
    _connections: int = 0

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self._connections
        self._connections += 1
        answers = iter(self.script[number] if number < len(self.script) else [])
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(x[15:]) for x in head.split("\r\n") if x.lower().startswith("content-length:")), 0)
                await reader.readexactly(length)
                self.requests.append((number, head.partition(" ")[0]))
                answer = next(answers, OK)
                if answer == RST:
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    return
                writer.write(answer)
                if not answer.endswith((b"\n", b"}")):
                    writer.close()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def talk(
    server: ClosingServer,
    requests: Callable[[httpx.AsyncClient, str], Awaitable[None]],
    config: HTTPClientConfig | None = None,
    scheme: str = "http",
) -> list[tuple[int, str]]:
    """What the server saw, as (connection, method), while `requests(client, url)` ran."""

    async def go() -> None:
        async with server as address, build_client(config or HTTPClientConfig(), timeout=60.0) as client:
            await requests(client, f"{scheme}://{address}/")

    asyncio.run(go())
    return server.requests


def talk_through_proxy(server: ClosingServer, act: Callable[[httpx.AsyncClient, str], Awaitable[None]]) -> list[int]:
    """The same with `server` as a proxy; the connections of the requests."""

    async def go() -> None:
        async with server as address:
            config = HTTPClientConfig(proxy=ProxyConfig(url=Secret(f"http://{address}")))
            async with build_client(config, timeout=60.0) as client:
                await act(client, "http://app.example/metrics")

    asyncio.run(go())
    return [connection for connection, _ in server.requests]


def talk_tls(
    plans: list[list[bytes]], act: Callable[[httpx.AsyncClient, str], Awaitable[None]], directory: Path
) -> list[tuple[int, str]]:
    """The same over TLS; the certificate is made in `directory`."""
    Authority().issue(directory / "cert.pem", directory / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    config = HTTPClientConfig(tls=TLSConfig(insecure_skip_verify=True))
    return talk(ClosingServer(plans, context), act, config, "https")


async def two_gets(client: httpx.AsyncClient, url: str) -> None:
    for _ in range(2):
        assert (await client.get(url)).text == "a 1\n"


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_get_is_repeated_when_a_kept_connection_dies_before_the_answer(end: bytes) -> None:
    assert talk(ClosingServer([[OK, end]]), two_gets) == [(0, "GET"), (0, "GET"), (1, "GET")]


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_scrape_over_a_dying_connection_succeeds(end: bytes) -> None:
    async def scrapes(client: httpx.AsyncClient, url: str) -> None:
        fetcher = Fetcher(client, "text/plain")
        for _ in range(3):
            assert (await fetcher.fetch(url, 5000)).body == b"a 1\n"

    seen = talk(ClosingServer([[OK, end], [OK, end]]), scrapes)
    assert [connection for connection, _ in seen] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_get_over_tls_is_repeated_too(end: bytes, tmp_path: Path) -> None:
    assert talk_tls([[OK, end]], two_gets, tmp_path) == [(0, "GET"), (0, "GET"), (1, "GET")]


def test_a_get_through_a_proxy_is_repeated_too() -> None:
    assert talk_through_proxy(ClosingServer([[OK, RST]]), two_gets) == [0, 0, 1]


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_new_connection_that_dies_is_an_error_of_the_server(end: bytes) -> None:
    async def get(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(httpx.TransportError):
            await client.get(url)

    assert talk(ClosingServer([[end]]), get) == [(0, "GET")]


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_request_is_repeated_on_one_new_connection_only(end: bytes) -> None:
    async def get(client: httpx.AsyncClient, url: str) -> None:
        await client.get(url)
        with pytest.raises(httpx.TransportError):
            await client.get(url)

    assert talk(ClosingServer([[OK, end], [end]]), get) == [(0, "GET"), (0, "GET"), (1, "GET")]


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le", OK[:-3]])
def test_a_request_is_not_repeated_after_a_byte_of_the_answer(part: bytes) -> None:
    async def get(client: httpx.AsyncClient, url: str) -> None:
        await client.get(url)
        with pytest.raises(httpx.TransportError):
            await client.get(url)

    assert talk(ClosingServer([[OK, part]]), get) == [(0, "GET"), (0, "GET")]


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_post_is_repeated_only_where_it_is_marked_as_idempotent(end: bytes) -> None:
    async def plain(client: httpx.AsyncClient, url: str) -> None:
        await client.post(url, content=b"once")
        with pytest.raises(httpx.TransportError):
            await client.post(url, content=b"once")

    async def marked(client: httpx.AsyncClient, url: str) -> None:
        await client.post(url, content=b"again")
        await client.post(url, content=b"again", extensions={IDEMPOTENT: True})

    assert talk(ClosingServer([[OK, end]]), plain) == [(0, "POST"), (0, "POST")]
    assert talk(ClosingServer([[OK, end]]), marked) == [(0, "POST"), (0, "POST"), (1, "POST")]


@pytest.mark.parametrize("end", [FIN, RST])
def test_alerts_are_posted_again_when_the_connection_to_alertmanager_dies(end: bytes) -> None:
    alert = WireAlert(Labels({"alertname": "Down"}), (), 0, 0, "", False)
    accepted = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async def post(client: httpx.AsyncClient, url: str) -> None:
        alertmanager = Alertmanager(client, url, 5.0)
        for _ in range(2):
            assert (await alertmanager.post([alert])).outcome is PostOutcome.ACCEPTED

    seen = talk(ClosingServer([[accepted, end], [accepted]]), post)
    assert seen == [(0, "POST"), (0, "POST"), (1, "POST")]


def test_a_token_is_asked_for_again_when_the_connection_to_its_server_dies() -> None:
    token = b'{"access_token": "t", "expires_in": 1}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(token), token)
    tokens = ClosingServer([[answer, RST], [answer]])
    target = ClosingServer([])

    async def go() -> None:
        async with tokens as at, target as address:
            config = HTTPClientConfig(oauth2=OAuth2("client", Secret(f"http://{at}/token")))
            async with build_client(config, timeout=60.0) as client:
                await two_gets(client, f"http://{address}/")

    asyncio.run(go())
    assert tokens.requests == [(0, "POST"), (0, "POST"), (1, "POST")]
    assert [method for _, method in target.requests] == ["GET", "GET"]


def test_every_dead_connection_of_the_pool_may_be_met_before_a_new_one() -> None:
    async def get(client: httpx.AsyncClient, url: str) -> None:
        await asyncio.gather(*(client.get(url) for _ in range(3)))
        assert (await client.get(url)).text == "a 1\n"

    seen = talk(ClosingServer([[OK, FIN], [OK, RST], [OK, FIN]]), get)
    assert seen[-1] == (3, "GET")
    assert sorted(connection for connection, _ in seen) == [0, 0, 1, 1, 2, 2, 3]
