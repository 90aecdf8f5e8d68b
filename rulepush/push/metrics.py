"""Own metrics of the push receiver."""

from __future__ import annotations

from rulepush.push.groups import PushedGroups
from rulepush.telemetry import Telemetry, single


def expose_pushes(t: Telemetry, groups: PushedGroups) -> None:
    """The groups that are held, and what happened to them."""
    stats = groups.counts
    t.gauge("rulepush_push_groups", "Pushed groups held.", single(lambda: len(groups)))
    t.counter("rulepush_pushes", "Pushes accepted.", single(lambda: stats.pushes))
    t.counter("rulepush_push_deletes", "Groups deleted on request.", single(lambda: stats.deletes))
    t.counter("rulepush_pushes_refused", "Pushes refused.", single(lambda: stats.refused))
    t.counter("rulepush_push_groups_expired", "Groups whose pushes stopped.", single(lambda: stats.expired))
