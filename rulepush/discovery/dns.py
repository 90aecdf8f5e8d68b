"""dns_sd_configs: targets from A, AAAA, SRV, MX and NS records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rulepush.discovery.groups import ADDRESS, Environment, GroupSink, TargetGroup
from rulepush.discovery.polling import Poller
from rulepush.errors import DiscoveryError
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import Labels

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.name

    from rulepush.yaml.nodes import MapReader

_TYPES: Final = ("SRV", "A", "AAAA", "MX", "NS")
_LOOKUP_SECONDS: Final = 10.0  # for one name of the search list
RESOLV_CONF: Final = "/etc/resolv.conf"


@dataclass(frozen=True, slots=True)
class Record:
    """One answer: an address (A, AAAA) or a host name (SRV, MX, NS); the port of an SRV record."""

    target: str
    port: int = 0


# (name, record type) -> the records; empty when the name or the type does not exist. Raises DiscoveryError.
Lookup = Callable[[str, str], Awaitable[list[Record]]]


@dataclass(frozen=True, slots=True)
class DnsSdConfig:
    """`type` is one of SRV, A, AAAA, MX, NS; `port` goes with all but SRV."""

    names: tuple[str, ...]
    type: str = "SRV"
    port: int = 0
    refresh_interval_ms: int = 30_000
    kind: str = "dns"

    def discoverer(self, env: Environment) -> DnsDiscovery:
        return DnsDiscovery(self, env, system_lookup)


def read_dns_sd(m: MapReader) -> DnsSdConfig:
    """Read one entry of `dns_sd_configs`."""
    names = m.texts("names")
    if m.empty("names"):
        m.problem("DNS-SD config must contain at least one SRV record name")
    kind = m.one_of_lower("type", [t.lower() for t in _TYPES], "srv", "invalid DNS-SD records type").upper()
    port = m.count("port")
    if kind != "SRV" and port == 0:
        m.problem("a port is required in DNS-SD configs for all record types except SRV", "type")
    if port > 65535:
        m.problem("port: expected a number up to 65535", "port")
    config = DnsSdConfig(names, kind, port, m.duration("refresh_interval", 30_000) or 30_000)
    m.finish()
    return config


class DnsDiscovery:
    """Looks every name up at each refresh interval; a name that fails keeps its last good group."""

    def __init__(self, config: DnsSdConfig, env: Environment, lookup: Lookup):
        self._config = config
        self._env = env
        self._lookup = lookup
        self._known: dict[str, TargetGroup] = {}
        self._failing: set[str] = set()  # names that failed while others succeeded: they are reported one by one

    async def run(self, sink: GroupSink) -> None:
        where = f"{self._config.type} {', '.join(self._config.names)}"
        poller = Poller("dns", where, self._config.refresh_interval_ms / 1000, self._refresh, self._env)
        try:
            await poller.run(sink)
        finally:
            for name in self._failing:
                self._env.reporter.forget("dns", f"{self._config.type} {name}")

    async def _refresh(self) -> Sequence[TargetGroup]:
        names = self._config.names
        answers = await asyncio.gather(*(self._one(name) for name in names))
        failures = {name: a for name, a in zip(names, answers, strict=True) if a is not None}
        if len(failures) == len(set(names)):
            raise failures[names[0]]
        for name, failure in failures.items():
            self._env.reporter.failed("dns", f"{self._config.type} {name}", str(failure))
        for name in self._failing.difference(failures):
            self._env.reporter.succeeded("dns", f"{self._config.type} {name}")
        self._failing = set(failures)
        return [self._known[name] for name in names if name in self._known]

    async def _one(self, name: str) -> DiscoveryError | None:
        try:
            records = await self._lookup(name, self._config.type)
        except DiscoveryError as e:
            return e
        targets = sorted({self._target(name, r) for r in records})
        self._known[name] = TargetGroup(name, tuple(targets))
        return None

    def _target(self, name: str, record: Record) -> Labels:
        kind = self._config.type
        host = record.target.rstrip(".")
        port = record.port if kind == "SRV" else self._config.port
        labels = {ADDRESS: join_host_port(host, port), "__meta_dns_name": name}
        if kind == "SRV":
            labels["__meta_dns_srv_record_target"] = record.target
            labels["__meta_dns_srv_record_port"] = str(record.port)
        elif kind in ("MX", "NS"):
            labels[f"__meta_dns_{kind.lower()}_record_target"] = record.target
        return Labels(labels)


async def system_lookup(name: str, kind: str, path: str = RESOLV_CONF) -> list[Record]:
    """Ask the servers of resolv.conf, with its search list; it is read for each look-up, as Prometheus does."""
    import dns.asyncresolver
    import dns.exception
    import dns.name

    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.domain = dns.name.root  # not the domain of this machine's name: only what stands in the file is searched
    try:
        resolver.read_resolv_conf(path)
    except (dns.exception.DNSException, OSError, ValueError) as e:  # a syntax error in the file raises any of them
        raise DiscoveryError(f"could not load {path}: {e}") from None
    return await resolve_with(resolver, name, kind)


async def resolve_with(resolver: object, name: str, kind: str) -> list[Record]:
    """Look up with a dns.asyncresolver.Resolver.

    The first name of the search list that exists counts; when none does but the servers failed for one, the result is
    unknown (prometheus discovery/dns/dns.go lookupWithSearchPath). The resolver's own search ends at the first failure.
    """
    import dns.asyncresolver
    import dns.exception
    import dns.resolver

    assert isinstance(resolver, dns.asyncresolver.Resolver)
    failure: Exception | None = None
    for suffix in _suffixes(resolver, name):
        try:
            full = dns.name.from_text(name, suffix)
            answer = await resolver.resolve(full, kind, raise_on_no_answer=False, lifetime=_LOOKUP_SECONDS)
        except dns.resolver.NXDOMAIN:
            continue
        except (dns.exception.DNSException, OSError, ValueError) as e:
            failure = failure or e
            continue
        return [_record(kind, data) for data in answer.rrset or ()]
    if failure is not None:
        text = str(failure).rstrip(".") or type(failure).__name__
        raise DiscoveryError(f"could not resolve {name!r}: {text}") from None
    return []


def _suffixes(resolver: dns.asyncresolver.Resolver, name: str) -> list[dns.name.Name]:
    """The suffixes to append to a name, in the order to try; a name that ends in a dot gets none."""
    import dns.name

    root = dns.name.root
    if name.endswith("."):
        return [root]
    search = list(resolver.search) or ([resolver.domain] if resolver.domain != root else [])
    ndots = 1 if resolver.ndots is None else resolver.ndots
    return [root, *search] if name.count(".") + 1 > ndots else [*search, root]


def _record(kind: str, data: object) -> Record:
    match kind:
        case "SRV":
            return Record(data.target.to_text(), data.port)  # type: ignore[attr-defined]
        case "MX":
            return Record(data.exchange.to_text())  # type: ignore[attr-defined]
        case "NS":
            return Record(data.target.to_text())  # type: ignore[attr-defined]
        case _:
            return Record(data.address)  # type: ignore[attr-defined]
