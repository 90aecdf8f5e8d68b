"""What the pages show of pushed groups. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rulepush.model.labels import Labels
from rulepush.site.paging import PagedRows, labels_text, paged

if TYPE_CHECKING:
    from rulepush.push.group import PushedGroup
    from rulepush.push.groups import PushedGroups


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One pushed group; times in ms, 0 for never.

    `pushed_at`, `failed_at`  the last push that was accepted, and the last one that was refused
    `ttl_ms`                  its lifetime, 0 for no limit; `expires_at` is its end while no push renews it
    `expired`                 whether it is over: the series are gone, and `rulepush_push_up` is 0
    """

    labels: Labels
    series: int
    families: int
    pushed_at: int
    failed_at: int
    ttl_ms: int
    expires_at: int
    expired: bool

    @property
    def failing(self) -> bool:
        """Whether the last push was refused."""
        return self.failed_at > self.pushed_at


@dataclass(frozen=True, slots=True)
class GroupList:
    """Counts of all groups, and one page of those that were looked for: expired and failing ones first."""

    groups: int
    series: int
    expired: int
    failing: int
    rows: PagedRows[GroupRow]


def group_list(groups: PushedGroups, now: int, text: str, page: int) -> GroupList:
    """The page of that number of the groups whose labels contain `text`, in any case."""
    rows = [_row(groups, group, now) for group in groups]
    text = text.strip().lower()
    found = [row for row in rows if not text or text in labels_text(row.labels)]
    found.sort(key=lambda row: not (row.expired or row.failing))
    return GroupList(
        len(rows),
        sum(row.series for row in rows),
        sum(row.expired for row in rows),
        sum(row.failing for row in rows),
        paged(found, page),
    )


def _row(groups: PushedGroups, group: PushedGroup, now: int) -> GroupRow:
    ttl = groups.ttl_of(group)
    expires_at = group.renewed_at + ttl if ttl and group.renewed_at else 0
    return GroupRow(
        Labels(group.key),
        groups.series_of(group),
        len(group.families),
        group.pushed_at,
        group.failed_at,
        ttl,
        expires_at,
        bool(expires_at) and now > expires_at,
    )
