"""`/graph` and `/query`: expressions, their results as table or graph, and what is kept of which metric.

Links of Prometheus' pages lead here, old and new ones; so do those of old notifications.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.http_request import while_connected
from rulepush.promql.functions import FUNCTIONS
from rulepush.site.frame import Frame
from rulepush.site.kept_metrics import KeptMetrics, kept_metrics
from rulepush.site.language import message
from rulepush.site.panels import PanelTab, QueryPanel, panels_of
from rulepush.site.query_results import PanelResult, panel_result
from rulepush.web.evaluator import QueryEvaluator

_MINUTE_MS: Final = 60_000
_RANGES: Final = {"5m": 5, "15m": 15, "1h": 60, "6h": 360, "1d": 1440, "1w": 10_080}
_AGGREGATIONS: Final = (
    *("sum", "avg", "min", "max", "count", "topk", "bottomk", "quantile", "stddev", "stdvar", "group"),
    *("count_values", "limitk", "limit_ratio"),
)
_KEYWORDS: Final = (
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "bool",
    "and",
    "or",
    "unless",
)


@dataclass(frozen=True, slots=True)
class PanelView:
    """A panel with its result and where its links lead (paths without prefix). `others` are the parameters of the other
    panels, which its form keeps."""

    outcome: PanelResult
    tabs: Sequence[tuple[PanelTab, str]]
    ranges: Sequence[tuple[str, str, bool]]
    earlier: str
    later: str
    others: Sequence[tuple[str, str]]


class QueryPage:
    """`evaluator` runs what is asked, and knows what is kept."""

    def __init__(self, frame: Frame, evaluator: QueryEvaluator, elsewhere: Callable[[], Sequence[str]] = tuple):
        """`elsewhere()` are the names of the engines whose samples are not in memory."""
        self._elsewhere = elsewhere
        self._frame = frame
        self._evaluator = evaluator

    def routes(self) -> list[Route]:
        """The page, under its own and Prometheus' older name."""
        return [Route(path, self.show, methods=["GET"]) for path in ("/graph", "/query")]

    async def show(self, request: Request) -> Response:
        """The panels of the link, each with its result, and the metrics that `metric` looks for."""
        given = dict(request.query_params)
        panels = panels_of(given)
        wanted = given.get("metric", "").strip()
        now = self._frame.clock.now()

        async def results() -> list[PanelResult]:
            return [await panel_result(self._evaluator, panel, now, n) for n, panel in enumerate(panels)]

        outcomes = await while_connected(request, results())
        return await self._frame.page(
            request,
            "query.html",
            message("Query"),
            "/graph",
            panels=panel_views(outcomes, now),
            kept=await self._kept(wanted, [name for outcome in outcomes for name in outcome.metrics]),
            wanted=wanted,
            words=promql_words(),
            elsewhere=list(self._elsewhere()),
        )

    async def _kept(self, wanted: str, asked_for: Sequence[str]) -> KeptMetrics:
        since, recorded = await self._evaluator.recorded_since(), await self._evaluator.recorded_sizes()
        sizes, view = {**recorded, **self._evaluator.metric_sizes()}, self._evaluator.kept(())
        return await self._evaluator.in_thread(
            lambda: kept_metrics(sizes, view, wanted, asked_for, recorded_since=since)
        )


@cache
def promql_words() -> tuple[str, ...]:
    """Functions, aggregations and keywords, for suggestions."""
    return tuple(sorted({*FUNCTIONS, *_AGGREGATIONS, *_KEYWORDS}))


def panel_views(outcomes: Sequence[PanelResult], now: int) -> list[PanelView]:
    """Each panel with the links that change it, and leave the others as they are."""
    panels = [outcome.panel for outcome in outcomes]

    def link(number: int, panel: QueryPanel) -> str:
        changed = [*panels[:number], panel, *panels[number + 1 :]]
        return f"/graph?{urlencode([item for n, one in enumerate(changed) for item in one.parameters(n).items()])}"

    views = []
    for n, (outcome, panel) in enumerate(zip(outcomes, panels, strict=True)):
        graph = panel.with_tab(PanelTab.GRAPH)
        views.append(
            PanelView(
                outcome,
                [(tab, link(n, panel.with_tab(tab))) for tab in PanelTab],
                [
                    (text, link(n, graph.with_range(minutes * _MINUTE_MS)), panel.range_ms == minutes * _MINUTE_MS)
                    for text, minutes in _RANGES.items()
                ],
                link(n, panel.earlier(now)),
                "" if panel.end is None else link(n, panel.later(now)),
                [item for m, one in enumerate(panels) if m != n for item in one.parameters(m).items()],
            )
        )
    return views
