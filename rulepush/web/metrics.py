"""Own metrics of the HTTP API's queries."""

from __future__ import annotations

from rulepush.telemetry import Telemetry, single
from rulepush.web.evaluator import QueryStats


def expose_queries(t: Telemetry, stats: QueryStats) -> None:
    """Queries, how many failed, and how long they took."""
    t.counter("rulepush_queries", "Queries of the API.", single(lambda: stats.queries))
    t.counter("rulepush_query_failures", "Of these, those that failed.", single(lambda: stats.failures))
    t.counter("rulepush_query_seconds", "Time they took, with the wait.", single(lambda: stats.seconds))
