"""The state of a cluster's Raft groups from the list of its servers, for rulepush's own series: since 2.2.0 no metric
of Nacos shows the leader (docs/nacos-api.md).

Each server reports, in its `raftMetaData`, the last leader that it saw and that leader's term. It does not clear a
lost leader, so "no leader" is seen as a leader that is not UP, two leaders as servers that disagree, and
elections as a term that grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rulepush.nacos.dialects import Member

_UP = "UP"  # NodeState.java: STARTING, UP, SUSPICIOUS, DOWN, ISOLATION


@dataclass(frozen=True, slots=True)
class RaftGroupState:
    """`leader_up`: whether the leader of the newest term is a server that is UP. `leaders`: how many servers are named
    as the leader. `term`: the newest."""

    leader_up: bool
    leaders: int
    term: int


def raft_groups(members: Sequence[Member]) -> dict[str, RaftGroupState]:
    """The state of each Raft group, by name, as the servers that are UP see it: reports of the others are outdated."""
    up = [member for member in members if is_up(member)]
    addresses = {member.raft_address for member in up}
    groups = {}
    for name in sorted({name for member in up for name in member.raft}):
        views = [member.raft[name] for member in up if name in member.raft]
        term = max(view.term for view in views)
        newest = {view.leader for view in views if view.term == term}
        leaders = {view.leader for view in views} - {""}
        groups[name] = RaftGroupState(bool(newest & addresses), len(leaders), term)
    return groups


def is_up(member: Member) -> bool:
    """As the asked server sees it."""
    return member.state == _UP
