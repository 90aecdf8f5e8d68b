"""The APIs of Nacos 1.x, 2.x and 3.x: paths, parameters and the shapes of answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

from rulepush.errors import DiscoveryError
from rulepush.nacos.session import NacosAbsentError, NacosGoneError, NacosRefusedError, NacosSession, as_float

T = TypeVar("T")
PUBLIC: Final = "public"
_PAGE: Final = 500  # v2's service/list takes no more: ServiceControllerV2.java
_PAGE_WITH_INSTANCES: Final = 100  # answers are limited in size, and a service may have thousands of instances
_MAX_PAGES: Final = 1000
_READINGS: Final = 3  # of a list that changes while it is read
_PLAIN: Final = re.compile(r"[\w:.-]+")  # the server makes a regular expression of groupNameParam


@dataclass(frozen=True, slots=True)
class RaftView:
    """What a server knows of one Raft group: the last leader it saw (`ip:raft port`, "" for none) and its term.

    A server that loses its leader keeps the last one it knew: JRaftProtocol.java writes valid leaders only.
    """

    leader: str
    term: int


@dataclass(frozen=True, slots=True)
class Member:
    """A server of the cluster."""

    ip: str
    port: int
    state: str
    version: str
    raft_port: int
    raft: Mapping[str, RaftView] = field(default_factory=dict)  # by group

    @property
    def raft_address(self) -> str:
        """How Raft metadata names this server."""
        return f"{self.ip}:{self.raft_port}"

    @property
    def raft_leader(self) -> bool:
        """Whether it takes itself for the leader of at least one Raft group."""
        return any(view.leader == self.raft_address for view in self.raft.values())


@dataclass(frozen=True, slots=True)
class Namespace:
    """`id` is "public" for the default one, in every version."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Instance:
    """A registered instance of a service."""

    ip: str
    port: int
    cluster: str
    healthy: bool
    enabled: bool
    ephemeral: bool
    weight: float
    id: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Service:
    """A registered service.

    `count`, `healthy`  how many instances it has, and how many are healthy, as the list of services says; None where
                        that list does not say
    `instances`         those that came with the list of services; None where they must be asked for
    """

    group: str
    name: str
    count: int | None = None
    healthy: int | None = None
    instances: tuple[Instance, ...] | None = None


_Page = tuple[list[Service], int]  # the services of one page, and how many there are on all of them


class NacosDialect(Protocol):
    """One version of the open API. All methods raise DiscoveryError; NacosAbsentError when the server lacks it."""

    name: str

    async def members(self, session: NacosSession) -> list[Member]: ...
    async def namespaces(self, session: NacosSession) -> list[Namespace]: ...
    async def services(self, session: NacosSession, namespace: str, groups: tuple[str, ...]) -> list[Service]: ...
    async def instances(self, session: NacosSession, namespace: str, service: Service) -> list[Instance]: ...


class V1:
    """1.x; 2.x has it too."""

    name = "v1"

    async def members(self, session: NacosSession) -> list[Member]:
        try:
            return _members(_data(await session.get("/v1/core/cluster/nodes"), 200))
        except NacosAbsentError:  # before 1.3
            answer = await session.get("/v1/ns/operator/servers")
            return _members(_field(answer, "servers"))

    async def namespaces(self, session: NacosSession) -> list[Namespace]:
        return _namespaces(_data(await session.get("/v1/console/namespaces"), 200))

    async def services(self, session: NacosSession, namespace: str, groups: tuple[str, ...]) -> list[Service]:
        return await _catalog(session, namespace, groups)

    async def instances(self, session: NacosSession, namespace: str, service: Service) -> list[Instance]:
        params = {"namespaceId": namespace, "groupName": service.group, "serviceName": service.name}
        answer = await session.get("/v1/ns/instance/list", params | {"healthyOnly": "false"})
        return await _all_of(session, namespace, service, _instances(answer))


