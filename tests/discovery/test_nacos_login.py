"""nacos_sd_configs: logins, and what becomes of secrets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from rulepush.discovery.nacos import NacosDiscovery
from tests.discovery.driving import environment, running
from tests.discovery.nacos_servers import fake_nacos
from tests.discovery.test_nacos import config, discovery, failure, once, registry


@pytest.mark.parametrize("major", [1, 2, 3])
def test_a_login_gets_in_and_is_renewed_before_it_ends(major: int) -> None:
    nacos = registry(major, users={"nacos": "s3cret"}, token_ttl=100)

    async def go() -> None:
        env = environment()
        async with running(discovery(nacos, "role: instance, username: nacos, password: s3cret", env), env) as seen:
            assert len(seen.addresses()) == 3
            assert nacos.registry.logins == 1
            await seen.clock.advance(61)
            assert nacos.registry.logins == 1
            await seen.clock.advance(30)
            assert nacos.registry.logins == 2  # at nine tenths of 100 s
            nacos.registry.tokens.clear()  # the servers forget every token
            await seen.clock.advance(30)
            assert nacos.registry.logins == 3
            assert env.reporter.failures == {}

    asyncio.run(go())


def test_a_token_that_is_withdrawn_in_the_middle_of_a_refresh_costs_one_login() -> None:
    nacos = fake_nacos(2, users={"nacos": "pw"})
    nacos.registry.services = {("public", "g", f"s{i}"): [{"ip": "10.0.0.1", "port": i + 1}] for i in range(100)}
    withdrawn = False

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal withdrawn
        await asyncio.sleep(0)
        if request.url.params.get("serviceName") == "s50" and not withdrawn:
            withdrawn = True
            nacos.registry.tokens.clear()
        return nacos.handle(request)

    async def go() -> None:
        env = environment()
        found = config("role: instance, username: nacos, password: pw")
        async with running(NacosDiscovery(found, env, httpx.MockTransport(handle)), env) as seen:
            await seen.clock.settle(2000)
            assert len(seen.addresses()) == 100
            assert nacos.registry.logins == 2
            assert env.reporter.failures == {}

    asyncio.run(go())


@pytest.mark.parametrize("major", [1, 2, 3])
def test_the_servers_identity_header_gets_in(major: int) -> None:
    nacos = registry(major, identity=("serverIdentity", "hidden"))
    assert len(once(nacos, "role: instance, server_identity: {key: serverIdentity, value: hidden}")) == 3


@pytest.mark.parametrize("major", [1, 2, 3])
def test_a_refused_login_says_so_without_the_password(major: int) -> None:
    nacos = registry(major, users={"nacos": "s3cret"})
    text = failure(nacos, "role: instance, username: nacos, password: wr0ng")
    assert text == "login as 'nacos' was refused: unknown user!"
    assert "403" in failure(nacos, "role: instance")


SECRETS = "role: server, username: nacos, password: 's3cret pw', server_identity: {key: Identity, value: hidden}"


@pytest.mark.parametrize("status", [200, 403, 500])
def test_a_server_that_quotes_the_request_gives_no_secret_away(status: int) -> None:
    quoted: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and quoted:
            return httpx.Response(200, json={"accessToken": "t0ken"})
        quoted.append(f"{request.content.decode()} {request.headers.get('Identity')} {request.url} s3cret pw")
        return httpx.Response(status, json={"code": 500, "message": f"no: {quoted[-1]}"})

    async def go() -> None:
        env = environment()
        async with running(NacosDiscovery(config(SECRETS), env, httpx.MockTransport(handle)), env) as seen:
            errors = list(env.reporter.last_errors.values())
            await seen.clock.advance(5)
            errors += env.reporter.last_errors.values()
        assert any("hidden" in q for q in quoted)
        assert any("t0ken" in q for q in quoted)
        assert "no: " in str(errors)
        assert not any(secret in str(errors) for secret in ("s3cret", "hidden", "t0ken"))

    asyncio.run(go())


def test_a_redirect_to_another_host_does_not_get_the_servers_identity() -> None:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(307, headers={"Location": "http://elsewhere/"} if request.url.host == "nacos" else {})

    async def go() -> None:
        env = environment()
        found = config("role: server, server_identity: {key: Identity, value: hidden}")
        async with running(NacosDiscovery(found, env, httpx.MockTransport(handle)), env):
            assert [(r.url.host, r.headers.get("Identity")) for r in asked] == [
                ("nacos", "hidden"),
                ("elsewhere", None),
            ]

    asyncio.run(go())


def test_a_password_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    nacos = fake_nacos(2, users={"nacos": "old"})

    async def go() -> None:
        env = environment()
        login = f"role: server, username: nacos, password_file: {file}"
        async with running(discovery(nacos, login, env), env) as seen:
            assert len(seen.addresses()) == 1
            nacos.registry.users = {"nacos": "new password"}
            nacos.registry.tokens.clear()
            await seen.clock.advance(30)
            assert env.reporter.failures["nacos"] == 1
            file.write_text("new password\n")
            await seen.clock.advance(30)
            assert env.reporter.last_errors == {}

    asyncio.run(go())
