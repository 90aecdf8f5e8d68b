"""What Nacos 1.x, 2.x and 3.x call the same things: paths, parameters and the shapes of answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from rulepush.discovery.nacos_api import NacosAbsentError, NacosRefusedError, NacosSession, as_float
from rulepush.errors import DiscoveryError

PUBLIC: Final = "public"
_PAGE: Final = 500
_MAX_PAGES: Final = 1000
_READINGS: Final = 3  # of a list that changes while it is read


@dataclass(frozen=True, slots=True)
class Member:
    """A server of the cluster."""

    ip: str
    port: int
    state: str
    version: str
    raft_port: int
    raft_leader: bool  # of at least one raft group


@dataclass(frozen=True, slots=True)
class Namespace:
    """`id` is "public" for the default one, in every version."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Service:
    """A registered service."""

    group: str
    name: str


_Page = tuple[list[Service], int]  # the services of one page, and how many there are on all of them


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


class NacosDialect(Protocol):
    """One version of the open API. All methods raise DiscoveryError; NacosAbsentError when it is not spoken."""

    name: str

    async def members(self, session: NacosSession) -> list[Member]: ...
    async def namespaces(self, session: NacosSession) -> list[Namespace]: ...
    async def services(self, session: NacosSession, namespace: str, groups: tuple[str, ...]) -> list[Service]: ...
    async def instances(self, session: NacosSession, namespace: str, service: Service) -> list[Instance]: ...


class V1:
    """1.x; 2.x speaks it too."""

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
        if not groups:
            return await _catalog(session, namespace)
        return [s for g in groups for s in await self._services_of(session, namespace, g)]

    async def _services_of(self, session: NacosSession, namespace: str, group: str) -> list[Service]:
        async def page(number: int) -> _Page:
            answer = await session.get("/v1/ns/service/list", _page(namespace, number) | {"groupName": group})
            names = _list(_field(answer, "doms") or [])
            return [_service_named(n, group) for n in names], _count(answer, "count")

        return await _all_pages(page)

    async def instances(self, session: NacosSession, namespace: str, service: Service) -> list[Instance]:
        params = {"namespaceId": namespace, "groupName": service.group, "serviceName": service.name}
        return _instances(await session.get("/v1/ns/instance/list", params | {"healthyOnly": "false"}))


class V2:
    """2.x."""

    name = "v2"

    async def members(self, session: NacosSession) -> list[Member]:
        return _members(_data(await session.get("/v2/core/cluster/node/list"), 0))

    async def namespaces(self, session: NacosSession) -> list[Namespace]:
        return _namespaces(_data(await session.get("/v2/console/namespace/list"), 0))

    async def services(self, session: NacosSession, namespace: str, groups: tuple[str, ...]) -> list[Service]:
        if not groups:
            return await _catalog(session, namespace)  # v2 lists one group at a time; 2.x still has v1's catalog
        return [s for g in groups for s in await self._services_of(session, namespace, g)]

    async def _services_of(self, session: NacosSession, namespace: str, group: str) -> list[Service]:
        async def page(number: int) -> _Page:
            params = _page(namespace, number) | {"groupName": group}
            data = _data(await session.get("/v2/ns/service/list", params), 0)
            names = _list(_field(data, "services") or [])
            return [_service_named(n, group) for n in names], _count(data, "count")

        return await _all_pages(page)

    async def instances(self, session: NacosSession, namespace: str, service: Service) -> list[Instance]:
        params = {"namespaceId": namespace, "groupName": service.group, "serviceName": service.name}
        return _instances(_data(await session.get("/v2/ns/instance/list", params | {"healthyOnly": "false"}), 0))


