"""Receivers that are sick cost their bound of time and memory, and no more."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from rulepush.http_client.build import build_client
from rulepush.http_client.client import reason, shown_url
from rulepush.http_client.config import Authorization, HTTPClientConfig, HTTPHeader, OAuth2
from rulepush.http_client.exchange import HTTPExchange, exchange
from rulepush.model.secret import Secret


class Endless(httpx.AsyncByteStream):
    """A body without an end; `read` counts what was taken of it."""

    def __init__(self, hang: bool = False):
        self.read = 0
        self._hang = hang

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.read += 1000
            yield b"x" * 1000
            if self._hang:
                await asyncio.get_running_loop().create_future()


def ask(response: httpx.Response, seconds: float = 5.0) -> HTTPExchange:
    async def go() -> HTTPExchange:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: response)) as client:
            return await exchange(client, "POST", "http://receiver/", b"body", {"X-A": "b"}, seconds)

    return asyncio.run(go())


def test_an_answer_is_reported_in_one_line() -> None:
    got = ask(httpx.Response(503, headers={"Retry-After": "7"}, text="too busy\n"))
    assert (got.is_success, got.described()) == (False, "HTTP status 503 Service Unavailable: too busy")
    assert got.headers.get("retry-after") == "7"
    assert ask(httpx.Response(204)).is_success


def test_only_the_beginning_of_an_answer_is_read() -> None:
    body = Endless()
    assert len(ask(httpx.Response(200, stream=body)).text) == 5000
    assert body.read == 5000


def test_nothing_is_read_of_an_answer_that_another_request_follows() -> None:
    body = Endless()

    def redirect(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/":
            return httpx.Response(307, headers={"Location": "/there"}, stream=body)
        return httpx.Response(200, text="there")

    def refuse(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth":
            return httpx.Response(200, json={"access_token": "t"})
        return httpx.Response(401, stream=body)

    async def go(answer: Callable[[httpx.Request], httpx.Response], config: HTTPClientConfig) -> HTTPExchange:
        async with build_client(config, transport=httpx.MockTransport(answer)) as client:
            return await exchange(client, "POST", "http://receiver/", b"", {}, 5)

    assert asyncio.run(go(redirect, HTTPClientConfig())).text == "there"
    assert body.read == 3000
    oauth2 = OAuth2("id", Secret("http://auth/"))
    assert asyncio.run(go(refuse, HTTPClientConfig(oauth2=oauth2))).status == 401
    assert body.read == 3000 + 3000 + 5000  # the first answer, and the beginning of the second


def test_a_body_that_breaks_off_inside_tls_is_a_failed_request() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x"
            raise ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] bad record mac")

    async def go() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Broken()))
        async with build_client(transport=transport) as client:
            with pytest.raises(httpx.ReadError):
                await exchange(client, "POST", "http://receiver/", b"", {}, 5)

    asyncio.run(go())


def test_the_time_is_that_of_the_whole_exchange() -> None:
    with pytest.raises(TimeoutError):
        ask(httpx.Response(200, stream=Endless(hang=True)), seconds=0.01)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:hunter2@gw:9091/x", "http://gw:9091/x"),
        ("http://gw", "http://gw"),
        ("http://u:hunter2@[::1", "[::1"),
        ("http://gw/x?a=1&accessToken=hunter2&b=token", "http://gw/x?a=1&accessToken=<secret>&b=token"),
        ("http://gw/x?API-KEY=hunter2#f", "http://gw/x?API-KEY=<secret>#f"),
        ("http://u:hunter2@[::1?password=hunter2", "[::1?password=<secret>"),
        ("http://gw/token=1?page=2", "http://gw/token=1?page=2"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_a_server_that_quotes_the_request_tells_no_credentials() -> None:
    def quote(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, text="refused: " + request.headers["Authorization"])

    async def go() -> HTTPExchange:
        config = HTTPClientConfig(authorization=Authorization(credentials=Secret("hunter2")))
        async with build_client(config, transport=httpx.MockTransport(quote)) as client:
            return await exchange(client, "POST", "http://receiver/", b"", {}, 5)

    assert asyncio.run(go()).described() == "HTTP status 401 Unauthorized: refused: Bearer <secret>"


def test_a_server_that_quotes_headers_tells_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter3\n")
    extra = HTTPHeader("X-Key", ("plain",), (Secret("hunter2"),), (str(tmp_path / "key"),))

    def quote(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, text=",".join([*request.headers.get_list("X-Key"), request.headers["X-Tenant"]]))

    async def go() -> HTTPExchange:
        async with build_client(HTTPClientConfig(headers=(extra,)), transport=httpx.MockTransport(quote)) as client:
            return await exchange(client, "POST", "http://receiver/", b"", {"X-Tenant": "hunter4"}, 5, ["hunter4"])

    assert asyncio.run(go()).text == "plain,<secret>,<secret>,<secret>"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_that_loses_the_body_is_no_delivery(status: int) -> None:
    def redirect(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/":
            return httpx.Response(status, headers={"Location": "/login"})
        return httpx.Response(200, content=request.content)

    async def go() -> HTTPExchange:
        async with build_client(transport=httpx.MockTransport(redirect)) as client:
            return await exchange(client, "POST", "http://receiver/", b"alerts", {}, 5)

    if status > 303:
        assert asyncio.run(go()).text == "alerts"
        return
    with pytest.raises(
        httpx.HTTPError, match=f"redirected by status {status} to http://receiver, which sends no body on"
    ):
        asyncio.run(go())


def test_the_reason_beneath_is_reported() -> None:
    def beneath(cause: BaseException, *, hidden: bool = False) -> str:
        try:
            try:
                raise cause
            except BaseException as e:
                raise httpx.ConnectError("All connection attempts failed") from (None if hidden else e)
        except httpx.ConnectError as e:
            return reason(e)

    assert beneath(ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 80)")) == "connection refused"
    assert beneath(socket.gaierror(-2, "Name or service not known")) == "Name or service not known"
    assert beneath(OSError(2, "No such file"), hidden=True) == "All connection attempts failed"
    assert reason(httpx.ReadTimeout("")) == "timeout"
