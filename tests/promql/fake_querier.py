"""A Querier over a list of series: what the engine needs of a storage, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rulepush.model.index import LabelIndex
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher
from rulepush.promql import Engine, EngineOptions, QueryResult, parse_expr
from rulepush.storage.selection import Selection


def labels(name: str = "", /, **pairs: str) -> Labels:
    """`labels("up", job="nacos")`."""
    return Labels({METRIC_NAME: name, **pairs})


class FakeQuerier:
    """`series`: samples (ms, value) by label set. A selection keeps its identity for the same matchers."""

    def __init__(self, series: Mapping[Labels, Sequence[tuple[int, float]]]):
        self.series = dict(series)
        self.selects = 0
        self._known: dict[tuple[Matcher, ...], Selection] = {}

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Selection:
        self.selects += 1
        key = tuple(matchers)
        if key not in self._known:
            found = [ls for ls in self.series if all(m.matches_labels(ls) for m in matchers)]
            counts = np.array([len(self.series[ls]) for ls in found], np.int64)
            cap = int(counts.max(initial=0)) + 1
            times, values = np.zeros((len(found), cap), np.int64), np.zeros((len(found), cap))
            for row, ls in enumerate(found):
                for column, (t, v) in enumerate(self.series[ls]):
                    times[row, column] = t
                    values.view(np.int64)[row, column] = np.float64(v).view(np.int64)
            self._known[key] = Selection(LabelIndex(found), times, values, counts)
        return self._known[key]


def load(*lines: tuple[Labels, str], step: int = 60_000) -> FakeQuerier:
    """Series from plain number lists, `_` for a gap: `(labels("up"), "1 1 _ 0")`."""
    series: dict[Labels, list[tuple[int, float]]] = {}
    for ls, numbers in lines:
        series[ls] = [(i * step, float(n)) for i, n in enumerate(numbers.split()) if n != "_"]
    return FakeQuerier(series)


def instant(text: str, ts: int, querier: FakeQuerier, options: EngineOptions | None = None) -> QueryResult:
    return Engine(options).instant(parse_expr(text), ts, querier)


def values(text: str, ts: int, querier: FakeQuerier, options: EngineOptions | None = None) -> dict[str, float]:
    """{labels: value} of an instant query."""
    return {str(s.labels): s.value for s in instant(text, ts, querier, options).samples()}


def steps(text: str, start: int, end: int, step: int, querier: FakeQuerier) -> dict[str, list[tuple[int, float]]]:
    """{labels: [(ms, value)]} of a range query."""
    result = Engine().range(parse_expr(text), start, end, step, querier)
    return {str(s.labels): list(zip(s.times.tolist(), s.values.tolist(), strict=True)) for s in result.series()}
