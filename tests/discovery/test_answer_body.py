"""Answers that are larger than any list of targets: each discovery stops to read, and says what was too large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from rulepush.discovery.answer_body import SizeLimit, read_body
from rulepush.discovery.eureka import EurekaDiscovery, EurekaSdConfig
from rulepush.discovery.groups import Discoverer, Environment
from rulepush.discovery.http import HttpDiscovery, HttpSdConfig
from rulepush.discovery.kubernetes.api import KubernetesApi
from rulepush.discovery.kubernetes.resources import PODS
from rulepush.discovery.kubernetes.scope import ResourceScope
from rulepush.discovery.registry_api import ask_registry
from rulepush.errors import DiscoveryError
from rulepush.http_client.build import build_client
from tests.discovery.driving import environment, read_sd, running


class Endless(httpx.AsyncByteStream):
    """Parts of 1 MiB; `given` counts those that were taken."""

    def __init__(self) -> None:
        self.given = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.given += 1
            yield b" " * (1 << 20)


class EndlessServer(httpx.MockTransport):
    def __init__(self) -> None:
        self.body = Endless()
        super().__init__(self._handle)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "application/json"}, stream=self.body)


def http_discovery(env: Environment, server: EndlessServer) -> Discoverer:
    config, _ = read_sd("http_sd_configs", "{url: 'http://sd/'}")
    assert isinstance(config, HttpSdConfig)
    return HttpDiscovery(config, env, server)


def eureka_discovery(env: Environment, server: EndlessServer) -> Discoverer:
    config, _ = read_sd("eureka_sd_configs", "{server: 'http://eureka/'}")
    assert isinstance(config, EurekaSdConfig)
    return EurekaDiscovery(config, env, server)


@pytest.mark.parametrize("made", [http_discovery, eureka_discovery])
def test_a_discovery_stops_to_read_what_never_ends(made: Callable[[Environment, EndlessServer], Discoverer]) -> None:
    server = EndlessServer()

    async def go() -> str:
        env = environment()
        async with running(made(env, server), env) as seen:
            await seen.clock.settle(5000)
            return next(iter(env.reporter.last_errors.values()))

    assert asyncio.run(go()) == "the answer is larger than 64 MiB"
    assert server.body.given == 65


def test_a_registry_is_named_whose_answer_never_ends() -> None:
    server = EndlessServer()

    async def go() -> None:
        async with build_client(transport=server) as client:
            await ask_registry(client, "http://u:secret@consul:8500/v1", (), 60.0, asyncio.timeout)

    with pytest.raises(DiscoveryError, match=r"^http://consul:8500/v1: the answer is larger than 64 MiB$"):
        asyncio.run(go())
    assert server.body.given == 65


def test_a_page_of_a_list_is_named_that_never_ends() -> None:
    server = EndlessServer()

    async def go() -> None:
        async with build_client(transport=server) as client:
            await KubernetesApi(client, "http://k8s", max_page=2 << 20).list(ResourceScope(PODS), print, {})

    text = r"^pods in all namespaces: a page of the list is larger than 2 MiB$"
    with pytest.raises(DiscoveryError, match=text):
        asyncio.run(go())
    assert server.body.given == 3


def test_a_body_of_the_largest_size_is_read_whole() -> None:
    async def go() -> bytearray:
        async with (
            build_client(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=b"0123"))) as client,
            client.stream("GET", "http://sd/") as response,
        ):
            return await read_body(response, SizeLimit(max_bytes=4))

    assert asyncio.run(go()) == b"0123"
