"""The results of the query page's panels. Evaluated and made ready in a query's thread, under the limits of queries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rulepush.errors import ParseError, RulepushError
from rulepush.histogram.sample import HistogramSample
from rulepush.histogram.text import format_histogram
from rulepush.model.durations import format_duration
from rulepush.model.floats import format_float
from rulepush.model.matcher import exact_metric_name
from rulepush.model.sample import Sample
from rulepush.promql import Query, QueryResult, ResultSeries, ValueType
from rulepush.site.charts import ChartSeries, DrawnChart, drawn_chart
from rulepush.site.histogram_bars import HistogramBars, histogram_bars
from rulepush.site.language import Message, message
from rulepush.site.panels import MAX_STEPS, PanelTab, QueryPanel
from rulepush.web.evaluator import QueryEvaluator

MAX_ROWS: Final = 1000  # of a table
HEIGHT: Final = 300  # pixels, of a graph
MAX_SERIES: Final = 30  # of a graph: more lines cannot be told apart
MAX_VALUES: Final = 100  # of a range selector's series in a table
MAX_LISTED_TIMES: Final = 60  # of a graph's values as a table
MAX_LISTED_SERIES: Final = 8
_POSITION: Final = re.compile(r"(\d+):(\d+): parse error: (.*)", re.DOTALL)
_WORD: Final = re.compile(r"\w+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class QueryFault:
    """Why there is no result. Where a position in the expression is known, the expression is `before` + `at` + `after`
    and `at` is where it stumbled, empty at the end."""

    text: Message | str
    before: str = ""
    at: str = ""
    after: str = ""

    @property
    def is_placed(self) -> bool:
        return bool(self.before or self.at or self.after)


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A series, and its value or values as text; the bars of a histogram that has any."""

    labels: str
    value: str
    bars: HistogramBars | None = None


@dataclass(frozen=True, slots=True)
class TableResult:
    """`rows` are the first of `count`, as they are at `at` (ms)."""

    rows: Sequence[ResultRow]
    count: int
    at: int


@dataclass(frozen=True, slots=True)
class GraphLine:
    """A line of a graph in figures; `least` and `most` are NaN where it has no number."""

    labels: str
    last: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class GraphResult:
    """`lines` are the first of `count`, drawn as `chart` over its start to its end. `listing` has some of the times
    with the values of the first lines, for who cannot see the chart or move a mouse over it.

    A histogram has no line: `newest` has the last one of the first of `with_histograms` series, with its time (ms)."""

    chart: DrawnChart
    lines: Sequence[GraphLine]
    count: int
    listing: Sequence[tuple[int, Sequence[str]]] = ()
    newest: Sequence[tuple[int, ResultRow]] = ()
    with_histograms: int = 0


@dataclass(frozen=True, slots=True)
class PanelResult:
    """A panel with what came of it: nothing without an expression. `number` is that of its parameters, `seconds` are
    with the wait for a thread, `metrics` are those that the expression names."""

    panel: QueryPanel
    number: int = 0
    result: TableResult | GraphResult | None = None
    fault: QueryFault | None = None
    warnings: Sequence[str] = ()
    seconds: float = 0.0
    metrics: Sequence[str] = ()

    @property
    def table(self) -> TableResult | None:
        return self.result if isinstance(self.result, TableResult) else None

    @property
    def graph(self) -> GraphResult | None:
        return self.result if isinstance(self.result, GraphResult) else None


async def panel_result(evaluator: QueryEvaluator, panel: QueryPanel, now: int, number: int = 0) -> PanelResult:
    """Evaluates a panel at `now` (ms), where it names no time. An error is part of what it answers."""
    if not panel.expr.strip():
        return PanelResult(panel, number)
    asked_at = evaluator.asked_at()
    metrics: Sequence[str] = ()
    result, fault = None, None
    warnings: Sequence[str] = ()
    try:
        query = await evaluator.parsed(panel.expr)
        names = (exact_metric_name(use.matchers) for use in query.selectors())
        metrics = tuple(dict.fromkeys(name for name in names if name is not None))
        result, warnings = await _evaluated(evaluator, query, panel, now, asked_at)
    except RulepushError as e:
        fault = query_fault(panel.expr, e)
    except _Refused as e:
        fault = QueryFault(e.words)
    return PanelResult(panel, number, result, fault, warnings, evaluator.asked_at() - asked_at, metrics)


class _Refused(Exception):
    """The panel asks for what cannot be shown."""

    def __init__(self, words: Message):
        self.words = words
        super().__init__(words.text)


