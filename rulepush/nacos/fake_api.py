"""The HTTP APIs of a simulated Nacos server, by release: paths, defaults, paging, login, refusals and their words.

Built from alibaba/nacos, tags 1.4.6, 2.0.4, 2.4.3, 3.0.3 and develop; the files are named at each part, and
docs/nacos-api.md tells the same in prose. Where a default narrows the answer it does so here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rulepush.nacos.releases import Release

DEFAULT_CLUSTER: Final = "DEFAULT"
DEFAULT_GROUP: Final = "DEFAULT_GROUP"
_SERVER_ERROR: Final = 30000  # ErrorCode.java
_API_DEPRECATED: Final = 40000
_V2_MAX_PAGE: Final = 500  # ServiceControllerV2.java

ServiceKey = tuple[str, str, str]
"""(namespace, group, service)"""
Params = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FakeCall:
    """A request; its path is relative to the context path."""

    method: str
    path: str
    params: Params
    headers: Params
    form: Params


@dataclass(frozen=True, slots=True)
class FakeReply:
    """An answer: `body` is sent as JSON, a str as it is."""

    body: Any
    status: int = 200

    @property
    def text(self) -> str:
        """The body on the wire."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body, ensure_ascii=False)


class _RefusedCall(Exception):
    def __init__(self, reply: FakeReply):
        super().__init__(reply.text)
        self.reply = reply


@dataclass
class FakeRegistry:
    """What the APIs show. All of it may be changed at any time.

    `members`     (ip, port, state) as the asked server sees them: Member.java, NodeState.java
    `leader`      the ip that all members name as the leader of every Raft group
    `leader_of`   member's ip -> the leader that it names, where it differs from `leader`
    `services`    instances by service: ip, port, and what differs from `_instance`
    `thresholds`  protection thresholds; a service that is not named has 0 in 1.x, and none at all in later releases
    `users`, `identity`   with either, authentication is on
    `page_limit`  the largest page that any list gives
    """

    members: list[tuple[str, int, str]] = field(default_factory=lambda: [("10.0.0.1", 8848, "UP")])
    leader: str = ""
    leader_of: dict[str, str] = field(default_factory=dict)
    term: int = 3
    namespaces: dict[str, str] = field(default_factory=lambda: {"public": "public"})
    services: dict[ServiceKey, list[dict[str, Any]]] = field(default_factory=dict)
    thresholds: dict[ServiceKey, float] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    identity: tuple[str, str] | None = None
    token_ttl: int = 18_000
    page_limit: int = 1_000_000
    tokens: list[str] = field(default_factory=list)
    logins: int = 0


