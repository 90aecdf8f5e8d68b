"""consul_sd_configs: the instances of services in Consul's catalog, with their health.

Keys, checks, defaults and labels are those of Prometheus 3.14 (discovery/consul/consul.go). One request watches the
catalog, where that is needed to know the services, and one watches each service.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx

from rulepush.clock import Clock
from rulepush.discovery.attempts import Attempts
from rulepush.discovery.consul_api import ConsulAnswer, ConsulClient, RequestSlots
from rulepush.discovery.consul_instances import CONSUL_META, instance_labels
from rulepush.discovery.groups import Environment, GroupSink, TargetGroup
from rulepush.discovery.registry_api import Deadline, shown_selection
from rulepush.discovery.reporter import NO_ANSWER, DiscoveryReporter, SourceReport
from rulepush.errors import DiscoveryError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import BasicAuth, HTTPClientConfig, HTTPHeader, check_header, read_http_client
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.model.labels import Labels
from rulepush.model.secret import NO_SECRET, Secret

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

_RETRY_SECONDS: Final = (2.0, 15.0)  # Prometheus waits 15 s after each failure (consul.go, retryInterval)
_TOKEN_HEADER: Final = "X-Consul-Token"


@dataclass(frozen=True, slots=True)
class ConsulSdConfig:
    """One entry of `consul_sd_configs`. `server` is what the file says; `base` the URL that it means, with the path
    prefix; `uds` the path of a unix socket, if it is one."""

    server: str
    base: str
    http_client: HTTPClientConfig
    uds: str = ""
    token: Secret = NO_SECRET
    datacenter: str = ""
    namespace: str = ""
    partition: str = ""
    services: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    node_meta: tuple[tuple[str, str], ...] = ()
    filter: str = ""
    health_filter: str = ""
    tag_separator: str = ","
    allow_stale: bool = True
    refresh_interval_ms: int = 30_000
    kind: str = "consul"

    def discoverer(self, env: Environment) -> ConsulDiscovery:
        return ConsulDiscovery(self, env)

    @property
    def shown(self) -> str:
        """The server and what is selected, for the log: many entries have one server, and each fails by itself."""
        chosen = {
            "datacenter": self.datacenter,
            "namespace": self.namespace,
            "partition": self.partition,
            "services": ", ".join(self.services),
            "tags": ", ".join(self.tags),
            "node_meta": ", ".join(f"{key}:{value}" for key, value in self.node_meta),
            "filter": self.filter,
            "health_filter": self.health_filter,
        }
        return shown_selection(self.server, chosen)

    @property
    def needs_catalog(self) -> bool:
        """Whether the catalog tells which services there are (consul.go, `Run`)."""
        return not self.services or bool(self.tags) or bool(self.filter)

    def wants(self, name: str, tags: list[str] | None) -> bool:
        """Whether a service of the catalog is watched (consul.go, `shouldWatch`)."""
        return (not self.services or name in self.services) and set(self.tags) <= set(tags or ())


def read_consul_sd(m: MapReader) -> ConsulSdConfig:
    """Read one entry of `consul_sd_configs`."""
    server = m.text("server", "localhost:8500")
    if not server.strip():
        m.problem("consul SD configuration requires a server address", "server")
    scheme = m.one_of("scheme", ("http", "https"), "http")
    base, uds = _base(m, server, scheme, m.text("path_prefix"))
    token = m.secret("token")
    check_header(m, "token", _TOKEN_HEADER, token.reveal())
    config = ConsulSdConfig(
        server=server,
        base=base,
        http_client=_http_client(m, token),
        uds=uds,
        token=token,
        datacenter=m.text("datacenter"),
        namespace=m.text("namespace"),
        partition=m.text("partition"),
        services=m.texts("services"),
        tags=m.texts("tags"),
        node_meta=tuple(m.text_map("node_meta").items()),
        filter=m.text("filter"),
        health_filter=m.text("health_filter"),
        tag_separator=m.text("tag_separator", ","),
        allow_stale=m.flag("allow_stale", True),
        refresh_interval_ms=m.duration("refresh_interval", 30_000) or 30_000,
    )
    if m.has("token_file"):
        text = "token_file is no key of consul_sd_configs: write `authorization: {credentials_file: ...}`, which Consul"
        m.problem(f"{text} takes for the token", "token_file")
    m.finish()
    return config


def _http_client(m: MapReader, token: Secret) -> HTTPClientConfig:
    """The client settings, with `username` and `password`, which are an old form of basic_auth."""
    settings = read_http_client(m)
    username, password = m.text("username"), m.secret("password")
    if username or password:
        if settings.basic_auth:
            text = "at most one of consul SD configuration username and password and basic auth can be configured"
            m.problem(text, "basic_auth")
        elif settings.authorization or settings.oauth2:
            m.problem("at most one of basic_auth, oauth2 & authorization must be configured")
        settings = replace(settings, basic_auth=BasicAuth(username, password=password))
    if token and (settings.authorization or settings.oauth2):
        m.problem("at most one of consul SD token, authorization, or oauth2 can be configured", "token")
    return settings


def _base(m: MapReader, server: str, scheme: str, prefix: str) -> tuple[str, str]:
    """The base URL that `server` means, and the path of its unix socket (hashicorp/consul api/api.go, `NewClient`)."""
    before, found, address = server.strip().partition("://")
    if not found:
        before, address = scheme, before
    if before == "unix":
        return f"{scheme}://localhost{_rooted(prefix)}", address
    if before not in ("http", "https"):
        m.problem(f"Unknown protocol scheme: {before}", "server")
        return "", ""
    if found and "/" in address:
        address, _, prefix = address.partition("/")
    secure = "https" in (before, scheme)
    base = f"{'https' if secure else 'http'}://{address}{_rooted(prefix)}"
    try:
        parts = urlsplit(base)
        good = bool(parts.hostname) and parts.port != 0 and not set(address) & set(" \t/?#@")
    except ValueError:
        good = False
    if address and not good:
        m.problem("server: expected a host and port such as consul:8500, or the URL of Consul's HTTP API", "server")
    return base, ""


def _rooted(prefix: str) -> str:
    trimmed = prefix.strip("/")
    return f"/{trimmed}" if trimmed else ""


class ConsulDiscovery:
    """Watches the catalog and each service; publishes a group for each service, when it changes.

    The first list is given when every service has been asked once. The last good groups stay while Consul is away, and
    over a reload of the configuration, which runs the same discoverer again.
    """

    def __init__(
        self,
        config: ConsulSdConfig,
        env: Environment,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline: Deadline = asyncio.timeout,
        environ: Mapping[str, str] = os.environ,
    ):
        """`environ` is that of the process: Consul's own client, in Prometheus as well, takes from it what the
        configuration leaves out."""
        self._config = config
        self._env = env
        self._transport = transport
        self._deadline = deadline
        self._environ = environ
        self._groups: dict[str, TargetGroup] = {}
        self._troubles = _Troubles(env.reporter, config.shown)

    async def run(self, sink: GroupSink) -> None:
        config = self._config
        token = config.token or Secret(self._environ.get("CONSUL_HTTP_TOKEN", ""))
        params = {
            "dc": config.datacenter,
            "ns": config.namespace or self._environ.get("CONSUL_NAMESPACE", ""),
            "partition": config.partition or self._environ.get("CONSUL_PARTITION", ""),
        }
        env = self._env
        with self._troubles:
            async with (
                env.shared.use((RequestSlots, config.uds or config.base), RequestSlots, env.clock) as slots,
                aclosing(self._client(token)) as client,
            ):
                has_port = bool(config.uds) or urlsplit(config.base).port is not None
                shown_params = [(k, v) for k, v in params.items() if v]
                headers = {_TOKEN_HEADER: token.reveal()} if token else {}
                api = ConsulClient(
                    client, config.base, shown_params, self._deadline, headers=headers, has_port=has_port
                )
                local = Attempts(env, self._troubles.of(""), *_RETRY_SECONDS)
                datacenter = config.datacenter or await local.until_good(api.datacenter)
                async with asyncio.TaskGroup() as tasks:
                    watch = _Watch(config, env, api, slots, sink, self._groups, self._troubles)
                    watch.datacenter, watch.tasks = datacenter, tasks
                    try:
                        await watch.run()
                    finally:
                        watch.follow(frozenset(), ended=True)
                        slots.leave(client)

    def _client(self, token: Secret) -> ClientOnDemand:
        config, env = self._config, self._env
        settings = config.http_client
        if token:
            # As http_headers are: not sent on to another host when a proxy redirects.
            settings = replace(settings, headers=(*settings.headers, HTTPHeader(_TOKEN_HEADER, secrets=(token,))))

        def make() -> httpx.AsyncClient:
            return build_client(settings, env.user_agent, clock=env.clock, transport=self._transport, uds=config.uds)

        plain = self._transport is None and not config.uds
        return ClientOnDemand(config.http_client, env.user_agent, make, plain=plain)


class _Troubles:
    """What fails now, told as one state of the server: hundreds of services fail together when Consul goes away, and
    one that fails must not be hidden by the others. A name "" stands for the catalog."""

    def __init__(self, reporter: DiscoveryReporter, where: str):
        self._reporter = reporter
        self._where = where
        self._by_name: dict[str, str] = {}

    def of(self, name: str) -> SourceReport:
        """Takes how this service stands, or the catalog."""
        return _PartReport(self, name)

    def failed(self, name: str, detail: str) -> None:
        self._by_name[name] = detail
        if not name:
            self.awaits("")
        self._reporter.failed("consul", self._where, self._text())

    def succeeded(self, name: str) -> None:
        self._by_name.pop(name, None)
        if self._by_name:
            self._reporter.refreshes["consul"] += 1
        else:
            self._reporter.succeeded("consul", self._where)

    def ended(self, names: Iterable[str]) -> None:
        """These services are no longer there: what failed of them is no trouble any more."""
        failed = [name for name in names if self._by_name.pop(name, None) is not None]
        if failed and not self._by_name:
            self._reporter.succeeded("consul", self._where)

    def __enter__(self) -> None:
        self.awaits(NO_ANSWER)

    def __exit__(self, *_: object) -> None:
        self.awaits("")
        self._by_name.clear()  # a configuration that is gone fails no longer
        self._reporter.forget("consul", self._where)

    def awaits(self, what: str) -> None:
        """What the first list waits for; "": nothing."""
        self._reporter.awaited.pop(f"consul {self._where}", None)
        if what:
            self._reporter.awaited[f"consul {self._where}"] = what

    def _text(self) -> str:
        name, detail = ("", self._by_name[""]) if "" in self._by_name else next(iter(self._by_name.items()))
        return f"service {name!r}: {detail}" if name else detail


@dataclass(frozen=True, slots=True)
class _PartReport:
    troubles: _Troubles
    name: str

    def failed(self, detail: str, *, lasting: bool = False) -> None:
        self.troubles.failed(self.name, detail)

    def succeeded(self) -> None:
        self.troubles.succeeded(self.name)


class _Pace:
    """A watch begins at most once per interval: a Go ticker, which keeps its phase and drops what is missed."""

    def __init__(self, clock: Clock, interval_s: float):
        self._clock = clock
        self._interval_s = interval_s
        self._due = clock.monotonic() + interval_s

    async def next(self) -> None:
        """Return when the next watch may begin."""
        late = self._clock.monotonic() - self._due
        if late < 0:
            await self._clock.sleep(-late)
        self._due += self._interval_s * (math.floor(max(late, 0) / self._interval_s) + 1)


class _Watch:
    """One run of a discovery. `groups` are the last good ones, by service."""

    datacenter: str
    tasks: asyncio.TaskGroup

    def __init__(
        self,
        config: ConsulSdConfig,
        env: Environment,
        api: ConsulClient,
        slots: RequestSlots,
        sink: GroupSink,
        groups: dict[str, TargetGroup],
        troubles: _Troubles,
    ):
        self._config = config
        self._env = env
        self._api = api
        self._slots = slots
        self._sink = sink
        self._groups = groups
        self._troubles = troubles
        self._interval_s = config.refresh_interval_ms / 1000
        self._watched: dict[str, asyncio.Task[None]] = {}
        self._to_ask: set[str] | None = set()  # services without a first answer or failure; None: the list was given
        shared = [("stale", "")] if config.allow_stale else []
        shared += [("node-meta", f"{key}:{value}") for key, value in config.node_meta]
        self._catalog_options = [*shared, *([("filter", config.filter)] if config.filter else [])]
        health = [("filter", config.health_filter)] if config.health_filter else []
        self._service_options = [*shared, *health, *(("tag", tag) for tag in config.tags)]

    async def run(self) -> None:
        """Watch until cancelled."""
        if not self._config.needs_catalog:
            self.follow(frozenset(self._config.services))
            await asyncio.Event().wait()

        def take(services: dict[str, list[str] | None]) -> None:
            self.follow(frozenset(name for name, tags in services.items() if self._config.wants(name, tags)))

        await self._query("", lambda index: self._api.services(index, self._catalog_options), take)

    def follow(self, wanted: frozenset[str], *, ended: bool = False) -> None:
        """Watch these services and no others; with `ended` none, and the groups stay."""
        gone = self._watched.keys() - wanted
        for name in gone:
            self._watched.pop(name).cancel()
        self._slots.watchers -= len(gone)
        if ended:
            return
        self._troubles.ended(gone)
        for name in self._groups.keys() - wanted:
            del self._groups[name]
        for name in sorted(wanted - self._watched.keys()):
            self._watched[name] = self.tasks.create_task(self._watch_service(name))
            self._slots.watchers += 1
            if self._to_ask is not None:
                self._to_ask.add(name)
        if self._to_ask is None:
            self._sink.update(gone=gone)
        else:
            self._to_ask -= gone
            self._give_first_list()

    async def _watch_service(self, name: str) -> None:
        async def ask(index: int) -> ConsulAnswer:
            async with self._slots.turn(self._api.client, index, self._interval_s) as (owner, wait_s):
                return await self._api.instances(name, index, wait_s, self._service_options, owner)

        def take(entries: list[Any]) -> None:
            group = self._groups[name] = self._group(name, entries)
            if self._to_ask is None:
                self._sink.update([group])
            self._asked(name)

        await self._query(name, ask, take, lambda: self._asked(name))

    async def _query(
        self,
        name: str,
        ask: Callable[[int], Awaitable[ConsulAnswer]],
        take: Callable[[Any], None],
        after_failure: Callable[[], None] | None = None,
    ) -> None:
        """A blocking query, again and again: `ask` gets the index of the last answer, `take` each body that is new."""
        index = 0

        async def attempt() -> None:
            nonlocal index
            asked, index = index, 0  # after a failure another cluster may answer, with lower indexes
            answer = await ask(asked)
            if answer.body is not None:
                take(answer.body)
            index = _next_index(asked, answer.index)

        pace = _Pace(self._env.clock, self._interval_s)
        attempts = Attempts(self._env, self._troubles.of(name), *_RETRY_SECONDS, after_failure)
        while True:
            await attempts.until_good(attempt)
            await pace.next()

    def _asked(self, name: str) -> None:
        if self._to_ask is not None:
            self._to_ask.discard(name)
            self._give_first_list()

    def _give_first_list(self) -> None:
        if self._to_ask:
            left, first = len(self._to_ask), next(iter(self._to_ask))
            self._troubles.awaits(f"{left} of {len(self._watched)} services have no answer ({first!r} is one)")
        else:
            self._to_ask = None
            self._troubles.awaits("")
            self._sink.replace([self._groups[name] for name in sorted(self._groups)])

    def _group(self, name: str, entries: list[Any]) -> TargetGroup:
        labels = Labels({f"{CONSUL_META}service": name, f"{CONSUL_META}dc": self.datacenter})
        try:
            targets = sorted(instance_labels(entry, self._config.tag_separator) for entry in entries)
        except DiscoveryError as e:
            raise DiscoveryError(f"not an answer of Consul's health API: {e}") from None
        return TargetGroup(name, tuple(targets), labels)


def _next_index(asked: int, got: int) -> int:
    """The index of the next request. One that goes backwards is begun anew: Consul was restored from a snapshot, or
    another one answers (Consul's documentation of blocking queries)."""
    return 0 if got < asked else got
