"""Own metrics of the discoveries."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.telemetry import MetricReading, Telemetry, single


def expose_discoveries(
    t: Telemetry,
    reporter: DiscoveryReporter,
    discovered: Callable[[], Mapping[str, int]] = dict,
    updated_at: Callable[[], Mapping[str, int]] = dict,
) -> None:
    """Refreshes and failures, by mechanism; how many targets each job's discoveries have `discovered`, and when (ms)
    they last told it of a change, 0 for not yet."""
    t.counter(
        "rulepush_discovery_refreshes",
        "Refreshes of discoveries, by mechanism.",
        lambda: [MetricReading((kind,), n) for kind, n in reporter.refreshes.items()],
        ("mechanism",),
    )
    t.counter(
        "rulepush_discovery_failures",
        "Refreshes of discoveries that failed; the last good list stays.",
        lambda: [MetricReading((kind,), reporter.failures[kind]) for kind in reporter.refreshes],
        ("mechanism",),
    )
    t.gauge(
        "rulepush_discovery_failing_sources",
        "Sources of discoveries that fail now, by mechanism.",
        lambda: [MetricReading((kind,), reporter.failing_sources()[kind]) for kind in reporter.refreshes],
        ("mechanism",),
    )
    t.gauge(
        "rulepush_discovery_failing_seconds",
        "For how long a discovery has failed, the longest of the mechanism; 0 when none fails.",
        lambda: [MetricReading((kind,), seconds) for kind, seconds in reporter.failing_seconds().items()],
        ("mechanism",),
    )
    t.counter(
        "rulepush_discovery_received_updates",
        "Changes that discoveries found.",
        single(lambda: reporter.received),
    )
    t.counter(
        "rulepush_discovery_updates",
        "Changes that were passed on to jobs and Alertmanagers, gathered.",
        single(lambda: reporter.updates),
    )
    t.gauge(
        "rulepush_discovery_discovered_targets",
        "Targets that the discoveries of a job have found, before relabelling.",
        lambda: [MetricReading((job,), count) for job, count in discovered().items()],
        ("config",),
    )
    t.gauge(
        "rulepush_discovery_last_update_timestamp_seconds",
        "When changes were last passed on to a job, gathered.",
        lambda: [MetricReading((job,), ts / 1000) for job, ts in updated_at().items() if ts],
        ("config",),
    )
