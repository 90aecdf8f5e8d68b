"""Samples that are no longer in memory, or never were: what a query reads of the recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rulepush.errors import TOO_MANY_SAMPLES, QueryLimitError
from rulepush.model.columns import LabelPool
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, Matchers
from rulepush.storage.incomplete import TimeSpans
from rulepush.storage.selection import Selection


class PastSamples(Protocol):
    """Everything that came in, as it was recorded. What is not async reads files, and is called in any thread.

    `go_on` is called again and again while files are read; what it raises ends that.
    """

    async def flush(self) -> None:
        """Make what came in up to now readable. Does not raise: what cannot be written is missing from `spans`. Called
        in the event loop."""
        ...

    def spans(self, bridged_ms: int) -> TimeSpans:
        """When everything that came in was recorded: (from, to) in ms, ascending; [] where nothing is. Two are apart by
        more than `bridged_ms`, or by what was lost, however short that is: what an earlier `select` found damaged, and
        what came while nothing could be written, or while recording was off."""
        ...

    def settle_ms(self) -> int:
        """So long after recording began each target has been scraped."""
        ...

    def select(
        self, matchers: Sequence[Matcher], mint: int, maxt: int, max_samples: int, go_on: Callable[[], object]
    ) -> Selection:
        """The series that satisfy all matchers with their samples from `mint` to `maxt` (ms, inclusive), stale markers
        among them. Raises QueryLimitError where there are more than `max_samples`, EvaluationError where a file cannot
        be read."""
        ...

    def series(
        self, matchers: Sequence[Matcher], mint: int, maxt: int, go_on: Callable[[], object]
    ) -> Sequence[Labels]:
        """The series that satisfy all matchers and have a sample in that time. Raises EvaluationError."""
        ...


class PastQuerier:
    """A Querier for one query, in one thread.

    `go_on` raises what ends the query while it reads: its time is over, or nobody waits any more.
    """

    def __init__(self, past: PastSamples, max_samples: int, go_on: Callable[[], object]):
        """All readings together hold at most `max_samples`."""
        self._past = past
        self._left = max_samples
        self._go_on = go_on
        self._known: dict[Matchers, list[tuple[int, int, Selection]]] = {}
        self._pool = LabelPool()  # of its own, and one for all: selections are matched with each other

    def reads(self) -> dict[Matchers, list[tuple[int, int]]]:
        """What was read so far: the times (from, to, in ms) of each selector."""
        return {key: [(since, until) for since, until, _ in read] for key, read in self._known.items()}

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Selection:
        """See `storage.selection.Querier`. The time of `x` and that of `x offset 1d` are read apart: what lies between
        may be much more. Raises QueryLimitError."""
        key = tuple(matchers)
        known = self._known.setdefault(key, [])
        for since, until, selection in known:
            if since <= mint and maxt <= until:
                return selection
        self._go_on()
        found = self._past.select(key, mint, maxt, self._left, self._go_on)
        self._left -= int(found.counts.sum())
        if self._left < 0:
            raise QueryLimitError(TOO_MANY_SAMPLES)
        index = LabelIndex(found.index.labels, self._pool)
        selection = Selection(index, found.times, found.values, found.counts, boxes=found.boxes)
        known.append((mint, maxt, selection))
        return selection