class V2:
    """2.x."""

    name = "v2"

    async def members(self, session: NacosSession) -> list[Member]:
        return _members(_data(await session.get("/v2/core/cluster/node/list"), 0))

    async def namespaces(self, session: NacosSession) -> list[Namespace]:
        return _namespaces(_data(await session.get("/v2/console/namespace/list"), 0))

    async def services(self, session: NacosSession, namespace: str, groups: tuple[str, ...]) -> list[Service]:
        # v2's own service/list shows one group at a time and no counts; 2.x still has v1's catalog.
        return await _catalog(session, namespace, groups)

    async def instances(self, session: NacosSession, namespace: str, service: Service) -> list[Instance]:
        params = {"namespaceId": namespace, "groupName": service.group, "serviceName": service.name}
        answer = await session.get("/v2/ns/instance/list", params | {"healthyOnly": "false"})
        return await _all_of(session, namespace, service, _instances(_data(answer, 0)))


class V3:
    """3.x: the admin API."""

    name = "v3"

    async def members(self, session: NacosSession) -> list[Member]:
        return _members(_data(await session.get("/v3/admin/core/cluster/node/list"), 0))

    async def namespaces(self, session: NacosSession) -> list[Namespace]:
        return _namespaces(_data(await session.get("/v3/admin/core/namespace/list"), 0))

    async def services(self, session: NacosSession, namespace: str, groups: tuple[str, ...]) -> list[Service]:
        """With their instances: instance/list means cluster DEFAULT where no cluster is named, up to 3.2.0
        (InstanceListForm.java), and there is no way to ask it for all of them. This list has every cluster."""
        return _of_groups(await self._listed(session, namespace, _group_param(groups)), groups)

    async def instances(self, session: NacosSession, namespace: str, service: Service) -> list[Instance]:
        if service.instances is not None:
            return list(service.instances)
        wanted = (service.group, service.name)
        params = _group_param((service.group,)) | {"serviceNameParam": _plain(service.name)}
        found = await self._listed(session, namespace, params)
        return [i for s in found if (s.group, s.name) == wanted for i in s.instances or ()]

    async def _listed(self, session: NacosSession, namespace: str, filters: dict[str, str]) -> list[Service]:
        async def page(number: int) -> _Page:
            params = _page(namespace, number, _PAGE_WITH_INSTANCES) | {"withInstances": "true"} | filters
            data = _data(await session.get("/v3/admin/ns/service/list", params), 0)
            items = _list(_field(data, "pageItems") or [])
            return [_service_with_instances(item) for item in items], _count(data, "totalCount")

        return await _all_pages(page)


DIALECTS: Final[dict[str, NacosDialect]] = {"v3": V3(), "v2": V2(), "v1": V1()}  # in the order of detection


async def detect(session: NacosSession) -> NacosDialect:
    """The newest API that the cluster has. Raises DiscoveryError when it has none of them."""
    tried = []
    for dialect in DIALECTS.values():
        try:
            await dialect.members(session)
        except NacosAbsentError as e:
            tried.append(str(e))
            continue
        except NacosRefusedError:  # the API exists; whether access is permitted shows at the first real request
            pass
        return dialect
    raise DiscoveryError("this is no Nacos server, or its context path is another: " + "; ".join(tried))


async def _catalog(session: NacosSession, namespace: str, groups: tuple[str, ...]) -> list[Service]:
    """The services of all groups or of these; what the console of 1.x and 2.x lists."""
    fixed = {"withInstances": "false", "hasIpCount": "false", "serviceNameParam": ""} | _group_param(groups)

    async def page(number: int) -> _Page:
        answer = await session.get("/v1/ns/catalog/services", _page(namespace, number, _PAGE) | fixed)
        items = _list(_field(answer, "serviceList") or [])
        return [_service_entry(item) for item in items], _count(answer, "count")

    return _of_groups(await _all_pages(page), groups)


