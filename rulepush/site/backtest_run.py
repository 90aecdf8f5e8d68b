"""A backtest of the page: what is read, how it is bounded, and the chart of what the rules look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rulepush.backtest import BacktestOptions, backtests
from rulepush.errors import EvaluationError
from rulepush.model.floats import format_float
from rulepush.promql import Query, QueryResult, ResultSeries, ValueType
from rulepush.rules.specs import AlertingSpec, RuleGroup
from rulepush.rules.thresholds import Threshold, thresholds
from rulepush.site.backtest_form import BacktestForm
from rulepush.site.backtest_place import RecordedPlace
from rulepush.site.backtest_views import BacktestOutcome, outcome_of
from rulepush.site.charts import ChartSeries, ChartThreshold, DrawnChart, drawn_chart
from rulepush.web.evaluator import QueryEvaluator

MAX_EVALUATIONS: Final = 500_000
MAX_CHART_SERIES: Final = 10
_CHART_TIMEOUT_MS: Final = 10_000
_POINTS: Final = 360
_MIN_STEP_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class BacktestChart:
    """What is compared, over the range; `series` is how many there are, of which the furthest are drawn. `warnings` say
    what is missing, `error` why there is no chart."""

    expr: str
    drawn: DrawnChart | None
    series: int = 0
    warnings: Sequence[str] = ()
    error: str = ""


def try_rules(
    form: BacktestForm, place: RecordedPlace, now: int, is_over: Callable[[], bool]
) -> BacktestOutcome | tuple[int, int] | None:
    """Evaluate the rule as it is, and as it is edited, over the range of the form. Blocks: for a thread. None where
    nothing is recorded, and the bounds of the recording (ms) where it has nothing of the range. Raises
    EvaluationError."""
    try:
        source = place.source()
        bounds = source.bounds()
        if bounds is None:
            return None
        start, end = max(now - form.range_ms, bounds[0]), min(now, bounds[1])
        if start >= end:
            return bounds
        options = BacktestOptions(start, end, place.replay(), max_evaluations=MAX_EVALUATIONS)
        reports = backtests(source, versions(form), options, should_stop=is_over)
    except OSError as e:
        raise EvaluationError(f"the recording cannot be read: {e}") from e
    current = reports[0] if form.chosen is not None else None
    edited = None if form.same else reports[-1]
    return outcome_of(current, edited, start, end, bounds)


def versions(form: BacktestForm) -> list[list[RuleGroup]]:
    """The groups of each version: the current rule, where there is one, then the edited one, where it is another."""
    chosen, edited = form.chosen, form.edited
    assert edited is not None
    if chosen is None:
        return [[RuleGroup("backtest", "", (edited,))]]
    current = [chosen.version(chosen.spec)]
    return [current] if form.same else [current, [chosen.version(edited)]]


async def backtest_chart(evaluator: QueryEvaluator, form: BacktestForm, outcome: BacktestOutcome) -> BacktestChart:
    """The value of the edited expression over the range, against the thresholds of both versions."""
    edited = form.edited
    assert edited is not None
    mine = _compared(edited)
    query = edited.query if mine is None else mine.value
    start, end = outcome.start, outcome.end
    step = max(_MIN_STEP_MS, (end - start) // _POINTS)
    try:
        series, count, warnings = await _values(evaluator, query, start, end, step, mine)
        levels = (
            [] if mine is None else [await _level(evaluator, mine, start, end, step, "" if form.same else "edited")]
        )
        theirs = None if form.chosen is None or form.same else _compared(form.chosen.spec)
        if theirs is not None and mine is not None and theirs.value.canonical == mine.value.canonical:
            if str(theirs) == str(mine):
                levels = [ChartThreshold(levels[0].name, levels[0].value, levels[0].series)]
            else:
                levels.append(await _level(evaluator, theirs, start, end, step, ""))
    except EvaluationError as e:
        return BacktestChart(str(query), None, error=str(e))
    drawn = replace(drawn_chart(series, start, end, step, thresholds=levels), spans=outcome.unseen)
    return BacktestChart(str(query), drawn, count, warnings)


def _compared(spec: AlertingSpec) -> Threshold | None:
    """The first comparison that decides."""
    found = thresholds(spec.query)
    return next((one for one in found if one.decides), found[0] if found else None)


async def _values(
    evaluator: QueryEvaluator, query: Query, start: int, end: int, step: int, compared: Threshold | None
) -> tuple[list[ChartSeries], int, list[str]]:
    """The series that come the furthest in the direction of the comparison, how many there are, and the warnings."""
    lowest = compared is not None and compared.op in ("<", "<=")

    def edge(one: ResultSeries) -> float:
        value = float(np.fmin.reduce(one.values) if lowest else -np.fmax.reduce(one.values))
        return value if value == value else float("inf")

    def finish(result: QueryResult, incomplete: Sequence[str]) -> tuple[list[ChartSeries], int, list[str]]:
        if result.value_type is ValueType.STRING:
            return [], 0, []
        found = [plain for s in result.series() if len((plain := s.floats).times)]  # histograms have no line
        shown = sorted(found, key=edge)[:MAX_CHART_SERIES]
        return [ChartSeries(str(s.labels), s.times, s.values) for s in shown], len(found), list(incomplete)

    return await evaluator.range(query.resolved(step, end - start), start, end, step, finish, _CHART_TIMEOUT_MS)


async def _level(
    evaluator: QueryEvaluator, compared: Threshold, start: int, end: int, step: int, css: str
) -> ChartThreshold:
    if compared.constant is not None:
        return ChartThreshold(f"{compared.op} {format_float(compared.constant)}", compared.constant, css=css)
    series, _, _ = await _values(evaluator, compared.threshold, start, end, step, None)
    return ChartThreshold(f"{compared.op} {compared.threshold}", None, series[0] if series else None, css)