class FakeApi:
    """Answers calls from a FakeRegistry, as `release` does."""

    def __init__(self, registry: FakeRegistry, release: Callable[[], Release], version: Callable[[], str]):
        self._registry = registry
        self._release = release
        self._version = version

    def answer(self, call: FakeCall) -> FakeReply:
        """404 with Spring's words for a path that this release does not have."""
        release = self._release()
        if call.method == "POST" and call.path in _login_paths(release):
            return self._login(call)
        handler, open_to_all = self._routes(release).get(call.path, (None, True))
        if handler is None:
            retired = release >= (3, 0, 0) and call.path.startswith(("/v1/", "/v2/"))
            return _retired(call.path) if retired else not_found(call.path)
        if not open_to_all and not self._allowed(call):
            return FakeReply(_spring(403, "Forbidden", call.path, "user not found!"), 403)
        try:
            return FakeReply(handler(call.params))
        except _RefusedCall as refused:
            return refused.reply

    def _routes(self, release: Release) -> dict[str, tuple[Callable[[Params], Any], bool]]:
        """Path -> (handler, whether it is open while authentication is on: it has no @Secured)."""
        state = (self._state, True)
        if release >= (3, 0, 0):  # ...V3.java of core and naming; ServerStateController.java
            return {
                "/v3/admin/core/state": (lambda p: _result(self._state(p)), True),
                "/v3/admin/core/state/readiness": (lambda _: _result("ok"), True),
                "/v3/admin/core/cluster/node/list": (lambda _: _result(self._members()), False),
                "/v3/admin/core/namespace/list": (lambda _: _result(self._namespaces("public")), False),
                "/v3/admin/ns/service/list": (lambda p: _result(self._service_page(p)), False),
                "/v3/admin/ns/instance/list": (lambda p: _result(self._instances_v3(p)), False),
                "/v1/ns/instance/list": (self._instances_v1, False),  # the API of clients is still compatible
            }
        routes: dict[str, tuple[Callable[[Params], Any], bool]] = {
            "/v1/console/server/state": state,
            "/v1/console/health/readiness": (lambda _: "OK", True),
            "/v1/console/namespaces": (lambda _: _result_v1(self._namespaces("")), True),
            "/v1/ns/catalog/services": (self._catalog, False),
            "/v1/ns/catalog/service": (self._catalog_service, False),
            "/v1/ns/catalog/instances": (self._catalog_instances, False),
            "/v1/ns/service/list": (lambda p: self._names(p, "doms", self._registry.page_limit), False),
            "/v1/ns/instance/list": (self._instances_v1, False),
        }
        if release < (2, 0, 0):
            routes["/v1/ns/operator/servers"] = (lambda _: {"servers": self._servers()}, True)
        if release >= (1, 3, 0):  # NacosClusterController.java; @Secured since 2.x
            routes["/v1/core/cluster/nodes"] = (lambda _: _result_v1(self._members()), release < (2, 0, 0))
        if release >= (2, 2, 0):  # ...ControllerV2.java
            routes |= {
                "/v2/core/cluster/node/list": (lambda _: _result(self._members()), False),
                "/v2/console/namespace/list": (lambda _: _result(self._namespaces("")), True),
                "/v2/ns/service/list": (lambda p: _result(self._names(p, "services", _V2_MAX_PAGE)), False),
                "/v2/ns/instance/list": (lambda p: _result(self._instances_v1(p)), False),
            }
        return routes

    def _login(self, call: FakeCall) -> FakeReply:
        """UserController.java, UserControllerV3.java; a wrong password is an AccessException, as text."""
        registry = self._registry
        if not registry.users or registry.users.get(call.form.get("username", "")) != call.form.get("password"):
            return FakeReply("unknown user!", 403)
        registry.logins += 1
        registry.tokens.append(f"token-{registry.logins}")
        return FakeReply(
            {
                "accessToken": registry.tokens[-1],
                "tokenTtl": registry.token_ttl,
                "globalAdmin": True,
                "username": call.form.get("username", ""),
            }
        )

    def _allowed(self, call: FakeCall) -> bool:
        registry = self._registry
        if registry.identity and call.headers.get(registry.identity[0].lower()) == registry.identity[1]:
            return True
        if not registry.users and not registry.identity:
            return True
        return call.params.get("accessToken") in registry.tokens

    def _state(self, _: Params) -> dict[str, Any]:
        alone = len(self._registry.members) == 1
        mode = "startup_mode" if self._release() >= (2, 3, 0) else "standalone_mode"
        return {"version": self._version(), mode: "standalone" if alone else "cluster", "function_mode": None}

    def _members(self) -> list[Any]:
        """Member.java. Each member reports its own Raft metadata: JRaftProtocol.java, ProtocolMetaData.java."""
        registry = self._registry
        groups = ["naming_persistent_service"]
        if self._release() >= (1, 4, 0):
            groups += ["naming_persistent_service_v2", "naming_service_metadata"]
        return [
            {
                "ip": ip,
                "port": port,
                "state": state,
                "extendInfo": {
                    "lastRefreshTime": 1700000000000,
                    "raftMetaData": {"metaDataMap": {g: self._raft(ip) for g in groups}},
                    "raftPort": str(port - 1000),
                    "readyToUpgrade": True,
                    "version": self._version(),
                },
                "address": f"{ip}:{port}",
                "failAccessCnt": 0,
                "abilities": {"remoteAbility": {"supportRemoteConnection": True}},
            }
            for ip, port, state in registry.members
        ]

    def _raft(self, member: str) -> dict[str, Any]:
        registry = self._registry
        ports = {ip: port - 1000 for ip, port, _ in registry.members}
        leader = registry.leader_of.get(member, registry.leader or next(iter(ports), ""))
        return {
            "leader": f"{leader}:{ports.get(leader, 7848)}" if leader else "",
            "raftGroupMember": [f"{ip}:{port}" for ip, port in ports.items()],
            "term": registry.term,
        }

    def _servers(self) -> list[Any]:
        """OperatorController.java; before 1.3 a Server had `servePort` and `alive`."""
        return [
            {"ip": ip, "servePort": port, "site": "unknown", "weight": 1, "alive": state == "UP", "key": f"{ip}:{port}"}
            for ip, port, state in self._registry.members
        ]

    def _namespaces(self, public: str) -> list[Any]:
        """NamespaceController.java and its like: the public one has the id "" before 3.0."""
        return [
            {
                "namespace": public if id_ == "public" else id_,
                "namespaceShowName": name,
                "namespaceDesc": None,
                "quota": 200,
                "configCount": 0,
                "type": 0 if id_ == "public" else 2,
            }
            for id_, name in self._registry.namespaces.items()
        ]

    def _matching(self, p: Params) -> list[ServiceKey]:
        """CatalogServiceV2Impl.patternServices: the parameters are found anywhere in group and name."""
        namespace = p.get("namespaceId") or "public"
        group, name = p.get("groupNameParam", ""), p.get("serviceNameParam", "")
        return [key for key in self._registry.services if key[0] == namespace and group in key[1] and name in key[2]]

    def _cut(self, found: list[Any], p: Params, limit: int | None = None) -> list[Any]:
        size = min(int(p["pageSize"]), limit or self._registry.page_limit, self._registry.page_limit)
        start = (int(p["pageNo"]) - 1) * size
        return found[start : start + size]

    def _catalog(self, p: Params) -> Any:
        """CatalogController.listDetail: `pageNo` and `pageSize` are 0 when missing, which gives nothing."""
        found = self._matching(p)
        return {"serviceList": [self._view(key) for key in self._cut(found, p)], "count": len(found)}

    def _view(self, key: ServiceKey) -> dict[str, Any]:
        """ServiceView.java: the counts include disabled instances, and know no protection."""
        instances = self._all(key)
        return {
            "name": key[2],
            "groupName": key[1],
            "clusterCount": len({i["clusterName"] for i in instances}),
            "ipCount": len(instances),
            "healthyInstanceCount": sum(i["healthy"] for i in instances),
            "triggerFlag": "false",
        }

    def _catalog_service(self, p: Params) -> Any:
        key = self._known(p)
        clusters = sorted({i["clusterName"] for i in self._all(key)})
        return {
            "service": {"name": key[2], "groupName": key[1], "protectThreshold": self._registry.thresholds.get(key, 0)},
            "clusters": [{"name": name, "serviceName": f"{key[1]}@@{key[2]}"} for name in clusters],
        }

    def _catalog_instances(self, p: Params) -> Any:
        """CatalogController.instanceList: clusterName is required."""
        key = self._known(p)
        found = self._in_cluster(key, p["clusterName"])
        return {"list": self._cut(found, p), "count": len(found)}

    def _known(self, p: Params) -> ServiceKey:
        key = _key(p)
        if key not in self._registry.services:
            self._refuse(f"service {key[1]}@@{key[2]} is not found!")
        return key

    def _in_cluster(self, key: ServiceKey, cluster: str) -> list[Any]:
        """CatalogServiceV2Impl.listInstances; a cluster without instances does not exist."""
        found = [i for i in self._all(key) if i["clusterName"] == cluster]
        if not found:
            self._refuse(f"cluster {cluster} is not found!")
        return found

    def _refuse(self, words: str) -> None:
        """A NacosException of 404: text from ResponseExceptionHandler.java up to 2.x, a Result from
        NacosApiExceptionHandler.java in 3.x."""
        if self._release() >= (3, 0, 0):
            raise _RefusedCall(FakeReply({"code": _SERVER_ERROR, "message": "server error", "data": words}, 404))
        raise _RefusedCall(FakeReply(words, 404))

    def _names(self, p: Params, field_name: str, limit: int) -> Any:
        """ServiceController.list: one group, DEFAULT_GROUP when none is given."""
        namespace, group = p.get("namespaceId") or "public", p.get("groupName") or DEFAULT_GROUP
        found = [key[2] for key in self._registry.services if key[:2] == (namespace, group)]
        return {"count": len(found), field_name: self._cut(found, p, limit)}

    def _service_page(self, p: Params) -> Any:
        """ServiceControllerV3.list; PageForm.java: page 1 of 100 when nothing is given."""
        p = {"pageNo": "1", "pageSize": "100", **p}
        found = self._matching(p)
        entry = self._detail if p.get("withInstances") == "true" else self._view
        items = [entry(key) for key in self._cut(found, p)]
        return {"totalCount": len(found), "pageNumber": int(p["pageNo"]), "pagesAvailable": 1, "pageItems": items}

    def _detail(self, key: ServiceKey) -> dict[str, Any]:
        """ServiceDetailInfo.java, ClusterInfo.java"""
        clusters: dict[str, dict[str, list[Any]]] = {}
        for instance in self._all(key):
            clusters.setdefault(instance["clusterName"], {"hosts": []})["hosts"].append(instance)
        return {"serviceName": key[2], "groupName": key[1], "metadata": {}, "clusterMap": clusters}

    def _instances_v3(self, p: Params) -> list[Any]:
        """InstanceControllerV3.list. InstanceListForm.fillDefaultValue means DEFAULT when no cluster is named; the
        change of PR 14778 came after 3.2.0."""
        key = self._known(p)
        cluster = p.get("clusterName") or (DEFAULT_CLUSTER if self._release() < (3, 2, 1) else "")
        found = self._in_cluster(key, cluster) if cluster else self._all(key)
        return [i for i in found if i["healthy"] or p.get("healthyOnly") != "true"]

    def _instances_v1(self, p: Params) -> dict[str, Any]:
        """What clients are given, of all clusters unless `clusters` (v1) or `clusterName` (v2) names some.

        1.x: InstanceController.doSrvIpxt; all count as healthy when the healthy ones are no larger share than the
        threshold; then disabled ones go. 2.x: ServiceUtil.selectInstancesWithHealthyProtection; disabled ones go
        first, and only a service with metadata is protected. A service that is not known has no hosts.
        """
        key = _key(p)
        hosts = list(self._all(key)) if key in self._registry.services else []
        if clusters := p.get("clusters") or p.get("clusterName"):
            hosts = [h for h in hosts if h["clusterName"] in clusters.split(",")]
        old = self._release() < (2, 0, 0)
        if not old:
            hosts = [h for h in hosts if h["enabled"]]
        threshold = self._registry.thresholds.get(key, 0.0 if old else None)
        healthy = sum(h["healthy"] for h in hosts)
        if hosts and threshold is not None and healthy / len(hosts) <= threshold:
            hosts = [h | {"healthy": True} for h in hosts]
        elif p.get("healthyOnly") == "true":
            hosts = [h for h in hosts if h["healthy"]]
        return {
            "name": f"{key[1]}@@{key[2]}",
            "groupName": key[1],
            "clusters": clusters or "",
            "cacheMillis": 10000,
            "hosts": [h for h in hosts if h["enabled"]],
            "lastRefTime": 0,
            "checksum": "",
            "allIPs": False,
            "reachProtectionThreshold": False,
            "valid": True,
        }

    def _all(self, key: ServiceKey) -> list[dict[str, Any]]:
        """Instance.java, with what was not said filled in."""
        full = []
        for given in self._registry.services[key]:
            cluster = given.get("clusterName", DEFAULT_CLUSTER)
            base = {
                "instanceId": f"{given['ip']}#{given['port']}#{cluster}#{key[1]}@@{key[2]}",
                "weight": 1.0,
                "healthy": True,
                "enabled": True,
                "ephemeral": True,
                "clusterName": cluster,
                "serviceName": f"{key[1]}@@{key[2]}",
                "metadata": {},
                "instanceHeartBeatInterval": 5000,
                "ipDeleteTimeout": 30000,
            }
            full.append(base | given)
        return full


