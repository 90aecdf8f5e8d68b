"""Which pages of other sites may read the API, and that none may change anything.

The headers are those of prometheus util/httputil/cors.go; tests/e2e/test_api_http_vs_prometheus.py asks the real one.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest

from rulepush.errors import RulepushError
from rulepush.web.cors import CorsOrigins
from rulepush.web.routes import WebParts, cross_origin_reads, web_routes
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from tests.web.app_parts import Parts

EVIL = {"Origin": "https://evil.example"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ask(parts: WebParts, method: str, path: str, security: WebSecurity | None = None, **more: object) -> httpx.Response:
    app = build_app(web_routes(parts), security or WebSecurity(), cross_origin_reads(parts))

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client:
            return await client.request(method, path, **more)  # type: ignore[arg-type]

    return asyncio.run(main())


def parts(origins: str = ".*", **options: object) -> WebParts:
    return Parts(**options).web_parts(CorsOrigins(origins))  # type: ignore[arg-type]


def test_every_origin_may_read_the_api_by_default() -> None:
    answer = ask(parts(), "GET", "/api/v1/query?query=up", headers=EVIL)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert answer.headers["access-control-allow-headers"] == "Accept, Authorization, Content-Type, Origin"
    assert answer.headers["access-control-expose-headers"] == "Date"
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in answer.headers


def test_errors_of_the_api_may_be_read_too() -> None:
    answer = ask(parts(), "GET", "/api/v1/query?query=(", headers=EVIL)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, "*")


def test_without_an_origin_there_is_only_vary() -> None:
    answer = ask(parts(), "GET", "/api/v1/query?query=up")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize(("origin", "allowed"), [("https://a.example", True), ("https://a.example.evil", False)])
def test_the_origin_must_match_whole(origin: str, allowed: bool) -> None:
    answer = ask(parts("https?://(a|b)[.]example"), "GET", "/api/v1/labels", headers={"Origin": origin})
    assert answer.status_code == 200
    assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)


def test_no_origin_may_read_where_the_flag_is_empty() -> None:
    answer = ask(parts(""), "GET", "/api/v1/labels", headers=EVIL)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["query", "rules", "nosuch", "write"])
def test_a_browser_that_asks_first_is_answered(path: str) -> None:
    asked = {**EVIL, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = ask(parts(), "OPTIONS", f"/api/v1/{path}", headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/alerts", "/"])
def test_what_is_not_the_api_says_nothing_to_other_origins(path: str) -> None:
    answer = ask(parts(), "GET", path, headers=EVIL)
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("route_prefix", ["", "/base"])
def test_a_long_query_may_be_posted_from_an_allowed_origin(route_prefix: str) -> None:
    site = parts("https://a[.]example", route_prefix=route_prefix)

    def post(path: str, origin: str) -> int:
        headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site", **FORM}
        return ask(
            site, "POST", f"{route_prefix}/api/v1/{path}", content="query=up&match[]=up", headers=headers
        ).status_code

    for path in ("query", "labels", "series", "format_query"):
        assert post(path, "https://a.example") == 200
        assert post(path, "https://evil.example") == 403


@pytest.mark.parametrize("path", ["/-/reload", "/-/quit", "/api/v1/write", "/api/v1/rules", "/api/v1/query/", "/query"])
def test_nothing_else_may_be_posted_from_another_origin(path: str) -> None:
    site = Parts(lifecycle=True)
    answer = ask(site.web_parts(CorsOrigins()), "POST", path, headers={**EVIL, **FORM}, content="query=up")
    assert (answer.status_code, site.calls) == (403, [])


def test_with_passwords_another_site_reads_nothing_without_one() -> None:
    async def verify(user: str, password: str) -> bool:
        return False

    for method in ("GET", "OPTIONS"):
        answer = ask(parts(), method, "/api/v1/query?query=up", WebSecurity(verify=verify), headers=EVIL)
        assert answer.status_code == 401
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(RulepushError, match=r"--web\.cors\.origin"):
        CorsOrigins("(")
