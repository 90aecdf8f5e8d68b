"""docker_sd_configs: the containers of a Docker engine, one target for each network and port.

Keys, defaults and labels are those of Prometheus 3.14 (discovery/moby/docker.go and network.go).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx

from rulepush.discovery.docker_containers import container_group
from rulepush.discovery.groups import Environment, GroupSink, TargetGroup
from rulepush.discovery.polling import Poller
from rulepush.discovery.registry_api import Deadline, RegistryAnswer, ask_registry, shown_selection
from rulepush.errors import DiscoveryError
from rulepush.http_client.build import build_client
from rulepush.http_client.client import met_plain_http
from rulepush.http_client.config import NO_CLIENT_SETTINGS, HTTPClientConfig, read_http_client
from rulepush.model.labels import flag_value, sanitized_label_name

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

_NETWORK: Final = "__meta_docker_network_"


@dataclass(frozen=True, slots=True)
class DockerSdConfig:
    """One entry of `docker_sd_configs`. `host` is what the file says; `base` the URL that it means; `uds` the path of
    the unix socket, if it is one."""

    host: str
    base: str
    http_client: HTTPClientConfig = NO_CLIENT_SETTINGS
    uds: str = ""
    port: int = 80
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    host_networking_host: str = "localhost"
    match_first_network: bool = True
    refresh_interval_ms: int = 60_000
    kind: str = "docker"

    def discoverer(self, env: Environment) -> DockerDiscovery:
        return DockerDiscovery(self, env)


def read_docker_sd(m: MapReader) -> DockerSdConfig:
    """Read one entry of `docker_sd_configs`."""
    host = m.text("host")
    if not host:
        m.problem("host missing")
    base, uds = _base(m, host)
    filters = []
    for entry in m.sections("filters"):
        filters.append((entry.text("name"), entry.texts("values")))
        entry.finish()
    settings = read_http_client(m)
    config = DockerSdConfig(
        host=host,
        base=base,
        # Nothing of it is for a unix socket, and Prometheus takes none of it there.
        http_client=NO_CLIENT_SETTINGS if uds else settings,
        uds=uds,
        port=m.count("port", 80),
        filters=tuple(filters),
        host_networking_host=m.text("host_networking_host", "localhost"),
        match_first_network=m.flag("match_first_network", True),
        refresh_interval_ms=m.duration("refresh_interval", 60_000) or 60_000,
    )
    m.finish()
    return config


def _base(m: MapReader, host: str) -> tuple[str, str]:
    """The base URL that `host` means, and the path of its unix socket (moby client/client.go, `ParseHostURL`)."""
    if not host:
        return "", ""
    scheme, found, address = host.partition("://")
    if found and scheme == "unix" and address:
        return "http://docker", address
    if found and scheme in ("tcp", "http", "https") and address:
        base = f"{'https' if scheme == 'https' else 'http'}://{address.rstrip('/')}"
        try:
            parts = urlsplit(base)
            if parts.hostname and parts.port != 0 and not set(address) & set(" \t?#@"):
                return base, ""
        except ValueError:
            pass
    m.problem("host: expected unix:///var/run/docker.sock, tcp://HOST:2375 or https://HOST:2376", "host")
    return "", ""


class DockerDiscovery:
    """Asks for the containers and the networks at every refresh interval."""

    def __init__(
        self,
        config: DockerSdConfig,
        env: Environment,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline: Deadline = asyncio.timeout,
    ):
        self._config = config
        self._env = env
        self._transport = transport
        self._deadline = deadline

    async def run(self, sink: GroupSink) -> None:
        config, env = self._config, self._env
        interval = config.refresh_interval_ms / 1000
        async with build_client(
            config.http_client, env.user_agent, clock=env.clock, transport=self._transport, uds=config.uds
        ) as client:

            async def refresh() -> Sequence[TargetGroup]:
                return await self._refresh(client, max(1.0, interval))  # the limit is Prometheus'

            shown = shown_selection(config.host, {name: ", ".join(values) for name, values in config.filters})
            await Poller("docker", shown, interval, refresh, env).run(sink)

    async def _refresh(self, client: httpx.AsyncClient, seconds: float) -> list[TargetGroup]:
        selected: dict[str, dict[str, bool]] = {}
        for name, values in self._config.filters:
            for value in values:
                selected.setdefault(name, {})[value] = True
        params = [("filters", json.dumps(selected, separators=(",", ":")))] if selected else []
        containers = await self._list(client, "/containers/json", params, seconds)
        networks = _network_labels(await self._list(client, "/networks", (), seconds))
        by_id = {str(c.get("Id") or ""): c for c in containers}
        try:
            found = [container_group(c, by_id, networks, self._config) for c in containers if c.get("Names")]
        except (AttributeError, TypeError, ValueError) as e:
            raise DiscoveryError(f"{self._config.base}/containers/json: not a list of containers ({e})") from None
        return sorted(found, key=lambda group: group.source)

    async def _list(
        self, client: httpx.AsyncClient, path: str, params: Sequence[tuple[str, str]], seconds: float
    ) -> list[dict[str, Any]]:
        try:
            answer = await ask_registry(client, self._config.base + path, params, seconds, self._deadline)
        except DiscoveryError as e:
            raise DiscoveryError(self._unreached(str(e))) from None
        if answer.status != 200:
            raise DiscoveryError(_refused(answer))
        found: list[dict[str, Any]] = answer.parsed(list, "Docker")
        if not all(isinstance(entry, dict) for entry in found):
            raise DiscoveryError(f"{answer.url}: not the API of Docker: expected a list of objects")
        return found

    def _unreached(self, detail: str) -> str:
        """What to do when no answer came."""
        path = self._config.uds
        if path:
            detail = detail.rpartition(": ")[2]
            if detail == "permission denied":
                return (
                    f"{path} may not be opened (permission denied): add the user of rulepush to the group that owns "
                    "the socket, mostly `docker` (in a container: docker run --group-add)"
                )
            if detail == "no such file or directory":
                return (
                    f"{path} does not exist: correct `host`, or, in a container, mount the socket "
                    f"(docker run -v {path}:{path}:ro)"
                )
            return f"{path}: {detail}" + (" (no engine listens there)" if detail == "connection refused" else "")
        wants = "the engine wants a client certificate: set cert_file and key_file in `tls_config`"
        if "certificate required" in detail or "bad certificate" in detail:
            return f"{detail} ({wants})"
        tls = self._config.http_client.tls
        is_anonymous = self._config.base.startswith("https") and not (tls.cert or tls.cert_file)
        # With TLS 1.3 the refusal comes after the handshake, and may cross the request: it is lost then.
        if is_anonymous and any(
            end in detail for end in ("broken pipe", "connection reset", "disconnected", "closed the")
        ):
            return f"{detail} (perhaps {wants})"
        if met_plain_http(detail):
            return f"{detail} (the engine speaks plain HTTP: write `host: tcp://...`)"
        hint = "" if urlsplit(self._config.base).port else " (host names no port; Docker's is 2375, 2376 with TLS)"
        return detail + hint


def _refused(answer: RegistryAnswer) -> str:
    """What a status other than 200 means, and what to do; Docker's body is `{"message": "..."}`."""
    said = answer.described
    if "HTTP request to an HTTPS server" in said:
        return f"{answer.url} speaks HTTPS: write `host: https://...`, with `tls_config`"
    if answer.status == 400 and "filter" in said:
        return f"{answer.url}: {said}: correct `filters`"
    if answer.status == 403:
        return f"{answer.url}: {said}: what stands before Docker forbids this; allow GET of /containers and /networks"
    if answer.status == 404:
        return f"{answer.url}: {said}: not the API of Docker; correct `host`"
    return f"{answer.url}: {said}"


def _network_labels(networks: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The labels of each network, by its id (network.go, `getNetworksLabels`)."""
    found = {}
    for network in networks:
        named = network.get("Labels")
        labels = {f"{_NETWORK}label_{sanitized_label_name(k)}": str(v) for k, v in (named or {}).items()}
        found[str(network.get("Id") or "")] = labels | {
            f"{_NETWORK}id": str(network.get("Id") or ""),
            f"{_NETWORK}name": str(network.get("Name") or ""),
            f"{_NETWORK}scope": str(network.get("Scope") or ""),
            f"{_NETWORK}internal": flag_value(network.get("Internal")),
            f"{_NETWORK}ingress": flag_value(network.get("Ingress")),
        }
    return found
