"""Connections that belong to one owner, on real sockets. What a server may do to them: see test_network.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from rulepush.errors import ScrapeError
from rulepush.http_client.build import build_client
from rulepush.http_client.client import Client
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.http_client.rules import CONNECTION_OWNER
from rulepush.scrape.fetch import Fetcher
from tests.http_client.test_network import FIN, OK, RST, ClosingServer, talk, talk_through_proxy, talk_tls

OWNED = {CONNECTION_OWNER: "a target"}
END_OF_BODY_BY_CLOSING = b"HTTP/1.1 200 OK\r\n\r\na 1"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na \r\n2\r\n1\n\r\n0\r\n\r\n"
CONTINUE = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK


async def get(client: httpx.AsyncClient, url: str) -> str:
    return (await client.get(url, extensions=OWNED)).text


async def get_twice(client: httpx.AsyncClient, url: str) -> None:
    for _ in range(2):
        assert (await get(client, url)).strip() == "a 1"


@pytest.mark.parametrize("answer", [OK, CHUNKED, CONTINUE], ids=["length", "chunked", "early hints"])
def test_an_answer_is_read_to_its_end_and_the_connection_kept(answer: bytes) -> None:
    assert talk(ClosingServer([[answer, answer]]), get_twice) == [(0, "GET"), (0, "GET")]


def test_a_body_that_ends_with_its_connection_is_whole() -> None:
    seen = talk(ClosingServer([[END_OF_BODY_BY_CLOSING]]), get_twice)
    assert [connection for connection, _ in seen] == [0, 1]


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_get_is_repeated_when_a_kept_connection_dies_before_the_answer(end: bytes) -> None:
    assert talk(ClosingServer([[OK, end]]), get_twice) == [(0, "GET"), (0, "GET"), (1, "GET")]


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_new_connection_that_dies_is_an_error_of_the_server(end: bytes) -> None:
    async def fails(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(httpx.TransportError):
            await get(client, url)

    assert talk(ClosingServer([[end]]), fails) == [(0, "GET")]


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le", OK[:-3]])
def test_a_request_is_not_repeated_after_a_byte_of_the_answer(part: bytes) -> None:
    async def second_fails(client: httpx.AsyncClient, url: str) -> None:
        await get(client, url)
        with pytest.raises(httpx.TransportError):
            await get(client, url)

    assert talk(ClosingServer([[OK, part]]), second_fails) == [(0, "GET"), (0, "GET")]


def test_what_is_no_http_is_an_error_of_the_protocol() -> None:
    async def fails(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(httpx.RemoteProtocolError, match="illegal status line"):
            await get(client, url)

    talk(ClosingServer([[b"220 mail.example ESMTP\r\n\r\n"]]), fails)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-x", b"\x15\x03\x01\x00\x02\x02\x46"], ids=["ssh", "tls alert"])
def test_a_server_that_says_something_else_and_closes_is_quoted(greeting: bytes) -> None:
    async def fails(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await get(client, url)
        assert str(caught.value) == f"malformed HTTP response {greeting.decode('latin-1')!a}"

    talk(ClosingServer([[greeting]]), fails)


def test_a_head_may_be_as_long_as_go_takes_it() -> None:
    """net/http transport.go maxHeaderResponseSize: 10 MiB."""
    long = OK.replace(b"\r\n\r\n", b"\r\nX-Note: " + b"a" * (300 << 10) + b"\r\n\r\n")
    assert talk(ClosingServer([[long, long]]), get_twice) == [(0, "GET"), (0, "GET")]


def test_unexpected_bytes_are_not_taken_for_the_next_answer() -> None:
    """A server that gives up an idle connection may say so (408): Go calls it an unsolicited response."""
    unasked = OK + b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    assert talk(ClosingServer([[unasked]]), get_twice) == [(0, "GET"), (1, "GET")]


def test_over_tls_too(tmp_path: Path) -> None:
    assert talk_tls([[OK, OK, FIN]], get_twice, tmp_path) == [(0, "GET"), (0, "GET")]


def test_through_a_proxy_too() -> None:
    assert talk_through_proxy(ClosingServer([[OK, RST]]), get_twice) == [0, 0, 1]


@pytest.mark.parametrize("plain", [False, True])
def test_each_fetcher_has_a_connection_of_its_own_until_it_is_closed(plain: bool) -> None:
    server = ClosingServer([])

    async def scrapes(full: httpx.AsyncClient, url: str) -> None:
        client = ClientOnDemand(NO_CLIENT_SETTINGS, "rulepush", lambda: full, plain=plain)
        fetchers = [Fetcher(client, "text/plain") for _ in range(2)]
        for fetcher in [*fetchers, *fetchers]:
            assert (await fetcher.fetch(url, 5000)).body == b"a 1\n"
        assert [connection for connection, _ in server.requests] == [0, 1, 0, 1]
        await fetchers[0].close()
        await fetchers[0].fetch(url, 5000)
        await fetchers[1].fetch(url, 5000)
        assert [connection for connection, _ in server.requests[4:]] == [2, 1]
        await client.aclose()

    talk(server, scrapes)


def test_a_fetch_that_takes_too_long_gives_up_its_connection() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 1\n"

    def connections(deadline_ms: int) -> list[int]:
        async def scrapes(client: httpx.AsyncClient, url: str) -> None:
            fetcher = Fetcher(client, "text/plain")
            with pytest.raises(ScrapeError, match="context deadline exceeded"):
                await fetcher.fetch(url, deadline_ms)
            assert (await fetcher.fetch(url, 60_000)).body == b"a 1\n"

        return [n for n, _ in talk(ClosingServer([[half]]), scrapes)]

    # On a busy machine the time may be over before the server has seen the request.
    assert next(seen for deadline_ms in (50, 500, 5000) if len(seen := connections(deadline_ms)) > 1) == [0, 1]


def test_a_scrape_that_fails_after_a_redirect_names_where() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://u:secret@127.0.0.1:1/m\r\nContent-Length: 0\r\n\r\n"

    async def scrapes(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(ScrapeError) as caught:
            await Fetcher(client, "text/plain").fetch(url, 5000)
        assert str(caught.value) == 'Get "http://127.0.0.1:1/m": connection refused'

    talk(ClosingServer([[redirect], [redirect]]), scrapes)  # a fetcher asks again when the answer is not a plain one


def test_an_owner_with_two_requests_at_a_time_gets_two_connections() -> None:
    async def both(client: httpx.AsyncClient, url: str) -> None:
        assert list(await asyncio.gather(get(client, url), get(client, url))) == ["a 1\n", "a 1\n"]

    assert sorted(n for n, _ in talk(ClosingServer([]), both)) == [0, 1]


def test_a_body_of_a_request_is_sent() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"body"

    async def post(client: httpx.AsyncClient, url: str) -> None:
        content = parts()
        headers = {"Content-Length": "4"}
        response = await client.post(url, content=content, headers=headers, extensions=OWNED)
        assert response.text == "a 1\n"

    assert talk(ClosingServer([]), post) == [(0, "POST")]


def test_a_refused_connection_is_reported_in_the_systems_words() -> None:
    async def go() -> None:
        async with ClosingServer([]) as address:
            pass
        async with build_client() as client:
            with pytest.raises(ScrapeError, match="connection refused"):
                await Fetcher(client, "text/plain").fetch(f"http://{address}/", 5000)

    asyncio.run(go())


def test_closing_the_connections_of_an_owner_leaves_those_of_others() -> None:
    server = ClosingServer([])

    async def closes(client: httpx.AsyncClient, url: str) -> None:
        assert isinstance(client, Client)
        await get(client, url)
        await client.get(url)
        await client.close_owned("nobody")
        await client.close_owned("a target")
        await client.get(url)
        await get(client, url)
        assert [n for n, _ in server.requests] == [0, 1, 1, 2]

    talk(server, closes)
