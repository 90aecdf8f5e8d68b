"""A Nacos server as its open APIs answer, 1.x, 2.x and 3.x: paths, shapes, paging, login, refusals.

Shapes are those of Nacos 1.4.2, 2.3.2 and 3.0.1: `MemberUtil`/`NacosMember`, `ServiceInfo`, `CatalogService`,
`Result`, `Page`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

Params = dict[str, str]


@dataclass
class FakeNacos:
    """`major` chooses the APIs it speaks: 1 (before 1.3 with `old`), 2, or 3."""

    major: int
    old: bool = False
    users: dict[str, str] = field(default_factory=dict)
    identity: tuple[str, str] | None = None
    token_ttl: int = 18000
    page_limit: int = 10_000
    context: str = "/nacos"
    members: list[tuple[str, int, str]] = field(default_factory=lambda: [("10.0.0.1", 8848, "UP")])
    leader: str = "10.0.0.1"
    namespaces: dict[str, str] = field(default_factory=lambda: {"public": "public"})
    # (namespace, group, service) -> instances
    services: dict[tuple[str, str, str], list[dict[str, Any]]] = field(default_factory=dict)
    down: bool = False
    html: bool = False
    tokens: list[str] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    logins: int = 0

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.down:
            raise httpx.ConnectError("connection refused", request=request)
        if self.html:
            return httpx.Response(200, html="<html>login</html>")
        path = request.url.path
        if not path.startswith(self.context + "/"):
            return httpx.Response(404, json={"status": 404, "error": "Not Found", "path": path})
        path = path.removeprefix(self.context)
        if path in self._login_paths() and request.method == "POST":
            return self._login(request)
        handler = self._routes().get(path)
        if handler is None:
            if self.major == 3 and path.startswith(("/v1/", "/v2/")):
                return httpx.Response(
                    410, json={"code": 30010, "message": "Current API will be deprecated", "data": None}
                )
            return httpx.Response(404, json={"timestamp": "2024-01-01", "status": 404, "error": "Not Found"})
        if not self._allowed(request):
            return httpx.Response(
                403, json={"timestamp": "x", "status": 403, "error": "Forbidden", "message": "user not found!"}
            )
        return httpx.Response(200, json=handler(dict(request.url.params)))

    def _login_paths(self) -> tuple[str, ...]:
        return ("/v3/auth/user/login",) if self.major == 3 else ("/v1/auth/login", "/v1/auth/users/login")

    def _login(self, request: httpx.Request) -> httpx.Response:
        form = dict(httpx.QueryParams(request.content.decode()))
        if not self.users or self.users.get(form.get("username", "")) != form.get("password"):
            return httpx.Response(403, text="unknown user!")
        self.logins += 1
        self.tokens.append(f"token-{self.logins}")
        return httpx.Response(
            200, json={"accessToken": self.tokens[-1], "tokenTtl": self.token_ttl, "globalAdmin": True}
        )

    def _allowed(self, request: httpx.Request) -> bool:
        if self.identity and request.headers.get(self.identity[0]) == self.identity[1]:
            return True
        if not self.users and not self.identity:
            return True
        return request.url.params.get("accessToken") in self.tokens

    def _routes(self) -> dict[str, Callable[[Params], Any]]:
        if self.major == 3:
            return {
                "/v3/admin/core/cluster/node/list": lambda _: self._result(self._members()),
                "/v3/admin/core/namespace/list": lambda _: self._result(self._namespace_list("public")),
                "/v3/admin/ns/service/list": lambda p: self._result(self._page(p)),
                "/v3/admin/ns/instance/list": lambda p: self._result(self._hosts(p)),
            }
        v1: dict[str, Callable[[Params], Any]] = {
            "/v1/console/namespaces": lambda _: {"code": 200, "message": None, "data": self._namespace_list("")},
            "/v1/ns/operator/servers": lambda _: {"servers": self._old_members()},
            "/v1/ns/catalog/services": lambda p: self._catalog(p),
            "/v1/ns/service/list": lambda p: self._doms(p),
            "/v1/ns/instance/list": lambda p: self._service_info(p),
        }
        if not self.old:
            v1["/v1/core/cluster/nodes"] = lambda _: {"code": 200, "message": None, "data": self._members()}
        if self.major == 1:
            return v1
        return v1 | {
            "/v2/core/cluster/node/list": lambda _: self._result(self._members()),
            "/v2/console/namespace/list": lambda _: self._result(self._namespace_list("")),
            "/v2/ns/service/list": lambda p: self._result(self._names(p)),
            "/v2/ns/instance/list": lambda p: self._result(self._service_info(p)),
        }

    def _result(self, data: Any) -> Any:
        return {"code": 0, "message": "success", "data": data}

    def _members(self) -> list[Any]:
        raft = {
            "metaDataMap": {
                "naming_persistent_service_v2": {
                    "leader": f"{self.leader}:7848",
                    "raftGroupMember": [f"{ip}:7848" for ip, _, _ in self.members],
                    "term": 3,
                }
            }
        }
        version = {1: "1.4.2", 2: "2.3.2", 3: "3.0.1"}[self.major]
        return [
            {
                "ip": ip,
                "port": port,
                "state": state,
                "extendInfo": {
                    "lastRefreshTime": 1700000000000,
                    "raftMetaData": raft,
                    "raftPort": str(port - 1000),
                    "readyToUpgrade": True,
                    "version": version,
                },
                "address": f"{ip}:{port}",
                "failAccessCnt": 0,
                "abilities": {"remoteAbility": {"supportRemoteConnection": True}},
            }
            for ip, port, state in self.members
        ]

    def _old_members(self) -> list[Any]:
        return [
            {
                "ip": ip,
                "servePort": port,
                "site": "unknown",
                "weight": 1,
                "adWeight": 0,
                "alive": state == "UP",
                "lastRefTime": 0,
                "lastRefTimeStr": None,
                "key": f"{ip}:{port}",
            }
            for ip, port, state in self.members
        ]

    def _namespace_list(self, public: str) -> list[Any]:
        return [
            {
                "namespace": public if id_ == "public" else id_,
                "namespaceShowName": name,
                "namespaceDesc": None,
                "quota": 200,
                "configCount": 0,
                "type": 0 if id_ == "public" else 2,
            }
            for id_, name in self.namespaces.items()
        ]

    def _of(self, namespace: str, group: str = "") -> list[tuple[str, str]]:
        return [(g, s) for n, g, s in self.services if n == (namespace or "public") and group in ("", g)]

    def _cut(self, found: list[Any], p: Params) -> list[Any]:
        size, page = min(int(p["pageSize"]), self.page_limit), int(p["pageNo"])
        return found[(page - 1) * size : page * size]

    def _entry(self, namespace: str, group: str, name: str) -> Any:
        count = len(self.services[namespace or "public", group, name])
        return {
            "name": name,
            "groupName": group,
            "clusterCount": 1,
            "ipCount": count,
            "healthyInstanceCount": count,
            "triggerFlag": "false",
        }

    def _page(self, p: Params) -> Any:
        found = self._of(p["namespaceId"])
        items = [self._entry(p["namespaceId"], g, s) for g, s in self._cut(found, p)]
        return {"totalCount": len(found), "pageNumber": int(p["pageNo"]), "pagesAvailable": 1, "pageItems": items}

    def _catalog(self, p: Params) -> Any:
        found = self._of(p["namespaceId"])
        items = [self._entry(p["namespaceId"], g, s) for g, s in self._cut(found, p)]
        return {"serviceList": items, "count": len(found)}

    def _doms(self, p: Params) -> Any:
        found = [s for _, s in self._of(p["namespaceId"], p["groupName"])]
        return {"count": len(found), "doms": self._cut(found, p)}

    def _names(self, p: Params) -> Any:
        found = [s for _, s in self._of(p["namespaceId"], p["groupName"])]
        return {"count": len(found), "services": self._cut(found, p)}

    def _hosts(self, p: Params) -> list[Any]:
        group, name = p["groupName"], p["serviceName"]
        hosts = self.services.get((p["namespaceId"] or "public", group, name), [])
        full = []
        for host in hosts:
            base = {
                "instanceId": f"{host['ip']}#{host['port']}#DEFAULT#{group}@@{name}",
                "weight": 1.0,
                "healthy": True,
                "enabled": True,
                "ephemeral": True,
                "clusterName": "DEFAULT",
                "serviceName": f"{group}@@{name}",
                "metadata": {},
                "instanceHeartBeatInterval": 5000,
                "ipDeleteTimeout": 30000,
            }
            full.append(base | host)
        return full

    def _service_info(self, p: Params) -> Any:
        group, name = p["groupName"], p["serviceName"]
        return {
            "name": f"{group}@@{name}",
            "groupName": group,
            "clusters": "",
            "cacheMillis": 10000,
            "hosts": self._hosts(p),
            "lastRefTime": 0,
            "checksum": "",
            "allIPs": False,
            "reachProtectionThreshold": False,
            "valid": True,
        }
