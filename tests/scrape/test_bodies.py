"""The last body of each target, for people."""

from __future__ import annotations

import gzip
from dataclasses import replace

import httpx
import pytest

from rulepush.http_client.build import build_client
from rulepush.http_client.config import Authorization, BasicAuth, HTTPClientConfig
from rulepush.model.secret import Secret
from rulepush.scrape.bodies import MAX_ERROR_BODY_BYTES, KeptBody, TargetBodies
from rulepush.scrape.scraper import Scraper
from tests.scrape.finding import found
from tests.scrape.test_pool import JOB, START, World, hosts, play


def scraper_of(w: World) -> Scraper:
    pool = w.pools.get("j")
    assert pool is not None
    (scraper,) = pool.scrapers
    return scraper


def kept_of(w: World, bodies: TargetBodies) -> KeptBody:
    body = bodies.get(scraper_of(w))
    assert body is not None
    return body


def test_what_was_scraped_is_kept_be_it_good_or_bad() -> None:
    bodies = TargetBodies()
    w = World(bodies=bodies)
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        assert kept_of(w, bodies) == KeptBody(START + 4_000, 200, "text/plain", b"x 1\n", 4, False)
        w.bodies["a"] = "x 1\nbroken\n"
        await w.clock.advance(10)
        assert kept_of(w, bodies) == KeptBody(START + 14_000, 200, "text/plain", b"x 1\nbroken\n", 11, True)
        w.bodies["a"] = httpx.Response(403, text="<b>Sign in</b>", headers={"Content-Type": "text/html"})
        await w.clock.advance(10)
        assert kept_of(w, bodies) == KeptBody(START + 24_000, 403, "text/html", b"<b>Sign in</b>", 14, True)
        assert scraper_of(w).status.last_error == "server returned HTTP status 403 Forbidden"
        w.bodies["a"] = httpx.ConnectError("refused")
        await w.clock.advance(10)
        assert kept_of(w, bodies).at == START + 24_000, "nothing came since"

    play(w, act)


def test_of_an_error_page_the_beginning_is_read_and_unpacked() -> None:
    bodies = TargetBodies()
    w = World(bodies=bodies)

    async def act() -> None:
        packed = gzip.compress(b"<" * (MAX_ERROR_BODY_BYTES * 100))
        w.bodies = {"a": httpx.Response(500, stream=Parts(packed), headers={"Content-Encoding": "gzip"})}
        w.scrape("a")
        await w.clock.advance(5)
        assert kept_of(w, bodies).content == b"<" * MAX_ERROR_BODY_BYTES
        w.bodies = {"a": httpx.Response(500, stream=Parts(b"no gzip"), headers={"Content-Encoding": "gzip"})}
        await w.clock.advance(10)
        assert kept_of(w, bodies).content == b""
        w.bodies = {"a": httpx.Response(500, stream=Parts(b"cut", httpx.ReadError("reset")))}
        await w.clock.advance(10)
        assert kept_of(w, bodies).content == b"cut"
        assert scraper_of(w).status.last_error == "server returned HTTP status 500 Internal Server Error"

    play(w, act)


class Parts(httpx.AsyncByteStream):
    """A body that comes as it is sent, and perhaps breaks off."""

    def __init__(self, content: bytes, end: Exception | None = None):
        self._content = content
        self._end = end

    async def __aiter__(self):  # type: ignore[no-untyped-def]
        yield self._content
        if self._end is not None:
            raise self._end


def test_without_consent_nothing_is_kept_and_no_error_page_is_read() -> None:
    w = World()

    async def act() -> None:
        w.bodies = {"a": httpx.Response(500, stream=Parts(b"", AssertionError("the body was read")))}
        w.scrape("a")
        await w.clock.advance(5)
        assert scraper_of(w).status.last_error == "server returned HTTP status 500 Internal Server Error"

    play(w, act)


def test_a_body_goes_with_its_target_and_stays_over_a_reload() -> None:
    bodies = TargetBodies()
    w = World(bodies=bodies)
    w.bodies = {"a": "x 1\n", "b": "y 1\n"}

    async def act() -> None:
        w.scrape("a", "b")
        await w.clock.advance(5)
        assert (len(bodies), bodies.nbytes) == (2, 8)
        w.pools.put(replace(JOB, compression=False), w.client)
        await w.clock.settle()
        assert len(bodies) == 2
        found(w.pools, "j", hosts("b"))
        await w.clock.settle()
        assert kept_of(w, bodies).content == b"y 1\n"
        assert (len(bodies), bodies.nbytes) == (1, 4)

    play(w, act)


def test_the_memory_is_bounded_and_the_bodies_of_failed_scrapes_stay_longest() -> None:
    bodies = TargetBodies(max_bytes=100, max_body_bytes=40)
    bodies.keep("bad", 1, 200, "", b"b" * 40, failed=True)
    for n in range(3):
        bodies.keep(f"good{n}", n, 200, "", b"g" * 30, failed=False)
    assert [bodies.get(name) is not None for name in ("bad", "good0", "good1", "good2")] == [True, False, True, True]
    assert bodies.nbytes == 100
    bodies.keep("long", 9, 500, "", b"x" * 1_000, failed=True)
    long = bodies.get("long")
    assert long is not None
    assert (len(long.content), long.size) == (40, 1_000)
    assert bodies.nbytes <= 100
    for n in range(4):
        bodies.keep(f"bad{n}", n, 500, "", b"b" * 40, failed=True)
    assert (len(bodies), bodies.nbytes) == (2, 80)
    bodies.keep("bad3", 10, 200, "", b"fine", failed=False)
    assert bodies.nbytes == 44


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize(
    ("settings", "secrets"),
    [
        (HTTPClientConfig(basic_auth=BasicAuth("me", password=Secret("geheim"))), ("geheim", "bWU6Z2VoZWlt")),
        (HTTPClientConfig(authorization=Authorization("Bearer", Secret("token-123"))), ("token-123",)),
    ],
)
def test_credentials_that_a_server_quotes_are_masked(
    settings: HTTPClientConfig, secrets: tuple[str, ...], status: int
) -> None:
    bodies = TargetBodies()
    w = World(bodies=bodies)

    def quote(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=f"you sent {request.headers['authorization']} that is {secrets[0]} or so")

    w.client = build_client(settings, "test", transport=httpx.MockTransport(quote))

    async def act() -> None:
        w.scrape("a")
        await w.clock.advance(5)
        shown = kept_of(w, bodies).content.decode()
        assert shown.startswith("you sent")
        assert shown.endswith("that is <secret> or so")
        assert not any(secret in shown for secret in secrets)

    play(w, act)
