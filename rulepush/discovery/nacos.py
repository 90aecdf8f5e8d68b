"""nacos_sd_configs: the servers of a Nacos cluster, or the instances registered in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

import httpx

from rulepush.discovery.groups import ADDRESS, Environment, GroupSink, TargetGroup
from rulepush.discovery.polling import Poller
from rulepush.errors import DiscoveryError, RegexError
from rulepush.http_client.build import build_client
from rulepush.http_client.client import shown_url
from rulepush.http_client.config import HTTPClientConfig, HTTPHeader, check_header, read_http_client
from rulepush.http_client.failures import CredentialsError
from rulepush.model.floats import format_float
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import Labels, flag_value, sanitized_label_name
from rulepush.model.regex import compile_regex
from rulepush.model.secret import Secret
from rulepush.nacos.dialects import (
    DIALECTS,
    PUBLIC,
    Instance,
    Member,
    NacosDialect,
    Namespace,
    Service,
    detect,
)
from rulepush.nacos.session import NacosAbsentError, NacosGoneError, NacosLogin, NacosSession

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

META: Final = "__meta_nacos_"
_CONCURRENCY: Final = 8  # concurrent requests for instance lists
_REFRESH_SECONDS: Final = 300.0  # of one refresh: each response has its own limit, but there may be thousands


class Role(Enum):
    """What becomes a target."""

    SERVER = "server"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class NacosSdConfig:
    """One entry of `nacos_sd_configs`.

    `servers`     base URLs with their context path; each may hold a password
    `api_version` "auto", "v1", "v2", "v3"
    `namespaces`  ids; `*` stands for all of them
    `groups`      empty: all of them
    `services`    an anchored regular expression on the service's name
    """

    servers: tuple[Secret, ...]
    role: Role
    login: NacosLogin
    http_client: HTTPClientConfig
    api_version: str = "auto"
    namespaces: tuple[str, ...] = (PUBLIC,)
    groups: tuple[str, ...] = ()
    services: str = ".*"
    healthy_only: bool = False
    metrics_path: str = ""
    refresh_interval_ms: int = 30_000
    kind: str = "nacos"

    def discoverer(self, env: Environment) -> NacosDiscovery:
        return NacosDiscovery(self, env)


def read_nacos_sd(m: MapReader) -> NacosSdConfig:
    """Read one entry of `nacos_sd_configs`."""
    context = "/" + m.text("context_path", "/nacos").strip("/")
    servers = [m.url("server")] if m.has("server") else []
    servers += m.urls("servers")
    if not servers and not (m.has("server") or m.has("servers")):
        m.problem("server is missing: the URL of a Nacos server, such as http://nacos:8848")
    role = Role(m.one_of("role", [r.value for r in Role], Role.SERVER.value))
    if not m.has("role"):
        m.problem("role is missing: 'server' for the cluster's own servers, 'instance' for what is registered in it")
    identity = m.section("server_identity")
    login = NacosLogin(
        username=m.text("username"),
        password=m.secret("password"),
        password_file=m.path("password_file"),
        identity_key=identity.text("key") if identity else "",
        identity_value=identity.secret("value") if identity else Secret(),
    )
    if identity:
        if not login.identity_key:
            identity.problem("key is missing: the name of the header, nacos.core.auth.server.identity.key")
        else:
            check_header(identity, "key", login.identity_key, login.identity_value.reveal())
        identity.finish()
    if login.password and login.password_file:
        m.problem("at most one of password & password_file must be configured", "password_file")
    if (login.password or login.password_file) and not login.username:
        m.problem("username is missing", "password" if login.password else "password_file")
    services = m.text("services", ".*")
    try:
        compile_regex(services)
    except RegexError as e:
        m.problem(f"services: {e}", "services")
    config = NacosSdConfig(
        servers=tuple(_with_context(s, context) for s in servers if s),
        role=role,
        login=login,
        http_client=read_http_client(m),
        api_version=m.one_of("api_version", ("auto", *DIALECTS), "auto"),
        namespaces=m.texts("namespaces") or (PUBLIC,),
        groups=m.texts("groups"),
        services=services,
        healthy_only=m.flag("healthy_only"),
        metrics_path=m.text("metrics_path"),
        refresh_interval_ms=m.duration("refresh_interval", 30_000) or 30_000,
    )
    if role is Role.SERVER:
        for key in ("namespaces", "groups", "services", "healthy_only"):
            if m.has(key):
                m.problem(f"{key} goes with role: instance only", key)
    m.finish()
    return config


def _with_context(server: Secret, context: str) -> Secret:
    """The base URL: a path in the URL stands for the context path."""
    text = server.reveal().rstrip("/")
    return Secret(text if httpx.URL(text).path.strip("/") else text + context.rstrip("/"))


class NacosDiscovery:
    """Queries at every refresh interval. The API version is detected once, and again when the server has lost it."""

    def __init__(
        self,
        config: NacosSdConfig,
        env: Environment,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline: Callable[[float], asyncio.Timeout] = asyncio.timeout,
    ):
        self._deadline = deadline
        self._config = config
        self._env = env
        self._transport = transport
        self._dialect: NacosDialect | None = DIALECTS.get(config.api_version)
        self._pattern = compile_regex(config.services)
        self._members: tuple[Member, ...] = ()

    async def run(self, sink: GroupSink) -> None:
        config = self._config
        interval = config.refresh_interval_ms / 1000
        servers = [s.reveal() for s in config.servers]
        identity = HTTPHeader(config.login.identity_key, secrets=(config.login.identity_value,))
        headers = (*config.http_client.headers, *([identity] if identity.name else []))
        async with build_client(
            replace(config.http_client, headers=headers),
            self._env.user_agent,
            timeout=max(1.0, min(interval, 15.0)),
            clock=self._env.clock,
            transport=self._transport,
        ) as client:
            session = NacosSession(client, servers, config.login, self._env.clock)

            where = ", ".join(shown_url(s) for s in servers)

            async def refresh() -> Sequence[TargetGroup]:
                self._members = ()
                try:
                    return await self._refresh(session)
                finally:
                    self._show_members(where)

            try:
                await Poller("nacos", where, interval, refresh, self._env).run(sink)
            finally:
                self._members = ()
                self._show_members(where)

    def _show_members(self, where: str) -> None:
        """For own metrics. After a failed refresh nothing is shown, as it may no longer be true."""
        self._env.reporter.nacos_members.pop(where, None)
        if self._members:
            self._env.reporter.nacos_members[where] = self._members

    async def _refresh(self, session: NacosSession) -> Sequence[TargetGroup]:
        seconds = max(_REFRESH_SECONDS, self._config.refresh_interval_ms / 1000)
        try:
            async with self._deadline(seconds):
                dialect = self._dialect or await detect(session)
                if self._config.role is Role.SERVER:
                    groups = [await self._server_group(session, dialect)]
                else:
                    groups = await self._instance_groups(session, dialect)
        except TimeoutError:
            raise DiscoveryError(f"Nacos did not answer every request within {seconds:g}s") from None
        except CredentialsError as e:
            raise DiscoveryError(str(e)) from None
        except NacosAbsentError:
            if self._config.api_version == "auto":
                self._dialect = None  # the cluster was upgraded: detect again next time
            raise
        self._dialect = dialect
        return groups

    async def _server_group(self, session: NacosSession, dialect: NacosDialect) -> TargetGroup:
        path = self._config.metrics_path or httpx.URL(session.server).path.rstrip("/") + "/actuator/prometheus"
        shared = Labels({"__metrics_path__": path, f"{META}role": "server", f"{META}api_version": dialect.name})
        members = await dialect.members(session)
        if not members:
            raise DiscoveryError("Nacos lists no servers")  # a server lists at least itself: do not act on this answer
        self._members = tuple(members)
        return TargetGroup("servers", tuple(sorted(_server_labels(m) for m in members)), shared)

    async def _instance_groups(self, session: NacosSession, dialect: NacosDialect) -> list[TargetGroup]:
        namespaces = await self._namespaces(session, dialect)
        gate = asyncio.Semaphore(_CONCURRENCY)
        gone: list[NacosGoneError] = []

        async def group(namespace: Namespace, service: Service) -> TargetGroup:
            async with gate:
                try:
                    instances = await dialect.instances(session, namespace.id, service)
                except NacosGoneError as e:
                    if e.what != "service":
                        raise
                    gone.append(e)  # it existed when the services were listed
                    instances = []
            return self._instance_group(namespace, service, instances)

        wanted = [
            (namespace, service)
            for namespace in namespaces
            for service in await dialect.services(session, namespace.id, self._config.groups)
            if self._pattern.fullmatch(service.name)
        ]
        try:
            async with asyncio.TaskGroup() as tasks:  # the first failure cancels the other requests, unlike in gather
                asked = [tasks.create_task(group(namespace, service)) for namespace, service in wanted]
        except ExceptionGroup as e:
            raise e.exceptions[0] from None
        if gone and len(gone) == len(wanted):
            raise gone[0]  # all of them gone at once: more likely something else is wrong
        return sorted((task.result() for task in asked), key=lambda g: g.source)

    async def _namespaces(self, session: NacosSession, dialect: NacosDialect) -> list[Namespace]:
        asked = self._config.namespaces
        if asked == (PUBLIC,):
            return [Namespace(PUBLIC, PUBLIC)]
        known = await dialect.namespaces(session)
        if "*" in asked:
            return known
        names = {n.id: n for n in known}
        missing = [n for n in asked if n not in names and n != PUBLIC]
        if missing:
            raise DiscoveryError(f"Nacos has no namespace with the id {missing[0]!r}")
        return [names.get(n, Namespace(n, n)) for n in asked]

    def _instance_group(self, namespace: Namespace, service: Service, instances: list[Instance]) -> TargetGroup:
        shared = {
            f"{META}role": "instance",
            f"{META}namespace": namespace.id,
            f"{META}namespace_name": namespace.name,
            f"{META}group": service.group,
            f"{META}service": service.name,
        }
        if self._config.metrics_path:
            shared["__metrics_path__"] = self._config.metrics_path
        kept = [_instance_labels(i) for i in instances if i.healthy or not self._config.healthy_only]
        return TargetGroup(f"{namespace.id}/{service.group}/{service.name}", tuple(sorted(kept)), Labels(shared))


def _server_labels(member: Member) -> Labels:
    return Labels(
        {
            ADDRESS: join_host_port(member.ip, member.port),
            f"{META}server_ip": member.ip,
            f"{META}server_port": str(member.port),
            f"{META}server_state": member.state,
            f"{META}server_version": member.version,
            f"{META}server_raft_port": str(member.raft_port),
            f"{META}server_raft_leader": flag_value(member.raft_leader),
        }
    )


def _instance_labels(instance: Instance) -> Labels:
    own = {
        ADDRESS: join_host_port(instance.ip, instance.port),
        f"{META}cluster": instance.cluster,
        f"{META}ip": instance.ip,
        f"{META}port": str(instance.port),
        f"{META}healthy": flag_value(instance.healthy),
        f"{META}enabled": flag_value(instance.enabled),
        f"{META}ephemeral": flag_value(instance.ephemeral),
        f"{META}weight": format_float(instance.weight),
        f"{META}instance_id": instance.id,
    }
    metadata = {f"{META}metadata_{sanitized_label_name(k)}": v for k, v in instance.metadata.items()}
    return Labels(metadata | own)
