"""consul_sd_configs against a fake agent. The cases of labels and of options are those of Prometheus'
discovery/consul/consul_test.go (3.14), written anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from rulepush.discovery.consul import ConsulDiscovery, ConsulSdConfig
from rulepush.discovery.consul_instances import aggregated_health, instance_labels
from rulepush.discovery.groups import Environment
from rulepush.errors import DiscoveryError
from tests.discovery.consul_server import FakeConsul, instance
from tests.discovery.driving import Seen, environment, read_sd, running


def config(text: str = "") -> ConsulSdConfig:
    found, problems = read_sd("consul_sd_configs", "{server: 'consul:8500', " + text + "}")
    assert problems == []
    assert isinstance(found, ConsulSdConfig)
    return found


def discovery(consul: FakeConsul, text: str, env: Environment) -> ConsulDiscovery:
    return ConsulDiscovery(config(text), env, httpx.MockTransport(consul.handle), environ={})


@asynccontextmanager
async def watching(text: str = "", **consul: Any) -> AsyncIterator[tuple[FakeConsul, Seen]]:
    """A discovery of three services, after its first list."""
    env = environment()
    fake = FakeConsul(env.clock, **consul)
    fill(fake)
    async with running(discovery(fake, text, env), env) as seen:
        await seen.clock.settle()
        yield fake, seen


def fill(consul: FakeConsul) -> None:
    rack = {"rack_name": "2304"}
    consul.put("web", instance("n1", "10.0.0.1", 80, tags=("a", "b"), node_meta=rack), instance("n2", "10.0.0.2", 80))
    consul.put("pay", instance("n3", "10.0.0.3", 81, service="pay", tags=("b",), node_meta=rack))
    consul.put("log", instance("n4", "10.0.0.4", 82, service="log"))


def error(seen: Seen) -> str:
    return next(iter(seen.reporter.last_errors.values()), "")


def test_the_labels_of_an_instance_are_those_of_prometheus() -> None:
    # The answer of consul_test.go, `ServiceTestAnswer`: what newServer() serves for the service "test".
    entry = instance(
        "node1",
        "1.1.1.1",
        3341,
        service="test",
        tags=("tag1",),
        id="test",
        node_meta={"rack_name": "2304"},
        tagged={"lan": "192.168.10.10", "wan": "10.0.10.10"},
        meta={"version": "1.0.0", "environment": "staging"},
    )

    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        fake.put("test", entry)
        async with running(discovery(fake, "", env), env) as seen:
            assert seen.merged() == [
                {
                    "__address__": "1.1.1.1:3341",
                    "__meta_consul_address": "1.1.1.1",
                    "__meta_consul_dc": "dc1",
                    "__meta_consul_health": "passing",
                    "__meta_consul_metadata_rack_name": "2304",
                    "__meta_consul_node": "node1",
                    "__meta_consul_service": "test",
                    "__meta_consul_service_id": "test",
                    "__meta_consul_service_metadata_environment": "staging",
                    "__meta_consul_service_metadata_version": "1.0.0",
                    "__meta_consul_service_port": "3341",
                    "__meta_consul_tagged_address_lan": "192.168.10.10",
                    "__meta_consul_tagged_address_wan": "10.0.10.10",
                    "__meta_consul_tags": ",tag1,",
                }
            ]

    asyncio.run(go())


def test_the_services_own_address_wins_over_the_nodes() -> None:
    entry = instance(
        address="10.0.0.1",
        port=9,
        service_address="fe80::1",
        namespace="team",
        partition="part",
        node_meta={"rack-name.x": "1"},
        meta={"päth": "/m"},
        tags=("x", "y"),
    )
    labels = instance_labels(entry, "|").as_dict()
    assert labels["__address__"] == "[fe80::1]:9"
    assert labels["__meta_consul_address"] == "10.0.0.1"
    assert labels["__meta_consul_service_address"] == "fe80::1"
    assert labels["__meta_consul_namespace"] == "team"
    assert labels["__meta_consul_partition"] == "part"
    assert labels["__meta_consul_metadata_rack_name_x"] == "1"
    assert labels["__meta_consul_service_metadata_p_th"] == "/m"
    assert labels["__meta_consul_tags"] == "|x|y|"


def test_no_tags_are_two_separators_as_in_prometheus() -> None:
    assert instance_labels(instance(), ",").get("__meta_consul_tags") == ",,"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "passing"),
        ([("serfHealth", "passing")], "passing"),
        ([("serfHealth", "passing"), ("a", "warning")], "warning"),
        ([("a", "critical"), ("b", "warning")], "critical"),
        ([("a", "critical"), ("_node_maintenance", "critical")], "maintenance"),
        ([("_service_maintenance:web", "critical")], "maintenance"),
        ([("a", "critical"), ("b", "odd")], ""),
    ],
)
def test_health_is_the_worst_of_the_checks(statuses: list[tuple[str, str]], expected: str) -> None:
    assert aggregated_health([{"CheckID": i, "Status": s} for i, s in statuses]) == expected


@pytest.mark.parametrize(
    "entry", ["x", {"Node": []}, {"Node": {"Address": 1}}, {"Service": {"Port": "a"}}, {"Service": {"Tags": {}}}]
)
def test_an_instance_of_another_shape_is_an_error(entry: object) -> None:
    with pytest.raises(DiscoveryError):
        instance_labels(entry, ",")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:81", "10.0.0.4:82"]),
        ("services: [web]", ["10.0.0.1:80", "10.0.0.2:80"]),
        ("services: [web, missing]", ["10.0.0.1:80", "10.0.0.2:80"]),
        ("tags: [b]", ["10.0.0.1:80", "10.0.0.3:81"]),
        ("tags: [a, b]", ["10.0.0.1:80"]),
        ("services: [pay, log], tags: [b]", ["10.0.0.3:81"]),
        ("tags: [missing]", []),
        ("node_meta: {rack_name: '2304'}", ["10.0.0.1:80", "10.0.0.3:81"]),
        ("services: [web], node_meta: {rack_name: '2304'}, tags: [a]", ["10.0.0.1:80"]),
        ("filter: port81", ["10.0.0.3:81"]),
        ("health_filter: port81", ["10.0.0.3:81"]),
        ("services: [web], filter: port81", []),
        ("services: [pay, web], health_filter: port81", ["10.0.0.3:81"]),
    ],
)
def test_services_tags_metadata_and_filters_select(text: str, expected: list[str]) -> None:
    async def go() -> None:
        filters = {"port81": lambda entry: bool(entry["Service"]["Port"] == 81)}
        async with watching(text, filters=filters) as (_, seen):
            assert error(seen) == ""
            assert sorted(seen.addresses()) == expected
            assert len(seen.lists) == 1

    asyncio.run(go())


@pytest.mark.parametrize(
    ("text", "catalog", "service"),
    [
        ("", "stale=&wait=120000ms", "stale=&wait=120000ms"),
        ("allow_stale: false", "wait=120000ms", "wait=120000ms"),
        (
            "services: [web], tags: [a], node_meta: {rack_name: '2304'}",
            "stale=&node-meta=rack_name%3A2304&wait=120000ms",
            "stale=&node-meta=rack_name%3A2304&tag=a&wait=120000ms",
        ),
        (
            "services: [web], filter: f, health_filter: h",
            "stale=&filter=f&wait=120000ms",
            "stale=&filter=h&wait=120000ms",
        ),
        ("services: [web], datacenter: dc1", "", "dc=dc1&stale=&wait=120000ms"),
        ("services: [web], namespace: '*', partition: p", "", "ns=%2A&partition=p&stale=&wait=120000ms"),
    ],
)
def test_what_is_asked_of_the_catalog_and_of_health(text: str, catalog: str, service: str) -> None:
    async def go() -> None:
        filters = {"f": lambda _: True, "h": lambda _: True}
        async with watching(text, filters=filters, enterprise=True) as (consul, seen):
            assert error(seen) == ""
            assert [r.url.query.decode() for r in consul.asked("/catalog/services")] == ([catalog] if catalog else [])
            assert consul.asked("/health/service/web")[0].url.query.decode() == service
            assert len(consul.asked("/agent/self")) == ("datacenter" not in text)

    asyncio.run(go())


def test_a_service_without_the_tags_is_not_asked_for() -> None:
    async def go() -> None:
        async with watching("tags: [b]") as (consul, _):
            assert sorted(r.url.path.rpartition("/")[2] for r in consul.asked("/health")) == ["pay", "web"]

    asyncio.run(go())


def test_namespaces_reach_the_labels() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock, enterprise=True)
        fake.put("web", instance(namespace="one", address="1.1.1.1"), instance("n2", "1.1.1.2", namespace="two"))
        async with running(discovery(fake, "namespace: one", env), env) as seen:
            assert [t["__meta_consul_namespace"] for t in seen.merged()] == ["one"]

    asyncio.run(go())


def test_a_change_of_one_service_is_a_change_of_one_group() -> None:
    async def go() -> None:
        async with watching() as (consul, seen):
            assert seen.changes == [{"log", "pay", "web"}]
            await seen.clock.advance(31)
            before = len(consul.requests)
            consul.put("pay", instance("n3", "10.0.0.9", 81, service="pay"))
            await seen.clock.settle()
            assert seen.changes[1:] == [{"pay"}]
            assert "10.0.0.9:81" in seen.addresses()
            assert [r.url.path for r in consul.requests[before:]] == []  # the held requests answered

    asyncio.run(go())


def test_new_services_come_and_those_that_ended_go() -> None:
    async def go() -> None:
        async with watching() as (consul, seen):
            await seen.clock.advance(31)
            consul.put("new", instance("n9", "10.0.0.9", 90, service="new"))
            consul.put("log")
            await seen.clock.advance(0)
            assert sorted(seen.known.by_source) == ["new", "pay", "web"]
            await seen.clock.advance(61)
            asked = len(consul.asked("/health/service/log"))
            await seen.clock.advance(600)
            assert len(consul.asked("/health/service/log")) == asked  # nobody watches it any more
            consul.put("log", instance("n4", "10.0.0.4", 82, service="log"))
            await seen.clock.advance(31)
            assert sorted(seen.known.by_source) == ["log", "new", "pay", "web"]

    asyncio.run(go())


def test_a_service_that_loses_the_tag_has_no_targets() -> None:
    async def go() -> None:
        async with watching("tags: [b]") as (consul, seen):
            await seen.clock.advance(31)
            consul.put("pay", instance("n3", "10.0.0.3", 81, service="pay"))
            await seen.clock.advance(31)
            assert seen.addresses() == ["10.0.0.1:80"]

    asyncio.run(go())


def test_held_requests_that_end_without_a_change_publish_nothing() -> None:
    async def go() -> None:
        async with watching("services: [web]") as (consul, seen):
            await seen.clock.advance(30 + 127 + 1)
            asked = [r.url.params.get("index") for r in consul.asked("/health")]
            assert asked == [None, "11", "11"]
            assert len(seen.lists) == 1

    asyncio.run(go())


def test_changes_that_come_fast_are_asked_for_once_per_refresh_interval() -> None:
    async def go() -> None:
        async with watching("refresh_interval: 20s") as (consul, seen):
            for i in range(120):
                consul.put("web", instance("n1", f"10.0.1.{i}", 80))
                await seen.clock.advance(1)
            assert 5 <= len(consul.asked("/health/service/web")) <= 7
            assert 5 <= len(consul.asked("/catalog")) <= 7

    asyncio.run(go())


def test_an_index_that_goes_backwards_begins_anew() -> None:
    async def go() -> None:
        async with watching("services: [web]") as (consul, seen):
            await seen.clock.advance(31)
            consul.index = 2  # restored from a snapshot
            consul.put("web", instance("n1", "10.0.0.7", 80))
            consul.put("web", instance("n1", "10.0.0.8", 80))
            await seen.clock.advance(200)
            assert seen.addresses() == ["10.0.0.8:80"]
            indexes = [r.url.params.get("index") for r in consul.asked("/health")]
            assert indexes[:4] == [None, "11", None, "4"]

    asyncio.run(go())


def test_without_an_index_in_the_answers_it_polls() -> None:
    async def go() -> None:
        async with watching("services: [web], datacenter: dc1") as (consul, seen):

            def polled(request: httpx.Request) -> httpx.Response:
                entry = instance("n1", f"10.0.2.{len(consul.requests)}", 80)
                return httpx.Response(200, json=[entry])

            consul.fail = polled  # a proxy that drops the header
            consul.wake()
            await seen.clock.advance(31)
            assert seen.addresses()[0].startswith("10.0.2.")
            await seen.clock.advance(30)
            assert len(seen.lists) == 3

    asyncio.run(go())


def test_the_last_good_groups_stay_while_consul_is_away() -> None:
    async def go() -> None:
        async with watching() as (consul, seen):
            await seen.clock.advance(31)

            def refuse(request: httpx.Request) -> httpx.Response:
                raise httpx.ConnectError("connection refused", request=request)

            consul.fail = refuse
            consul.cut()
            await seen.clock.advance(600)
            assert len(seen.addresses()) == 4
            assert "connection refused" in error(seen)
            failures = seen.reporter.failures["consul"]
            # Four watchers, each at least every 15 s, later than every 2 s.
            assert 4 * 600 / 15 <= failures <= 4 * 600 / 10
            consul.fail = None
            consul.requests.clear()
            consul.put("web", instance("n1", "10.0.0.7", 80))
            await seen.clock.advance(16)
            first = {r.url.path: r.url.params.get("index") for r in reversed(consul.requests)}
            assert list(first.values()) == [None] * 4  # it may be another cluster now
            assert error(seen) == ""
            assert "10.0.0.7:80" in seen.addresses()

    asyncio.run(go())


def test_one_service_that_fails_does_not_hold_up_or_hide_the_others() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        fill(fake)

        async def one_is_sick(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/pay"):
                return httpx.Response(500, text="rpc error making call: EOF")
            return await fake.handle(request)

        made = ConsulDiscovery(config(), env, httpx.MockTransport(one_is_sick), environ={})
        async with running(made, env) as seen:
            assert sorted(seen.addresses()) == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.4:82"]
            await seen.clock.advance(200)
            assert "service 'pay'" in error(seen)
            assert "rpc error making call: EOF" in error(seen)

    asyncio.run(go())


def test_a_service_that_ends_before_its_first_answer_holds_nothing_up() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        fill(fake)

        async def one_hangs(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/pay"):
                await asyncio.Event().wait()
            return await fake.handle(request)

        async with running(ConsulDiscovery(config(), env, httpx.MockTransport(one_hangs), environ={}), env) as seen:
            await seen.clock.advance(31)
            assert seen.lists == []
            fake.put("pay")
            await seen.clock.settle()
            assert sorted(seen.addresses()) == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.4:82"]

    asyncio.run(go())


def test_a_run_after_a_reload_keeps_the_groups_of_a_service_that_fails_now() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        fill(fake)
        made = discovery(fake, "", env)
        async with running(made, env) as seen:
            assert len(seen.addresses()) == 4

        def sick(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/agent/self"):
                return httpx.Response(200, json={"Config": {"Datacenter": "dc1"}})
            if request.url.path.endswith("/catalog/services"):
                return httpx.Response(200, json={"web": [], "log": []}, headers={"X-Consul-Index": "30"})
            return httpx.Response(500, text="No cluster leader")

        fake.fail = sick
        async with running(made, env) as seen:
            assert sorted(seen.addresses()) == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.4:82"]
            assert "No cluster leader" in error(seen)

    asyncio.run(go())


def test_five_hundred_services_share_the_connections() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)  # answers 429 beyond 200 requests at a time, as Consul does
        for i in range(500):
            fake.put(f"s{i}", instance(f"n{i}", "10.0.0.1", 1000 + i, service=f"s{i}"))
        async with running(discovery(fake, "", env), env) as seen:
            await seen.clock.settle(2000)
            assert len(seen.lists) == 1
            assert len(seen.addresses()) == 500
            await seen.clock.advance(60)
            assert fake.most_under_way <= 117
            assert error(seen) == ""
            fake.put("s77", instance("n77", "10.0.0.2", 1077, service="s77"))
            await seen.clock.advance(40)
            assert seen.changes[1:] == [{"s77"}]
            before = len(fake.requests)
            await seen.clock.advance(60)
            assert 450 / 30 <= (len(fake.requests) - before) / 60 <= 550 / 30

    asyncio.run(go())


def test_the_time_limit_of_a_request_begins_when_it_has_its_slot() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        for i in range(300):
            fake.put(f"s{i}", instance(f"n{i}", "10.0.0.1", 1000 + i, service=f"s{i}"))
        begun: list[float] = []

        def counted(seconds: float) -> asyncio.Timeout:
            begun.append(seconds)
            return asyncio.timeout(seconds)

        made = ConsulDiscovery(config(), env, httpx.MockTransport(fake.handle), counted, {})
        async with running(made, env) as seen:
            await seen.clock.settle(1200)
            await seen.clock.advance(31)
            assert fake.under_way == 101  # the others wait for their turn
            assert len(begun) == len(fake.requests)

    asyncio.run(go())


def test_what_the_first_list_waits_for_is_told_until_it_is_there() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        fill(fake)

        async def one_hangs(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/pay"):
                await asyncio.Event().wait()
            return await fake.handle(request)

        transport = httpx.MockTransport(one_hangs)
        made = ConsulDiscovery(config(), env, transport, environ={})
        async with running(made, env) as seen:
            shown = "consul consul:8500"
            assert env.reporter.awaited == {shown: "1 of 3 services have no answer ('pay' is one)"}
            await seen.clock.advance(31)
            fake.put("pay")
            await seen.clock.settle()
            assert env.reporter.awaited == {}

    asyncio.run(go())


def test_a_new_service_does_not_queue_behind_the_requests_that_wait() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        for i in range(150):
            fake.put(f"s{i}", instance(f"n{i}", "10.0.0.1", 1000 + i, service=f"s{i}"))
        async with running(discovery(fake, "", env), env) as seen:
            await seen.clock.settle(600)
            await seen.clock.advance(61)
            waits = {r.url.params["wait"] for r in fake.asked("/health") if "index" in r.url.params}
            assert waits == {"20000ms"}  # 30 s for 150 services, 100 at a time
            fake.put("new", instance("n9", "10.0.0.9", 90, service="new"))
            await seen.clock.settle()
            assert "10.0.0.9:90" in seen.addresses()
            for i in range(60):
                fake.put(f"s{i}")
            await seen.clock.advance(90)
            fake.requests.clear()
            await seen.clock.advance(130)
            assert {r.url.params["wait"] for r in fake.asked("/health")} == {"120000ms"}

    asyncio.run(go())


def test_two_discoveries_of_one_server_share_the_bound() -> None:
    async def go() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        for i in range(80):
            fake.put(f"s{i}", instance(f"n{i}", "10.0.0.1", 1000 + i, service=f"s{i}"))
        one, two = discovery(fake, "", env), discovery(fake, "tag_separator: ';'", env)
        async with running(one, env) as first, running(two, env) as second:
            await first.clock.settle(500)
            await first.clock.advance(90)
            assert (len(first.addresses()), len(second.addresses())) == (80, 80)
            assert fake.most_under_way <= 118
        fake.most_under_way = 0
        async with running(discovery(fake, "", env), env) as alone:
            await alone.clock.advance(31)
            assert fake.most_under_way == 81  # those that ended hold no place: each has its own request

    asyncio.run(go())
