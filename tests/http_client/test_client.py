"""Credentials, headers, redirects and tokens, on a fake transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from rulepush.http_client.build import build_client
from rulepush.http_client.config import Authorization, BasicAuth, HTTPClientConfig, HTTPHeader, OAuth2, ProxyConfig
from rulepush.http_client.failures import CredentialsError
from rulepush.model.secret import Secret
from tests.fakes import FakeClock


class Server:
    """Answers by a function, and remembers the requests."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(200)):
        self.requests: list[httpx.Request] = []
        self._answer = answer

    def transport(self) -> httpx.MockTransport:
        def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return self._answer(request)

        return httpx.MockTransport(handle)

    def get(self, config: HTTPClientConfig, url: str = "http://target/metrics") -> httpx.Response:
        async def go() -> httpx.Response:
            async with build_client(config, "rulepush/1", transport=self.transport()) as client:
                return await client.get(url)

        return asyncio.run(go())


def test_a_plain_client_says_who_it_is() -> None:
    server = Server()
    server.get(HTTPClientConfig())
    assert server.requests[0].headers["User-Agent"] == "rulepush/1"
    assert "Authorization" not in server.requests[0].headers


def test_a_user_and_password_in_the_url_are_used() -> None:
    server = Server()
    server.get(HTTPClientConfig(), "http://u:p@target/")
    assert server.requests[0].headers["Authorization"] == "Basic dTpw"


def test_basic_auth_takes_texts_and_files_and_reads_files_again(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("pässword\n")
    config = HTTPClientConfig(basic_auth=BasicAuth(username="u", password_file=str(file)))
    server = Server()

    async def go() -> None:
        async with build_client(config, transport=server.transport()) as client:
            await client.get("http://target")
            file.write_text("another one")
            await client.get("http://target")
            file.unlink()
            with pytest.raises(CredentialsError, match=f"unable to read {file}: No such file or directory"):
                await client.get("http://target")

    asyncio.run(go())
    assert [r.headers["Authorization"] for r in server.requests] == [
        "Basic dTpww6Rzc3dvcmQ=",
        "Basic dTphbm90aGVyIG9uZQ==",
    ]


def test_credentials_that_cannot_be_read_are_a_failed_request() -> None:
    assert issubclass(CredentialsError, httpx.HTTPError)


def test_authorization_has_any_type(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" abc \n")
    server = Server()
    server.get(HTTPClientConfig(authorization=Authorization("Token", Secret("xyz"))))
    server.get(HTTPClientConfig(authorization=Authorization(credentials_file=str(tmp_path / "token"))))
    assert [r.headers["Authorization"] for r in server.requests] == ["Token xyz", "Bearer abc"]


def test_http_headers_add_texts_secrets_and_files(tmp_path: Path) -> None:
    (tmp_path / "h").write_text("from file\n")
    header = HTTPHeader("X-A", ("v1", "v2"), (Secret("s"),), (str(tmp_path / "h"),))
    server = Server()
    server.get(HTTPClientConfig(headers=(header, HTTPHeader("Accept", ("text/plain",)))))
    headers = server.requests[0].headers
    assert headers.get_list("X-A") == ["v1", "v2", "s", "from file"]
    assert headers.get_list("Accept") == ["text/plain"]
    assert server.requests[0].headers["Host"] == "target"


def test_headers_that_are_not_ascii_are_sent_as_utf8() -> None:
    server = Server()
    server.get(HTTPClientConfig(headers=(HTTPHeader("X-Site", ("杭州",)),)))
    server.get(HTTPClientConfig(authorization=Authorization("Bearer", Secret("tökén"))))
    assert server.requests[0].headers.raw[-1] == (b"X-Site", "杭州".encode())
    assert server.requests[1].headers.raw[-1] == (b"Authorization", "Bearer tökén".encode())


def test_a_secret_that_is_no_header_value_fails_the_request_without_being_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\nhunter3\n")
    path = str(tmp_path / "token")
    for config in (
        HTTPClientConfig(authorization=Authorization(credentials_file=path)),
        HTTPClientConfig(headers=(HTTPHeader("X-Key", files=(path,)),)),
    ):
        with pytest.raises(CredentialsError, match="holds a line break or another control character") as caught:
            Server().get(config)
        assert "hunter" not in str(caught.value)


def test_every_way_to_fail_is_an_http_error() -> None:
    def redirect(_: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "http://xn--/"})

    def crash(_: httpx.Request) -> httpx.Response:
        raise OSError(24, "Too many open files")

    for server, url in (
        (Server(redirect), "http://target/"),
        (Server(crash), "http://target/"),
        (Server(), "http://target/\x01"),
        (Server(), "http://[::1"),
    ):
        with pytest.raises(httpx.HTTPError):
            server.get(HTTPClientConfig(), url)


