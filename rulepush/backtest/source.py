"""Where a backtest has its samples from: a recording, a Prometheus server, a file. All give the same events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from rulepush.recorded.events import RecordedEvent


class EventSource(Protocol):
    """`recorded.Recording` is one."""

    def bounds(self) -> tuple[int, int] | None:
        """The times (ms) of the first and the last event; None when there is none."""
        ...

    def events(self, start: int, end: int) -> Iterator[RecordedEvent]:
        """What happened from `start` to `end` (ms, both inclusive), in its order."""
        ...

    @property
    def problems(self) -> Sequence[object]:
        """What could not be read, and is missing from the events: each prints as one line that says where."""
        ...
