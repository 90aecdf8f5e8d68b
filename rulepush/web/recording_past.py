"""PastSamples on the files of a recording. Imported when there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np

from rulepush.errors import TOO_MANY_SAMPLES, EvaluationError, QueryLimitError
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher
from rulepush.model.timestamps import UNKNOWN_TIME
from rulepush.recorded.recording import Recording
from rulepush.storage.incomplete import TimeSpans
from rulepush.storage.selection import Selection

_MAX_PADDED: Final = 2  # places of a selection for each sample that it may hold


class RecordingPast:
    """PastSamples of a Recording; `flush` writes what waits for it."""

    def __init__(
        self,
        recording: Recording,
        flush: Callable[[], Awaitable[object]],
        lost: Callable[[], TimeSpans] = tuple,
        settle_ms: Callable[[], int] = int,
    ):
        """`lost` gives the times in which something came that is not in the recording; UNKNOWN_TIME ends one that goes
        on. `settle_ms` gives the longest time from one sample of a target to the next one."""
        self._recording = recording
        self._flush = flush
        self._lost = lost
        self._settle_ms = settle_ms

    async def flush(self) -> None:
        """See PastSamples; so are the others."""
        await self._flush()

    def spans(self, bridged_ms: int) -> TimeSpans:
        with _readable():
            return _without(self._recording.spans(bridged_ms), self._lost())

    def settle_ms(self) -> int:
        return self._settle_ms()

    def select(
        self, matchers: Sequence[Matcher], mint: int, maxt: int, max_samples: int, go_on: Callable[[], object]
    ) -> Selection:
        with _readable():
            found = self._recording.select(matchers, mint, maxt, max_samples, go_on)
        n, width = len(found.labels), int(found.counts.max(initial=0))
        # Rows are as wide as the longest: many short ones beside a long one take more memory than their samples.
        if n * width > _MAX_PADDED * max_samples:
            raise QueryLimitError(TOO_MANY_SAMPLES)
        inside = np.arange(width) < found.counts[:, None]
        times, values = np.zeros((n, width), np.int64), np.zeros((n, width))
        times[inside], values[inside] = found.times, found.values
        return Selection(LabelIndex(found.labels), times, values, found.counts, boxes=found.boxes)

    def series(
        self, matchers: Sequence[Matcher], mint: int, maxt: int, go_on: Callable[[], object]
    ) -> Sequence[Labels]:
        with _readable():
            return self._recording.series(matchers, mint, maxt, go_on)


def _without(spans: TimeSpans, lost: TimeSpans) -> TimeSpans:
    for begun, ended in lost:
        left = []
        for first, last in spans:
            if last <= begun or first >= ended:
                left.append((first, last))
                continue
            if first < begun:
                left.append((first, begun))
            if last > ended:
                left.append((ended, last))
        if ended == UNKNOWN_TIME and left and left[-1][0] != UNKNOWN_TIME:
            left.append((UNKNOWN_TIME, UNKNOWN_TIME))
        spans = left
    return spans


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise EvaluationError(f"the recording cannot be read: {e}") from e
