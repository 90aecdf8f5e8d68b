"""Own metrics of the HTTP API's queries."""

from __future__ import annotations

from rulepush.telemetry import Telemetry, single
from rulepush.web.evaluator import QueryStats


def expose_queries(t: Telemetry, stats: QueryStats) -> None:
    """Queries, how many failed, and how long they took."""
    t.counter("rulepush_queries", "Queries of the API.", single(lambda: stats.queries))
    t.counter("rulepush_query_failures", "Of these, those that failed.", single(lambda: stats.failures))
    t.counter("rulepush_query_seconds", "Time they took, with the wait.", single(lambda: stats.seconds))
    t.counter(
        "rulepush_recording_queries",
        "Queries and listings that were answered from the recording, for more was needed than is in memory.",
        single(lambda: stats.past),
    )
    t.counter("rulepush_recording_query_seconds", "Time they took.", single(lambda: stats.past_seconds))