async def _all_of(session: NacosSession, namespace: str, service: Service, listed: list[Instance]) -> list[Instance]:
    """What is registered, where the list for clients does not show it.

    v1's and v2's instance/list leaves disabled instances out, and calls all of them healthy when fewer are than the
    protection threshold asks for: in 1.x, with the default threshold of 0, when none is (InstanceController.java of
    1.x, ServiceUtil.java of 2.x). The catalog has the true counts; where they differ, its own list is used.
    """
    healthy = sum(instance.healthy for instance in listed)
    if service.count is None or (len(listed), healthy) == (service.count, service.healthy):
        return listed
    params = {"namespaceId": namespace, "serviceName": f"{service.group}@@{service.name}"}
    detail = await session.get("/v1/ns/catalog/service", params)
    found: list[Instance] = []
    for cluster in _list(_field(detail, "clusters") or []):
        try:
            found += await _of_cluster(session, params | {"clusterName": str(_field(cluster, "name"))})
        except NacosGoneError as e:
            if e.what != "cluster":
                raise  # a cluster disappears with its last instance
    return found


async def _of_cluster(session: NacosSession, params: dict[str, str]) -> list[Instance]:
    async def page(number: int) -> tuple[list[Instance], int]:
        answer = await session.get("/v1/ns/catalog/instances", params | {"pageNo": number, "pageSize": _PAGE})
        items = _list(_field(answer, "list") or [])
        return [_instance(item) for item in items], _count(answer, "count") if items else 0

    return [instance async for instances, _ in _pages(page) for instance in instances]


async def _pages(page: Callable[[int], Awaitable[tuple[list[T], int]]]) -> AsyncIterator[tuple[list[T], int]]:
    """The pages of a list, each with the length of the whole list at that time."""
    read = 0
    for number in range(1, _MAX_PAGES + 1):
        items, count = await page(number)
        yield items, count
        read += len(items)
        if not items or read >= count:
            break


async def _all_pages(page: Callable[[int], Awaitable[_Page]]) -> list[Service]:
    """Each service of all pages once.

    A service that is removed while the pages are read moves the others up, one of them onto a page that has been read
    already. So the list is read again when its length has changed. A service found in any reading is returned; one that
    the last reading does not have is returned without counts and instances.
    """
    found: dict[tuple[str, str], Service] = {}
    for _ in range(_READINGS):
        found = {key: replace(s, count=None, healthy=None, instances=None) for key, s in found.items()}
        counts = set()
        async for services, count in _pages(page):
            found |= {(service.group, service.name): service for service in services}
            counts.add(count)
        if len(counts) == 1:
            break
    return list(found.values())


def _page(namespace: str, page: int, size: int) -> dict[str, str | int]:
    return {"namespaceId": namespace, "pageNo": page, "pageSize": size}


def _group_param(groups: tuple[str, ...]) -> dict[str, str]:
    """The server's own filter: it matches groups that contain the text, so the answer is filtered again."""
    return {"groupNameParam": _plain(groups[0]) if len(groups) == 1 else ""}


def _plain(text: str) -> str:
    """The text, unless it has special characters of a regular expression: then no filter."""
    return text if _PLAIN.fullmatch(text) else ""


def _of_groups(services: list[Service], groups: tuple[str, ...]) -> list[Service]:
    return [service for service in services if not groups or service.group in groups]


def _data(answer: Any, good: int) -> Any:
    """What `{"code": 0, "message": "success", "data": ...}` carries."""
    code = _field(answer, "code")
    if code not in (good, 0, 200):
        words = ": ".join(str(answer[key]) for key in ("message", "data") if answer.get(key))
        raise DiscoveryError(f"Nacos answers code {code}: {words[:200]}")
    return answer.get("data")


def _field(value: Any, name: str) -> Any:
    if not isinstance(value, dict) or name not in value:
        raise DiscoveryError(f"Nacos' answer has no {name!r}")
    return value[name]


