"""What a recording consists of: events in the order in which they happened.

Whoever replays them does as the service did: a block that stands before an evaluation had been appended when it began,
one that stands behind it had not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from rulepush.model.block import SampleBlock


class Origin(Enum):
    """Where samples come from. What RULE wrote is there for queries: a replay makes it anew."""

    SCRAPE = "scrape"
    PUSH = "push"
    REMOTE_WRITE = "remote_write"
    RULE = "rule"


@dataclass(frozen=True, slots=True, eq=False)
class RecordedBlock:
    """Samples that came in together at `at` (wall time, ms). `source` names what goes on saying nearly the same: a
    target, a group of pushes, a rule; "" where nothing does."""

    at: int
    origin: Origin
    source: str
    block: SampleBlock


@dataclass(frozen=True, slots=True)
class RecordedEvaluation:
    """A group of rules was evaluated at `at` (ms, its time of evaluation; `query_offset_ms` before that it read).

    `may_fire`, `may_fire_with_range` and `may_resolve` are what `RuleContext.may_fire` (for rules that need one and two
    samples) and `may_resolve` said: shortly after a start, not everything is there yet.
    """

    at: int
    file: str
    group: str
    interval_ms: int
    query_offset_ms: int
    may_fire: bool = True
    may_fire_with_range: bool = True
    may_resolve: bool = True


@dataclass(frozen=True, slots=True)
class RecordedStart:
    """The service began, or began to record, or the time jumped, at `at` (wall time, ms): between the event before and
    this one, nothing was seen. Rules go on behind it as after a restart."""

    at: int


RecordedEvent = RecordedBlock | RecordedEvaluation | RecordedStart


class EventRecorder(Protocol):
    """Takes events as they happen. It copies what it needs, does no I/O, and never raises."""

    def record(self, event: RecordedEvent) -> None: ...
