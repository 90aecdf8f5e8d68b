"""One client for an API server and its credentials: what its watches share, and what each has alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rulepush.discovery.kubernetes.access import ApiAccess
from rulepush.discovery.kubernetes.connection import ApiServer
from rulepush.discovery.kubernetes.resources import PODS
from rulepush.discovery.kubernetes.scope import ResourceScope
from rulepush.http_client.config import Authorization, HTTPClientConfig
from rulepush.model.secret import Secret
from tests.discovery.driving import environment
from tests.discovery.kubernetes.cluster import config_of
from tests.discovery.kubernetes.following import following, until
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.kubernetes_objects import pod
from tests.kubernetes_server import KubernetesServer

SCOPE = ResourceScope(PODS)


class Changing:
    """A Connection whose settings the test changes."""

    def __init__(self, url: str):
        self.url = url
        self.token = "one"

    def __str__(self) -> str:
        return "the cluster"

    def server(self) -> ApiServer:
        return ApiServer(
            Secret(self.url), HTTPClientConfig(authorization=Authorization(credentials=Secret(self.token)))
        )


def test_watches_share_one_token_of_oauth2() -> None:
    asked: list[HttpRequest] = []

    def token(request: HttpRequest) -> HttpReply:
        asked.append(request)
        return HttpReply(b'{"access_token": "t", "token_type": "bearer"}')

    tokens = LoopbackServer(token)
    with KubernetesServer(pod("a")) as api:
        api.tokens = {"t": "rp"}

        async def test() -> None:
            oauth2 = f"oauth2: {{client_id: c, client_secret: s, token_url: 'http://{tokens.address}/token'}}"
            settings = f"api_server: '{api.url}', {oauth2}"
            async with following(f"role: endpoints, {settings}") as seen:
                await until("the watches", lambda: api.watches == 3)
                async with following(f"role: pod, {settings}, attach_metadata: {{node: true}}", seen.env):
                    await until("another one", lambda: api.watches == 4)
                assert len(asked) == 1

        asyncio.run(test())
    tokens.close()


def test_each_watch_has_connections_of_its_own_which_end_with_it() -> None:
    with KubernetesServer(*(pod(f"p{i}") for i in range(5))) as api:

        async def test() -> None:
            env = environment()
            access = ApiAccess(config_of(f"role: pod, api_server: '{api.url}'").connection(), env)
            running = asyncio.create_task(access.run())
            for owner in ("one", "two"):
                async with access.open(owner) as shared:
                    await shared.list(SCOPE, pytest.fail, {})
                async with access.open(owner) as shared:
                    await shared.list(SCOPE, pytest.fail, {})
            assert open_connections(api) == 2
            await access.leave("one")
            await until("one connection less", lambda: open_connections(api) == 1)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await until("no connection", lambda: open_connections(api) == 0)

        asyncio.run(test())


def open_connections(api: KubernetesServer) -> int:
    """As the machine has them: established, from here to the server's port."""
    port = f":{int(api.address.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(port) and row[3] == "01" for row in rows)


def test_changed_settings_get_another_client_and_the_old_one_ends_with_its_last_request() -> None:
    with KubernetesServer(pod("a")) as api:
        api.tokens = {"one": "rp"}

        async def test() -> None:
            changing = Changing(api.url)
            access = ApiAccess(changing, environment())
            async with access.open("one") as old:
                _, version = await old.list(SCOPE, pytest.fail, {})
                watch = old.watch(SCOPE, version, 600)
                assert await anext(watch) == ()
                changing.token = "two"
                api.tokens = {"two": "rp"}
                async with access.open("two") as new:
                    await new.list(SCOPE, pytest.fail, {})
                api.put(pod("b"))
                assert [e.type for e in await anext(watch)] == ["ADDED"]
                await watch.aclose()
                await until("the watch's end", lambda: open_connections(api) == 1)
            async with access.open("one") as again:
                await again.list(SCOPE, pytest.fail, {})
            assert open_connections(api) == 2

        asyncio.run(test())


def test_a_refused_request_says_whose_credentials_were_not_accepted(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    with KubernetesServer(pod("a")) as api:
        api.tokens = {"2": "rp"}

        async def test() -> None:
            env = environment()
            settings = [
                f"role: pod, api_server: '{api.url}', bearer_token_file: {tmp_path}/{n}" for n in ("one", "two")
            ]
            async with following(settings[0], env) as seen, following(settings[1], env) as other:
                await until("the good one", lambda: other.names() == ["pod/default/a"])
                await until("the refusal", lambda: seen.error())
                where = f"kubernetes pods in all namespaces of {api.url} with the credentials in {tmp_path}/one"
                assert seen.error().startswith(f"{where}: unauthorized")

        asyncio.run(test())


def test_credentials_that_are_secret_alone_are_numbered() -> None:
    with KubernetesServer(pod("a")) as api:

        async def test() -> None:
            env = environment()
            api.tokens = {}
            one, two = (
                f"role: pod, api_server: '{api.url}', authorization: {{credentials: {token}}}" for token in ("1", "2")
            )
            async with following(one, env) as seen, following(two, env):
                await until("both refusals", lambda: len(env.reporter.last_errors) == 2)
                where = f"kubernetes pods in all namespaces of {api.url} with given credentials"
                assert sorted(env.reporter.last_errors) == [where, f"{where} (2)"]
                api.tokens = {"2": "rp"}
                await until("the other works", lambda: list(env.reporter.last_errors) == [where], seen.clock)

        asyncio.run(test())


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ("basic_auth: {username: jane, password: p}", " with user jane"),
        ("basic_auth: {username_file: /u, password: p}", " with the user in /u"),
        ("authorization: {credentials: secret}", " with given credentials"),
        ("authorization: {credentials_file: /t}", " with the credentials in /t"),
        ("oauth2: {client_id: c, client_secret: s, token_url: 'http://t'}", " with oauth2 client c"),
        ("tls_config: {cert_file: /c, key_file: /k}", " with the certificate /c"),
        ("tls_config: {ca_file: /c}", ""),
    ],
)
def test_a_connection_shows_what_of_its_credentials_is_no_secret(settings: str, shown: str) -> None:
    assert str(config_of(f"role: pod, api_server: 'https://k8s', {settings}").connection()) == f"https://k8s{shown}"
