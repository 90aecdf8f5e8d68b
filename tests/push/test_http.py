"""The receiver and its client over HTTP."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from rulepush.__main__ import main
from rulepush.cli.push import grouping_key
from rulepush.errors import PushError
from rulepush.push.client import PushRequest, push
from rulepush.push.groups import PushedGroups
from rulepush.push.http import push_routes
from tests.fakes import FakeClock
from tests.push.fixtures import MemoryStore, receiver

T = 1_700_000_000_000


def with_client(test: Callable[[httpx.AsyncClient, PushedGroups, FakeClock], Awaitable[None]]) -> None:
    clock = FakeClock(T)
    groups = PushedGroups(MemoryStore())
    app = Starlette(routes=push_routes(groups, clock, max_body_bytes=10_000))

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://r") as client:
            await test(client, groups, clock)

    asyncio.run(run())


def test_lifetime_header() -> None:
    async def test(client: httpx.AsyncClient, groups: PushedGroups, clock: FakeClock) -> None:
        answer = await client.put("/metrics/job/j", content=b"a 1\n", headers={"X-Rulepush-TTL": "5m"})
        assert answer.status_code == 200
        (group,) = groups
        assert group.ttl_ms == 300_000
        answer = await client.put("/metrics/job/j", content=b"a 1\n", headers={"X-Rulepush-TTL": "soon"})
        assert answer.status_code == 400
        assert answer.text == 'X-Rulepush-TTL: not a valid duration string: "soon"\n'

    with_client(test)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/path/%2Fvar%2Ftmp", "/path/var/tmp"),
        ("/path/%2F", "/path/"),
        ("/path/a%2F%2Fb", "/path/a/b"),
        ("/path/%2E%2E", ""),
        ("/path/%2e", "/path"),
        ("//path/y?q=1", "/path/y?q=1"),
        ("/path/%2F%FF", "/path/%FF"),
    ],
)
def test_a_path_that_is_not_clean_is_redirected_and_stores_nothing(path: str, location: str) -> None:
    """The answers are those of Pushgateway 1.11."""

    async def test(client: httpx.AsyncClient, groups: PushedGroups, clock: FakeClock) -> None:
        answer = await client.put("/metrics/job/x" + path, content=b"a 1\n")
        assert (answer.status_code, answer.headers["location"]) == (301, "/metrics/job/x" + location)
        assert len(groups) == 0

    with_client(test)


@pytest.mark.parametrize("path", ["/path/a%2Fb", "/path/y%252Fz", "/path@base64/L3Zhci90bXA", "/"])
def test_a_path_that_is_clean_once_decoded_is_not_redirected(path: str) -> None:
    async def test(client: httpx.AsyncClient, groups: PushedGroups, clock: FakeClock) -> None:
        answer = await client.put("/metrics/job/x" + path, content=b"a 1\n")
        assert answer.status_code == (400 if "%2Fb" in path else 200)

    with_client(test)


def test_bodies_are_bounded() -> None:
    async def test(client: httpx.AsyncClient, groups: PushedGroups, clock: FakeClock) -> None:
        path = "/metrics/job/j"
        assert (await client.put(path, content=b"#" * 10_001)).status_code == 413
        bomb = gzip.compress(b"#" * 9_000_000)
        answer = await client.put(path, content=bomb, headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 413
        short = gzip.compress(b"a 1\n") + gzip.compress(b"b 2\n")
        answer = await client.put(path, content=short, headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 200
        answer = await client.put(path, content=short[:-9], headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 400
        answer = await client.put(path, content=b"a 1\n", headers={"Content-Encoding": "br"})
        assert answer.status_code == 415
        assert groups.series_count == 4

    with_client(test)


def test_openmetrics_bodies() -> None:
    async def test(client: httpx.AsyncClient, groups: PushedGroups, clock: FakeClock) -> None:
        headers = {"Content-Type": "application/openmetrics-text; version=1.0.0"}
        answer = await client.post("/metrics/job/j", content=b"# TYPE a counter\na_total 1\n# EOF\n", headers=headers)
        assert answer.status_code == 200
        view = (await client.get("/api/v1/metrics")).json()
        assert view["data"][0]["a_total"]["type"] == "COUNTER"

    with_client(test)


def test_the_client_tries_again_until_it_is_reached() -> None:
    seen: list[tuple[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.raw_path.decode()))
        if len(seen) == 1:
            raise httpx.ConnectError("refused")
        return httpx.Response(503 if len(seen) == 2 else 200)

    async def run() -> None:
        clock = FakeClock()
        request = PushRequest("http://gw/prefix/", grouping_key("a/b", ["x=y", "e="]), "PUT", b"a 1\n")
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            task = asyncio.create_task(push(client, request, clock, retries=2))
            await clock.advance(10)
            await task

    asyncio.run(run())
    assert seen == [("PUT", "/prefix/metrics/job@base64/YS9i/e@base64/=/x/y")] * 3


def test_the_client_does_not_insist_where_it_is_refused() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, text="text format parsing error in line 1\n")

    async def run() -> None:
        request = PushRequest("http://gw", grouping_key("j", []), "PUT", b"x")
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            await push(client, request, FakeClock(), retries=5)

    with pytest.raises(PushError, match="http://gw answered 400: text format parsing error in line 1"):
        asyncio.run(run())


def test_the_client_tells_no_password() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"].startswith("Basic ")
        return httpx.Response(403, text="no\n")

    async def run() -> None:
        request = PushRequest("http://u:hunter2@gw", grouping_key("j", []), "PUT", b"x")
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            await push(client, request, FakeClock())

    with pytest.raises(PushError, match=r"^http://gw answered 403: no$"):
        asyncio.run(run())


@pytest.mark.parametrize("label", ["x", "=y", "a-b=c", "__a=b", "job=k"])
def test_bad_label_flags(label: str) -> None:
    with pytest.raises(PushError, match="expected NAME=VALUE"):
        grouping_key("j", [label])


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    with receiver() as r:
        for body, method, code in ((b"a 1\n", "put", 0), (b"a x\n", "post", 1), (b"", "delete", 0)):
            metrics.write_bytes(body)
            args = ["push", "--job", "j", "--label", "k=v/w", "--ttl", "5m", "--file", str(metrics)]
            assert main([*args, "--method", method, r.url]) == code
            assert len(r.groups) == (0 if method == "delete" else 1)
        assert "text format parsing error in line 1" in capsys.readouterr().err
        assert main(["push", "--job", "j", "--ttl", "5x", r.url]) == 1
        assert main(["push", "--job", "j", "--file", "/nonexistent", r.url]) == 1
        assert "rulepush push: /nonexistent: No such file or directory\n" in capsys.readouterr().err
    metrics.write_bytes(b"a 1\n")
    assert main([*args, "--retries", "0", r.url]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_pushes_that_come_at_once_are_taken_one_after_the_other() -> None:
    bodies = [b"".join(b"name_%d %d\n" % (i, value) for i in range(500)) for value in (1, 2, 3)]

    async def test(client: httpx.AsyncClient, groups: PushedGroups, clock: FakeClock) -> None:
        answers = await asyncio.gather(*(client.put("/metrics/job/j", content=body) for body in bodies))
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        deletion, push = await asyncio.gather(
            client.delete("/metrics/job/j"), client.put("/metrics/job/k", content=bodies[0])
        )
        assert (deletion.status_code, push.status_code) == (202, 200)
        assert [group.key for group in groups] == [(("job", "k"),)]
        assert groups.series_count == 502

    with_client(test)
