"""eureka_sd_configs: the instances registered in a Eureka server (Netflix', Spring Cloud's)."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from rulepush.discovery.answer_body import SizeLimit
from rulepush.discovery.eureka_answer import (
    ApplicationsXml,
    EurekaApplication,
    EurekaInstance,
    EurekaPort,
)
from rulepush.discovery.eureka_json import applications_of_json
from rulepush.discovery.groups import ADDRESS, Environment, GroupSink, TargetGroup
from rulepush.discovery.polling import Poller
from rulepush.discovery.short_turns import ShortTurns
from rulepush.errors import DiscoveryError
from rulepush.http_client.build import build_client
from rulepush.http_client.client import met_plain_http, met_unknown_authority, reason, shown_url
from rulepush.http_client.config import HTTPClientConfig, read_http_client
from rulepush.http_client.pages import is_html, page_named
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import INSTANCE, Labels, flag_value, sanitized_label_name
from rulepush.model.secret import Secret

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

_META: Final = "__meta_eureka_"
_OF_INSTANCE: Final = f"{_META}app_instance_"
_LISTS: Final = "/apps"  # discovery/eureka/client.go appListPath
_PART: Final = 16 << 10  # bytes that are read before the event loop has its turn: some 15 instances
_SORTED_AT_ONCE: Final = 500
_HEAD: Final = 4096  # bytes of an answer in which a page is recognised
_DEFAULT_PORT: Final = 80  # of an instance without `port`


@dataclass(frozen=True, slots=True)
class EurekaSdConfig:
    """`server` is the URL under which `/apps` is, without a slash at its end; it may hold a password."""

    server: Secret
    refresh_interval_ms: int
    http_client: HTTPClientConfig
    kind: str = "eureka"

    def discoverer(self, env: Environment) -> EurekaDiscovery:
        return EurekaDiscovery(self, env)


def read_eureka_sd(m: MapReader) -> EurekaSdConfig:
    """Read one entry of `eureka_sd_configs`."""
    server = Secret()
    if not m.has("server"):
        m.problem("eureka_sd: empty or null eureka server; server is a URL such as http://eureka:8761/eureka", "server")
    else:
        server = Secret(m.url("server").reveal().rstrip("/"))
    config = EurekaSdConfig(server, m.duration("refresh_interval", 30_000) or 30_000, read_http_client(m))
    m.finish()
    return config


class EurekaDiscovery:
    """Asks for all applications at every refresh interval. Each application is a group."""

    def __init__(
        self,
        config: EurekaSdConfig,
        env: Environment,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline: Callable[[float], asyncio.Timeout] = asyncio.timeout,
    ):
        self._deadline = deadline
        self._config = config
        self._env = env
        self._transport = transport
        self._shown = shown_url(config.server.reveal())
        self._last: Sequence[TargetGroup] = ()
        self._timeout = max(1.0, min(config.refresh_interval_ms / 1000, 60.0))

    async def run(self, sink: GroupSink) -> None:
        async with build_client(
            self._config.http_client,
            self._env.user_agent,
            timeout=self._timeout,
            clock=self._env.clock,
            transport=self._transport,
        ) as client:

            async def refresh() -> Sequence[TargetGroup]:
                apps, turns = await self._fetch(client), ShortTurns()
                self._last = await _groups(apps, self._last, turns)
                return self._last

            interval = self._config.refresh_interval_ms / 1000
            await Poller("eureka", self._shown, interval, refresh, self._env).run(sink)

    async def _fetch(self, client: httpx.AsyncClient) -> list[EurekaApplication]:
        url = self._config.server.reveal() + _LISTS
        # A Eureka server answers in JSON when the word is in this header, and in XML else (eureka-core
        # ApplicationsResource.getContainers); Prometheus sends none.
        headers = {"Accept": "application/xml"}
        answer, turns = _Answer(), ShortTurns()
        try:
            async with (
                self._deadline(self._timeout),  # httpx' own timeout restarts at every byte received
                client.stream("GET", url, headers=headers) as response,
            ):
                if response.status_code // 100 != 2:
                    status = response.status_code
                    raise DiscoveryError(self._refused(status, response.reason_phrase), lasting=status in (401, 404))
                async for part in response.aiter_bytes(_PART):
                    answer.feed(part)
                    await turns.piece_done()
        except TimeoutError:
            raise DiscoveryError(
                f"no answer within {self._timeout:g}s; is server the address of Eureka, and does it answer others?"
            ) from None
        except httpx.HTTPError as e:
            why = reason(e)
            raise DiscoveryError(why + _hint(why)) from None
        return await answer.applications(turns)

    def _refused(self, status: int, phrase: str) -> str:
        said = f"server returned HTTP status {status} {phrase}".strip()
        path = httpx.URL(self._config.server.reveal()).path.rstrip("/")
        match status:
            case 401:
                return f"{said}: set basic_auth (or authorization) to what Eureka asks its clients for"
            case 403:
                return (
                    f"{said}: Eureka gives no list while it starts and fills its registry; if this stays, it does not "
                    "let this user read"
                )
            case 404 if path.endswith("/eureka"):
                return f"{said} for {path}{_LISTS}: is server right? Netflix' own Eureka needs {path}/v2"
            case 404:
                return (
                    f"{said} for {path}{_LISTS}: the list is at server + {_LISTS}; for Spring Cloud's Eureka set "
                    f"server: {self._shown}/eureka"
                )
            case _:
                return said


def _hint(why: str) -> str:
    """What to do where no answer came."""
    if "refused" in why:
        return ": nothing listens there; is the port of server right?"
    if met_unknown_authority(why):
        return ": set ca_file in tls_config to the authority that issued the server's certificate"
    if met_plain_http(why):
        return ": the server speaks plain HTTP; is server http://?"
    return ""


class _Answer:
    """A body as it comes in. Raises DiscoveryError."""

    def __init__(self) -> None:
        self._head = b""
        self._limit = SizeLimit()
        self._xml: ApplicationsXml | None = None
        self._json: bytearray | None = None

    def feed(self, part: bytes) -> None:
        self._limit.count(part)
        if len(self._head) < _HEAD:
            self._head += part[: _HEAD - len(self._head)]
        if self._json is None and self._xml is None:
            begin = part.removeprefix(b"\xef\xbb\xbf").lstrip()
            if begin.startswith(b"{"):
                self._json = bytearray()
            else:
                self._xml = ApplicationsXml()
        if self._json is not None:
            self._json += part
        elif self._xml is not None:
            try:
                self._xml.feed(part)
            except DiscoveryError as e:
                raise self._fault(e) from None

    async def applications(self, turns: ShortTurns) -> list[EurekaApplication]:
        if self._json is not None:
            return await turns.work(applications_of_json(bytes(self._json)))
        if self._xml is None:
            raise DiscoveryError("the answer is empty; is server the address of Eureka?")
        try:
            return self._xml.close()
        except DiscoveryError as e:
            raise self._fault(e) from None

    def _fault(self, fault: DiscoveryError) -> DiscoveryError:
        head = self._head.decode("utf-8", "replace")
        if is_html(head):
            return DiscoveryError(
                f"answered with {page_named(head)} instead of a list of applications: set basic_auth where it is a "
                "login page, and server to the URL under which Eureka has /apps (Spring Cloud: http://HOST:8761/eureka)",
                lasting=True,
            )
        if self._xml is not None and self._xml.recognised:
            return fault
        return DiscoveryError(f"{fault}; is server the URL under which Eureka has {_LISTS}?")


async def _groups(apps: list[EurekaApplication], last: Sequence[TargetGroup], turns: ShortTurns) -> list[TargetGroup]:
    """One group an application, in the order of their names: a server may give them in any. What is as it was in the
    `last` ones is the same object, for to compare, or to free, thousands of targets at once would hold the event loop.
    `apps` is used up."""
    before = {group.source: group for group in last}
    targets: dict[str, list[Labels]] = {}
    for app in apps:
        found, known = targets.setdefault(app.name, []), dict[str, Labels]()
        for target in before[app.name].targets if app.name in before else ():
            known[target.get(INSTANCE)] = target
            await turns.piece_done()
        while app.instances:
            instance = app.instances.pop()
            target = _target(app.name, instance)
            same = known.get(instance.texts.get("instanceId", ""))
            found.append(same if same is not None and same == target else target)
            await turns.piece_done()
    groups = []
    for name, found in sorted(targets.items()):
        group = TargetGroup(name, tuple(await _in_order(found, turns)))
        groups.append(before[name] if name in before and before[name] == group else group)
        await turns.piece_done()
    return groups


async def _in_order(targets: list[Labels], turns: ShortTurns) -> list[Labels]:
    """Sorted, in turns."""
    runs = []
    for at in range(0, len(targets), _SORTED_AT_ONCE):
        runs.append(sorted(targets[at : at + _SORTED_AT_ONCE]))
        await turns.piece_done()
    if len(runs) <= 1:
        return runs[0] if runs else []
    found = []
    for target in heapq.merge(*runs):
        found.append(target)
        await turns.piece_done()
    return found


def _target(app: str, instance: EurekaInstance) -> Labels:
    """The labels of one instance (discovery/eureka/eureka.go targetsForApp)."""
    texts = instance.texts
    host, id_ = texts.get("hostName", ""), texts.get("instanceId", "")
    port = instance.port.number if instance.port is not None else _DEFAULT_PORT
    labels = {
        ADDRESS: join_host_port(host, port),
        INSTANCE: id_,
        f"{_META}app_name": app,
        f"{_OF_INSTANCE}hostname": host,
        f"{_OF_INSTANCE}homepage_url": texts.get("homePageUrl", ""),
        f"{_OF_INSTANCE}statuspage_url": texts.get("statusPageUrl", ""),
        f"{_OF_INSTANCE}healthcheck_url": texts.get("healthCheckUrl", ""),
        f"{_OF_INSTANCE}ip_addr": texts.get("ipAddr", ""),
        f"{_OF_INSTANCE}vip_address": texts.get("vipAddress", ""),
        f"{_OF_INSTANCE}secure_vip_address": texts.get("secureVipAddress", ""),
        f"{_OF_INSTANCE}status": texts.get("status", ""),
        f"{_OF_INSTANCE}country_id": str(instance.country_id),
        f"{_OF_INSTANCE}id": id_,
        **_port_labels("port", instance.port),
        **_port_labels("secure_port", instance.secure_port),
    }
    if instance.data_center is not None:
        labels[f"{_OF_INSTANCE}datacenterinfo_name"] = instance.data_center
    for prefix, entries in (
        (f"{_OF_INSTANCE}datacenterinfo_metadata_", instance.data_center_metadata),
        (f"{_OF_INSTANCE}metadata_", instance.metadata),
    ):
        labels |= {prefix + sanitized_label_name(name): value for name, value in entries.items()}
    return Labels(labels)


def _port_labels(name: str, port: EurekaPort | None) -> dict[str, str]:
    if port is None:
        return {}
    return {
        f"{_OF_INSTANCE}{name}": str(port.number),
        f"{_OF_INSTANCE}{name}_enabled": flag_value(port.enabled),
    }
