"""nomad_sd_configs: the instances of services that are registered in Nomad itself.

Keys, defaults and labels are those of Prometheus 3.14 (discovery/nomad/nomad.go).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx

from rulepush.discovery.groups import ADDRESS, Environment, GroupSink, TargetGroup
from rulepush.discovery.polling import Poller
from rulepush.discovery.registry_api import Deadline, RegistryAnswer, ask_registry, shown_selection
from rulepush.errors import DiscoveryError
from rulepush.http_client.build import build_client
from rulepush.http_client.client import met_plain_http, shown_url
from rulepush.http_client.config import HTTPClientConfig, read_http_client
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import Labels
from rulepush.model.secret import Secret

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

_META: Final = "__meta_nomad_"
_SERVER: Final = "http://localhost:4646"
_SECONDS: Final = 60.0  # of one request


@dataclass(frozen=True, slots=True)
class NomadSdConfig:
    """One entry of `nomad_sd_configs`. `server` has no slash at its end; it may hold a password."""

    server: Secret
    http_client: HTTPClientConfig
    namespace: str = "default"
    region: str = "global"
    allow_stale: bool = True
    tag_separator: str = ","
    refresh_interval_ms: int = 60_000
    kind: str = "nomad"

    def discoverer(self, env: Environment) -> NomadDiscovery:
        return NomadDiscovery(self, env)

    @property
    def shown(self) -> str:
        """For the log."""
        chosen = {
            "namespace": self.namespace if self.namespace != "default" else "",
            "region": self.region if self.region != "global" else "",
        }
        return shown_selection(shown_url(self.server.reveal()), chosen)


def read_nomad_sd(m: MapReader) -> NomadSdConfig:
    """Read one entry of `nomad_sd_configs`."""
    if m.has("server") and not m.text("server").strip():
        m.problem("nomad SD configuration requires a server address", "server")
        server = Secret()
    else:
        server = m.url("server") if m.has("server") else Secret(_SERVER)
    config = NomadSdConfig(
        server=Secret(server.reveal().rstrip("/")),
        http_client=read_http_client(m),
        namespace=m.text("namespace", "default"),
        region=m.text("region", "global"),
        allow_stale=m.flag("allow_stale", True),
        tag_separator=m.text("tag_separator", ","),
        refresh_interval_ms=m.duration("refresh_interval", 60_000) or 60_000,
    )
    m.finish()
    return config


class NomadDiscovery:
    """Asks for the services, and for the instances of each, at every refresh interval. Each service is a group."""

    def __init__(
        self,
        config: NomadSdConfig,
        env: Environment,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline: Deadline = asyncio.timeout,
    ):
        self._config = config
        self._env = env
        self._transport = transport
        self._deadline = deadline
        # What Nomad's own client sends (hashicorp/nomad api/api.go, `setQueryOptions`).
        chosen = {"region": config.region, "namespace": config.namespace}
        self._params = [(name, value) for name, value in chosen.items() if value]
        if config.allow_stale:
            self._params.append(("stale", ""))

    async def run(self, sink: GroupSink) -> None:
        config, env = self._config, self._env
        async with build_client(
            config.http_client, env.user_agent, clock=env.clock, transport=self._transport
        ) as client:

            async def refresh() -> Sequence[TargetGroup]:
                return await self._refresh(client)

            await Poller("nomad", config.shown, config.refresh_interval_ms / 1000, refresh, env).run(sink)

    async def _refresh(self, client: httpx.AsyncClient) -> list[TargetGroup]:
        names: set[str] = set()
        for stub in await self._list(client, "/v1/services"):
            services = stub.get("Services") or []
            if not isinstance(services, list) or not all(isinstance(s, dict) for s in services):
                raise DiscoveryError("/v1/services: not the API of Nomad: Services is no list of objects")
            names.update(_text(service, "ServiceName") for service in services)
        groups = []
        for name in sorted(names):
            found = await self._list(client, f"/v1/service/{quote(name, safe='')}")
            targets = [_instance_target(instance, self._config.tag_separator) for instance in found]
            groups.append(TargetGroup(name, tuple(sorted(targets))))
        return groups

    async def _list(self, client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
        url = self._config.server.reveal() + path
        try:
            answer = await ask_registry(client, url, self._params, _SECONDS, self._deadline)
        except DiscoveryError as e:
            raise DiscoveryError(f"{e}{self._hint(str(e))}") from None
        if answer.status != 200:
            raise DiscoveryError(_refused(answer))
        found: list[dict[str, Any]] = answer.parsed(list, "Nomad")
        if not all(isinstance(entry, dict) for entry in found):
            raise DiscoveryError(f"{answer.url}: not the API of Nomad: expected a list of objects")
        return found

    def _hint(self, detail: str) -> str:
        if met_plain_http(detail):
            return " (the server speaks plain HTTP: write `server: http://...`)"
        if httpx.URL(self._config.server.reveal()).port is None:
            return " (server names no port; Nomad's is 4646)"
        return ""


def _refused(answer: RegistryAnswer) -> str:
    """What a status other than 200 means, and what to do. The texts are Nomad's (nomad/structs/errors.go,
    command/agent/http.go)."""
    said = answer.described
    if "ACL token not found" in said:
        return f"Nomad does not know the token ({said}): set `authorization: {{credentials: ...}}` to one that is valid"
    if answer.status == 403 or "Permission denied" in said:
        return (
            f"the token may not read {answer.url} ({said}): set `authorization: {{credentials: ...}}` to a token whose "
            'policy has namespace "..." { capabilities = ["read-job"] }'
        )
    if "No path to region" in said:
        return f"Nomad does not know the region ({said}): correct `region`"
    if "HTTP request to an HTTPS server" in said:
        return f"{answer.url} speaks HTTPS: write `server: https://...`"
    if answer.status == 404:
        return f"{answer.url}: {said}: not the API of Nomad 1.3 or later; correct `server`"
    return f"{answer.url}: {said}"


def _instance_target(instance: Mapping[str, Any], separator: str) -> Labels:
    """The labels of one instance (nomad.go, `refresh`). Raises DiscoveryError."""
    address, port, tags = _text(instance, "Address"), instance.get("Port") or 0, instance.get("Tags") or []
    if not isinstance(port, int) or not isinstance(tags, list):
        raise DiscoveryError("/v1/service: not the API of Nomad: Port is no number, or Tags is no list")
    labels = {
        ADDRESS: join_host_port(address, port),
        f"{_META}address": address,
        f"{_META}dc": _text(instance, "Datacenter"),
        f"{_META}namespace": _text(instance, "Namespace"),
        f"{_META}node_id": _text(instance, "NodeID"),
        f"{_META}service": _text(instance, "ServiceName"),
        f"{_META}service_address": address,
        f"{_META}service_id": _text(instance, "ID"),
        f"{_META}service_port": str(port),
    }
    if tags:
        labels[f"{_META}tags"] = separator + separator.join(map(str, tags)) + separator
    return Labels(labels)


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise DiscoveryError(f"not the API of Nomad: {key} is not a text")
    return value or ""
