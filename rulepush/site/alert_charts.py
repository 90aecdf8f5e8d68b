"""The values of an alert over time: its expression without the comparison, against its threshold.

Samples reach only as far back as the rules look, unless there is a recording (`storage: {record: {}}`): a chart shows
what is there, says what is missing, and has the values of former changes from the history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.errors import RulepushError
from rulepush.history.spans import StateSpan
from rulepush.model.floats import format_float
from rulepush.model.labels import ALERT_NAME, METRIC_NAME, Labels
from rulepush.model.sample import Sample
from rulepush.promql import Query, QueryResult, ResultSeries, ValueType
from rulepush.rules.specs import AlertingSpec
from rulepush.rules.thresholds import Threshold, thresholds
from rulepush.rules.transition import Transition
from rulepush.site.charts import ChartSeries, ChartThreshold, DrawnChart, drawn_chart
from rulepush.site.datasource_views import RangeSource
from rulepush.site.language import Message, message
from rulepush.site.ranges import chart_timeout_ms
from rulepush.web.evaluator import QueryEvaluator

MAX_CHARTS: Final = 3
MAX_SERIES: Final = 10
_POINTS: Final = 240
_MIN_STEP_MS: Final = 1_000
_ASKED_S: Final = 2.0  # seconds for an engine elsewhere: a page is better without a chart than late
_NOT_SERIES: Final = (METRIC_NAME, ALERT_NAME)


@dataclass(frozen=True, slots=True)
class ValueChart:
    """One comparison: `expr` is what was compared. `warnings` say what is missing, `error` why there is no chart."""

    expr: str
    drawn: DrawnChart | None
    description: Message
    warnings: Sequence[str] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class AlertSubject:
    """What is drawn: the values of one alert, or with `labels` None those of all series of a rule. `source` is the
    engine that evaluates it elsewhere."""

    spec: AlertingSpec
    labels: Labels | None
    source: RangeSource | None = None

    def means(self, series: Labels, *, decides: bool) -> bool:
        """Whether a series belongs to the alert. The elements of the deciding comparison have all labels of the alert
        that the rule does not set; another one may have others, and may not contradict."""
        if self.labels is None:
            return True
        own = {name for name, _ in self.spec.labels}.union(_NOT_SERIES)
        there = series.as_dict()
        wanted = [(name, value) for name, value in self.labels if name not in own]
        if decides:
            return all(there.get(name) == value for name, value in wanted)
        return all(there.get(name, value) == value for name, value in wanted)


class AlertCharts:
    """Evaluates in the threads of the queries, within their limits and for a few seconds at most."""

    def __init__(self, evaluator: QueryEvaluator):
        self._evaluator = evaluator

    async def charts(
        self,
        subject: AlertSubject,
        start: int,
        end: int,
        spans: Sequence[StateSpan] = (),
        changes: Sequence[Transition] = (),
    ) -> list[ValueChart]:
        """One chart for each comparison, from `start` to `end` (ms). `changes` are the transitions of the alert."""
        compared = thresholds(subject.spec.query)[:MAX_CHARTS]
        if not compared:
            query = subject.spec.query
            return [await self._chart(subject, query, None, start, end, spans, ())]
        charts = [
            self._chart(subject, one.value, one, start, end, spans, changes if one is compared[0] else ())
            for one in compared
        ]
        if subject.source is not None:  # side by side, for one that does not answer takes its time
            return list(await asyncio.gather(*charts))
        return [await chart for chart in charts]

    async def _chart(
        self,
        subject: AlertSubject,
        query: Query,
        threshold: Threshold | None,
        start: int,
        end: int,
        spans: Sequence[StateSpan],
        changes: Sequence[Transition],
    ) -> ValueChart:
        expr, step = str(query), max(_MIN_STEP_MS, (end - start) // _POINTS)
        start = end - (end - start) // step * step  # the newest point is now
        decides = threshold is None or threshold.decides
        said = message("%(expr)s over time", expr=expr)
        try:
            series, warnings = await self._values(subject, query, start, end, step, decides=decides)
            levels = []
            if threshold is not None:
                level, more = await self._level(subject, threshold, start, end, step)
                levels.append(level)
                warnings = list(dict.fromkeys([*warnings, *more]))
        except RulepushError as e:
            return ValueChart(expr, None, said, (), str(e))
        if subject.labels is not None:
            series += _former(changes, series, start, step)
        if threshold is not None:
            said = message("%(expr)s over time, compared with %(threshold)s", expr=expr, threshold=levels[0].name)
        drawn = drawn_chart(series, start, end, step, thresholds=levels, spans=spans)
        return ValueChart(expr, drawn, said, warnings)

    async def _values(
        self, subject: AlertSubject, query: Query, start: int, end: int, step: int, *, decides: bool
    ) -> tuple[list[ChartSeries], list[str]]:
        if subject.source is not None:
            text = str(query.resolved(step, end - start))
            samples = await subject.source.ask_range(text, start, end, step, _ASKED_S)
            series = [s for s in _by_series(samples) if subject.means(s[0], decides=decides)]
            return [ChartSeries(str(labels), times, values) for labels, times, values in series[:MAX_SERIES]], []

        def finish(result: QueryResult, incomplete: Sequence[str]) -> tuple[list[ChartSeries], list[str]]:
            if result.value_type is ValueType.STRING:
                return [], []
            found = [s for s in result.series() if subject.means(s.labels, decides=decides)]
            return [_series(s) for s in found[:MAX_SERIES]], list(incomplete)

        resolved = query.resolved(step, end - start)
        return await self._evaluator.range(resolved, start, end, step, finish, chart_timeout_ms(end - start))

    async def _level(
        self, subject: AlertSubject, threshold: Threshold, start: int, end: int, step: int
    ) -> tuple[ChartThreshold, list[str]]:
        """The threshold, and the warnings of its values."""
        if threshold.constant is not None:
            return ChartThreshold(f"{threshold.op} {format_float(threshold.constant)}", threshold.constant), []
        name = f"{threshold.op} {threshold.threshold}"
        series, warnings = await self._values(subject, threshold.threshold, start, end, step, decides=False)
        return ChartThreshold(name, None, series[0] if series else None), warnings


def _series(found: ResultSeries) -> ChartSeries:
    plain = found.floats  # histograms have no line
    return ChartSeries(str(plain.labels), plain.times, plain.values)


def _by_series(samples: Iterable[Sample]) -> list[tuple[Labels, npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    found: dict[Labels, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.labels, []).append(sample)
    return [
        (labels, np.array([s.ts for s in of], np.int64), np.array([s.value for s in of], np.float64))
        for labels, of in found.items()
    ]


def _former(changes: Iterable[Transition], series: Sequence[ChartSeries], start: int, step: int) -> list[ChartSeries]:
    """The values that the history has of times well before the samples begin, as points."""
    begins = min((int(s.times[0]) - 2 * step for s in series if len(s.times)), default=None)
    points = sorted(
        (one.ts, one.value)
        for one in changes
        if one.value is not None and one.ts >= start and (begins is None or one.ts < begins)
    )
    if not points:
        return []
    times = np.array([ts for ts, _ in points], np.int64)
    return [ChartSeries("at changes", times, np.array([value for _, value in points], np.float64))]
