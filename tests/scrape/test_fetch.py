from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from rulepush.errors import ScrapeError
from rulepush.scrape.fetch import Fetched, Fetcher, accept_header

URL = "http://target:1/metrics"
Answer = Callable[[httpx.Request], httpx.Response]


def fetch(answer: Answer, *, limit: int = 0, follow: bool = True, at_once: bool = False) -> Fetched:
    async def run() -> Fetched:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), follow_redirects=follow) as client:
            deadline = (lambda _: asyncio.timeout(0)) if at_once else asyncio.timeout
            return await Fetcher(client, "text/plain", body_size_limit=limit, deadline=deadline).fetch(URL, 10_500)

    return asyncio.run(run())


class Stream(httpx.AsyncByteStream):
    """Sends a chunk again and again, and counts how often."""

    def __init__(self, chunk: bytes, times: int):
        self.chunk, self.times, self.sent = chunk, times, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.sent < self.times:
            self.sent += 1
            yield self.chunk


def test_headers_are_those_of_prometheus() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"a 1\n", headers={"Content-Type": "text/plain"})

    assert fetch(answer) == Fetched(b"a 1\n", "text/plain")
    headers = seen[0].headers
    assert headers["X-Prometheus-Scrape-Timeout-Seconds"] == "10.5"
    assert headers["Accept-Encoding"] == "gzip"
    assert headers["Accept"] == "text/plain"


def test_the_accept_header_weighs_the_protocols() -> None:
    protocols = ("OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4")
    assert accept_header(protocols) == (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,"
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    )
    assert accept_header(("PrometheusProto", *protocols)) == (
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
        "application/openmetrics-text;version=0.0.1;q=0.4,"
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
        "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
    )
    asked = accept_header(("PrometheusText1.0.0", "PrometheusText0.0.4"), "underscores")
    assert asked == "text/plain;version=1.0.0;escaping=underscores;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4"


def test_gzip_is_unpacked_several_members_too() -> None:
    body = gzip.compress(b"a 1\n") + gzip.compress(b"b 2\n")
    assert (
        fetch(lambda _: httpx.Response(200, content=body, headers={"Content-Encoding": "gzip"})).body == b"a 1\nb 2\n"
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [(gzip.compress(b"a 1\n" * 999, mtime=0)[:-9], "unexpected EOF"), (b"not gzip", "gzip: ")],
    ids=["cut off", "not gzip"],
)
def test_broken_gzip_fails_the_scrape(content: bytes, error: str) -> None:
    with pytest.raises(ScrapeError, match=error):
        fetch(lambda _: httpx.Response(200, stream=Stream(content, 1), headers={"Content-Encoding": "gzip"}))


def test_the_body_limit_counts_decompressed_bytes_and_stops_early() -> None:
    bomb = Stream(gzip.compress(bytes(10_000_000)), 1)
    with pytest.raises(ScrapeError, match=r"^body size limit exceeded$"):
        fetch(lambda _: httpx.Response(200, stream=bomb, headers={"Content-Encoding": "gzip"}), limit=1000)
    endless = Stream(random.Random(1).randbytes(1000), 10**9)
    with pytest.raises(ScrapeError, match=r"^body size limit exceeded$"):
        fetch(lambda _: httpx.Response(200, stream=endless), limit=10_000)
    assert endless.sent == 11
    assert fetch(lambda _: httpx.Response(200, content=b"x" * 1000), limit=1000).body == b"x" * 1000


def test_lines_are_limited_too_for_each_costs_more_than_its_bytes() -> None:
    for what, part, times in (("524288 lines", b"\n" * 1000, 600), ("1 MiB", b'a{b="' + b"x" * 1000, 1100)):
        for encoding in ({}, {"Content-Encoding": "gzip"}):
            body = part * times
            stream = Stream(gzip.compress(body) if encoding else part, 1 if encoding else times)
            with pytest.raises(ScrapeError, match=f"^body size limit exceeded: .*more than {what}"):
                fetch(lambda _, s=stream, e=encoding: httpx.Response(200, stream=s, headers=e))  # type: ignore[misc]
    large = b"a 1\n" * 600_000
    assert fetch(lambda _: httpx.Response(200, stream=Stream(large, 1)), limit=100 << 20).body == large


