"""Requests without httpx: alerts to an Alertmanager, and which URLs and headers are sent like this."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from rulepush.http_client.build import build_client
from rulepush.http_client.client import reason
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from rulepush.http_client.exchange import HTTPExchange, exchange
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.http_client.plain import NotPlain, PlainRequest
from tests.http_client.test_network import FIN, OK, RST, ClosingServer, talk

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient


def made(**settings: bool) -> tuple[ClientOnDemand, list[httpx.AsyncClient]]:
    """A client, and the full ones that were made for it."""
    full: list[httpx.AsyncClient] = []

    def make() -> httpx.AsyncClient:
        full.append(build_client())
        return full[-1]

    return ClientOnDemand(NO_CLIENT_SETTINGS, "rulepush", make, **settings), full


async def post(client: AnyClient, url: str, *, idempotent: bool = True, seconds: float = 5.0) -> HTTPExchange:
    headers = {"Content-Type": "application/json"}
    return await exchange(client, "POST", url, b'["a"]', headers, seconds, ["secret"], idempotent=idempotent)


async def outcome(client: AnyClient, url: str) -> tuple[object, ...] | str:
    try:
        got = await post(client, url)
    except httpx.HTTPError as e:
        return reason(e).replace(str(httpx.URL(url).port), "PORT")  # each time another server
    return got.status, got.phrase, got.text, got.headers.get("retry-after"), got.described()


def answer(head: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (head, len(body)) + body


@pytest.mark.parametrize(
    ("answers", "in_plain"),
    [
        (answer(b"200 OK"), True),
        (answer(b"200 OK", b"{}"), True),
        (answer(b"429 Too Many Requests\r\nRetry-After: 7", b"later"), True),
        (answer(b"400 Bad Request", b"bad secret"), True),
        (answer(b"500 Oops", b"a" * 5_000), True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n", False),
        (answer(b"302 Found\r\nLocation: /login"), False),
        (FIN, True),
        (RST, True),
        (OK[:-1], True),
    ],
)
def test_an_exchange_gives_what_it_gives_through_httpx(answers: bytes, in_plain: bool) -> None:
    found: list[tuple[object, ...] | str] = []
    used: list[int] = []
    for plain in (True, False):

        async def posts(_: httpx.AsyncClient, url: str, plain: bool = plain) -> None:
            client, full = made(plain=plain)
            found.append(await outcome(client, url))
            used.append(len(full))
            await client.aclose()

        talk(ClosingServer([[answers, FIN], [answers, FIN], [answers, FIN]]), posts)
    assert found[0] == found[1]
    assert used == [0 if in_plain else 1, 1]


def served(requests: Callable[[str], Awaitable[None]]) -> list[bytes]:
    """The requests that a server of one answer gets."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        got.append(head + await reader.readexactly(5))
        writer.write(OK)
        await writer.drain()
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            await requests(f"http://{host}:{port}/api/v2/alerts")

    asyncio.run(go())
    return got


def test_the_request_has_the_headers_and_the_body_of_the_one_through_httpx() -> None:
    async def both(url: str) -> None:
        for plain in (True, False):
            client, _ = made(plain=plain)
            await post(client, url)
            await client.aclose()

    without, through = (
        [sorted(head.split(b"\r\n")), body] for head, _, body in (r.partition(b"\r\n\r\n") for r in served(both))
    )
    assert without == through
    assert without[1] == b'["a"]'


def test_only_a_request_that_may_be_sent_twice_goes_without_httpx_and_again_where_its_connection_is_dead() -> None:
    async def posts(_: httpx.AsyncClient, url: str) -> None:
        client, full = made()
        for _n in range(2):
            assert (await post(client, url)).is_success
        assert not full
        await post(client, url, idempotent=False)
        assert len(full) == 1
        await client.aclose()

    assert [connection for connection, _ in talk(ClosingServer([[OK, RST]]), posts)] == [0, 0, 1, 2]


def test_no_answer_in_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client, full = made()
        async with server:
            host, port = server.sockets[0].getsockname()
            with pytest.raises(TimeoutError):
                await post(client, f"http://{host}:{port}/", seconds=0.05)
        await client.aclose()
        assert not full

    asyncio.run(go())


def test_a_receiver_whose_answers_are_not_plain_gets_one_request_twice_and_the_next_ones_once() -> None:
    special = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0;a=b\r\n\r\n"

    async def posts(_: httpx.AsyncClient, url: str) -> None:
        client, _full = made()
        for _n in range(3):
            assert (await post(client, url)).is_success
        await client.aclose()

    assert [connection for connection, _ in talk(ClosingServer([[special] * 4] * 2), posts)] == [0, 1, 1, 1]


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "http://a:8080/m?x=1&y=%20b",
        "http://a_b.c-d:1/~x/(1)",
        "http://[::1]:9090/metrics",
        "http://127.0.0.1/m",
        "http://a:80/",
    ],
)
def test_a_plain_url_is_sent_as_httpx_sends_it(url: str) -> None:
    asked = httpx.Request("GET", url)
    sent = PlainRequest("GET", url, ())
    head = b"GET %s HTTP/1.1\r\nHost: %s" % (asked.url.raw_path, asked.headers["Host"].encode())
    assert (sent.head, sent.address) == (head, (asked.url.host, asked.url.port or 80))


@pytest.mark.parametrize(
    "url",
    [
        "https://a/",
        "HTTP://a/",
        "http://A/",
        "http://user@a/",
        "http://a:0/",
        "http://a:65536/",
        "http://a/ b",
        "http://a/%zz",
        "http://a/x/../y",
        "http://a/./y",
        "http://a/#f",
        "http://a/?",
        "http://a/?q='",
        "http://1.2.3.400/",
        "http://[::g]/",
        "http://[1:2]/",
        "http://ä/",
        "http:///m",
        "a:9090",
    ],
)
def test_other_urls_are_left_to_httpx(url: str) -> None:
    with pytest.raises(NotPlain):
        PlainRequest("GET", url, ())


@pytest.mark.parametrize(("name", "value"), [("X A", "1"), ("X", "1\r\nY: 2"), ("X", "ä"), ("X", " 1"), ("", "1")])
def test_headers_that_could_be_read_as_something_else_are_left_to_httpx(name: str, value: str) -> None:
    with pytest.raises(NotPlain):
        PlainRequest("GET", "http://a/", [(name, value)])