def test_a_port_that_is_none_is_a_failed_request() -> None:
    async def go(url: str, proxy: str = "") -> None:
        async with build_client(HTTPClientConfig(proxy=ProxyConfig(Secret(proxy)))) as client:
            with pytest.raises(httpx.ConnectError, match="99999: invalid port"):
                await client.get(url)

    asyncio.run(go("http://127.0.0.1:99999/"))
    asyncio.run(go("http://target/", "http://127.0.0.1:99999/"))


def test_a_socks_proxy_of_the_environment_is_a_failed_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://u:hunter2@127.0.0.1:1080")

    async def go() -> None:
        async with build_client(HTTPClientConfig(proxy=ProxyConfig(from_environment=True))) as client:
            with pytest.raises(httpx.HTTPError, match=r"a proxy of the kind socks5:// is not supported$"):
                await client.get("http://target/")

    asyncio.run(go())


def test_credentials_do_not_follow_a_redirect_out_of_tls() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics":
            other = "http" if request.url.scheme == "https" else "https"
            return httpx.Response(302, headers={"Location": f"{other}://target/x"})
        return httpx.Response(200)

    server = Server(answer)
    key = HTTPHeader("X-Key", secrets=(Secret("s"),))
    config = HTTPClientConfig(authorization=Authorization(credentials=Secret("abc")), headers=(key,))
    server.get(config, "https://target/metrics")
    server.get(config, "http://target/metrics")
    sent = [("X-Key" in r.headers, "Authorization" in r.headers) for r in server.requests]
    assert sent == [(True, True), (False, False), (True, True), (True, True)]


def test_credentials_do_not_follow_a_redirect_to_another_host() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "target" and request.url.path == "/metrics":
            return httpx.Response(302, headers={"Location": "http://elsewhere/x"})
        return httpx.Response(200)

    server = Server(answer)
    config = HTTPClientConfig(
        authorization=Authorization(credentials=Secret("abc")), headers=(HTTPHeader("X-Key", secrets=(Secret("s"),)),)
    )
    assert server.get(config).status_code == 200
    first, second = server.requests
    assert (first.headers["Authorization"], first.headers["X-Key"]) == ("Bearer abc", "s")
    assert "Authorization" not in second.headers
    assert "X-Key" not in second.headers


def test_redirects_end_and_can_be_turned_off() -> None:
    server = Server(lambda r: httpx.Response(302, headers={"Location": str(r.url)}))
    with pytest.raises(httpx.TooManyRedirects):
        server.get(HTTPClientConfig())
    assert len(server.requests) == 11
    assert server.get(HTTPClientConfig(follow_redirects=False)).status_code == 302


class TokenServer(Server):
    """An OAuth 2.0 token endpoint at `auth`, and a target that takes the newest token."""

    def __init__(self, *, in_form: bool = False, **answer: object):
        super().__init__(self._handle)
        self.in_form = in_form
        self.issued = 0
        self.more = {"token_type": "bearer", "expires_in": 100} | answer
        self.revoked = False

    def _handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth":
            form = dict(httpx.QueryParams(request.content.decode()))
            if self.in_form != ("client_secret" in form):
                return httpx.Response(401, json={"error": "invalid_client"})
            self.issued += 1
            return httpx.Response(200, json={"access_token": f"t{self.issued}"} | self.more)
        if self.revoked:
            return httpx.Response(401)
        good = request.headers.get("Authorization") == f"Bearer t{self.issued}"
        return httpx.Response(200 if good else 401)


def oauth2(**more: object) -> HTTPClientConfig:
    settings = {"client_id": "id", "token_url": Secret("http://auth/token"), "client_secret": Secret("hunter2")}
    return HTTPClientConfig(oauth2=OAuth2(**(settings | more)))  # type: ignore[arg-type]


def test_a_token_is_fetched_kept_and_renewed() -> None:
    server, clock = TokenServer(), FakeClock()

    async def go() -> None:
        config = oauth2(scopes=("a", "b"), endpoint_params=(("audience", "x"),))
        async with build_client(config, transport=server.transport(), clock=clock) as client:
            for _ in range(3):
                assert (await client.get("http://target")).status_code == 200
            assert server.issued == 1
            await clock.advance(91)
            assert (await client.get("http://target")).status_code == 200
            assert server.issued == 2

    asyncio.run(go())
    asked = server.requests[0]
    assert asked.headers["Authorization"] == "Basic aWQ6aHVudGVyMg=="
    form = dict(httpx.QueryParams(asked.content.decode()))
    assert form == {"grant_type": "client_credentials", "scope": "a b", "audience": "x"}