def _count(value: Any, name: str) -> int:
    count = _field(value, name)
    if not isinstance(count, int):
        raise DiscoveryError(f"Nacos' answer has a {name!r} that is no number")
    return count


def _members(entries: Any) -> list[Member]:
    return [_member(entry) for entry in _list(entries)]


def _member(entry: Any) -> Member:
    ip = str(_field(entry, "ip"))
    port = _port(entry.get("port", entry.get("servePort")))
    extend = entry.get("extendInfo") if isinstance(entry.get("extendInfo"), dict) else {}
    raft_port = _port(extend["raftPort"]) if str(extend.get("raftPort", "")).isdecimal() else port - 1000
    state = entry.get("state") or ("UP" if entry.get("alive", True) else "DOWN")
    return Member(ip, port, str(state), str(extend.get("version", "")), raft_port, _raft(extend.get("raftMetaData")))


def _raft(metadata: Any) -> dict[str, RaftView]:
    """`{"metaDataMap": {group: {"leader", "term", "raftGroupMember"}}}` of ProtocolMetaData.java."""
    groups = metadata.get("metaDataMap") if isinstance(metadata, dict) else None
    if not isinstance(groups, dict):
        return {}
    return {
        str(name): RaftView(str(group.get("leader") or ""), int(as_float(group.get("term"), 0.0)))
        for name, group in groups.items()
        if isinstance(group, dict)
    }


def _namespaces(entries: Any) -> list[Namespace]:
    found = []
    for entry in _list(entries):
        name = str(_field(entry, "namespace") or PUBLIC)
        found.append(Namespace(name, str(entry.get("namespaceShowName") or name)))
    return found


def _service_entry(entry: Any) -> Service:
    """ServiceView.java"""
    name, group = str(_field(entry, "name")), str(entry.get("groupName") or "DEFAULT_GROUP")
    counts = (entry.get("ipCount"), entry.get("healthyInstanceCount"))
    count, healthy = (n if isinstance(n, int) else None for n in counts)
    return Service(group, name.removeprefix(f"{group}@@"), count, healthy)


def _service_with_instances(entry: Any) -> Service:
    """ServiceDetailInfo.java: `{"serviceName", "groupName", "clusterMap": {name: {"hosts": [...]}}}`"""
    name, group = str(_field(entry, "serviceName")), str(entry.get("groupName") or "DEFAULT_GROUP")
    clusters = _field(entry, "clusterMap")
    if not isinstance(clusters, dict | None):
        raise DiscoveryError(f"Nacos' answer has {type(clusters).__name__} where clusters by name are expected")
    hosts = [host for cluster in (clusters or {}).values() for host in _list(_field(cluster, "hosts") or [])]
    return Service(group, name.removeprefix(f"{group}@@"), instances=tuple(_instance(host) for host in hosts))


def _instances(answer: Any) -> list[Instance]:
    """ServiceInfo.java: `{"name", "hosts": [...]}`"""
    return [_instance(entry) for entry in _list(_field(answer, "hosts"))]


def _instance(entry: Any) -> Instance:
    ip = str(_field(entry, "ip"))
    metadata = entry.get("metadata")
    return Instance(
        ip=ip,
        port=_port(_field(entry, "port")),
        cluster=str(entry.get("clusterName") or ""),
        healthy=bool(entry.get("healthy", entry.get("valid", True))),
        enabled=bool(entry.get("enabled", True)),
        ephemeral=bool(entry.get("ephemeral", True)),
        weight=as_float(entry.get("weight"), 1.0),
        id=str(entry.get("instanceId") or ""),
        metadata={str(k): str(v) for k, v in metadata.items() if v is not None} if isinstance(metadata, dict) else {},
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DiscoveryError(f"Nacos' answer has {type(value).__name__} where a list is expected")
    return value


def _port(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdecimal() or len(str(value)) > 5:
        raise DiscoveryError(f"Nacos' answer has the port {str(value)[:20]!r}")
    return int(value)
