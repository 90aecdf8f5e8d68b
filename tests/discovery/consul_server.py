"""A fake Consul agent, for the three endpoints that consul_sd_configs asks.

Written from hashicorp/consul: agent/http.go (`wrap`, `parse`, `parseWait`, `parseTokenInternal`, `parseMetaFilter`,
`setIndex`, the status and text of errors, `connLimiter`), agent/http_oss.go (`parseEntMeta`), acl/errors.go,
api/api.go (`setQueryOptions`, `parseQueryMeta`), api/health.go and api/catalog.go (the shape of the answers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx

from rulepush.clock import Clock

Entry = dict[str, Any]
DC = "dc1"


def instance(
    node: str = "node1",
    address: str = "10.0.0.1",
    port: int = 8080,
    *,
    service: str = "web",
    tags: tuple[str, ...] = (),
    checks: tuple[tuple[str, str], ...] = (("serfHealth", "passing"),),
    **more: Any,
) -> Entry:
    """An entry of /v1/health/service. `more`: node_meta, meta, tagged, service_address, namespace, partition, id."""
    return {
        "Node": {
            "ID": "6a1f6a5c-0000-0000-0000-000000000001",
            "Node": node,
            "Address": address,
            "Datacenter": DC,
            "TaggedAddresses": more.get("tagged"),
            "Meta": more.get("node_meta"),
            "CreateIndex": 5,
            "ModifyIndex": 5,
        },
        "Service": {
            "ID": more.get("id", f"{service}-{node}"),
            "Service": service,
            "Tags": list(tags),
            "Address": more.get("service_address", ""),
            "Meta": more.get("meta"),
            "Port": port,
            "Weights": {"Passing": 1, "Warning": 1},
            "EnableTagOverride": False,
            "Namespace": more.get("namespace", ""),
            "Partition": more.get("partition", ""),
        },
        "Checks": [{"Node": node, "CheckID": i, "Name": i, "Status": s} for i, s in checks],
    }


@dataclass
class FakeConsul:
    """Each change has an index of its own; a service's index is that of its last change, the catalog's that of the last
    change at all. `filters` says what an expression of `filter` selects. `fail` answers in place of everything."""

    clock: Clock
    tokens: dict[str, str] | None = None  # token -> "all", or "agent", "catalog", "none"; None: ACLs are off
    enterprise: bool = False
    most_connections: int = 200
    fail: Callable[[httpx.Request], httpx.Response] | None = None
    filters: dict[str, Callable[[Entry], bool]] = field(default_factory=dict)
    services: dict[str, list[Entry]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    index: int = 10

    def __post_init__(self) -> None:
        self._changed_at: dict[str, int] = {}
        self._waiting: list[asyncio.Future[None]] = []

    def put(self, name: str, *entries: Entry) -> None:
        """Register a service with these instances, in place of those it has; without any it ends."""
        self.index += 1
        self._changed_at[name] = self.index
        if entries:
            self.services[name] = list(entries)
        else:
            self.services.pop(name, None)
        self.wake()

    def wake(self) -> None:
        """Let every held request look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def cut(self) -> None:
        """End every held request as a lost connection does."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_exception(httpx.ReadError("connection reset by peer"))

    def asked(self, part: str) -> list[httpx.Request]:
        """The requests whose path has this part."""
        return [r for r in self.requests if part in r.url.path]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """One request; for httpx.MockTransport."""
        self.requests.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.under_way > self.most_connections:
                text = "Your IP is issuing too many concurrent connections, please rate limit your calls\n"
                return httpx.Response(429, text=text)
            return self.fail(request) if self.fail else await self._answer(request)
        finally:
            self.under_way -= 1

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        query, path = request.url.params, request.url.path
        refused = self._refused(request)
        if refused is not None:
            return refused
        if path == "/v1/agent/self":
            return httpx.Response(200, json={"Config": {"Datacenter": DC, "NodeName": "agent"}, "Member": {}})
        name = unquote(path.removeprefix("/v1/health/service/")) if path.startswith("/v1/health/service/") else None
        if name is None and path != "/v1/catalog/services":
            return httpx.Response(404)
        if "filter" in query and query["filter"] not in self.filters:
            text = "Failed to create boolean expression evaluator: 1:1 (0): no match found"
            return httpx.Response(500, text=text)
        wait = query.get("wait", "300000ms")
        if not wait.endswith("ms"):
            return httpx.Response(400, text="Invalid wait time")
        await self._hold(name, int(query.get("index", "0")), int(wait[:-2]) / 1000)
        right = self._right(request)
        found: Any = self._catalog(query) if name is None else self._instances(name, query)
        headers = {"X-Consul-Index": str(max(1, self._index_of(name))), "X-Consul-KnownLeader": "true"}
        if right == "agent" or (right == "catalog" and name is not None):
            headers["X-Consul-Results-Filtered-By-ACLs"] = "true"
            found = {} if name is None else []
        return httpx.Response(200, json=found, headers=headers)

    def _right(self, request: httpx.Request) -> str:
        bearer = request.headers.get("Authorization", "")
        token = request.headers.get("X-Consul-Token", "") or bearer.removeprefix("Bearer ")
        return "all" if self.tokens is None else self.tokens.get(token, "" if token else "none")

    def _refused(self, request: httpx.Request) -> httpx.Response | None:
        query, right = request.url.params, self._right(request)
        if right == "":
            return httpx.Response(403, text="ACL not found")
        if request.url.path == "/v1/agent/self" and right in ("none", "catalog"):
            text = "Permission denied: token with AccessorID '7' lacks permission 'agent:read' on \"agent\""
            return httpx.Response(403, text=text)
        if right == "none":
            return httpx.Response(403, text="Permission denied")
        for key, feature in (("ns", "Namespaces"), ("partition", "Partitions")):
            if query.get(key) and not self.enterprise:
                reason = f'Invalid query parameter: "{key}" - {feature} are a Consul Enterprise feature'
                return httpx.Response(400, text=f"Bad request: {reason}")
        if query.get("dc", DC) != DC:
            return httpx.Response(500, text="No path to datacenter")
        return None

    def _index_of(self, name: str | None) -> int:
        return self.index if name is None else self._changed_at.get(name, min(self.index, 10))

    async def _hold(self, name: str | None, index: int, wait_s: float) -> None:
        """A blocking query: until the index is above `index`, or the wait and the jitter are over."""
        until = self.clock.monotonic() + wait_s * 17 / 16
        while index and self._index_of(name) <= index and self.clock.monotonic() < until:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)

            def end(future: asyncio.Future[None] = future) -> None:
                if not future.done():
                    future.set_result(None)

            timer = self.clock.call_later(until - self.clock.monotonic(), end)
            try:
                await future
            finally:
                timer.cancel()

    def _catalog(self, query: httpx.QueryParams) -> dict[str, list[str]]:
        found = {}
        for name, entries in self.services.items():
            shown = [e for e in entries if self._selected(e, query)]
            if shown:
                found[name] = sorted({tag for e in shown for tag in e["Service"]["Tags"]})
        return found

    def _instances(self, name: str, query: httpx.QueryParams) -> list[Entry]:
        wanted = set(query.get_list("tag"))
        entries = [e for e in self.services.get(name, []) if self._selected(e, query)]
        return [e for e in entries if wanted <= set(e["Service"]["Tags"])]

    def _selected(self, entry: Entry, query: httpx.QueryParams) -> bool:
        metas = [pair.partition(":") for pair in query.get_list("node-meta")]
        if not all((entry["Node"]["Meta"] or {}).get(key) == value for key, _, value in metas):
            return False
        namespace = query.get("ns", "")
        if namespace not in ("", "*") and entry["Service"]["Namespace"] != namespace:
            return False
        return self.filters[query["filter"]](entry) if "filter" in query else True
