"""`/api/v1/status/self_metrics`: own metrics as JSON.

Source: prometheus web/api/v1/api.go (selfMetrics), which writes each io.prometheus.client.MetricFamily as protobuf's
JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.errors import RegexError
from rulepush.model.regex import compile_regex
from rulepush.telemetry import OwnMetric, Telemetry
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.params import Params


class SelfMetricsApi:
    """What `/metrics` has as text."""

    def __init__(self, telemetry: Telemetry):
        self._telemetry = telemetry

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        return [Route("/status/self_metrics", self.self_metrics, methods=["GET"])]

    async def self_metrics(self, request: Request) -> Response:
        """Those whose name `metric_name_pattern` matches whole, or all."""
        wanted = _name_filter((await Params.of(request)).text("metric_name_pattern"))
        return success([_family(metric) for metric in self._telemetry.metrics() if wanted(_name(metric))])


def _name_filter(pattern: str) -> Callable[[str], bool]:
    if not pattern:
        return lambda name: True
    try:
        compiled = compile_regex(pattern, captures=False)
    except RegexError as e:
        raise ApiError(ErrorType.BAD_DATA, f"invalid metric_name_pattern: {e}") from None
    return lambda name: compiled.fullmatch(name) is not None


def _name(metric: OwnMetric) -> str:
    return f"{metric.name}_total" if metric.kind == "counter" else metric.name


def _family(metric: OwnMetric) -> dict[str, Any]:
    rows = []
    for reading in metric.read():
        pairs = zip(metric.label_names, reading.labels, strict=True)
        labels = [{"name": name, "value": value} for name, value in pairs]
        rows.append({**({"label": labels} if labels else {}), metric.kind: {"value": _number(reading.value)}})
    return {"name": _name(metric), "help": metric.help, "type": metric.kind.upper(), "metric": rows}


def _number(value: float) -> float | str:
    """As protobuf's JSON writes a double."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
