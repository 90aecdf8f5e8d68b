"""When a server evaluated its rule groups, so that a replay can do so at the same moments.

Prometheus evaluates a group at times that are the same modulo its interval, whatever is restarted (rules/group.go,
EvalTimestamp: a hash of the group's name and file). /api/v1/rules tells when it last began to, some milliseconds later.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rulepush.model.timestamps import parse_rfc3339
from rulepush.recorded.events import RecordedBlock, RecordedEvaluation, RecordedEvent


@dataclass(frozen=True, slots=True)
class ServerGroup:
    """A group of rules as /api/v1/rules has it. Times in ms."""

    file: str
    name: str
    interval_ms: int
    last: int


def server_groups(data: Any) -> list[ServerGroup]:
    """What an answer says of the groups; those that were never evaluated, or that make no sense, are left out."""
    found = []
    groups = data.get("groups") if isinstance(data, dict) else None
    for group in groups or ():
        try:
            interval_ms = round(float(group["interval"]) * 1000)
            last = parse_rfc3339(_cut(str(group["lastEvaluation"])))
            if interval_ms > 0 and last > 0:
                found.append(ServerGroup(str(group.get("file", "")), str(group["name"]), interval_ms, last))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def _cut(text: str) -> str:
    """Go's nanoseconds without what Python cannot read: at most six digits."""
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return whole + dot + digits[:6] + rest[len(digits) :] if dot else text


class ServerTimetable:
    """The evaluations of the groups with these names, and of one group for each other interval: a group of the test
    that the server does not have is evaluated with one of its interval."""

    def __init__(self, groups: Iterable[ServerGroup], names: Iterable[str] = ()):
        names, groups = frozenset(names), list(groups)
        named = [g for g in groups if g.name in names]
        intervals = {g.interval_ms for g in named}
        for group in groups:
            if group.name not in names and group.interval_ms not in intervals:
                intervals.add(group.interval_ms)
                named.append(group)
        self._groups = named

    def between(self, first: int, last: int, blocks: Iterator[RecordedBlock]) -> Iterator[RecordedEvent]:
        """The blocks with the evaluations of first <= time <= last (ms) among them, each behind what is of its
        time."""
        moments = heapq.merge(*(self._moments(group, first, last) for group in self._groups), key=_at)
        return heapq.merge(blocks, moments, key=_at)

    @staticmethod
    def _moments(group: ServerGroup, first: int, last: int) -> Iterator[RecordedEvaluation]:
        begin = first + (group.last - first) % group.interval_ms
        for at in range(begin, last + 1, group.interval_ms):
            yield RecordedEvaluation(at, group.file, group.name, group.interval_ms, 0)


def _at(event: RecordedEvent) -> int:
    return event.at
