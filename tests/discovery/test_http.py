"""http_sd_configs."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from rulepush.discovery.http import HttpDiscovery, HttpSdConfig
from tests.discovery.driving import environment, read_sd, running


def config(text: str = "{url: 'http://sd/targets'}") -> HttpSdConfig:
    found, problems = read_sd("http_sd_configs", text)
    assert problems == []
    assert isinstance(found, HttpSdConfig)
    return found


class Service:
    """An HTTP service whose answer the test sets."""

    def __init__(self) -> None:
        self.response = httpx.Response(200, json=[])
        self.requests: list[httpx.Request] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.response.status_code, headers=self.response.headers, content=self.response.content)


def test_targets_follow_the_service_and_stay_when_it_fails() -> None:
    service = Service()

    async def go() -> None:
        env = environment()
        service.response = httpx.Response(200, json=[{"targets": ["a:1"], "labels": {"x": "y"}}])
        found = config("{url: 'http://u:hidden@sd/targets?q=1', refresh_interval: 30s}")
        async with running(HttpDiscovery(found, env, httpx.MockTransport(service.handle)), env) as seen:
            assert seen.merged() == [{"__address__": "a:1", "x": "y", "__meta_url": "http://sd/targets?q=1"}]
            first = service.requests[0]
            assert first.headers["X-Prometheus-Refresh-Interval-Seconds"] == "30"
            assert first.headers["Accept"] == "application/json"
            assert first.headers["Authorization"].startswith("Basic ")
            assert first.headers["User-Agent"] == "test"
            service.response = httpx.Response(500)
            await seen.clock.advance(60)
            service.response = httpx.Response(200, html="<html>")
            await seen.clock.advance(60)
            assert seen.addresses() == ["a:1"]
            assert env.reporter.failures["http"] >= 3
            assert "hidden" not in str(env.reporter.last_errors)
            service.response = httpx.Response(200, json=[{"targets": ["b:1"]}])
            await seen.clock.advance(60)
            assert seen.addresses() == ["b:1"]
            assert env.reporter.last_errors == {}

    asyncio.run(go())


def test_a_failure_is_tried_again_soon() -> None:
    service = Service()

    async def go() -> None:
        env = environment()
        service.response = httpx.Response(503)
        async with running(HttpDiscovery(config(), env, httpx.MockTransport(service.handle)), env) as seen:
            await seen.clock.advance(5)
            assert len(service.requests) == 2
            service.response = httpx.Response(200, json=[{"targets": ["a:1"]}])
            await seen.clock.advance(10)
            assert seen.addresses() == ["a:1"]
            await seen.clock.advance(59)
            assert len(service.requests) == 3

    asyncio.run(go())


def test_after_a_success_the_next_failure_is_tried_again_as_soon_as_the_first() -> None:
    service = Service()

    async def go() -> None:
        env = environment()
        service.response = httpx.Response(503)
        async with running(HttpDiscovery(config(), env, httpx.MockTransport(service.handle)), env) as seen:
            await seen.clock.advance(5 + 10 + 19)
            assert len(service.requests) == 3
            service.response = httpx.Response(200, json=[{"targets": ["a:1"]}])
            await seen.clock.advance(1)
            assert seen.addresses() == ["a:1"]
            service.response = httpx.Response(503)
            await seen.clock.advance(60)
            assert len(service.requests) == 5
            await seen.clock.advance(5)
            assert len(service.requests) == 6

    asyncio.run(go())


def test_what_nacos_answers_is_taken() -> None:
    """`/nacos/prometheus`: one entry an instance, metadata as plain labels, not all of them texts."""
    service = Service()
    body = (
        '[{"targets":["10.0.0.1:8080"],"labels":{"__meta_clusterName":"DEFAULT","preserved_register_source":'
        '"SPRING_CLOUD","a/b":"c","":"x","n":1,"t":true,"z":null}},{"targets":["10.0.0.2:8080"],"labels":null}]'
    )
    service.response = httpx.Response(200, content=body, headers={"Content-Type": "application/json;charset=UTF-8"})

    async def go() -> None:
        env = environment()
        async with running(HttpDiscovery(config(), env, httpx.MockTransport(service.handle)), env) as seen:
            first, second = seen.merged()
            assert first == {
                "__address__": "10.0.0.1:8080",
                "__meta_clusterName": "DEFAULT",
                "__meta_url": "http://sd/targets",
                "preserved_register_source": "SPRING_CLOUD",
                "a/b": "c",
                "n": "1",
                "t": "true",
            }
            assert second["__address__"] == "10.0.0.2:8080"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("response", "complaint"),
    [
        (httpx.Response(404), "server returned HTTP status 404 Not Found"),
        (httpx.Response(200, text="[]"), 'unsupported content type "text/plain; charset=utf-8"'),
        (httpx.Response(200, content=b"{", headers={"Content-Type": "application/json"}), "not valid JSON"),
        (httpx.Response(200, json={"a": 1}), "expected a list of target groups"),
        (httpx.Response(200, json=[{"target": ["a:1"]}]), "group 0: unknown key 'target'"),
    ],
)
def test_failures_say_what_is_wrong(response: httpx.Response, complaint: str) -> None:
    service = Service()
    service.response = response

    async def go() -> None:
        env = environment()
        async with running(HttpDiscovery(config(), env, httpx.MockTransport(service.handle)), env) as seen:
            assert seen.lists == []
            assert complaint in str(env.reporter.last_errors)

    asyncio.run(go())


@pytest.mark.parametrize("text", ["{}", "{url: ''}", "{url: 'ftp://x'}", "{url: 'http://'}", "{url: 'http://x:y'}"])
def test_url_faults(text: str) -> None:
    _, problems = read_sd("http_sd_configs", text)
    assert len(problems) == 1
