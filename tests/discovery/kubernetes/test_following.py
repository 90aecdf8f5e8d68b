"""kubernetes_sd_configs over real HTTP: lists, watches, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from rulepush.discovery.kubernetes.access import ApiAccess
from rulepush.discovery.kubernetes.resources import PODS
from rulepush.discovery.kubernetes.scope import ResourceScope
from rulepush.discovery.kubernetes.watching import ResourceWatch
from tests.discovery.driving import environment
from tests.discovery.kubernetes.cluster import config_of
from tests.discovery.kubernetes.following import following, until
from tests.kubernetes_objects import node, pod, service
from tests.kubernetes_server import (
    ApiReply,
    ApiRequest,
    KubernetesServer,
    forbidden,
    status,
    too_many_requests,
    unauthorized,
)


@pytest.fixture
def api() -> Iterator[KubernetesServer]:
    with KubernetesServer(pod("a", ip="10.0.0.1"), pod("b", "shop", ip="10.0.0.2")) as server:
        yield server


def pods(api: KubernetesServer, more: str = "") -> str:
    return f"role: pod, api_server: '{api.url}'{more}"


def run(test: object) -> None:
    asyncio.run(test)  # type: ignore[arg-type]


def test_objects_are_listed_and_then_each_change_is_one_of_its_group(api: KubernetesServer) -> None:
    async def test() -> None:
        async with following(pods(api)) as seen:
            await until("the list", lambda: seen.names() == ["pod/default/a", "pod/shop/b"])
            api.put(pod("c", ip="10.0.0.3"))
            await until("an added pod", lambda: seen.changes[-1] == {"pod/default/c"})
            api.put(pod("c", ip="10.0.0.4"))
            await until("a changed pod", lambda: "10.0.0.4:8080" in seen.addresses())
            api.delete("Pod", "shop/b")
            await until("a deleted pod", lambda: seen.names() == ["pod/default/a", "pod/default/c"])
            assert len(api.asked("list", "pods")) == 1
            assert seen.error() == ""
        await until("the end of the watch", lambda: api.watches == 0)

    run(test())


def test_what_no_label_says_is_no_change(api: KubernetesServer) -> None:
    told: list[str] = []

    async def test() -> None:
        env = environment()
        access = ApiAccess(config_of(pods(api)).connection(), env)
        watch = ResourceWatch(access, ResourceScope(PODS), env)
        watch.listen(lambda _, changes: told.extend(c.key for c in changes))
        running = asyncio.create_task(watch.run())
        await until("the list and the watch", lambda: len(told) == 2 and api.watches == 1)
        changed = pod("a", ip="10.0.0.1")
        changed["metadata"]["generation"] = 7
        api.put(changed)
        api.put(pod("z", ip="10.0.0.9"))
        await until("a real change", lambda: "default/z" in told)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(test())
    assert told == ["default/a", "shop/b", "default/z"]


def test_a_list_comes_in_pages_of_one_version(api: KubernetesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(600):
        api.put(pod(f"p{i:03}", "many", ip="10.0.1.1"))

    async def test() -> None:
        async with following(pods(api, ", namespaces: {names: [many]}")) as seen:
            await until("the list", lambda: len(seen.names()) == 600)
            asked = api.asked("list", "pods")
            assert [r.query["limit"] for r in asked] == ["250"] * 3
            assert [("continue" in r.query) for r in asked] == [False, True, True]
            assert {r.namespace for r in asked} == {"many"}

    run(test())


def test_a_list_whose_pages_expire_is_begun_again(api: KubernetesServer) -> None:
    for i in range(300):
        api.put(pod(f"p{i:03}", ip="10.0.1.1"))

    def expire_once(request: ApiRequest) -> ApiReply | None:
        if "continue" in request.query and len(api.asked("list", "pods")) == 2:
            api.compact()
        return None

    api.refuse = expire_once

    async def test() -> None:
        async with following(pods(api)) as seen:
            await until("the list", lambda: len(seen.names()) == 302)
            assert ["continue" in r.query for r in api.asked("list", "pods")] == [False, True, False, True]
            assert seen.error() == ""

    run(test())


def test_a_stream_that_breaks_inside_an_event_goes_on_without_a_new_list(api: KubernetesServer) -> None:
    async def test() -> None:
        async with following(pods(api)) as seen:
            await until("the watch", lambda: api.watches == 1)
            version = api.put(pod("c", ip="10.0.0.3"))
            await until("an added pod", lambda: "pod/default/c" in seen.names())
            api.cut_streams(inside_a_line=True)
            api.put(pod("d", ip="10.0.0.4"))
            await until("a pod after the cut", lambda: "pod/default/d" in seen.names(), seen.clock)
            assert [r.query["resourceVersion"] for r in api.asked("watch", "pods")][1] == version
            assert len(api.asked("list", "pods")) == 1
            assert (seen.error(), seen.reporter.failures["kubernetes"]) == ("", 0)

    run(test())


def test_a_watch_that_the_server_ends_is_asked_for_again(api: KubernetesServer) -> None:
    api.timeout_scale = 0.0001

    async def test() -> None:
        async with following(pods(api)) as seen:
            await until("three watches", lambda: len(api.asked("watch", "pods")) >= 3, seen.clock)
            assert all(300 <= int(r.query["timeoutSeconds"]) <= 600 for r in api.asked("watch", "pods"))
            assert len(api.asked("list", "pods")) == 1
            assert seen.error() == ""

    run(test())


def test_watches_that_end_at_once_are_not_asked_for_in_a_loop(api: KubernetesServer) -> None:
    api.timeout_scale = 0

    async def test() -> None:
        async with following(pods(api)) as seen:
            await until("the first watch", lambda: len(api.asked("watch", "pods")) == 1)
            await until("its end", lambda: api.watches == 0 and seen.clock.planned)
            await seen.clock.settle()
            assert len(api.asked("watch", "pods")) == 1
            await seen.clock.advance(1.0)
            await until("the second watch", lambda: len(api.asked("watch", "pods")) == 2)

    run(test())


def test_a_bookmark_is_where_a_watch_goes_on(api: KubernetesServer) -> None:
    async def test() -> None:
        async with following(pods(api)) as seen:
            await until("the watch", lambda: api.watches == 1)
            version = api.put(node("elsewhere"))
            api.bookmark()
            api.put(pod("c", ip="10.0.0.3"))
            await until("the bookmark, then a pod", lambda: "pod/default/c" in seen.names())
            last = api.put(node("elsewhere"))
            api.bookmark()
            api.cut_streams()
            await until("the next watch", lambda: len(api.asked("watch", "pods")) == 2, seen.clock)
            assert version < api.asked("watch", "pods")[1].query["resourceVersion"] <= last
            assert api.asked("watch", "pods")[0].query["allowWatchBookmarks"] == "true"

    run(test())


@pytest.mark.parametrize("as_status", [False, True])
def test_after_410_gone_only_what_differs_in_the_new_list_changes(api: KubernetesServer, as_status: bool) -> None:
    api.gone_as_status = as_status
    away = False

    def refuse(request: ApiRequest) -> ApiReply | None:
        return status(503, "ServiceUnavailable", "the server is restarting") if away else None

    api.refuse = refuse

    async def test() -> None:
        nonlocal away
        async with following(pods(api)) as seen:
            await until("the watch", lambda: api.watches == 1)
            away = True
            api.cut_streams()
            await until("the failure", lambda: "the server is restarting" in seen.error(), seen.clock)
            assert seen.names() == ["pod/default/a", "pod/shop/b"]
            api.delete("Pod", "shop/b")
            api.put(pod("c", ip="10.0.0.3"))
            api.compact()
            away = False
            await until("the new list", lambda: seen.names() == ["pod/default/a", "pod/default/c"], seen.clock)
            assert seen.changes[1:] == [{"pod/shop/b", "pod/default/c"}]
            assert len(api.asked("list", "pods")) == 2
            await until("a watch that works", lambda: api.watches == 1, seen.clock)
            assert seen.error() == ""

    run(test())


def test_a_server_that_has_lost_versions_is_listed_anew(api: KubernetesServer) -> None:
    """After a restore from a backup, the version that a watch goes on from is one of the future."""
    first = KubernetesServer(*[pod(f"p{i}", ip="10.0.0.1") for i in range(50)])
    port = int(first.address.rpartition(":")[2])

    async def test() -> None:
        async with following(pods(first)) as seen:
            await until("the watch", lambda: first.watches == 1)
            first.close()
            restored = KubernetesServer(pod("old", ip="10.0.0.1"), port=port)
            try:
                await until("the new list", lambda: seen.names() == ["pod/default/old"], seen.clock)
                await until("the next watch", lambda: restored.watches == 1, seen.clock)
                assert seen.error() == ""
            finally:
                restored.close()

    run(test())


def test_retry_after_is_waited_for(api: KubernetesServer) -> None:
    busy = True
    api.refuse = lambda _: too_many_requests(20) if busy else None

    async def test() -> None:
        nonlocal busy
        async with following(pods(api)) as seen:
            await until("the refusal", lambda: "429 Too Many Requests: Too many requests, please" in seen.error())
            busy = False
            await seen.clock.advance(19.0)
            other = pods(api, ", namespaces: {names: [shop]}")
            async with following(other, seen.env) as meanwhile:
                await until("another list", lambda: len(meanwhile.names()) == 1)
            assert [r.namespace for r in api.asked("list", "pods")] == ["", "shop"]
            await seen.clock.advance(1.5)
            await until("the list", lambda: len(seen.names()) == 2)
            assert seen.error() == ""

    run(test())


def test_a_refusal_of_rbac_says_what_the_role_needs(api: KubernetesServer) -> None:
    api.refuse = lambda request: forbidden(request, "system:serviceaccount:mon:rp")

    async def test() -> None:
        env = environment()
        cluster_wide, one = pods(api), pods(api, ", namespaces: {names: [shop]}")
        async with following(cluster_wide, env) as seen, following(one, env):
            text = (
                "forbidden: pods in all namespaces: a ClusterRole of system:serviceaccount:mon:rp needs list and watch"
            )
            await until("the refusal", lambda: text in seen.error())
            text = 'forbidden: pods in namespace "shop": the role of system:serviceaccount:mon:rp needs list and watch'
            await until("the other one", lambda: text in seen.error())
            assert not seen.known.answered
            api.refuse = lambda _: None
            await until("the list", lambda: len(seen.names()) == 2, seen.clock)
            await until("no error", lambda: seen.error() == "", seen.clock)

    run(test())


def test_a_role_with_list_but_without_watch_is_told_so(api: KubernetesServer, caplog: pytest.LogCaptureFixture) -> None:
    api.refuse = lambda request: forbidden(request, "jane") if request.verb == "watch" else None

    async def test() -> None:
        with caplog.at_level(logging.INFO, "rulepush.discovery"):
            async with following(pods(api)) as seen:
                await until("three refusals", lambda: seen.reporter.failures["kubernetes"] == 3, seen.clock)
                assert len(seen.names()) == 2
                assert "jane needs list and watch for pods" in seen.error()
                assert len(api.asked("list", "pods")) == 1
                api.refuse = lambda _: None
                await until("a watch", lambda: api.watches == 1, seen.clock)
                await until("no error", lambda: seen.error() == "")

    run(test())
    lines = [r.getMessage() for r in caplog.records if r.name == "rulepush.discovery"]
    assert len(lines) == 2, lines
    assert lines[0].startswith(f"kubernetes discovery of pods in all namespaces of {api.url} failed")
    assert lines[1].endswith("works again")


ANSWERS = {
    "unauthorized": (unauthorized(), "unauthorized: pods in all namespaces: http://"),
    "a login page": (
        ApiReply(200, b"<html><title>Sign in</title></html>", "text/html"),
        'sent a page "Sign in": is it the API server of a Kubernetes cluster?',
    ),
    "another path": (
        ApiReply(404, b"404 page not found", "text/plain"),
        "HTTP status 404 Not Found: http://127.0.0.1",
    ),
    "other JSON": (ApiReply(200, b'{"status":"ok"}'), "sent no list of pods: is it the API server"),
    "no JSON": (ApiReply(200, b"{"), "sent no list of pods: is it the API server"),
    "plain HTTP to the TLS port": (
        ApiReply(400, b"Client sent an HTTP request to an HTTPS server.\n", "text/plain"),
        "HTTP status 400 Bad Request: Client sent an HTTP request to an HTTPS server.",
    ),
    "a page of a proxy": (
        ApiReply(502, b"<html><head><title>502 Bad Gateway</title></head></html>", "text/html"),
        'HTTP status 502 Bad Gateway: a page "502 Bad Gateway"',
    ),
}


def test_a_cluster_without_endpoint_slices_is_told_what_to_use(api: KubernetesServer) -> None:
    api.refuse = lambda _: ApiReply(404, b"404 page not found\n", "text/plain")

    async def test() -> None:
        async with following(f"role: endpointslice, api_server: '{api.url}'") as seen:
            advice = "Kubernetes has it since 1.21; with an older one use `role: endpoints`"
            await until("the advice", lambda: advice in seen.error())

    run(test())


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_no_api_server_is_named_in_one_line(api: KubernetesServer, name: str) -> None:
    reply, text = ANSWERS[name]
    api.refuse = lambda _: reply

    async def test() -> None:
        async with following(pods(api)) as seen:
            await until("an error", seen.error)
            assert text in seen.error()
            assert "\n" not in seen.error()
            assert not seen.known.answered

    run(test())


def test_an_object_that_is_no_such_object_is_left_out_and_told_once(
    api: KubernetesServer, caplog: pytest.LogCaptureFixture
) -> None:
    odd = pod("odd", ip="10.0.0.9")
    odd["spec"]["containers"] = "none"
    api.put(odd)

    async def test() -> None:
        async with following(pods(api)) as seen:
            await until("the others", lambda: seen.names() == ["pod/default/a", "pod/shop/b"])
            await until("the watch", lambda: api.watches == 1)
            api.put({**odd, "metadata": {**odd["metadata"], "generation": 2}})
            api.put(pod("c", ip="10.0.0.3"))
            await until("the next one", lambda: "pod/default/c" in seen.names())
            assert seen.error() == ""

    with caplog.at_level(logging.WARNING, "rulepush.discovery"):
        run(test())
    told = [r.getMessage() for r in caplog.records if "leaves an object out" in r.getMessage()]
    assert len(told) == 1
    assert "default/odd of the pods" in told[0]


def test_a_redirect_that_is_not_followed_is_named(api: KubernetesServer) -> None:
    api.refuse = lambda _: ApiReply(302, b"", "text/html", {"Location": "http://sso.example.com/login?token=abc"})

    async def test() -> None:
        async with following(pods(api, ", follow_redirects: false")) as seen:
            await until("an error", seen.error)
            assert "HTTP status 302 Found: redirected to http://sso.example.com" in seen.error()
            assert "abc" not in seen.error()

    run(test())


def test_a_server_that_is_away_is_named_and_found_when_it_comes(api: KubernetesServer) -> None:
    api.close()
    port = int(api.address.rpartition(":")[2])

    async def test() -> None:
        async with following(pods(api)) as seen:
            await until("the failure", lambda: "connection refused" in seen.error())
            with KubernetesServer(pod("late", ip="10.0.0.1"), port=port):
                await until("the list", lambda: seen.names() == ["pod/default/late"], seen.clock)

    # The fixture closes it again, which does nothing more.
    run(test())


def no_other() -> ResourceWatch[Any]:
    raise AssertionError("there is one")


def test_configs_with_the_same_server_and_selectors_share_one_watch(api: KubernetesServer) -> None:
    async def test() -> None:
        env = environment()
        async with following(pods(api), env) as first:
            await until("the list", lambda: len(first.names()) == 2)
            async with following(pods(api, ", attach_metadata: {node: true}"), env) as second:
                await until("the same list", lambda: len(second.names()) == 2)
                assert len(api.asked("list", "pods")) == 1
                assert len(api.asked("list", "nodes")) == 1
            key = (ResourceWatch, config_of(pods(api)).connection(), ResourceScope(PODS))
            async with env.shared.use(key, no_other, env.clock) as watch:
                assert watch.listeners == 1  # nothing is told to who has left
            async with following(pods(api, ", selectors: [{role: pod, label: app=x}]"), env) as other:
                await until("its own list", lambda: len(api.asked("list", "pods")) == 2)
                await until("the first list", lambda: other.known.answered)
                assert other.names() == []
            await until("the first one's watch", lambda: api.watches == 1)
        await until("no watch", lambda: api.watches == 0)

    run(test())


def test_selectors_are_the_servers_work(api: KubernetesServer) -> None:
    api.put(pod("chosen", ip="10.0.0.5", labels={"app": "x"}))

    async def test() -> None:
        async with following(
            pods(api, ", selectors: [{role: pod, label: app=x, field: spec.nodeName=node-1}]")
        ) as seen:
            await until("the list", lambda: seen.names() == ["pod/default/chosen"])
            await until("the watch", lambda: api.watches == 1)
            api.put(pod("chosen", ip="10.0.0.5", labels={"app": "y"}))
            await until("a pod that is no longer selected", lambda: seen.names() == [])
            query = api.asked("watch", "pods")[0].query
            assert (query["labelSelector"], query["fieldSelector"]) == ("app=x", "spec.nodeName=node-1")

    run(test())


def test_a_namespace_that_is_forbidden_stops_no_other_and_comes_later(api: KubernetesServer) -> None:
    api.refuse = lambda request: forbidden(request) if request.namespace == "shop" else None

    async def test() -> None:
        async with following(pods(api, ", namespaces: {names: [default, shop]}")) as seen:
            await until("the others", lambda: seen.names() == ["pod/default/a"])
            assert 'forbidden: pods in namespace "shop": the role' in seen.error()
            api.refuse = lambda _: None
            await until("the rest", lambda: seen.names() == ["pod/default/a", "pod/shop/b"], seen.clock)
            api.delete("Pod", "shop/b")
            await until("its changes", lambda: seen.names() == ["pod/default/a"])

    run(test())


def test_a_slow_namespace_is_waited_for(api: KubernetesServer) -> None:
    slow = ApiReply(503, b"", delay_s=0.3)
    api.refuse = lambda request: slow if request.namespace == "shop" and len(api.requests) < 4 else None

    async def test() -> None:
        async with following(pods(api, ", namespaces: {names: [default, shop]}")) as seen:
            await until("the first list", lambda: len(api.asked("watch", "pods")) == 1)
            assert not seen.known.answered  # it has neither come nor failed
            await until("the rest", lambda: len(seen.names()) == 2, seen.clock)

    run(test())


def test_targets_wait_for_the_nodes_that_they_are_labelled_with(api: KubernetesServer) -> None:
    api.put(node("node-1", labels={"zone": "z1"}))
    api.refuse = lambda request: forbidden(request) if request.resource == "nodes" else None

    async def test() -> None:
        async with following(pods(api, ", attach_metadata: {node: true}")) as seen:
            await until("the refusal", lambda: "forbidden: nodes: a ClusterRole" in seen.error())
            await until("the pods' list", lambda: len(api.asked("watch", "pods")) == 1)
            assert not seen.known.answered
            api.refuse = lambda _: None
            await until("the targets", lambda: len(seen.names()) == 2, seen.clock)
            assert all(t["__meta_kubernetes_node_label_zone"] == "z1" for t in seen.merged())

    run(test())


def test_the_groups_of_before_stay_while_nothing_is_known(api: KubernetesServer) -> None:
    api.put(service("web"))
    api.refuse = lambda request: forbidden(request) if request.resource == "services" else None

    async def test() -> None:
        async with following(f"role: endpoints, api_server: '{api.url}'") as seen:
            await until("the refusal", lambda: "forbidden: services in all namespaces" in seen.error())
            await until("the other lists", lambda: len(api.asked("watch", "pods")) == 1)
            assert seen.lists == []

    run(test())
