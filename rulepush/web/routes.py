"""All routes of the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from rulepush.clock import Clock
from rulepush.exposition import FamilyMetadata
from rulepush.history.history import AlertHistory
from rulepush.model.floats import format_float
from rulepush.promql import QueryResult, ResultSeries, ValueType
from rulepush.rules.api import rules_json
from rulepush.rules.groups import RuleGroups
from rulepush.scrape.pool import ScrapePool
from rulepush.telemetry import Telemetry
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.external_url import ExternalURL
from rulepush.web.history import HistoryApi
from rulepush.web.lifecycle import LifecycleApi
from rulepush.web.pages import PageParts, Pages, ShownResult
from rulepush.web.query import QueryApi
from rulepush.web.rules import RulesApi
from rulepush.web.status import Status, StatusApi
from rulepush.web.targets import TargetsApi, targets_json

MAX_ROWS: Final = 1000  # of a result that the query page shows


@dataclass(frozen=True, slots=True)
class WebParts:
    """The objects behind the routes. `metadata()` is the metadata of scraped, pushed and received metric families;
    `more` are the routes of optional receivers."""

    evaluator: QueryEvaluator
    groups: RuleGroups
    jobs: Iterable[ScrapePool]
    metadata: Callable[[], Mapping[str, FamilyMetadata]]
    clock: Clock
    telemetry: Telemetry
    status: Callable[[], Status]
    flags: Mapping[str, str]
    ready: Callable[[], bool]
    reload: Callable[[], Awaitable[None]]
    stop: Callable[[], None]
    enable_lifecycle: bool
    external_url: ExternalURL
    history: AlertHistory
    more: Sequence[BaseRoute] = ()


def web_routes(parts: WebParts) -> list[BaseRoute]:
    """Optional receivers, the API, the lifecycle endpoints and the pages; all below the prefix, as in Prometheus."""
    api = [
        *QueryApi(parts.evaluator, parts.clock).routes(),
        *HistoryApi(parts.history, parts.evaluator.in_thread).routes(),
        *RulesApi(parts.groups).routes(),
        *TargetsApi(parts.jobs, parts.metadata, parts.external_url).routes(),
        *StatusApi(parts.status, parts.flags, parts.clock).routes(),
    ]
    lifecycle = LifecycleApi(parts.telemetry, parts.ready, parts.reload, parts.stop, parts.enable_lifecycle)
    pages = Pages(
        PageParts(
            lambda: rules_json(parts.groups.all()),
            lambda: targets_json(parts.jobs, parts.external_url),
            parts.status,
            parts.flags,
            _page_query(parts),
            parts.clock,
            parts.external_url.prefix,
        )
    )
    routes: list[BaseRoute] = [
        *parts.more,
        Mount("/api/v1", routes=api),
        *lifecycle.routes(),
        *pages.routes(),
    ]
    prefix = parts.external_url.route_prefix
    if not prefix:
        return routes

    async def enter(_: Request) -> Response:
        return RedirectResponse(f"{prefix}/", 302)

    return [Route("/", enter), Route(prefix, enter), Mount(prefix, routes=routes)]


def _page_query(parts: WebParts) -> Callable[[str], Awaitable[ShownResult]]:
    async def show(expr: str) -> ShownResult:
        asked_at = parts.evaluator.asked_at()
        query = await parts.evaluator.parsed(expr)
        return await parts.evaluator.instant(query, parts.clock.now(), _shown, asked_at=asked_at)

    return show


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
