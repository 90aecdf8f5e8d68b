"""Series about a Nacos cluster, from its list of servers: since 2.2.0 no metric of Nacos tells who leads.

What asks Nacos is loaded only where it is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rulepush.nacos.raft_state import RaftGroupState, is_up, raft_groups
from rulepush.telemetry import MetricReading, Readings, Telemetry

if TYPE_CHECKING:
    from rulepush.nacos.dialects import Member


def expose_nacos_clusters(t: Telemetry, clusters: Mapping[str, Sequence[Member]]) -> None:
    """`clusters` has the servers of each cluster that nacos_sd_configs with `role: server` ask, by address, as the last
    refresh found them."""

    def members() -> Iterable[MetricReading]:
        return [
            MetricReading((cluster, f"{member.ip}:{member.port}"), float(is_up(member)))
            for cluster, found in clusters.items()
            for member in found
        ]

    def groups(number: Callable[[RaftGroupState], float]) -> Readings:
        return lambda: [
            MetricReading((cluster, group), number(state))
            for cluster, found in clusters.items()
            for group, state in raft_groups(found).items()
        ]

    group = ("nacos", "raft_group")
    t.gauge("rulepush_nacos_member_up", "Whether the server is UP for the one asked.", members, ("nacos", "member"))
    t.gauge(
        "rulepush_nacos_raft_leader_up",
        "Whether the leader of the newest term is a server that is UP.",
        groups(lambda state: float(state.leader_up)),
        group,
    )
    t.gauge(
        "rulepush_nacos_raft_leaders",
        "How many servers are named as the leader; more than one: they do not agree.",
        groups(lambda state: state.leaders),
        group,
    )
    t.gauge(
        "rulepush_nacos_raft_term", "The newest term; each election adds one.", groups(lambda state: state.term), group
    )