async def _evaluated(
    evaluator: QueryEvaluator, query: Query, panel: QueryPanel, now: int, asked_at: float
) -> tuple[TableResult | GraphResult, Sequence[str]]:
    end = now if panel.end is None else panel.end
    if panel.tab is PanelTab.TABLE:

        def table(result: QueryResult, incomplete: Sequence[str]) -> tuple[TableResult, Sequence[str]]:
            return table_result(result, end), _warnings(result, incomplete)

        return await evaluator.instant(query, end, table, asked_at=asked_at)
    start, step = end - panel.range_ms, panel.step
    if panel.range_ms // step > MAX_STEPS:
        least = format_duration((panel.range_ms // MAX_STEPS // 1000 + 1) * 1000)
        text = message(
            "A graph has %(most)d points at most: choose a longer step, from %(least)s", most=MAX_STEPS, least=least
        )
        raise _Refused(text)
    if query.value_type not in (ValueType.VECTOR, ValueType.SCALAR):
        raise _Refused(message("A graph needs numbers at each time; this expression has them only as a table"))

    def graph(result: QueryResult, incomplete: Sequence[str]) -> tuple[GraphResult, Sequence[str]]:
        return graph_result(result, start, end, step), _warnings(result, incomplete)

    return await evaluator.range(query, start, end, step, graph, asked_at=asked_at)


def table_result(result: QueryResult, at: int) -> TableResult:
    """The rows of an instant query."""
    if result.value_type is ValueType.STRING:
        return TableResult([ResultRow("", result.string)], 1, at)
    if result.value_type is ValueType.MATRIX:
        series = result.series()
        return TableResult([ResultRow(str(s.labels), _points(s)) for s in series[:MAX_ROWS]], len(series), at)
    samples = result.samples()
    rows = [_row(s) for s in samples[:MAX_ROWS]]
    return TableResult(rows, len(samples), at)


def graph_result(result: QueryResult, start: int, end: int, step: int) -> GraphResult:
    """The lines of a range query."""
    series = result.series()
    found = [plain for s in series if len((plain := s.floats).times)]
    shown = [ChartSeries(str(s.labels), s.times, s.values) for s in found[:MAX_SERIES]]
    lines = [
        GraphLine(s.name, float(s.values[-1]), float(np.fmin.reduce(s.values)), float(np.fmax.reduce(s.values)))
        for s in shown
    ]
    chart = drawn_chart(shown, start, end, step, height=HEIGHT)
    newest = [last for s in series if (last := _last_histogram(s)) is not None]
    return GraphResult(
        chart,
        lines,
        len(found),
        _listing(shown[:MAX_LISTED_SERIES], start, end, step),
        [(sample.ts, _row(sample)) for sample in newest[:MAX_SERIES]],
        len(newest),
    )


def query_fault(expr: str, error: RulepushError) -> QueryFault:
    """An error with its place in the expression, where its text has one."""
    placed = _POSITION.fullmatch(str(error)) if isinstance(error, ParseError) else None
    if placed is None:
        return QueryFault(str(error))
    line, column = int(placed[1]), int(placed[2])
    lines = expr.split("\n")
    if not 1 <= line <= len(lines):
        return QueryFault(str(error))
    # Columns count bytes, as in Prometheus.
    inside = lines[line - 1].encode()[: column - 1].decode(errors="ignore")
    at = sum(len(one) + 1 for one in lines[: line - 1]) + len(inside)
    word = _WORD.match(expr, at)
    stop = at if word is None else word.end()
    return QueryFault(str(error), expr[:at], expr[at:stop], expr[stop:])


def _warnings(result: QueryResult, incomplete: Sequence[str]) -> list[str]:
    return [*incomplete, *result.annotations.warnings, *result.annotations.infos]


def _row(sample: Sample) -> ResultRow:
    bars = histogram_bars(sample.histogram) if isinstance(sample, HistogramSample) else None
    return ResultRow(str(sample.labels), _value(sample), bars)


def _last_histogram(series: ResultSeries) -> Sample | None:
    if len(series.floats.times) == len(series.times):
        return None
    samples = (series.sample(place) for place in reversed(range(len(series.times))))
    return next((sample for sample in samples if isinstance(sample, HistogramSample)), None)


def _value(sample: Sample) -> str:
    return format_histogram(sample.histogram) if isinstance(sample, HistogramSample) else format_float(sample.value)


def _points(series: ResultSeries) -> str:
    """`1 @1700000000.000 2 @1700000015.000`, as Prometheus prints the samples of a range; the newest ones of many."""
    first = max(0, len(series.times) - MAX_VALUES)
    newest = [series.sample(place) for place in range(first, len(series.times))]
    shown = " ".join(f"{_value(sample)} @{sample.ts / 1000:.3f}" for sample in newest)
    return shown if len(series.times) <= MAX_VALUES else f"... {shown}"


def _listing(series: Sequence[ChartSeries], start: int, end: int, step: int) -> list[tuple[int, list[str]]]:
    """At most MAX_LISTED_TIMES of the times, the newest first, with the values there; those where nothing is are left
    out."""
    steps = (end - start) // step
    every = steps // MAX_LISTED_TIMES + 1
    found = [dict(zip(s.times.tolist(), s.values.tolist(), strict=True)) for s in series]
    rows = []
    for i in range(steps, -1, -every):
        ts = start + i * step
        values = [format_float(one[ts]) if ts in one else "" for one in found]
        if any(values):
            rows.append((ts, values))
    return rows
