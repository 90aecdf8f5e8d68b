"""Consul's HTTP API as consul_sd_configs needs it: which datacenter, which services, their instances and health.

Blocking queries: with the index of the last answer, Consul holds a request until something changed or its `wait` is
over (hashicorp/consul agent/http.go, `parseWait`; api/api.go, `setQueryOptions`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from rulepush.discovery.registry_api import Deadline, RegistryAnswer, RegistryAsking, ask_registry
from rulepush.errors import DiscoveryError
from rulepush.http_client.client import met_plain_http

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import ClientOnDemand

WATCH_SECONDS: Final = 120.0  # Prometheus discovery/consul/consul.go, watchTimeout
_SPARE_SECONDS: Final = 15.0  # above the wait, for the answer; Prometheus' spare, too
_JITTER: Final = 1 / 16  # of a wait, that Consul adds (agent/consul/rpc.go, jitterFraction)

# Consul takes 200 connections of one client (limits.http_max_conns_per_client) and answers 429 to more. Another
# Prometheus or an application on the same machine has its part of these.
PARKED_REQUESTS: Final = 100
PROMPT_REQUESTS: Final = 16
_SHORTEST_WAIT_S: Final = 1.0

_RIGHTS: Final = 'service_prefix "" { policy = "read" } and node_prefix "" { policy = "read" }'
_AGENT_RIGHT: Final = 'agent_prefix "" { policy = "read" }'


class RequestSlot:
    """The place of one request at a time, which owns the connection that it goes over. `client` is whose that is."""

    __slots__ = ("client",)

    def __init__(self) -> None:
        self.client: ClientOnDemand | None = None


class RequestSlots:
    """Bounds the requests that all discoveries have under way at one Consul agent, and their connections with them.

    Prometheus parks one request, on a connection of its own, for each service of each consul_sd_configs entry. Here
    `PARKED_REQUESTS` may wait at a time. With more services than that they take turns: each waits for as long as lets
    all of them have one turn per refresh interval. Requests that Consul answers at once (the first of a service, and
    the first after a failure) do not queue behind those that wait: `PROMPT_REQUESTS` more places are theirs alone.
    """

    def __init__(self, parked: int = PARKED_REQUESTS, prompt: int = PROMPT_REQUESTS):
        self._parked_most = parked
        self._parked = asyncio.Semaphore(parked)
        self._all = asyncio.Semaphore(parked + prompt)
        self._idle = [RequestSlot() for _ in range(parked + prompt)]
        self.watchers = 0  # of services, in all discoveries

    async def run(self) -> None:
        """A SharedPart, which only holds its counts."""
        await asyncio.Event().wait()

    @asynccontextmanager
    async def turn(self, client: ClientOnDemand, index: int, interval_s: float) -> AsyncIterator[tuple[object, float]]:
        """For the length of a with block: one request of this client. Gives the owner of its connection, and the
        seconds that Consul may hold it."""
        async with self._parked if index else nullcontext(), self._all:
            slot = self._idle_slot(client)
            self._idle.remove(slot)
            try:
                if slot.client is not client and slot.client is not None:
                    await slot.client.close_owned(slot)
                slot.client = client
                if self.watchers <= self._parked_most:
                    yield slot, WATCH_SECONDS
                else:
                    share = interval_s * self._parked_most / self.watchers
                    yield slot, min(WATCH_SECONDS, max(_SHORTEST_WAIT_S, share))
            finally:
                self._idle.append(slot)

    def _idle_slot(self, client: ClientOnDemand) -> RequestSlot:
        """The one that this client used last, else one without a connection, else that of another client."""
        return next(
            (slot for wanted in (client, None) for slot in reversed(self._idle) if slot.client is wanted), self._idle[0]
        )

    def leave(self, client: ClientOnDemand) -> None:
        """The client is closed."""
        for slot in self._idle:
            if slot.client is client:
                slot.client = None


class _Denied(DiscoveryError):
    """The token lacks a right; the text ends with the rights it needs."""


@dataclass(frozen=True, slots=True)
class ConsulAnswer:
    """`index` is 0 when there was none in the answer. `body` is parsed; None: nothing changed since the index asked."""

    index: int
    body: Any


class ConsulClient:
    """The API at `base` (`http://consul:8500`, with the path prefix). `params` go with every request: dc, ns,
    partition. `headers` are those of the requests that the client sends without httpx. `has_port` is whether the
    configuration names the server's port. Each method raises DiscoveryError."""

    def __init__(
        self,
        client: ClientOnDemand,
        base: str,
        params: Sequence[tuple[str, str]],
        deadline: Deadline = asyncio.timeout,
        *,
        headers: Mapping[str, str],
        has_port: bool = True,
    ):
        self.client = client
        self._headers = headers
        self._base = base
        self._params = tuple(params)
        self._deadline = deadline
        self._port_hint = "" if has_port else " (server names no port; Consul's is 8500)"

    async def datacenter(self) -> str:
        """The datacenter of the agent that answers."""
        try:
            answer = await self._get("/v1/agent/self", (), _SPARE_SECONDS, self._asking(self))
        except _Denied as e:
            raise DiscoveryError(f"{e}, and {_AGENT_RIGHT}, or name the `datacenter`, which saves that") from None
        config = answer.parsed(dict, "Consul").get("Config")
        found = config.get("Datacenter") if isinstance(config, dict) else None
        if not isinstance(found, str):
            raise DiscoveryError(f"{answer.url}: not the API of Consul: invalid value {found!r} for Config.Datacenter")
        return found

    async def services(self, index: int, options: Sequence[tuple[str, str]]) -> ConsulAnswer:
        """The services of the catalog: `{name: [tag, ...]}`."""
        found = await self._watch("/v1/catalog/services", index, WATCH_SECONDS, options, dict, self)
        if found.body is not None and not all(_are_texts(tags) for tags in found.body.values()):
            raise DiscoveryError(f"{self._base}/v1/catalog/services: not the API of Consul: the tags are no lists")
        return found

    async def instances(
        self, name: str, index: int, wait_s: float, options: Sequence[tuple[str, str]], owner: object
    ) -> ConsulAnswer:
        """The instances of a service: a list of objects with Node, Service and Checks. `owner` has the connection."""
        path = f"/v1/health/service/{quote(name, safe='/$&+,:;=@~')}"
        return await self._watch(path, index, wait_s, options, list, owner)

    async def _watch(
        self, path: str, index: int, wait_s: float, options: Sequence[tuple[str, str]], expected: type, owner: object
    ) -> ConsulAnswer:
        asked = [*options, ("wait", f"{round(wait_s * 1000)}ms")]
        if index:
            asked.append(("index", str(index)))
        seconds = (wait_s * (1 + _JITTER) if index else 0.0) + _SPARE_SECONDS
        answer = await self._get(path, asked, seconds, self._asking(owner, index))
        found = _index_of(answer.headers)
        if found and found == index:
            return ConsulAnswer(found, None)
        body = answer.parsed(expected, "Consul")
        if not body and answer.headers.get("x-consul-results-filtered-by-acls") == "true":
            # An empty list, with status 200, is what a token without rights gets: it must not end all targets.
            raise _Denied(f"Consul hides everything at {answer.url} from this token: its policy needs {_RIGHTS}")
        return ConsulAnswer(found, body)

    def _asking(self, owner: object, index: int = 0) -> RegistryAsking:
        """With the index of the answer before: a request that Consul held until the wait was over has the same answer
        once more, whole."""
        if not index:
            return RegistryAsking(owner, self._headers)
        return RegistryAsking(owner, self._headers, lambda headers: _index_of(headers) == index)

    async def _get(
        self, path: str, params: Sequence[tuple[str, str]], seconds: float, asking: RegistryAsking
    ) -> RegistryAnswer:
        try:
            answer = await ask_registry(
                self.client, self._base + path, (*self._params, *params), seconds, self._deadline, asking
            )
        except DiscoveryError as e:
            raise DiscoveryError(f"{e}{self._hint(str(e))}") from None
        if answer.status != 200:
            raise _refusal(answer)
        return answer

    def _hint(self, detail: str) -> str:
        if met_plain_http(detail):
            return " (the server speaks plain HTTP: set `scheme: http`, or its HTTPS port)"
        return self._port_hint


