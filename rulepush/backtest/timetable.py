"""When the rules of a test are evaluated: at the moments at which the service evaluated them, where it did."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from rulepush.model.arrays import Ints
from rulepush.recorded.events import RecordedBlock, RecordedEvaluation, RecordedEvent, RecordedStart

_LONGEST_SCRAPE_MS: Final = 60_000
_PATIENCE: Final = 3  # moments that pass without what a group goes by, before it goes by something else


def time_of(event: RecordedEvent) -> int:
    """The time (ms) that an event is about: of a block, that of its newest sample, which a scrape brings somewhat
    later. A received sample may lie ahead: then that at which it came."""
    if not isinstance(event, RecordedBlock):
        return event.at
    ts: int | Ints = event.block.ts
    if isinstance(ts, int):
        return min(ts, event.at)
    return min(int(ts.max(initial=0)), event.at)


@dataclass(frozen=True, slots=True)
class Survey:
    """What the beginning of a recording says of the evaluations in it: the interval (ms) of each (file, group), and
    the time of one of them, None where there is none."""

    intervals: dict[tuple[str, str], int] = field(default_factory=dict)
    moment: int | None = None

    @classmethod
    def of(cls, events: Iterable[RecordedEvent]) -> Survey:
        """Of some events."""
        found: dict[tuple[str, str], int] = {}
        moment = None
        for event in events:
            if isinstance(event, RecordedEvaluation):
                found[event.file, event.group] = event.interval_ms
                moment = event.at if moment is None else moment
        return cls(found, moment)

    def interval_of(self, file: str, group: str) -> int | None:
        """The interval of this group, by its name alone when it is in one other file."""
        key = (file, group)
        if key in self.intervals:
            return self.intervals[key]
        named = [interval for (_, name), interval in self.intervals.items() if name == group]
        return named[0] if len(named) == 1 else None

    @property
    def usual_interval(self) -> int | None:
        """That of the most groups."""
        common = Counter(self.intervals.values()).most_common(1)
        return common[0][0] if common else None


class _Goes(IntEnum):
    """What a group goes by; each falls back on the one below."""

    BY_GRID = 0
    BY_OTHERS = 1  # the evaluations of other groups of its interval
    BY_ITSELF = 2  # those of the same group


class GroupTimes:
    """When one group is evaluated."""

    def __init__(self, file: str, name: str, interval_ms: int):
        self.file = file
        self.name = name
        self.interval_ms = interval_ms
        self.goes = _Goes.BY_GRID
        self.last: int | None = None  # its last evaluation
        self.missed = 0  # moments that passed since without an evaluation
        self.missed_at = 0
        self.next = 0  # on the grid


class Timetable:
    """Says which groups are evaluated before and at each event. Groups are meant by their place in the list."""

    def __init__(self, groups: Sequence[tuple[str, str, int]], survey: Survey):
        """`groups` are (file, name, interval in ms)."""
        self._groups = [GroupTimes(*group) for group in groups]
        names = Counter(name for _, name, _ in groups)
        self._unique = {name for name, count in names.items() if count == 1}
        self._known = dict(survey.intervals)
        self._anchor = survey.moment  # of the grid
        self._now: int | None = None  # the time of the last event
        self._soonest = 0
        self._own: dict[tuple[str, str, int], list[int]] = {}  # evaluations that are those of groups here
        self._settled = False  # whether every group goes by its own
        for group in self._groups:
            if any(self._is_of(group, *key, interval) for key, interval in self._known.items()):
                group.goes = _Goes.BY_ITSELF
            elif group.interval_ms in self._known.values():
                group.goes = _Goes.BY_OTHERS

    def before(self, event: RecordedEvent) -> list[tuple[int, int]]:
        """The (moment, group) that are evaluated before this event, in order: those of the grid for which everything
        is there."""
        ts = time_of(event)
        if self._now is None:
            self._begin(max(ts, event.at - _LONGEST_SCRAPE_MS))
        due: list[tuple[int, int]] = []
        if isinstance(event, RecordedStart):
            due = self._grid_until(min(event.at, self._seen()))
            self._begin(event.at)  # nobody evaluated in between
        elif ts > self._soonest:
            due = self._grid_until(ts - 1)
            self._look_for_missed(ts)
        self._now = max(self._seen(), event.at)
        return due

    def at(self, mark: RecordedEvaluation) -> list[int]:
        """The groups that are evaluated at this evaluation of the recording."""
        key = (mark.file, mark.group, mark.interval_ms)
        own = self._own.get(key)
        if own is not None and self._settled:  # the usual case: nothing has changed since the last time
            found = [i for i in own if self._groups[i].last != mark.at]
            for i in found:
                self._evaluated(self._groups[i], mark.at)
            return found
        self._settled = False
        return self._at(mark, key)

    def _at(self, mark: RecordedEvaluation, key: tuple[str, str, int]) -> list[int]:
        self._known[mark.file, mark.group] = mark.interval_ms
        if self._anchor is None or (mark.at - self._anchor) % math.gcd(mark.interval_ms, *self._on_grid()):
            self._anchor = mark.at
            self._set_grid(mark.at)
        found = []
        for i, group in enumerate(self._groups):
            if mark.at == group.last:
                continue
            if self._is_of(group, mark.file, mark.group, mark.interval_ms):
                group.goes = _Goes.BY_ITSELF
            elif self._is_ahead(group, mark.at):
                continue
            elif mark.interval_ms == group.interval_ms and group.goes is not _Goes.BY_ITSELF:
                group.goes = _Goes.BY_OTHERS
            elif group.goes is _Goes.BY_GRID:
                if mark.at != group.next:
                    continue
            else:
                if mark.interval_ms == group.interval_ms:
                    self._missed(group, mark.at, _Goes.BY_OTHERS)
                continue
            found.append(i)
            self._evaluated(group, mark.at)
        own = [i for i in found if self._is_of(self._groups[i], *key)]
        if own:
            self._own[key] = own
        self._settled = all(group.goes is _Goes.BY_ITSELF for group in self._groups)
        return found

    def until(self, ts: int) -> list[tuple[int, int]]:
        """The (moment, group) of the grid up to `ts`, before which no event comes."""
        return self._grid_until(ts) if self._now is not None and ts >= self._soonest else []

    def finish(self, end: int) -> list[tuple[int, int]]:
        """What is still due up to `end`, when all events have passed."""
        return self._grid_until(min(end, self._seen())) if self._now is not None else []

    @staticmethod
    def _is_ahead(group: GroupTimes, ts: int) -> bool:
        """Whether the group has had this moment. A clock that was set back by more than an interval begins anew."""
        return group.last is not None and 0 <= group.last - ts < group.interval_ms

    def _is_of(self, group: GroupTimes, file: str, name: str, interval_ms: int) -> bool:
        if group.name != name or group.interval_ms != interval_ms:
            return False
        if group.file == file:
            return True
        others = [f for f, n in self._known if n == name]
        return name in self._unique and len(others) == 1

    def _seen(self) -> int:
        return 0 if self._now is None else self._now

    def _on_grid(self) -> list[int]:
        return [group.interval_ms for group in self._groups if group.goes is _Goes.BY_GRID]

    def _begin(self, at: int) -> None:
        for group in self._groups:
            group.missed = 0
        self._set_grid(at)

    def _set_grid(self, at: int) -> None:
        """The next moment of each group on the grid is the first that is not before `at`."""
        for group in self._groups:
            group.next = at + (self._phase() - at) % group.interval_ms
            if self._is_ahead(group, group.next):
                group.next += group.interval_ms
        self._look_ahead()

    def _phase(self) -> int:
        return 0 if self._anchor is None else self._anchor

    def _grid_until(self, ts: int) -> list[tuple[int, int]]:
        due = []
        for i, group in enumerate(self._groups):
            while group.goes is _Goes.BY_GRID and group.next <= ts:
                due.append((group.next, i))
                self._evaluated(group, group.next)
        self._look_ahead()
        return sorted(due)

    def _evaluated(self, group: GroupTimes, ts: int) -> None:
        group.last, group.missed = ts, 0
        group.next = ts + group.interval_ms

    def _look_for_missed(self, ts: int) -> None:
        """No evaluation comes where one was expected: the service has the group, or its interval, no longer."""
        for group in self._groups:
            if group.goes is not _Goes.BY_GRID and ts > group.next + 2 * group.interval_ms:
                self._missed(group, ts, _Goes.BY_GRID)
        self._look_ahead()

    def _missed(self, group: GroupTimes, ts: int, instead: _Goes) -> None:
        if ts == group.missed_at:
            return
        group.missed += 1
        group.missed_at = ts
        if group.missed > _PATIENCE:
            group.goes, group.missed, self._settled = instead, 0, False
            group.next = ts + (self._phase() - ts) % group.interval_ms

    def _look_ahead(self) -> None:
        """From which time on an event has to be looked at."""
        self._soonest = min(
            (g.next if g.goes is _Goes.BY_GRID else g.next + 2 * g.interval_ms for g in self._groups),
            default=1 << 62,
        )
