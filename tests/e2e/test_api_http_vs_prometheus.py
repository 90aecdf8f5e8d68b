"""How the HTTP API is spoken beside a real Prometheus: methods, CORS, compression, status codes and content types."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.api_pair import Pair, running_pair

pytestmark = pytest.mark.e2e

CORS = (
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("api")) as both:
        yield both


def both(pair: Pair, method: str, path: str, **headers: str) -> tuple[httpx.Response, httpx.Response]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    first, second = (
        httpx.request(method, f"{base}/{path}", headers=names, trust_env=False, timeout=60)
        for base in (pair.prometheus, pair.ours)
    )
    return first, second


@pytest.mark.parametrize("path", ["query?query=up", "query?query=(", "rules", "status/flags", "label/job/values"])
def test_cors_headers(pair: Pair, path: str) -> None:
    theirs, ours = both(pair, "GET", f"api/v1/{path}", origin="http://a.example")
    assert ours.status_code == theirs.status_code
    assert [ours.headers.get(name) for name in CORS] == [theirs.headers.get(name) for name in CORS]
    assert None not in [ours.headers.get(name) for name in CORS]
    # 3.5 names the origin although every one may read; what a browser does is the same.
    assert theirs.headers["access-control-allow-origin"] in ("*", "http://a.example")
    assert ours.headers["access-control-allow-origin"] == "*"
    theirs, ours = both(pair, "GET", f"api/v1/{path}")
    assert [ours.headers.get(name) for name in CORS] == [theirs.headers.get(name) for name in CORS] == [None] * 3


@pytest.mark.parametrize("path", ["query", "nosuch", "write", "label/job/values"])
def test_options(pair: Pair, path: str) -> None:
    theirs, ours = both(pair, "OPTIONS", f"api/v1/{path}", origin="http://a.example")
    assert ours.status_code == theirs.status_code == 204
    assert [ours.headers.get(name) for name in CORS] == [theirs.headers.get(name) for name in CORS]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "query"), ("DELETE", "query"), ("PUT", "rules"), ("POST", "rules"), ("GET", "nosuch"), ("POST", "nosuch")],
)
def test_other_methods_and_paths(pair: Pair, method: str, path: str) -> None:
    theirs, ours = both(pair, method, f"api/v1/{path}")
    assert ours.status_code == theirs.status_code
    assert ours.headers["content-type"] == theirs.headers["content-type"]


@pytest.mark.parametrize("accept", ["gzip", "deflate", "deflate, gzip", "gzip, deflate, br", "identity", "br"])
@pytest.mark.parametrize("path", ["api/v1/rules", "api/v1/series?match[]={job!=''}"])
def test_compression_of_the_api(pair: Pair, path: str, accept: str) -> None:
    theirs, ours = both(pair, "GET", path, accept_encoding=accept)
    assert ours.headers.get("content-encoding") == theirs.headers.get("content-encoding")
    assert ours.json()["status"] == theirs.json()["status"] == "success"  # httpx has decompressed both


def test_compression_of_own_metrics(pair: Pair) -> None:
    for accept in ("gzip", "deflate"):
        theirs, ours = both(pair, "GET", "metrics", accept_encoding=accept)
        assert ours.headers.get("content-encoding") == theirs.headers.get("content-encoding")
        assert ours.text.startswith("# HELP")


def test_what_is_sent_is_gzip(pair: Pair) -> None:
    with httpx.stream(
        "GET", f"{pair.ours}/api/v1/rules", headers={"Accept-Encoding": "gzip"}, trust_env=False
    ) as answer:
        content = b"".join(answer.iter_raw())
    assert int(answer.headers["content-length"]) == len(content)
    assert gzip.decompress(content).startswith(b'{"status":"success"')