def _login_paths(release: Release) -> tuple[str, ...]:
    old = ("/v1/auth/login", "/v1/auth/users/login")
    return ("/v3/auth/user/login", *old) if release >= (3, 0, 0) else old


def _key(p: Params) -> ServiceKey:
    """ServiceNameFilter.java: the group may stand before the name."""
    group, at, name = p.get("serviceName", "").rpartition("@@")
    return p.get("namespaceId") or "public", group if at else p.get("groupName") or DEFAULT_GROUP, name


def _result(data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "success", "data": data}


def _result_v1(data: Any) -> dict[str, Any]:
    return {"code": 200, "message": None, "data": data}


def _spring(status: int, error: str, path: str, message: str) -> dict[str, Any]:
    timestamp = "2024-10-11T03:12:44.530+00:00"
    return {"timestamp": timestamp, "status": status, "error": error, "message": message, "path": path}


def not_found(path: str) -> FakeReply:
    """What Spring says of a path that is not there; also of the metrics endpoint while it is not exposed."""
    return FakeReply(_spring(404, "Not Found", path, "No message available"), 404)


def _retired(path: str) -> FakeReply:
    """ApiCompatibilityFilter.java: a Result, as text in the message of Spring's error."""
    words = "Current API will be deprecated, please use the API(s) of v3 instead."
    result = json.dumps({"code": _API_DEPRECATED, "message": words, "data": None})
    return FakeReply(_spring(410, "Gone", path, result), 410)
