"""Own metrics of datasources. Does not import the engine: it is loaded where one is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rulepush.datasource.status import DatasourceStatus
from rulepush.telemetry import MetricReading, Readings, Telemetry

_NAME = ("datasource",)


def expose_datasources(t: Telemetry, statuses: Callable[[], Iterable[DatasourceStatus]]) -> None:
    """Whether each engine answers, and what it was asked."""

    def each(value: Callable[[DatasourceStatus], float | None]) -> Readings:
        return lambda: [MetricReading((s.name,), v) for s in statuses() if (v := value(s)) is not None]

    t.gauge(
        "rulepush_datasource_up",
        "Whether the engine has answered the newest question; missing before the first.",
        each(lambda s: s.is_up),
        _NAME,
    )
    t.gauge(
        "rulepush_datasource_last_answer_timestamp_seconds",
        "When the engine last gave a whole answer; 0 before the first.",
        each(lambda s: (s.last_answer or 0) / 1000),
        _NAME,
    )
    t.counter(
        "rulepush_datasource_questions", "Queries of rules and their templates.", each(lambda s: s.questions), _NAME
    )
    t.counter(
        "rulepush_datasource_failures",
        "Queries without an answer, or without the whole one: those evaluations failed.",
        each(lambda s: s.failures),
        _NAME,
    )
    t.counter("rulepush_datasource_requests", "HTTP requests for these queries.", each(lambda s: s.requests), _NAME)
    t.counter("rulepush_datasource_retries", "Requests that asked again.", each(lambda s: s.retries), _NAME)
    t.counter(
        "rulepush_datasource_request_seconds",
        "Time in which requests were under way, several at a time included.",
        each(lambda s: s.seconds),
        _NAME,
    )
