"""nacos_sd_configs against a fake server of each major version."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from rulepush.discovery.groups import Environment
from rulepush.discovery.nacos import NacosDiscovery, NacosSdConfig
from rulepush.nacos.fake_server import FakeNacos
from tests.discovery.driving import environment, read_sd, running
from tests.discovery.nacos_servers import fake_nacos

VERSIONS = [(1, True), (1, False), (2, False), (3, False)]


def config(text: str) -> NacosSdConfig:
    found, problems = read_sd("nacos_sd_configs", "{server: 'http://nacos:8848', " + text + "}")
    assert problems == []
    assert isinstance(found, NacosSdConfig)
    return found


def discovery(nacos: FakeNacos, text: str, env: Environment) -> NacosDiscovery:
    return NacosDiscovery(config(text), env, nacos.transport())


def once(nacos: FakeNacos, text: str) -> list[dict[str, str]]:
    """The targets after the first refresh."""

    async def go() -> list[dict[str, str]]:
        env = environment()
        async with running(discovery(nacos, text, env), env) as seen:
            assert env.reporter.last_errors == {}
            return seen.merged()

    return asyncio.run(go())


def failure(nacos: FakeNacos, text: str) -> str:
    """The error of the first refresh."""

    async def go() -> str:
        env = environment()
        async with running(discovery(nacos, text, env), env) as seen:
            assert seen.lists == []
            return next(iter(env.reporter.last_errors.values()))

    return asyncio.run(go())


@pytest.mark.parametrize(("major", "old"), VERSIONS)
def test_every_server_of_the_cluster_is_a_target(major: int, old: bool) -> None:
    members = [("10.0.0.1", 8848, "UP"), ("10.0.0.2", 8848, "DOWN"), ("fe80::3", 8848, "UP")]
    targets = once(fake_nacos(major, old, members=members, leader="10.0.0.2"), "role: server")
    assert [t["__address__"] for t in targets] == ["10.0.0.1:8848", "10.0.0.2:8848", "[fe80::3]:8848"]
    assert {t["__metrics_path__"] for t in targets} == {"/nacos/actuator/prometheus"}
    assert [t["__meta_nacos_server_state"] for t in targets] == ["UP", "DOWN", "UP"]
    if not old:
        assert [t["__meta_nacos_server_raft_leader"] for t in targets] == ["false", "true", "false"]
        assert targets[0]["__meta_nacos_server_version"].startswith(str(major))
    assert targets[0]["__meta_nacos_api_version"] == f"v{major}"
    assert targets[0]["__meta_nacos_role"] == "server"


def registry(major: int, **more: Any) -> FakeNacos:
    nacos = fake_nacos(major, **more)
    nacos.registry.namespaces = {"public": "public", "dev-id": "Development"}
    nacos.registry.services = {
        ("public", "DEFAULT_GROUP", "order"): [
            {"ip": "10.1.0.1", "port": 9001, "metadata": {"management.port": "9101", "zone": "a", "说明": "x"}},
            {"ip": "10.1.0.2", "port": 9001, "healthy": False, "weight": 0.5, "ephemeral": False},
        ],
        ("public", "PAY", "pay"): [{"ip": "10.1.0.3", "port": 9003, "enabled": False, "clusterName": "HZ"}],
        ("dev-id", "DEFAULT_GROUP", "order"): [{"ip": "10.1.0.4", "port": 9001}],
    }
    return nacos


@pytest.mark.parametrize("major", [1, 2, 3])
def test_instances_carry_what_they_registered(major: int) -> None:
    targets = {t["__address__"]: t for t in once(registry(major), "role: instance")}
    assert sorted(targets) == ["10.1.0.1:9001", "10.1.0.2:9001", "10.1.0.3:9003"]
    first = targets["10.1.0.1:9001"]
    assert first == {
        "__address__": "10.1.0.1:9001",
        "__meta_nacos_role": "instance",
        "__meta_nacos_namespace": "public",
        "__meta_nacos_namespace_name": "public",
        "__meta_nacos_group": "DEFAULT_GROUP",
        "__meta_nacos_service": "order",
        "__meta_nacos_cluster": "DEFAULT",
        "__meta_nacos_ip": "10.1.0.1",
        "__meta_nacos_port": "9001",
        "__meta_nacos_healthy": "true",
        "__meta_nacos_enabled": "true",
        "__meta_nacos_ephemeral": "true",
        "__meta_nacos_weight": "1",
        "__meta_nacos_instance_id": "10.1.0.1#9001#DEFAULT#DEFAULT_GROUP@@order",
        "__meta_nacos_metadata_management_port": "9101",
        "__meta_nacos_metadata_zone": "a",
        "__meta_nacos_metadata___": "x",
    }
    second = targets["10.1.0.2:9001"]
    assert (second["__meta_nacos_healthy"], second["__meta_nacos_ephemeral"]) == ("false", "false")
    assert second["__meta_nacos_weight"] == "0.5"
    third = targets["10.1.0.3:9003"]
    assert (third["__meta_nacos_group"], third["__meta_nacos_enabled"], third["__meta_nacos_cluster"]) == (
        "PAY",
        "false",
        "HZ",
    )


@pytest.mark.parametrize("major", [1, 2, 3])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("namespaces: ['*']", ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"]),
        ("namespaces: [dev-id]", ["10.1.0.4"]),
        ("groups: [PAY]", ["10.1.0.3"]),
        ("groups: [PAY, DEFAULT_GROUP]", ["10.1.0.1", "10.1.0.2", "10.1.0.3"]),
        ("services: 'p.*'", ["10.1.0.3"]),
        ("services: 'or'", []),
        ("healthy_only: true", ["10.1.0.1", "10.1.0.3"]),
    ],
)
def test_namespaces_groups_and_services_are_chosen(major: int, text: str, expected: list[str]) -> None:
    targets = once(registry(major), f"role: instance, {text}")
    assert sorted(t["__meta_nacos_ip"] for t in targets) == expected


@pytest.mark.parametrize("major", [1, 2, 3])
@pytest.mark.parametrize("groups", ["", ", groups: [G]"])
def test_long_lists_of_services_come_in_pages(major: int, groups: str) -> None:
    nacos = fake_nacos(major, page_limit=100)
    nacos.registry.services = {
        ("public", "G", f"s{i}"): [{"ip": f"10.2.{i // 250}.{i % 250}", "port": 1}] for i in range(730)
    }
    assert len(once(nacos, "role: instance" + groups)) == 730


@pytest.mark.parametrize("major", [1, 2, 3])
@pytest.mark.parametrize("groups", ["", ", groups: [G]"])
def test_a_service_that_goes_away_between_two_pages_hides_no_other(major: int, groups: str) -> None:
    nacos = fake_nacos(major, page_limit=7)
    nacos.registry.services = {("public", "G", f"s{i:02}"): [{"ip": f"10.0.0.{i}", "port": 1}] for i in range(30)}

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("pageNo") == "2":
            nacos.registry.services.pop(("public", "G", "s00"), None)
        return nacos.handle(request)

    async def go() -> None:
        env = environment()
        found = config("role: instance" + groups)
        async with running(NacosDiscovery(found, env, httpx.MockTransport(handle)), env) as seen:
            await seen.clock.settle(500)
            assert sorted(seen.addresses()) == sorted(f"10.0.0.{i}:1" for i in range(1, 30))

    asyncio.run(go())


def test_a_service_that_goes_away_after_it_was_listed_has_no_instances() -> None:
    nacos = fake_nacos(2, services={("public", "G", s): [{"ip": "10.0.0.1", "port": 1}] for s in ("a", "b")})
    gone = {"a"}

    def handle(request: httpx.Request) -> httpx.Response:
        before = dict(nacos.registry.services)
        if not request.url.path.endswith("/catalog/services"):
            nacos.registry.services = {key: i for key, i in before.items() if key[2] not in gone}
        try:
            return nacos.handle(request)
        finally:
            nacos.registry.services = before

    async def go() -> None:
        env = environment()
        async with running(NacosDiscovery(config("role: instance"), env, httpx.MockTransport(handle)), env) as seen:
            assert seen.addresses() == ["10.0.0.1:1"]
            gone.add("b")  # now nothing is left: that is no answer to act on
            await seen.clock.advance(60)
            assert seen.addresses() == ["10.0.0.1:1"]
            assert env.reporter.failures["nacos"] > 0
            assert "service G@@a is not found!" in str(env.reporter.last_errors)

    asyncio.run(go())


RELEASES = ["1.4.6", "2.0.4", "2.4.3", "3.0.0", "3.0.3", "3.2.0", "3.2.3"]


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("clusters", [["HZ"], ["DEFAULT", "HZ", "SH"]], ids=["no DEFAULT", "DEFAULT and others"])
@pytest.mark.parametrize("text", ["role: instance", "role: instance, groups: [G]"])
def test_instances_of_every_cluster_are_found(version: str, clusters: list[str], text: str) -> None:
    hosts = [{"ip": f"10.0.0.{i}", "port": 1, "clusterName": cluster} for i, cluster in enumerate(clusters)]
    nacos = fake_nacos(0, version=version, services={("public", "G", "s"): hosts, ("public", "GG", "t"): []})
    assert [(t["__address__"], t["__meta_nacos_cluster"]) for t in once(nacos, text)] == [
        (f"10.0.0.{i}:1", cluster) for i, cluster in enumerate(clusters)
    ]


@pytest.mark.parametrize("version", RELEASES)
def test_disabled_and_unhealthy_instances_are_found_as_they_are(version: str) -> None:
    hosts = [
        {"ip": "10.0.0.1", "port": 1, "healthy": False, "clusterName": "HZ"},
        {"ip": "10.0.0.2", "port": 1, "healthy": False, "enabled": False, "ephemeral": False},
    ]
    key = ("public", "G", "s")
    nacos = fake_nacos(0, version=version, services={key: hosts}, thresholds={key: 0.8})
    flags = [(t["__meta_nacos_healthy"], t["__meta_nacos_enabled"]) for t in once(nacos, "role: instance")]
    assert flags == [("false", "true"), ("false", "false")]
    assert once(nacos, "role: instance, healthy_only: true") == []


@pytest.mark.parametrize("body", ["cluster DEFAULT is not found!", "no such tenant", ""])
def test_a_404_that_does_not_say_that_the_service_is_gone_is_a_failure(body: str) -> None:
    nacos = fake_nacos(2, services={("public", "G", s): [{"ip": "10.0.0.1", "port": 1}] for s in ("a", "b")})

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("serviceName") == "a":
            return httpx.Response(404, json={"code": 20004, "message": "resource not found", "data": body})
        return nacos.handle(request)

    async def go() -> None:
        env = environment()
        async with running(NacosDiscovery(config("role: instance"), env, httpx.MockTransport(handle)), env) as seen:
            assert seen.lists == []
            assert f"404 Not Found: resource not found{': ' if body else ''}{body}" in str(env.reporter.last_errors)

    asyncio.run(go())


def test_nacos_own_words_are_in_the_error() -> None:
    text = failure(fake_nacos(3), "role: server, api_version: v2")
    assert "/v2/core/cluster/node/list: 410 Gone: Current API will be deprecated, please use the API(s) of v3" in text


def test_metrics_path_of_instances_is_theirs_unless_it_is_set() -> None:
    assert "__metrics_path__" not in once(registry(3), "role: instance")[0]
    target = once(registry(3), "role: instance, metrics_path: /actuator/prometheus")[0]
    assert target["__metrics_path__"] == "/actuator/prometheus"


def test_another_context_path_is_found_in_the_url_or_in_its_key() -> None:
    nacos = fake_nacos(2, context="/registry")
    assert (
        once(nacos, "role: server, context_path: /registry")[0]["__metrics_path__"] == "/registry/actuator/prometheus"
    )
    found, _ = read_sd("nacos_sd_configs", "{server: 'http://nacos:8848/registry/', role: server}")
    assert isinstance(found, NacosSdConfig)
    assert found.servers[0].reveal() == "http://nacos:8848/registry"
    root, _ = read_sd("nacos_sd_configs", "{server: 'http://nacos:8848', context_path: /, role: server}")
    assert isinstance(root, NacosSdConfig)
    assert root.servers[0].reveal() == "http://nacos:8848"


def test_the_last_good_list_stays_while_the_server_is_down_and_follows_an_upgrade() -> None:
    nacos = fake_nacos(1)

    async def go() -> None:
        env = environment()
        async with running(discovery(nacos, "role: server", env), env) as seen:
            nacos.unreachable = True
            await seen.clock.advance(120)
            assert len(seen.lists) == 1
            assert "no Nacos server answers: http://nacos:8848/nacos: connection refused" in str(
                env.reporter.last_errors
            )
            nacos.unreachable, nacos.version, nacos.registry.members = False, "3.0.3", [("10.0.0.9", 8848, "UP")]
            await seen.clock.advance(60)
            assert seen.addresses() == ["10.0.0.9:8848"]
            assert seen.merged()[0]["__meta_nacos_api_version"] == "v3"

    asyncio.run(go())


def test_the_members_of_the_last_good_refresh_are_there_for_own_metrics() -> None:
    nacos = fake_nacos(2, members=[("10.0.0.1", 8848, "UP"), ("10.0.0.2", 8848, "DOWN")])

    async def go() -> None:
        env = environment()
        async with running(discovery(nacos, "role: server", env), env) as seen:
            (members,) = env.reporter.nacos_members.values()
            assert [(m.ip, m.state) for m in members] == [("10.0.0.1", "UP"), ("10.0.0.2", "DOWN")]
            assert list(env.reporter.nacos_members) == ["http://nacos:8848/nacos"]
            nacos.unreachable = True
            await seen.clock.advance(30)
            assert env.reporter.nacos_members == {}, "what was true is no longer known"
            nacos.unreachable = False
            await seen.clock.advance(60)
            assert len(env.reporter.nacos_members) == 1
        assert env.reporter.nacos_members == {}, "no discovery asks any more"

    asyncio.run(go())


def test_a_refresh_that_failed_asks_nothing_more() -> None:
    nacos = fake_nacos(2, services={("public", "g", f"s{i}"): [] for i in range(300)})

    async def go() -> None:
        env = environment()

        async def handle(request: httpx.Request) -> httpx.Response:
            if not request.url.path.endswith("/instance/list"):
                return nacos.handle(request)
            nacos.requests.append(request)
            await env.clock.sleep(1)
            return httpx.Response(500)

        before = len(asyncio.all_tasks())
        found = config("role: instance")
        async with running(NacosDiscovery(found, env, httpx.MockTransport(handle)), env) as seen:
            await seen.clock.advance(1)
            asked = len(nacos.requests)
            await seen.clock.advance(3)
            assert env.reporter.failures["nacos"] == 1
            assert len(nacos.requests) == asked
            assert len(asyncio.all_tasks()) == before + 1

    asyncio.run(go())


def test_a_refresh_that_takes_for_ever_is_a_failure_and_ends() -> None:
    nacos = fake_nacos(2, services={("public", "g", "s"): []})

    async def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/instance/list"):
            deadlines[-1].reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
        return nacos.handle(request)

    deadlines: list[asyncio.Timeout] = []

    def deadline(seconds: float) -> asyncio.Timeout:
        assert seconds == 300
        deadlines.append(asyncio.timeout(None))  # the test says when the time is over
        return deadlines[-1]

    async def go() -> None:
        env = environment()
        found = NacosDiscovery(config("role: instance"), env, httpx.MockTransport(handle), deadline)
        async with running(found, env):
            assert "Nacos did not answer every request within 300s" in env.reporter.last_errors.values()

    asyncio.run(go())


def test_the_next_server_is_asked_when_one_is_down() -> None:
    nacos = fake_nacos(2)

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "first":
            return httpx.Response(503)
        return nacos.handle(request)

    found, _ = read_sd("nacos_sd_configs", "{servers: ['http://first:8848', 'http://second:8848'], role: server}")
    assert isinstance(found, NacosSdConfig)

    async def go() -> None:
        env = environment()
        async with running(NacosDiscovery(found, env, httpx.MockTransport(handle)), env) as seen:
            assert seen.addresses() == ["10.0.0.1:8848"]
        assert {r.url.host for r in nacos.requests} == {"second"}

    asyncio.run(go())


def test_what_is_no_nacos_is_reported() -> None:
    gateway = fake_nacos(2)
    gateway.html = True
    assert "is this the port of a gateway or of the console?" in failure(gateway, "role: server")
    assert "this is no Nacos server, or its context path is another" in failure(
        fake_nacos(2, context="/other"), "role: server"
    )
    assert "Nacos lists no servers" in failure(fake_nacos(2, members=[]), "role: server")
    assert "/v1/core/cluster/nodes: 410" not in failure(fake_nacos(3), "role: server, api_version: v2")
    assert "no namespace with the id 'nope'" in failure(registry(2), "role: instance, namespaces: [nope]")


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        "null",
        '"x"',
        '{"code": 0}',
        '{"code": 0, "data": [1]}',
        '{"code": 500, "message": "x"}',
        '{"code": 0, "data": [{"ip": "a", "port": "b"}]}',
        '{"code":0,"data":[{"ip":"a","port":1,"extendInfo":[]}]}',
        '{"code":0,"data":[{"ip":"a","port":1,"extendInfo":{"raftPort":"' + "9" * 5000 + '"}}]}',
    ],
)
def test_odd_answers_are_failures_not_crashes(body: str) -> None:
    async def go() -> None:
        env = environment()
        transport = httpx.MockTransport(lambda _: httpx.Response(200, text=body))
        async with running(NacosDiscovery(config("role: server"), env, transport), env) as seen:
            assert len(seen.lists) + env.reporter.failures["nacos"] == 1

    asyncio.run(go())


_DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("services", "instances"),
    [
        ("5", "{}"),
        ('["s"]', '{"hosts": [1]}'),
        ('["s"]', '{"hosts": [null]}'),
        ('["s"]', '{"hosts": [{"ip": "a", "port": "' + _DIGITS + '"}]}'),
        ('["s"]', '{"hosts": [{"ip": "a", "port": 1, "weight": 1' + "0" * 400 + "}]}"),
    ],
)
def test_odd_lists_of_services_and_instances_are_failures_not_crashes(services: str, instances: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        names = request.url.path.endswith("/service/list")
        return httpx.Response(200, text='{"count": 1, "doms": ' + services + "}" if names else instances)

    async def go() -> None:
        env = environment()
        found = config("role: instance, groups: [g], api_version: v1")
        async with running(NacosDiscovery(found, env, httpx.MockTransport(handle)), env) as seen:
            assert len(seen.lists) + env.reporter.failures["nacos"] == 1

    asyncio.run(go())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{role: server}", "server is missing"),
        ("{server: 'nacos:8848', role: server}", "expected a URL that starts with http:// or https://"),
        ("{server: 'http://n:8848'}", "role is missing"),
        ("{server: 'http://n:8848', role: servers}", "role: expected one of server, instance, got 'servers'"),
        ("{server: 'http://n', role: server, password: x}", "username is missing"),
        ("{server: 'http://n', role: server, groups: [a]}", "groups goes with role: instance only"),
        ("{server: 'http://n', role: instance, services: '('}", "invalid regular expression"),
        ("{server: 'http://n', role: server, server_identity: {value: x}}", "key is missing"),
        ("{server: 'http://n', role: server, user: x}", "unknown key 'user' (did you mean 'username'?)"),
    ],
)
def test_configuration_faults(text: str, complaint: str) -> None:
    _, problems = read_sd("nacos_sd_configs", text)
    assert any(complaint in p for p in problems), problems
