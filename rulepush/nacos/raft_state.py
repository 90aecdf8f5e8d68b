"""What the list of a cluster's servers tells of its Raft groups, for series of our own: since 2.2.0 no metric of Nacos
tells who leads (docs/nacos-api.md).

Each server reports, in its `raftMetaData`, the last leader that it heard of and that leader's term. It does not take a
lost leader back, so "no leader" is seen as a leader that is not UP, two leaders as servers that do not agree, and
elections as a term that grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """The state of each Raft group, by name, as the servers that are UP see it: what others last reported is old."""
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