def test_the_error_of_a_scrape_keeps_no_body_alive() -> None:
    """Its traceback lives until the next garbage search, and until then the next scrape has failed, too."""
    member = gzip.compress(b"#" * (1 << 16) + b"\n")

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Stream(member, 100), headers={"Content-Encoding": "gzip"})

    tracemalloc.start()
    try:
        with pytest.raises(ScrapeError, match="body size limit exceeded") as kept:
            fetch(answer, limit=3 << 20)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept.value.__traceback__ is not None
    assert held < 1 << 20
    assert most > 3 << 20


def test_anything_but_200_is_an_error() -> None:
    with pytest.raises(ScrapeError, match=r"^server returned HTTP status 404 Not Found$"):
        fetch(lambda _: httpx.Response(404))
    with pytest.raises(ScrapeError, match=r"^server returned HTTP status 204 No Content$"):
        fetch(lambda _: httpx.Response(204))


def test_redirects_are_followed_up_to_ten() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        hop = int(request.url.path.strip("/metrics") or 0)
        return (
            httpx.Response(200, content=b"a 1\n")
            if hop == 3
            else httpx.Response(302, headers={"Location": f"/{hop + 1}"})
        )

    assert fetch(answer).body == b"a 1\n"
    with pytest.raises(ScrapeError, match=r"^server returned HTTP status 302 Found$"):
        fetch(answer, follow=False)
    with pytest.raises(ScrapeError, match=f'^Get "{URL}": stopped after 10 redirects$'):
        fetch(lambda _: httpx.Response(302, headers={"Location": "/again"}))


def test_credentials_do_not_follow_to_another_host() -> None:
    seen: list[tuple[str, str | None]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, request.headers.get("Authorization")))
        if request.url.host == "target":
            return httpx.Response(302, headers={"Location": "http://elsewhere/"})
        return httpx.Response(200, content=b"")

    async def run() -> None:
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(answer), follow_redirects=True, auth=("user", "secret")
        ) as client:
            await Fetcher(client, "*/*").fetch(URL, 1000)

    asyncio.run(run())
    assert seen[0][1] is not None
    assert seen[1] == ("elsewhere", None)


def test_no_cookie_is_kept() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Cookie"))
        return httpx.Response(200, headers={"Set-Cookie": "JSESSIONID=1"})

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            for _ in range(2):
                await Fetcher(client, "*/*").fetch(URL, 1000)

    asyncio.run(run())
    assert seen == [None, None]


def test_a_target_that_hangs_runs_into_the_timeout() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(hang)) as client:
            await Fetcher(client, "*/*", deadline=lambda _: asyncio.timeout(0)).fetch(URL, 1000)

    with pytest.raises(ScrapeError, match=f'^Get "{URL}": context deadline exceeded$'):
        asyncio.run(run())


def test_a_refused_connection_says_so() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as e:
            raise httpx.ConnectError("All connection attempts failed") from e

    with pytest.raises(ScrapeError, match=f'^Get "{URL}": connection refused$'):
        fetch(refuse)


def test_of_two_content_types_the_first_counts_as_in_go() -> None:
    headers = [("Content-Type", "text/plain; version=0.0.4"), ("Content-Type", "text/html")]
    fetched = fetch(lambda _: httpx.Response(200, headers=headers, content=b"a 1\n"))
    assert fetched.content_type == "text/plain; version=0.0.4"


@pytest.mark.parametrize("packed", [False, True])
def test_protobuf_has_no_lines_to_bound(packed: bool) -> None:
    body = b"x" * (2 << 20)
    headers = {"Content-Type": "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"}
    headers |= {"Content-Encoding": "gzip"} if packed else {}
    sent = gzip.compress(body) if packed else body
    assert fetch(lambda _: httpx.Response(200, content=sent, headers=headers)).body == body
    with pytest.raises(ScrapeError, match="body size limit exceeded"):
        fetch(lambda _: httpx.Response(200, content=sent, headers=headers), limit=1 << 20)
