"""consul_sd_configs: the configuration, credentials, and what is said when something is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import httpx
import pytest

from rulepush.discovery.consul import ConsulDiscovery, ConsulSdConfig
from rulepush.http_client.config import BasicAuth
from rulepush.model.secret import Secret
from tests.discovery.consul_server import FakeConsul, instance
from tests.discovery.driving import environment, read_sd, running


def config(text: str) -> ConsulSdConfig:
    found, problems = read_sd("consul_sd_configs", "{" + text + "}")
    assert problems == []
    assert isinstance(found, ConsulSdConfig)
    return found


def outcome(
    text: str, *, environ: Mapping[str, str] | None = None, **consul: Any
) -> tuple[list[str], str, list[httpx.Request]]:
    """The addresses of the first list, the error, and the requests."""

    async def go() -> tuple[list[str], str, list[httpx.Request]]:
        env = environment()
        fake = FakeConsul(env.clock, **consul)
        fake.put("web", instance())
        made = ConsulDiscovery(config(text), env, httpx.MockTransport(fake.handle), environ=environ or {})
        async with running(made, env) as seen:
            addresses = seen.addresses() if seen.lists else []
            return addresses, next(iter(env.reporter.last_errors.values()), ""), fake.requests

    return asyncio.run(go())


TOKENS = {"hunter-all": "all", "hunter-catalog": "catalog", "hunter-agent": "agent", "hunter-none": "none"}


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("token: hunter-all", {}),
        ("authorization: {credentials: hunter-all}", {}),
        ("http_headers: {X-Consul-Token: {secrets: [hunter-all]}}", {}),
        ("server: 'consul:8500'", {"CONSUL_HTTP_TOKEN": "hunter-all"}),
        ("token: hunter-all", {"CONSUL_HTTP_TOKEN": "another"}),
    ],
)
def test_a_token_comes_from_each_place_that_prometheus_takes(text: str, environ: Mapping[str, str]) -> None:
    addresses, error, _ = outcome(text, environ=environ, tokens=TOKENS)
    assert (addresses, error) == (["10.0.0.1:8080"], "")


def test_a_token_file_is_read_for_each_request(tmp_path: object) -> None:
    path = f"{tmp_path}/token"
    with open(path, "w") as f:
        f.write("hunter-all\n")
    addresses, error, _ = outcome(f"authorization: {{credentials_file: '{path}'}}", tokens=TOKENS)
    assert (addresses, error) == (["10.0.0.1:8080"], "")


def test_namespace_and_partition_come_from_the_environment_as_in_consuls_own_client() -> None:
    environ = {"CONSUL_NAMESPACE": "n", "CONSUL_PARTITION": "p"}
    _, _, requests = outcome("partition: mine", environ=environ, enterprise=True)
    assert {(r.url.params["ns"], r.url.params["partition"]) for r in requests} == {("n", "mine")}


def answering(response: httpx.Response) -> dict[str, Any]:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)

    return {"fail": answer}


PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head></html>"


@pytest.mark.parametrize(
    ("text", "consul", "said"),
    [
        (
            "token: wrong",
            {"tokens": TOKENS},
            "Consul does not know the token (status 403 Forbidden: ACL not found): set",
        ),
        ("token: hunter-none", {"tokens": TOKENS}, 'agent_prefix "" { policy = "read" }, or name the `datacenter`'),
        ("token: hunter-none, datacenter: dc1", {"tokens": TOKENS}, 'node_prefix "" { policy = "read" }'),
        ("server: 'c:8500'", {"tokens": TOKENS}, "lacks permission 'agent:read'"),
        ("token: hunter-agent", {"tokens": TOKENS}, "Consul hides everything at http://localhost:8500/v1/catalog/serv"),
        (
            "token: hunter-catalog, datacenter: dc1",
            {"tokens": TOKENS},
            "hides everything at http://localhost:8500/v1/h",
        ),
        ("datacenter: dc9", {}, "Consul does not know the datacenter (status 500 Internal Server Error: No path to"),
        ("namespace: n", {}, "leave out `namespace` and `partition`"),
        ("filter: 'x =='", {}, "correct `filter` or `health_filter`"),
        ("services: [web], health_filter: 'x =='", {}, "correct `filter` or `health_filter`"),
        ("server: 'c:8500'", answering(httpx.Response(200, html=PAGE)), 'answered with a page "Sign in"'),
        (
            "server: 'c:8500', follow_redirects: false",
            answering(httpx.Response(302, headers={"Location": "https://sso/login?x=1"})),
            "http://c:8500/v1/agent/self redirects to https://sso/login (",
        ),
        ("server: 'c:8500'", answering(httpx.Response(200, text="Consul Agent")), "not valid JSON"),
        ("server: 'c:8500'", answering(httpx.Response(200, json=[1])), "the JSON is of another kind"),
        (
            "server: 'c:8500'",
            answering(httpx.Response(200, json={"Config": {}})),
            "invalid value None for Config.Datacenter",
        ),
        ("datacenter: d", answering(httpx.Response(200, json={"status": "up"})), "the tags are no lists"),
        ("services: [a], datacenter: d", answering(httpx.Response(200, json=[1])), "an instance is not an object"),
        ("server: 'c:8500'", answering(httpx.Response(404, text="404 page not found")), "`server` or `path_prefix`"),
        (
            "server: 'c:8500'",
            answering(httpx.Response(401, html=PAGE)),
            'status 401 Unauthorized with a page "Sign in"',
        ),
        (
            "server: 'c:8500'",
            answering(httpx.Response(400, text="Client sent an HTTP request to an HTTPS server.")),
            "http://c:8500/v1/agent/self speaks HTTPS: set `scheme: https`",
        ),
        ("server: 'c:8500'", {"most_connections": 0}, "limits.http_max_conns_per_client"),
        ("server: 'c:8500'", answering(httpx.Response(500, text="No cluster leader")), "No cluster leader"),
    ],
)
def test_a_failure_is_one_sentence_that_names_what_to_do(text: str, consul: dict[str, Any], said: str) -> None:
    addresses, error, _ = outcome(text, **consul)
    assert said in error
    assert addresses == []
    assert "hunter" not in error
    assert "\n" not in error


def test_two_entries_of_one_server_fail_each_by_itself() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock, tokens=TOKENS)
        fake.put("web", instance())
        transport = httpx.MockTransport(fake.handle)
        good, bad = (
            config("token: hunter-all, services: [web]"),
            config("token: hunter3, tags: [a, b], datacenter: dc1"),
        )
        first = ConsulDiscovery(good, env, transport, environ={})
        second = ConsulDiscovery(bad, env, transport, environ={})
        async with running(second, env), running(first, env) as seen:
            await seen.clock.advance(120)
            assert list(env.reporter.last_errors) == ["consul localhost:8500 (datacenter dc1; tags a, b)"]
            assert seen.addresses() == ["10.0.0.1:8080"]

    asyncio.run(go())


def test_a_server_that_hangs_is_left_after_a_while() -> None:
    async def go() -> None:
        env = environment()
        asked: list[float] = []

        async def hang(request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

        def at_once(seconds: float) -> asyncio.Timeout:
            asked.append(seconds)
            return asyncio.timeout(0)

        made = ConsulDiscovery(config("server: 'c:8500'"), env, httpx.MockTransport(hang), at_once, {})
        async with running(made, env):
            assert list(env.reporter.last_errors.values()) == ["http://c:8500/v1/agent/self: no answer within 15s"]

    asyncio.run(go())


def test_the_limit_of_a_held_request_is_above_its_wait_and_consuls_jitter() -> None:
    async def go() -> None:
        env = environment()
        limits: list[float] = []

        def seen_limit(seconds: float) -> asyncio.Timeout:
            limits.append(seconds)
            return asyncio.timeout(seconds)

        fake = FakeConsul(env.clock)
        fake.put("web", instance())
        made = ConsulDiscovery(config("services: [web]"), env, httpx.MockTransport(fake.handle), seen_limit, {})
        async with running(made, env) as seen:
            await seen.clock.advance(31)
            assert limits == [15.0, 15.0, 142.5]

    asyncio.run(go())


def test_a_missing_port_is_named_when_nobody_answers() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    _, error, _ = outcome("server: consul", fail=refuse)
    assert error.endswith("connection refused (server names no port; Consul's is 8500)")
    _, error, _ = outcome("server: 'consul:8500'", fail=refuse)
    assert error.endswith("connection refused")


def test_a_wrong_token_that_the_answer_quotes_is_not_shown() -> None:
    quoting = answering(httpx.Response(403, text="token hunter2 is unknown"))
    for text in ("token: hunter2", "authorization: {credentials: hunter2}"):
        _, error, _ = outcome(text, **quoting)
        assert "token <secret> is unknown" in error


def test_the_token_does_not_follow_a_redirect_to_another_host() -> None:
    def redirect(request: httpx.Request) -> httpx.Response:
        if request.url.host == "c":
            return httpx.Response(302, headers={"Location": "http://elsewhere/login"})
        return httpx.Response(200, html=PAGE)

    _, error, requests = outcome("server: 'c:8500', token: hunter2", fail=redirect)
    assert [r.headers.get("X-Consul-Token") for r in requests] == ["hunter2", None]
    assert 'http://elsewhere/login answered with a page "Sign in"' in error


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("server: 'c:1'", "http://c:1/v1/agent/self"),
        ("scheme: https", "https://localhost:8500/v1/agent/self"),
        ("server: 'http://c:1'", "http://c:1/v1/agent/self"),
        ("server: 'https://c:1'", "https://c:1/v1/agent/self"),
        ("server: 'http://c:1', scheme: https", "https://c:1/v1/agent/self"),
        ("server: 'http://c:1/pre/fix', path_prefix: other", "http://c:1/pre/fix/v1/agent/self"),
        ("server: 'c:1', path_prefix: /pre", "http://c:1/pre/v1/agent/self"),
        ("server: '[::1]:1', path_prefix: pre/", "http://[::1]:1/pre/v1/agent/self"),
        ("server: 'unix:///run/consul.sock'", "http://localhost/v1/agent/self"),
    ],
)
def test_where_the_server_is(text: str, url: str) -> None:
    _, _, requests = outcome(text)
    assert str(requests[0].url) == url


def test_a_name_of_a_service_is_escaped_in_the_path() -> None:
    _, _, requests = outcome("services: ['a b/ü?x']")
    assert requests[-1].url.raw_path.startswith(b"/v1/health/service/a%20b/%C3%BC%3Fx?")


def test_every_key_of_prometheus_is_read() -> None:
    found = config(
        "server: 'c:1', path_prefix: /p, token: t, datacenter: d, namespace: n, partition: a, scheme: https, "
        "username: u, password: w, services: [s], tags: [t], node_meta: {k: v}, filter: f, health_filter: h, "
        "tag_separator: ';', allow_stale: false, refresh_interval: 5s, tls_config: {insecure_skip_verify: true}, "
        "proxy_url: 'http://p:1', follow_redirects: false, enable_http2: false, http_headers: {X: {values: [y]}}"
    )
    assert found.http_client.basic_auth == BasicAuth("u", password=Secret("w"))
    assert found.http_client.tls.insecure_skip_verify
    assert (found.datacenter, found.namespace, found.partition, found.token) == ("d", "n", "a", Secret("t"))
    assert (found.services, found.tags, found.node_meta) == (("s",), ("t",), (("k", "v"),))
    assert (found.filter, found.health_filter, found.tag_separator) == ("f", "h", ";")
    assert (found.allow_stale, found.refresh_interval_ms) == (False, 5000)


def test_the_defaults_are_those_of_prometheus() -> None:
    found = config("")
    assert (found.base, found.tag_separator, found.allow_stale) == ("http://localhost:8500", ",", True)
    assert found.refresh_interval_ms == 30_000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: ''", "consul SD configuration requires a server address"),
        ("server: ' '", "consul SD configuration requires a server address"),
        (
            "username: a, password: b, basic_auth: {username: c}",
            "at most one of consul SD configuration username and password and basic auth can be configured",
        ),
        (
            "token: t, authorization: {credentials: x}",
            "at most one of consul SD token, authorization, or oauth2 can be configured",
        ),
        (
            "token: t, oauth2: {client_id: a, token_url: 'http://x'}",
            "at most one of consul SD token, authorization, or oauth2 can be configured",
        ),
        (
            "username: u, authorization: {credentials: x}",
            "at most one of basic_auth, oauth2 & authorization must be configured",
        ),
        ("server: 'ftp://c'", "Unknown protocol scheme: ftp"),
        ("server: 'c:x'", "expected a host and port such as consul:8500"),
        ("server: 'c:8500/v1'", "expected a host and port such as consul:8500"),
        ("scheme: htps", "expected one of http, https, got 'htps' (did you mean 'https'?)"),
        ("token_file: /x", "write `authorization: {credentials_file: ...}`"),
        ("service: [a]", "unknown key 'service' (did you mean 'services'?)"),
        ("services: a", "expected a list"),
        ("tags: {a: b}", "expected a list"),
        ("node_meta: [a]", "expected a mapping"),
        ("refresh_interval: 5", "expected a duration"),
        ("allow_stale: maybe", "expected true or false"),
        ('token: "a\\nb"', "the value of X-Consul-Token holds a line break"),
    ],
)
def test_faults_of_the_configuration(text: str, problem: str) -> None:
    _, problems = read_sd("consul_sd_configs", "{" + text + "}")
    assert len(problems) == 1
    assert problem in problems[0]


def with_index(index: object, body: object) -> httpx.Response:
    return httpx.Response(200, json=body, headers={"X-Consul-Index": str(index)})


NEXT = count(1000)
BROKEN: dict[str, Callable[[object], httpx.Response]] = {
    "no leader": lambda _: httpx.Response(500, text="No cluster leader"),
    "forbidden": lambda _: httpx.Response(403, text="Permission denied"),
    "too many": lambda _: httpx.Response(429, text="Your IP is issuing too many concurrent connections"),
    "a login page": lambda _: httpx.Response(200, html="<html><title>Sign in</title></html>"),
    "cut off": lambda _: httpx.Response(200, text='[{"Node": {'),
    "no index": lambda body: httpx.Response(200, json=body),
    "index 0": lambda body: with_index(0, body),
    "no number": lambda body: with_index("x", body),
    "the same index at once": lambda body: with_index(7, body),
    "an index that grows": lambda body: with_index(next(NEXT), body),
    "an index that goes backwards": lambda body: with_index(10**6 - next(NEXT), body),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_request_is_made_four_times_a_minute_at_most_whatever_consul_answers(name: str) -> None:
    services = [f"s{i}" for i in range(5)]

    def broken(request: httpx.Request) -> httpx.Response:
        body: object = [instance()] if "/health/" in request.url.path else {key: [] for key in services}
        return BROKEN[name](body)

    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        for service in services:
            fake.put(service, instance(service=service))
        made = ConsulDiscovery(config("datacenter: dc1"), env, httpx.MockTransport(fake.handle), environ={})
        async with running(made, env) as seen:
            fake.fail = broken
            fake.cut()
            await seen.clock.advance(120)
            for _ in range(3):
                before = len(fake.requests)
                await seen.clock.advance(60)
                assert len(fake.requests) - before <= 4 * (1 + len(services))
            assert sorted(seen.known.by_source) == services
            fake.fail = None
            fake.index = 2 * 10**6  # as one that is restored
            fake.put("new", instance(service="new"))
            await seen.clock.advance(130)
            assert "new" in seen.known.by_source
            assert env.reporter.last_errors == {}

    asyncio.run(go())
