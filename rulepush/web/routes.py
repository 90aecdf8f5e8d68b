"""All routes of a running rulepush, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Mount

from rulepush.clock import Clock
from rulepush.exposition import Metadata
from rulepush.jobs import Jobs
from rulepush.model.floats import format_float
from rulepush.promql import Engine, Series, ValueType, parse_expr
from rulepush.rules.api import rules_json
from rulepush.rules.groups import Groups
from rulepush.storage.head import Head
from rulepush.telemetry import Telemetry
from rulepush.web.lifecycle import LifecycleApi
from rulepush.web.pages import Pages
from rulepush.web.query import QueryApi
from rulepush.web.rules import RulesApi
from rulepush.web.status import Status, StatusApi
from rulepush.web.targets import TargetsApi, targets_json


@dataclass(frozen=True, slots=True)
class WebParts:
    """What the routes look at. `metadata` is all that is known of metric families, pushed and received ones included;
    `prefix` is the path of the external URL; `more` are routes of optional doors."""

    head: Head
    engine: Callable[[], Engine]
    groups: Groups
    jobs: Jobs
    metadata: Callable[[], Mapping[str, Metadata]]
    clock: Clock
    telemetry: Telemetry
    status: Callable[[], Status]
    flags: Mapping[str, str]
    ready: Callable[[], bool]
    reload: Callable[[], Awaitable[None]]
    stop: Callable[[], None]
    enable_lifecycle: bool
    prefix: str
    more: Sequence[BaseRoute] = ()


def web_routes(parts: WebParts) -> list[BaseRoute]:
    """Optional doors, the API, the lifecycle endpoints and the pages; all below the prefix, as in Prometheus."""
    api = [
        *QueryApi(parts.engine, parts.head, parts.clock).routes(),
        *RulesApi(parts.groups).routes(),
        *TargetsApi(parts.jobs, parts.metadata).routes(),
        *StatusApi(parts.status, parts.flags, parts.clock).routes(),
    ]
    lifecycle = LifecycleApi(parts.telemetry, parts.ready, parts.reload, parts.stop, parts.enable_lifecycle)
    pages = Pages(
        lambda: rules_json(parts.groups.all()), lambda: targets_json(parts.jobs), _evaluator(parts), parts.prefix
    )
    routes: list[BaseRoute] = [
        *parts.more,
        Mount("/api/v1", routes=api),
        *lifecycle.routes(),
        *pages.routes(),
    ]
    return [Mount(parts.prefix, routes=routes)] if parts.prefix else routes


def _evaluator(parts: WebParts) -> Callable[[str], list[tuple[str, str]]]:
    def evaluate(expr: str) -> list[tuple[str, str]]:
        query = parse_expr(expr)
        result = parts.engine().instant(query, parts.clock.now(), parts.head.querier())
        if result.value_type is ValueType.STRING:
            return [("", result.string)]
        if result.value_type is ValueType.MATRIX:
            return [(str(s.labels), _points(s)) for s in result.series()]
        return [(str(s.labels), format_float(s.value)) for s in result.samples()]

    return evaluate


def _points(series: Series) -> str:
    """`1 @1700000000.000 2 @1700000015.000`, as Prometheus prints the samples of a range."""
    pairs = zip(series.times.tolist(), series.values.tolist(), strict=True)
    return " ".join(f"{format_float(value)} @{ts / 1000:.3f}" for ts, value in pairs)