class V3:
    """3.x: the admin API."""

    name = "v3"

    async def members(self, session: NacosSession) -> list[Member]:
        return _members(_data(await session.get("/v3/admin/core/cluster/node/list"), 0))

    async def namespaces(self, session: NacosSession) -> list[Namespace]:
        return _namespaces(_data(await session.get("/v3/admin/core/namespace/list"), 0))

    async def services(self, session: NacosSession, namespace: str, groups: tuple[str, ...]) -> list[Service]:
        async def page(number: int) -> _Page:
            params = _page(namespace, number) | {"withInstances": "false"}
            data = _data(await session.get("/v3/admin/ns/service/list", params), 0)
            items = _list(_field(data, "pageItems") or [])
            return [_service_entry(item) for item in items], _count(data, "totalCount")

        return [s for s in await _all_pages(page) if not groups or s.group in groups]

    async def instances(self, session: NacosSession, namespace: str, service: Service) -> list[Instance]:
        params = {"namespaceId": namespace, "groupName": service.group, "serviceName": service.name}
        return _instances(_data(await session.get("/v3/admin/ns/instance/list", params | {"healthyOnly": "false"}), 0))


DIALECTS: Final[dict[str, NacosDialect]] = {"v3": V3(), "v2": V2(), "v1": V1()}  # in the order of detection


async def detect(session: NacosSession) -> NacosDialect:
    """The newest API that the cluster speaks. Raises DiscoveryError when it speaks none."""
    tried = []
    for dialect in DIALECTS.values():
        try:
            await dialect.members(session)
        except NacosAbsentError as e:
            tried.append(str(e))
            continue
        except NacosRefusedError:  # it is there; whether we may do what we came for shows then
            pass
        return dialect
    raise DiscoveryError("this is no Nacos server, or its context path is another: " + "; ".join(tried))


async def _catalog(session: NacosSession, namespace: str) -> list[Service]:
    """The services of all groups; what the console of 1.x and 2.x lists."""

    async def page(number: int) -> _Page:
        params = _page(namespace, number) | {"withInstances": "false", "serviceNameParam": "", "groupNameParam": ""}
        answer = await session.get("/v1/ns/catalog/services", params)
        items = _list(_field(answer, "serviceList") or [])
        return [_service_entry(item) for item in items], _count(answer, "count")

    return await _all_pages(page)


async def _all_pages(page: Callable[[int], Awaitable[_Page]]) -> list[Service]:
    """Each service of all pages once.

    A service that goes away while the pages are read moves the others up, one of them onto a page that has been read
    already. So the list is read again when its length has changed; what is found in any reading counts, for a service
    that is gone has no instances.
    """
    found: dict[Service, None] = {}
    for _ in range(_READINGS):
        read, counts = 0, set()
        for number in range(1, _MAX_PAGES + 1):
            services, count = await page(number)
            found |= dict.fromkeys(services)
            read += len(services)
            counts.add(count)
            if not services or read >= count:
                break
        if len(counts) == 1:
            break
    return list(found)


def _page(namespace: str, page: int) -> dict[str, str | int]:
    return {"namespaceId": namespace, "pageNo": page, "pageSize": _PAGE}


def _data(answer: Any, good: int) -> Any:
    """What `{"code": 0, "message": "success", "data": ...}` carries."""
    code = _field(answer, "code")
    if code not in (good, 0, 200):
        raise DiscoveryError(f"Nacos answers code {code}: {str(answer.get('message'))[:200]}")
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
    groups = extend.get("raftMetaData") or {}
    groups = groups.get("metaDataMap") if isinstance(groups, dict) else {}
    me = f"{ip}:{raft_port}"
    leads = isinstance(groups, dict) and any(isinstance(g, dict) and g.get("leader") == me for g in groups.values())
    return Member(ip, port, str(state), str(extend.get("version", "")), raft_port, leads)


def _namespaces(entries: Any) -> list[Namespace]:
    found = []
    for entry in _list(entries):
        name = str(_field(entry, "namespace") or PUBLIC)
        found.append(Namespace(name, str(entry.get("namespaceShowName") or name)))
    return found


def _service_named(name: Any, group: str) -> Service:
    text = str(name)
    return Service(group, text.removeprefix(f"{group}@@"))


def _service_entry(entry: Any) -> Service:
    name, group = str(_field(entry, "name")), str(entry.get("groupName") or "DEFAULT_GROUP")
    return Service(group, name.removeprefix(f"{group}@@"))


def _instances(answer: Any) -> list[Instance]:
    """1.x and 2.x wrap the instances in a service; 3.x gives the list."""
    if isinstance(answer, dict):
        answer = answer["hosts"] if "hosts" in answer else _field(answer, "pageItems")
    return [_instance(entry) for entry in _list(answer)]


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
