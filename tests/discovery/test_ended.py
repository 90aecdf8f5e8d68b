"""A discovery that ends, as after a reload: what failed of it is no trouble any more, for its alert would never end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from rulepush.discovery.consul import ConsulDiscovery, ConsulSdConfig
from rulepush.discovery.dns import DnsDiscovery, DnsSdConfig, Record
from rulepush.discovery.file import FileSdConfig
from rulepush.discovery.groups import Discoverer, Environment
from rulepush.discovery.kubernetes.connection import InClusterConnection
from rulepush.errors import DiscoveryError
from tests.discovery.consul_server import FakeConsul, instance
from tests.discovery.driving import environment, read_sd, running
from tests.discovery.kubernetes.cluster import config_of


async def one_name_fails(name: str, _: str) -> list[Record]:
    if name == "bad":
        raise DiscoveryError("could not resolve 'bad': timeout")
    return [Record("10.0.0.1")]


def consul(text: str) -> ConsulSdConfig:
    config, problems = read_sd("consul_sd_configs", f"{{{text}}}")
    assert isinstance(config, ConsulSdConfig)
    assert problems == []
    return config


def a_file(env: Environment, tmp_path: Path) -> Discoverer:
    (tmp_path / "a.json").write_text("no JSON")
    return FileSdConfig((str(tmp_path / "a.json"),), 300_000).discoverer(env)


def one_dns_name_of_two(env: Environment, _: Path) -> Discoverer:
    return DnsDiscovery(DnsSdConfig(("good", "bad"), "A", 80), env, one_name_fails)


def a_consul(env: Environment, _: Path) -> Discoverer:
    return ConsulDiscovery(consul("datacenter: d"), env, httpx.MockTransport(lambda _: httpx.Response(500)), environ={})


def own_namespace(env: Environment, tmp_path: Path) -> Discoverer:
    config = config_of("role: pod, namespaces: {own_namespace: true}")
    return config.discoverer_by(InClusterConnection(str(tmp_path)), env)


@pytest.mark.parametrize("make", [a_file, one_dns_name_of_two, a_consul, own_namespace])
def test_a_discovery_that_has_ended_fails_no_longer(
    make: Callable[[Environment, Path], Discoverer], tmp_path: Path
) -> None:
    async def test() -> None:
        env = environment()
        async with running(make(env, tmp_path), env):
            assert len(env.reporter.failing()) == 1
        assert env.reporter.failing() == {}
        assert env.reporter.failing_since == {}

    asyncio.run(test())


def test_a_service_of_consul_that_has_ended_fails_no_longer() -> None:
    async def test() -> None:
        env = environment()
        fake = FakeConsul(env.clock)
        fake.put("web", instance())
        fake.put("bad", instance())

        async def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(500) if request.url.path.endswith("/bad") else await fake.handle(request)

        made = ConsulDiscovery(consul("datacenter: dc1"), env, httpx.MockTransport(answer), environ={})
        async with running(made, env) as seen:
            assert "service 'bad'" in str(env.reporter.last_errors)
            fake.put("bad")
            await seen.clock.advance(31)
            assert seen.addresses() == ["10.0.0.1:8080"]
            assert env.reporter.failing() == {}

    asyncio.run(test())
