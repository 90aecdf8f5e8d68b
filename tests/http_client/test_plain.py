"""Plain scrapes, which do without httpx: on real sockets, and compared with the same scrapes through httpx."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable

import httpx
import pytest

from rulepush.errors import ScrapeError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import NO_CLIENT_SETTINGS, BasicAuth, HTTPClientConfig, HTTPHeader, ProxyConfig
from rulepush.http_client.exchange import exchange
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.http_client.plain import NotPlain, PlainAnswer, PlainHead, PlainRequest, Sink
from rulepush.model.secret import Secret
from rulepush.scrape.fetch import Fetched, Fetcher
from tests.http_client.test_network import FIN, OK, RST, ClosingServer, talk

PACKED = gzip.compress(b"a 1\n", mtime=0)  # part of the names of tests, which each worker must find alike
SPECIAL = HTTPClientConfig(headers=(HTTPHeader("X-A", values=("1",)),))  # a header of one's own takes httpx
Scrapes = Callable[[httpx.AsyncClient, str], Awaitable[None]]


def answer(head: bytes, body: bytes = b"a 1\n") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (head, len(body)) + body


def chunked(*parts: bytes, head: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked" + head + b"\r\n\r\n" + body


def plain(get: Callable[[PlainRequest], Awaitable[None]]) -> Scrapes:
    async def run(client: httpx.AsyncClient, url: str) -> None:
        made = PlainRequest("GET", url, ())
        await get(made)
        made.close()

    return run


async def body_of(get: PlainRequest) -> bytes:
    parts: list[bytes] = []

    def begin(_: PlainHead) -> Sink:
        return parts.append

    await get.fetch(begin)
    return b"".join(parts)


async def twice(get: PlainRequest) -> None:
    for _ in range(2):
        assert await body_of(get) == b"a 1\n"


def test_the_connection_is_kept() -> None:
    assert talk(ClosingServer([[OK, OK]]), plain(twice)) == [(0, "GET"), (0, "GET")]


def test_a_server_that_does_not_keep_it_is_connected_to_again() -> None:
    closing = OK.replace(b"Content-", b"Connection: close\r\nContent-")
    assert talk(ClosingServer([[closing]]), plain(twice)) == [(0, "GET"), (1, "GET")]


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_get_is_repeated_when_a_kept_connection_dies_before_the_answer(end: bytes) -> None:
    assert talk(ClosingServer([[OK, end]]), plain(twice)) == [(0, "GET"), (0, "GET"), (1, "GET")]


@pytest.mark.parametrize("end", [FIN, RST])
def test_a_new_connection_that_dies_is_an_error_of_the_server(end: bytes) -> None:
    async def fails(get: PlainRequest) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await body_of(get)

    assert talk(ClosingServer([[end]]), plain(fails)) == [(0, "GET")]


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le", OK[:-3]])
def test_a_request_is_not_repeated_after_a_byte_of_the_answer(part: bytes) -> None:
    async def second_fails(get: PlainRequest) -> None:
        await body_of(get)
        with pytest.raises((httpx.RemoteProtocolError, NotPlain)):
            await body_of(get)

    assert talk(ClosingServer([[OK, part]]), plain(second_fails)) == [(0, "GET"), (0, "GET")]


def test_unexpected_bytes_are_not_taken_for_the_next_answer() -> None:
    unasked = OK + b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    assert talk(ClosingServer([[unasked]]), plain(twice)) == [(0, "GET"), (1, "GET")]


def test_bytes_that_come_while_nothing_is_asked_end_the_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        await asked.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        assert await reader.read() == b""  # the other side has closed
        closed.set()
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            get = PlainRequest("GET", f"http://{host}:{port}/", ())
            assert await body_of(get) == b"a 1\n"
            asked.set()
            async with asyncio.timeout(60):
                await closed.wait()

    asked, closed = asyncio.Event(), asyncio.Event()
    asyncio.run(go())


@pytest.mark.parametrize("whole", [OK, chunked(b"a", b" 1\n")], ids=["length", "chunked"])
def test_an_answer_may_come_byte_by_byte(whole: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await reader.readuntil(b"\r\n\r\n")
        for i in range(len(whole)):
            writer.write(whole[i : i + 1])
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            assert await body_of(PlainRequest("GET", f"http://{host}:{port}/", ())) == b"a 1\n"

    asyncio.run(go())


@pytest.mark.parametrize("cut", range(1, len(chunked(b"a", b" 1\n"))))
def test_a_body_in_chunks_may_be_cut_anywhere(cut: int) -> None:
    whole = chunked(b"a", b" 1\n")
    got: list[bytes] = []
    arriving = asyncio.new_event_loop()
    try:
        taking = PlainAnswer(lambda _: got.append, arriving.create_future())
        for part in (whole[:cut], whole[cut:]):
            assert not taking.is_whole
            taking.receive(part)
        assert taking.is_whole
        assert taking.keeps
        assert b"".join(got) == b"a 1\n"
    finally:
        arriving.close()


def test_a_fetch_that_is_given_up_closes_its_connection() -> None:
    def requests(seconds: float) -> list[tuple[int, str]]:
        async def scrapes(get: PlainRequest) -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(seconds):
                    await body_of(get)
            assert await body_of(get) == b"a 1\n"

        return talk(ClosingServer([[OK[:-4] + b"\n"]]), plain(scrapes))

    # On a busy machine the time may be over before the server has seen the request.
    seen = next(seen for seconds in (0.05, 0.5, 5) if len(seen := requests(seconds)) > 1)
    assert seen == [(0, "GET"), (1, "GET")]


def test_what_a_sink_raises_ends_the_fetch() -> None:
    def refuse(_: PlainHead) -> Sink:
        raise ScrapeError("no")

    async def scrapes(get: PlainRequest) -> None:
        with pytest.raises(ScrapeError):
            await get.fetch(refuse)
        assert await body_of(get) == b"a 1\n"

    assert talk(ClosingServer([]), plain(scrapes)) == [(0, "GET"), (1, "GET")]


def test_one_request_at_a_time() -> None:
    async def both(get: PlainRequest) -> None:
        first = asyncio.ensure_future(body_of(get))
        await asyncio.sleep(0)
        with pytest.raises(NotPlain):
            await body_of(get)
        assert await first == b"a 1\n"

    talk(ClosingServer([]), plain(both))


# --- scrapes, compared with those through httpx


def on_demand(config: HTTPClientConfig = NO_CLIENT_SETTINGS) -> ClientOnDemand:
    return ClientOnDemand(config, "rulepush", lambda: build_client(config))


def outcome(server: ClosingServer, config: HTTPClientConfig, limit: int = 0) -> list[Fetched | str]:
    """What two scrapes give: a body, or the text of the error without the URL."""
    found: list[Fetched | str] = []

    async def scrapes(_: httpx.AsyncClient, url: str) -> None:
        client = on_demand(config)
        fetcher = Fetcher(client, "text/plain", body_size_limit=limit)
        for _n in range(2):
            try:
                found.append(await fetcher.fetch(url, 5000))
            except ScrapeError as e:
                found.append(str(e).replace(url, "URL"))
        await client.aclose()

    talk(server, scrapes)
    return found


@pytest.mark.parametrize(
    "answers",
    [
        answer(b"200 OK"),
        answer(b"200 OK\r\ncontent-type:  text/x ; a=b \t\r\nContent-Type: text/y"),
        answer(b"200 OK\r\nContent-Encoding: GZIP ", PACKED + PACKED),
        answer(b"200 OK\r\nContent-Encoding: gzip", PACKED[:-9]) + b"\n",
        answer(b"200 OK\r\nContent-Encoding: gzip", b"no\n"),
        answer(b"200 OK", b""),
        answer(b"200 OK", b"a 1\n" * 50_000),
        answer(b"200"),
        answer(b"404 Not Found"),
        answer(b"503 "),
        answer(b"599 ", b"}"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\na 1\n",
        b"HTTP/1.1 204 No Content\r\n\r\na 1\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\na 1\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\na 1\n",
        answer(b"200 OK\r\nContent-Length: 4"),
        answer(b"200 OK\r\nContent-Length: 5"),
        answer(b"200 OK\r\nTransfer-Encoding: chunked", b"4\r\na 1\n\r\n0\r\n\r\n"),
        chunked(b"a 1\n", b"b 1\n"),
        chunked(b"a 1\n" * 100_000, b"b 1\n"),
        chunked(),
        chunked(PACKED, head=b"\r\nContent-Encoding: gzip"),
        chunked(PACKED[:-9], head=b"\r\nContent-Encoding: gzip"),
        chunked(b"a 1\n", head=b"\r\nTransfer-Encoding: chunked"),
        chunked(b"a 1\n").replace(b"chunked", b"Chunked"),
        chunked(b"a 1\n").replace(b"chunked", b"gzip, chunked"),
        chunked(b"a 1\n").replace(b"4\r", b"4 ;a=b\r"),
        chunked(b"a 1\n").replace(b"4\r", b"g\r"),
        chunked(b"a 1\n").replace(b"4\r", b"5\r"),
        chunked(b"a 1\n").replace(b"4\r", b"3\r"),
        chunked(b"a 1\n").replace(b"0\r\n", b"0\r\nX: y\r\n"),
        chunked(b"a 1\n") + b"\n",
        chunked(b"a 1\n")[:-7],
        chunked(b"a 1\n")[:-11],
        answer(b"302 Found\r\nLocation: /elsewhere"),
        OK.replace(b"1.1", b"1.0"),
        OK.replace(b"200", b"2000"),
        OK.replace(b"Content-Length: 4", b"Content-Length: x"),
        OK.replace(b"Content-Length", b"Content Length"),
        OK.replace(b"\r\n\r\n", b"\r\n folded: 1\r\n\r\n"),
        OK.replace(b"\r\n\r\n", b"\r\nX: \0\r\n\r\n"),
        OK.replace(b"\r\n\r\n", b"\r\nX-Note: " + b"a" * 100_000 + b"\r\n\r\n"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\n\r\na 1",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-x",
        b"220 mail.example ESMTP\r\n\r\n",
        OK[:-3],
        FIN,
        RST,
    ],
)
@pytest.mark.parametrize("limit", [0, 2])
def test_a_scrape_gives_what_it_gives_through_httpx(answers: bytes, limit: int) -> None:
    script = [[answers, answers] for _ in range(4)]
    assert outcome(ClosingServer(script), HTTPClientConfig(), limit) == outcome(ClosingServer(script), SPECIAL, limit)


def test_a_server_whose_answers_are_not_plain_is_asked_once_more_and_then_through_httpx() -> None:
    special = chunked(b"a 1\n").replace(b"4\r", b"4;a=b\r")

    async def scrapes(_: httpx.AsyncClient, url: str) -> None:
        client = on_demand()
        fetcher = Fetcher(client, "text/plain")
        for _n in range(3):
            assert (await fetcher.fetch(url, 5000)).body == b"a 1\n"
        await client.aclose()

    server = ClosingServer([[special] * 4, [special] * 4])
    assert [connection for connection, _ in talk(server, scrapes)] == [0, 1, 1, 1]


def test_the_request_is_the_one_that_httpx_would_send() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await writer.drain()
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server:
            for config in (HTTPClientConfig(), SPECIAL):
                client = on_demand(config)
                await Fetcher(client, "text/plain").fetch(f"http://{host}:{port}/m?a=b%20c", 5000)
                await client.aclose()

    asyncio.run(go())
    assert heads[0] == heads[1].replace(b"X-A: 1\r\n", b"")


@pytest.mark.parametrize(
    ("config", "url"),
    [
        (HTTPClientConfig(), "https://a/"),
        (HTTPClientConfig(), "http://user:secret@a/"),
        (HTTPClientConfig(proxy=ProxyConfig(url=Secret("http://proxy"))), "http://a/"),
        (HTTPClientConfig(basic_auth=BasicAuth("user", password=Secret("secret"))), "http://a/"),
        (SPECIAL, "http://a/"),
    ],
    ids=["https", "userinfo", "proxy", "auth", "headers"],
)
def test_what_needs_httpx_is_not_sent_without_it(config: HTTPClientConfig, url: str) -> None:
    async def go() -> None:
        client = on_demand(config)
        assert client.plain_request("GET", url, {}, "owner") is None
        await client.aclose()

    asyncio.run(go())


def test_nothing_is_sent_by_a_client_that_is_closed() -> None:
    async def scrapes(_: httpx.AsyncClient, url: str) -> None:
        client = on_demand()
        fetcher = Fetcher(client, "text/plain")
        await fetcher.fetch(url, 5000)
        await client.aclose()
        with pytest.raises(ScrapeError, match="the connections are closed"):
            await fetcher.fetch(url, 5000)
        assert client.plain_request("GET", url, {}, "owner") is None

    assert talk(ClosingServer([]), scrapes) == [(0, "GET")]


def test_the_same_request_is_made_once_and_another_one_anew() -> None:
    async def go() -> None:
        client = on_demand()
        first = client.plain_request("POST", "http://a/", {"X-N": "1"}, "owner")
        assert first is not None
        assert client.plain_request("POST", "http://a/", {"X-N": "1"}, "owner") is first
        other = client.plain_request("POST", "http://a/", {"X-N": "2"}, "owner")
        assert other is not None
        assert other is not first
        assert b"X-N: 2" in other.head
        await client.close_owned("owner")
        assert client.plain_request("POST", "http://a/", {"X-N": "2"}, "owner") is not other
        client.give_up("owner")
        assert client.plain_request("POST", "http://a/", {"X-N": "2"}, "owner") is None
        await client.aclose()

    asyncio.run(go())


@pytest.mark.parametrize("length", [b"", b"\r\nContent-Length: 0"])
def test_no_content_is_an_answer_that_needs_no_httpx(length: bytes) -> None:
    """What most receivers of remote write answer."""

    async def posts(_: httpx.AsyncClient, url: str) -> None:
        client = on_demand()
        for _n in range(2):
            answered = await exchange(client, "POST", url, b"x", {}, 5, idempotent=True)
            assert (answered.status, answered.phrase, answered.text) == (204, "No Content", "")
        assert client.plain_request("POST", url, {}, ("POST", url)) is not None, "given up"
        await client.aclose()

    answer_ = b"HTTP/1.1 204 No Content" + length + b"\r\n\r\n"
    assert talk(ClosingServer([[answer_, answer_]]), posts) == [(0, "POST"), (0, "POST")]
