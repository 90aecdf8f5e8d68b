"""`/graph` and `/query`: an expression, and its result now. Old links of alerts lead here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.errors import RulepushError
from rulepush.http_request import while_connected
from rulepush.model.floats import format_float
from rulepush.promql import QueryResult, ResultSeries, ValueType
from rulepush.site.frame import Frame
from rulepush.site.language import message
from rulepush.web.evaluator import QueryEvaluator

MAX_ROWS: Final = 1000  # of a result that the page shows


@dataclass(frozen=True, slots=True)
class ShownResult:
    """The result of an instant query as texts: (labels, value) rows, of `count` rows in all, and warnings."""

    rows: Sequence[tuple[str, str]]
    count: int
    warnings: Sequence[str] = ()


class QueryPage:
    """`evaluator` runs what is asked."""

    def __init__(self, frame: Frame, evaluator: QueryEvaluator):
        self._frame = frame
        self._evaluator = evaluator

    def routes(self) -> list[Route]:
        """The page, under its own and Prometheus' older name."""
        return [Route(path, self.show, methods=["GET"]) for path in ("/graph", "/query")]

    async def show(self, request: Request) -> Response:
        """The expression, and its result now."""
        expr = request.query_params.get("g0.expr") or request.query_params.get("expr", "")
        shown, error, now = None, "", self._frame.clock.now()
        if expr.strip():
            try:
                shown = await while_connected(request, self._evaluated(expr, now))
            except RulepushError as e:
                error = str(e)
        return await self._frame.page(
            request, "query.html", message("Query"), "/graph", expr=expr, shown=shown, error=error, at=now
        )

    async def _evaluated(self, expr: str, now: int) -> ShownResult:
        asked_at = self._evaluator.asked_at()
        query = await self._evaluator.parsed(expr)
        return await self._evaluator.instant(query, now, _shown, asked_at=asked_at)


def _shown(result: QueryResult, incomplete: Sequence[str]) -> ShownResult:
    warnings = [*incomplete, *result.annotations.warnings, *result.annotations.infos]
    if result.value_type is ValueType.STRING:
        return ShownResult([("", result.string)], 1, warnings)
    if result.value_type is ValueType.MATRIX:
        series = result.series()
        return ShownResult([(str(s.labels), _points(s)) for s in series[:MAX_ROWS]], len(series), warnings)
    samples = result.samples()
    return ShownResult([(str(s.labels), format_float(s.value)) for s in samples[:MAX_ROWS]], len(samples), warnings)


def _points(series: ResultSeries) -> str:
    """`1 @1700000000.000 2 @1700000015.000`, as Prometheus prints the samples of a range."""
    pairs = zip(series.times.tolist(), series.values.tolist(), strict=True)
    return " ".join(f"{format_float(value)} @{ts / 1000:.3f}" for ts, value in pairs)