def _refusal(answer: RegistryAnswer) -> DiscoveryError:
    """What a status other than 200 means, and what to do. The texts are Consul's: agent/http.go, acl/errors.go,
    agent/http_oss.go, agent/agent.go (`connLimiter`)."""
    said = answer.described
    if "ACL not found" in said:
        return DiscoveryError(f"Consul does not know the token ({said}): set `token` to one that is valid")
    if "permission denied" in said.lower():
        return _Denied(f"the token may not read {answer.url} ({said}): its policy needs {_RIGHTS}")
    if "Consul Enterprise feature" in said:
        return DiscoveryError(f"{said}: this Consul has none, so leave out `namespace` and `partition`")
    if "boolean expression evaluator" in said:
        return DiscoveryError(
            f"Consul refuses the filter of {answer.url} ({said}): correct `filter` or `health_filter`"
        )
    if "HTTP request to an HTTPS server" in said:
        return DiscoveryError(f"{answer.url} speaks HTTPS: set `scheme: https`")
    if "No path to datacenter" in said:
        return DiscoveryError(f"Consul does not know the datacenter ({said}): correct `datacenter`")
    if answer.status == 429:
        return DiscoveryError(
            f"{answer.url}: {said} (Consul's limits.http_max_conns_per_client or its rate limit: raise it there)"
        )
    if 300 <= answer.status < 400:
        where = answer.headers.get("location", "").partition("?")[0]
        return DiscoveryError(f"{answer.url} redirects to {where or 'nowhere'} ({said}): correct `server` or `scheme`")
    if answer.status == 401:
        return DiscoveryError(f"{answer.url}: {said}: a proxy before Consul wants `basic_auth` or `authorization`")
    if answer.status == 404:
        return DiscoveryError(f"{answer.url}: {said}: not the API of Consul; correct `server` or `path_prefix`")
    return DiscoveryError(f"{answer.url}: {said}")


def _index_of(headers: Mapping[str, str]) -> int:
    text = headers.get("x-consul-index", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _are_texts(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(v, str) for v in value))
