"""The server: listening, passwords, extra headers, errors."""

from __future__ import annotations

import asyncio
import base64
import socket

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush.errors import RulepushError
from rulepush.web.answers import ApiError, ErrorType
from rulepush.web.listener import bind
from rulepush.web.security import WebSecurity
from rulepush.web.server import WebServer, build_app
from tests.web.asking import ask_app


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def refuse(_: Request) -> Response:
    raise ApiError(ErrorType.EXECUTION, "no such thing")


async def crash(_: Request) -> Response:
    raise ZeroDivisionError("division by zero")


ROUTES = [Route("/hello", hello), Route("/refuse", refuse), Route("/crash", crash)]


async def verify(user: str, password: str) -> bool:
    return (user, password) == ("alice", "won:der")


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://rulepush:9095"}, 200),
        ({"Origin": "http://rulepush:9095", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://outside", "Sec-Fetch-Site": "same-origin"}, 200),  # behind a proxy with another name
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://rulepush:80"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(headers: dict[str, str], status: int) -> None:
    routes = [Route("/-/quit", hello, methods=["GET", "POST", "PUT", "DELETE"])]
    headers = {"Host": "rulepush:9095", **headers}
    for method in ("POST", "PUT", "DELETE"):
        assert ask_app(routes, method, "/-/quit", headers=headers).status_code == status
    assert ask_app(routes, "GET", "/-/quit", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (basic("alice:won:der"), 200),
        (basic("alice:wrong"), 401),
        (basic("alice"), 401),
        (basic(""), 401),
        ({"Authorization": "Bearer YWxpY2U6d29uOmRlcg=="}, 401),
        ({"Authorization": "Basic not base64!"}, 401),
        ({"Authorization": "Basic /w=="}, 401),
        ({"Authorization": basic("alice:won:der")["Authorization"].replace("Basic", "basic")}, 200),
    ],
)
def test_passwords(headers: dict[str, str], status: int) -> None:
    answer = ask_app(ROUTES, "GET", "/hello", WebSecurity(verify=verify), headers=headers)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_what_there_is_not_is_not_told_to_strangers() -> None:
    assert ask_app(ROUTES, "GET", "/nothing", WebSecurity(verify=verify)).status_code == 401


def test_extra_headers_are_on_every_answer() -> None:
    security = WebSecurity(headers=(("X-Frame-Options", "deny"),))
    for path, status in (("/hello", 200), ("/refuse", 422), ("/nothing", 404), ("/crash", 500)):
        answer = ask_app(ROUTES, "GET", path, security)
        assert (answer.status_code, answer.headers["x-frame-options"]) == (status, "deny")
    stranger = ask_app(ROUTES, "GET", "/hello", WebSecurity(verify=verify, headers=security.headers))
    assert (stranger.status_code, stranger.headers["x-frame-options"]) == (401, "deny")


async def page(_: Request) -> Response:
    return PlainTextResponse("hello", headers={"Content-Security-Policy": "default-src 'self'"})


def test_a_browser_runs_nothing_of_an_answer_that_is_no_page() -> None:
    for path in ("/hello", "/refuse", "/nothing", "/crash"):
        headers = ask_app(ROUTES, "GET", path).headers
        assert headers.get_list("content-security-policy") == ["default-src 'none'; frame-ancestors 'none'"], path
        assert headers["x-content-type-options"] == "nosniff"
    stranger = ask_app(ROUTES, "GET", "/hello", WebSecurity(verify=verify))
    assert stranger.headers["content-security-policy"].startswith("default-src 'none'")
    own = ask_app([Route("/page", page)], "GET", "/page").headers
    assert own.get_list("content-security-policy") == ["default-src 'self'"]


def test_errors() -> None:
    assert ask_app(ROUTES, "GET", "/refuse").json() == {
        "status": "error",
        "errorType": "execution",
        "error": "no such thing",
    }
    assert ask_app(ROUTES, "GET", "/crash").json()["errorType"] == "internal"
    assert ask_app(ROUTES, "GET", "/nothing").status_code == 404


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost:http", "127.0.0.1:65536", "127.0.0.1:-1", "", "[::1]"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(RulepushError, match="is not host:port"):
        bind(address)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", ":0", "[::1]:0"])
def test_an_address_to_listen_on(address: str) -> None:
    with bind(address) as listener:
        assert listener.getsockname()[1] > 0


def test_without_a_host_both_families_are_listened_on() -> None:
    with bind(":0") as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
            socket.create_connection((host, port), timeout=5).close()


def test_a_port_that_is_taken_is_reported_in_one_sentence() -> None:
    with bind("127.0.0.1:0") as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RulepushError) as e:
            bind(address)
    assert str(e.value) == f"cannot listen on {address}: Address already in use"


def test_a_server_answers_until_it_is_stopped() -> None:
    async def main() -> None:
        listener = bind("127.0.0.1:0")
        port = listener.getsockname()[1]
        server = WebServer(build_app(ROUTES, WebSecurity()), listener, WebSecurity())
        running = asyncio.create_task(server.run())
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{port}/hello")
            assert (answer.status_code, answer.text) == (200, "hello")
        server.stop()
        await asyncio.wait_for(running, 60)

    asyncio.run(main())