def test_a_server_that_wants_the_secret_in_the_form_gets_it_there() -> None:
    server = TokenServer(in_form=True)

    async def go() -> None:
        async with build_client(oauth2(), transport=server.transport()) as client:
            assert (await client.get("http://target")).status_code == 200

    asyncio.run(go())
    assert [r.url.host for r in server.requests] == ["auth", "auth", "target"]


def test_a_refused_token_is_replaced_once() -> None:
    server = TokenServer()

    async def go() -> None:
        async with build_client(oauth2(), transport=server.transport()) as client:
            assert (await client.get("http://target")).status_code == 200
            server.issued += 1  # the server withdrew it
            assert (await client.get("http://target")).status_code == 200
            server.revoked = True
            before = len(server.requests)
            assert (await client.get("http://target")).status_code == 401
            assert len(server.requests) - before == 3

    asyncio.run(go())


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (httpx.Response(500), "oauth2: cannot fetch token: 500 Internal Server Error"),
        (httpx.Response(401, json={"error": "hunter2"}), "oauth2: cannot fetch token: 401 Unauthorized"),
        (httpx.Response(200, text="x"), "oauth2: cannot parse the token response"),
        (httpx.Response(200, json={}), "oauth2: server response missing access_token"),
        (httpx.Response(200, json=[]), "oauth2: cannot parse the token response"),
        (httpx.Response(200, content=b"[" * 200_000), "oauth2: cannot parse the token response"),
        (
            httpx.Response(200, content=b'{"expires_in":1' + b"0" * 400 + b"}"),
            "oauth2: cannot parse the token response",
        ),
        (httpx.Response(200, content=b"x" * (2 << 20)), "oauth2: the token response is larger than 1 MiB"),
    ],
)
def test_a_token_that_cannot_be_had_fails_the_request_and_tells_no_secret(
    answer: httpx.Response, complaint: str
) -> None:
    server = Server(lambda _: httpx.Response(answer.status_code, headers=answer.headers, content=answer.content))
    with pytest.raises(CredentialsError, match=complaint) as e:
        server.get(oauth2())
    assert "hunter2" not in str(e.value)


def test_a_client_secret_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("one")
    server = TokenServer()

    async def go() -> None:
        config = oauth2(client_secret=Secret(), client_secret_file=str(file))
        async with build_client(config, transport=server.transport()) as client:
            await client.get("http://target")
            file.write_text("another")
            await client.get("http://target")
            assert server.issued == 2

    asyncio.run(go())


def test_a_request_after_the_end_fails_as_any_other_request() -> None:
    client = build_client(transport=Server().transport())

    async def go() -> None:
        await client.aclose()
        with pytest.raises(httpx.RequestError, match="the connections are closed"):
            await client.get("http://target")

    asyncio.run(go())


def _redirected(hops: dict[str, str], start: str) -> list[str | None]:
    """The `Authorization` of each request of a redirected one, and whether `X-Key` came: None without credentials."""

    def answer(request: httpx.Request) -> httpx.Response:
        there = hops.get(str(request.url))
        return httpx.Response(302, headers={"Location": there}) if there else httpx.Response(200)

    server = Server(answer)
    server.get(HTTPClientConfig(basic_auth=BasicAuth(username="u", password=Secret("p"))), start)
    return [request.headers.get("Authorization") for request in server.requests]


def test_credentials_go_on_to_another_port_of_the_same_host_as_in_go() -> None:
    assert _redirected({"http://a:8080/": "https://a:8443/"}, "http://a:8080/") == ["Basic dTpw"] * 2
    assert _redirected({"https://a/": "https://a:8443/x"}, "https://a/") == ["Basic dTpw"] * 2


def test_credentials_go_neither_to_another_host_nor_out_of_tls() -> None:
    assert _redirected({"http://a/": "http://b/"}, "http://a/") == ["Basic dTpw", None]
    assert _redirected({"https://a/": "http://a:8080/"}, "https://a/") == ["Basic dTpw", None]


def test_credentials_do_not_come_back_after_another_host() -> None:
    hops = {"http://a/": "http://b/", "http://b/": "http://a:81/"}
    assert _redirected(hops, "http://a/") == ["Basic dTpw", None, None]
