"""What a working directory for Nacos has: its jobs, its packs, and what is no message while a server is down. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rulepush.init.addresses import Address
from rulepush.init.probe import ProbeResult
from rulepush.init.prometheus_yml import quoted
from rulepush.init.setup import Inhibition, ScrapeJob
from rulepush.init.wording import comment, wording
from rulepush.relay.settings import Language

NACOS_PACKS: Final = ("nacos", "jvm", "spring-boot", "self")
NACOS_INHIBITIONS: Final = (Inhibition('alertname="NacosServerDown"', 'severity=~"warning|info"', ("job", "instance")),)
_METRICS: Final = "/actuator/prometheus"
_OF_PACK: Final = {
    "jvm": ("jvm_",),
    "spring-boot": ("http_server_requests_", "tomcat_", "hikaricp_", "logback_events"),
}
"""Beginnings of the names of metrics that a pack is about."""


@dataclass(frozen=True, slots=True)
class ProbedServer:
    """`same_as`: every host:port, as IP addresses, that the given host stands for."""

    address: Address
    result: ProbeResult
    same_as: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NacosTargets:
    """The servers to scrape that are reached the same way. `way` has "" as its host.

    `added`      members of the cluster that nobody named
    `strangers`  named, and not among the members
    """

    way: Address
    targets: tuple[str, ...]
    added: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()


def nacos_targets(probed: Sequence[ProbedServer]) -> list[NacosTargets]:
    """The servers that were named, and those that they name as their cluster, each once.

    A single address may be that of a load balancer: the members take its place. Of several, all stay as they were
    named, for a member's own address may be another one (a name, NAT), and members that nobody named are added, unless
    none of the given ones is a member: the same servers would be scraped twice.
    """
    ways: dict[Address, list[ProbedServer]] = {}
    for server in probed:
        way = replace(server.address, host="")
        if not server.result.basic_auth:  # the credentials are for Nacos' login, which its metrics do not ask for
            way = replace(way, username="", password="")
        ways.setdefault(way, []).append(server)
    return [_reconciled(way, servers) for way, servers in ways.items()]


def _reconciled(way: Address, servers: Sequence[ProbedServer]) -> NacosTargets:
    given = tuple(server.address.host for server in servers)
    members = tuple(dict.fromkeys(m for s in servers if len(s.result.members) > 1 for m in s.result.members))
    if not members:
        return NacosTargets(way, given)
    if len(given) == 1:
        return NacosTargets(way, members)
    known = {s.address.host: (s.same_as | {s.address.host}) & set(members) for s in servers}
    strangers = tuple(host for host in given if not known[host])
    if len(strangers) == len(given):
        return NacosTargets(way, given, strangers=strangers)
    added = tuple(m for m in members if not any(m in same for same in known.values()))
    return NacosTargets(way, given + added, added, strangers)


def nacos_jobs(found: Sequence[NacosTargets], language: Language) -> tuple[ScrapeJob, ...]:
    """A job for each way to reach servers. `found` is not empty."""
    return tuple(_job(targets, number, language) for number, targets in enumerate(found, 1))


def _job(found: NacosTargets, number: int, language: Language) -> ScrapeJob:
    say = wording(language)
    way = found.way
    follow = say(
        "In place of static_configs, to follow a cluster whose servers change, and for the alerts on Raft\n"
        "(rules/nacos.yml, group nacos-raft). Where Nacos asks for a login, add username and password_file.",
        "用它代替 static_configs，可以跟随集群节点的变化，并启用 Raft 告警（rules/nacos.yml 的 nacos-raft 组）。\n"
        "Nacos 需要登录时，请加上 username 和 password_file。",
    )
    base = f"{way.scheme}://{found.targets[0]}{way.path}"
    discovery = f"nacos_sd_configs:\n  - role: server\n    server: {quoted(base)}"
    return ScrapeJob(
        "nacos" if number == 1 else f"nacos-{number}",
        found.targets,
        way.scheme,
        way.path + _METRICS,
        way.username,
        way.password,
        above=say('The rules expect "nacos" in the name of the job.', "规则要求任务名中含有 “nacos”。"),
        below=comment(follow, "    ") + comment(discovery, "    "),
    )


def nacos_packs(names: frozenset[str], packs: Mapping[str, str]) -> dict[str, str]:
    """The packs whose metrics the servers have; all of them while that is unknown, for want of an answer."""
    if not names:
        return dict(packs)
    has = {pack: any(name.startswith(begins) for name in names) for pack, begins in _OF_PACK.items()}
    return {name: text for name, text in packs.items() if has.get(name, True)}
