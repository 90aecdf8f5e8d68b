"""Compressed answers."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from collections.abc import Iterator

import httpx
import pytest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from rulepush.web.compression import MIN_BYTES, Compression, accepted_encoding
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from tests.web.app_parts import Parts
from tests.web.asking import ask_app

LARGE = "".join(f"line {i}\n" for i in range(20_000))


async def body(request: Request) -> Response:
    return PlainTextResponse("x" * int(request.query_params["size"]))


async def pieces(_: Request) -> Response:
    def made() -> Iterator[bytes]:
        for start in range(0, len(LARGE), 50_000):
            yield LARGE[start : start + 50_000].encode()

    return StreamingResponse(made())


async def events(_: Request) -> Response:
    return Response("data: " + "x" * 5000, headers={"Content-Type": "text/event-stream"})


async def encoded(_: Request) -> Response:
    return Response(b"x" * 5000, headers={"Content-Encoding": "br"})


COMPRESSED = [Middleware(Compression)]
ROUTES = [
    Route("/body", body, middleware=COMPRESSED),
    Route("/pieces", pieces, middleware=COMPRESSED),
    Route("/events", events, middleware=COMPRESSED),
    Route("/encoded", encoded, middleware=COMPRESSED),
]


def raw(path: str, accept: str) -> tuple[httpx.Headers, bytes]:
    """The head and the body as it is sent."""

    async def main() -> tuple[httpx.Headers, bytes]:
        transport = httpx.ASGITransport(app=build_app(ROUTES, WebSecurity()))
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client,
            client.stream("GET", path, headers={"Accept-Encoding": accept}) as answer,
        ):
            return answer.headers, b"".join([part async for part in answer.aiter_raw()])

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "deflate"),
        ("br, GZIP;q=0.5, deflate;q=0.7", "deflate"),
        ("gzip;q=0", ""),
        ("gzip;q=nonsense", ""),
        ("identity, br, zstd", ""),
    ],
)
def test_the_encoding_that_the_client_prefers(accept: str, chosen: str) -> None:
    assert accepted_encoding([accept], ("gzip", "deflate")) == chosen


@pytest.mark.parametrize("size", [MIN_BYTES, 300_000])
def test_a_body_is_compressed_and_has_its_length(size: int) -> None:
    head, content = raw(f"/body?size={size}", "gzip")
    assert head["content-encoding"] == "gzip"
    assert int(head["content-length"]) == len(content)
    assert "accept-encoding" in head["vary"].lower()
    assert gzip.decompress(content) == b"x" * size
    head, content = raw(f"/body?size={size}", "deflate")
    assert (head["content-encoding"], zlib.decompress(content)) == ("deflate", b"x" * size)


@pytest.mark.parametrize(("size", "accept"), [(MIN_BYTES - 1, "gzip"), (0, "gzip"), (300_000, "identity")])
def test_what_is_small_or_not_asked_for_is_sent_as_it_is(size: int, accept: str) -> None:
    head, content = raw(f"/body?size={size}", accept)
    assert content == b"x" * size
    assert "content-encoding" not in head
    assert int(head["content-length"]) == size
    assert "accept-encoding" in head["vary"].lower()


def test_a_body_in_pieces_is_compressed_as_it_is_made() -> None:
    head, content = raw("/pieces", "gzip")
    assert head["content-encoding"] == "gzip"
    assert "content-length" not in head
    assert gzip.decompress(content).decode() == LARGE


@pytest.mark.parametrize("path", ["/events", "/encoded"])
def test_events_and_what_is_encoded_are_left_alone(path: str) -> None:
    head, content = raw(path, "gzip")
    assert len(content) >= 5000
    assert head.get("content-encoding") == (None if path == "/events" else "br")


def test_a_large_body_is_compressed_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()
    real = zlib.compressobj

    class Noting:
        def __init__(self, level: int, method: int, bits: int):
            self._real = real(level, method, bits)

        def compress(self, data: bytes) -> bytes:
            threads.add(threading.current_thread() is threading.main_thread())
            return self._real.compress(data)

        def flush(self) -> bytes:
            return self._real.flush()

    monkeypatch.setattr("rulepush.web.compression.zlib.compressobj", Noting)
    raw("/body?size=300000", "gzip")
    assert threads == {False}


@pytest.mark.parametrize(
    ("path", "accept", "encoding"),
    [
        ("/api/v1/targets", "gzip", "gzip"),
        ("/api/v1/targets", "deflate", "deflate"),
        ("/api/v1/query?query=1", "gzip", None),
        ("/-/healthy", "gzip", None),
    ],
)
def test_the_api_is_compressed(path: str, accept: str, encoding: str | None) -> None:
    answer = ask_app(Parts().routes(), "GET", path, headers={"Accept-Encoding": accept})
    assert answer.status_code == 200
    assert answer.headers.get("content-encoding") == encoding


def test_own_metrics_are_compressed_with_gzip_only() -> None:
    parts = Parts()
    for i in range(50):
        parts.telemetry.counter(f"rulepush_more_{i}", "More of them.", list)
    answers = [
        ask_app(parts.routes(), "GET", "/metrics", headers={"Accept-Encoding": accept})
        for accept in ("gzip", "deflate")
    ]
    assert [answer.headers.get("content-encoding") for answer in answers] == ["gzip", None]
    assert all(answer.text.startswith("# HELP rulepush_") for answer in answers)
