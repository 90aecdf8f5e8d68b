"""A recording in memory: what a query reads of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rulepush.errors import TOO_MANY_SAMPLES, QueryLimitError
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.storage.incomplete import TimeSpans
from rulepush.storage.selection import Selection


class FakePast:
    """Keeps all that is appended; it can be read once `flush` was called. `selected` notes what was."""

    def __init__(self, spans: TimeSpans):
        self._head = Head(Demand.keep_all(1 << 50))
        self._spans = spans
        self._unflushed: list[tuple[Labels, int, float]] = []
        self.selected: list[tuple[int, int]] = []

    def append(self, labels: Labels, ts: int, value: float) -> None:
        self._unflushed.append((labels, ts, value))

    async def flush(self) -> None:
        for one in self._unflushed:
            self._head.append(*one)
        self._unflushed = []

    def spans(self, bridged_ms: int) -> TimeSpans:
        return self._spans

    def settle_ms(self) -> int:
        return 0

    def select(
        self, matchers: Sequence[Matcher], mint: int, maxt: int, max_samples: int, go_on: Callable[[], object]
    ) -> Selection:
        self.selected.append((mint, maxt))
        found = self._head.select(matchers, mint, maxt)
        rows = []
        for i, count in enumerate(found.counts.tolist()):
            times, values = found.times[i, :count], found.values[i, :count]
            inside = (times >= mint) & (times <= maxt)
            if inside.any():
                rows.append((found.index.labels[i], times[inside], values[inside]))
        counts = np.array([len(times) for _, times, _ in rows], np.int64)
        if counts.sum() > max_samples:
            raise QueryLimitError(TOO_MANY_SAMPLES)
        width = int(counts.max(initial=0))
        times, values = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width))
        for i, (_, row_times, row_values) in enumerate(rows):
            times[i, : len(row_times)] = row_times
            values.view(np.int64)[i, : len(row_times)] = row_values.view(np.int64)
        return Selection(LabelIndex([labels for labels, _, _ in rows]), times, values, counts)

    def series(
        self, matchers: Sequence[Matcher], mint: int, maxt: int, go_on: Callable[[], object]
    ) -> Sequence[Labels]:
        return self.select(matchers, mint, maxt, 1 << 60, go_on).index.labels
