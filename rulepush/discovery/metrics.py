"""Own metrics of the discoveries."""

from __future__ import annotations

from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.telemetry import MetricReading, Telemetry


def expose_discoveries(t: Telemetry, reporter: DiscoveryReporter) -> None:
    """Refreshes and failures, by mechanism."""
    t.counter(
        "rulepush_discovery_refreshes",
        "Refreshes of discoveries, by mechanism.",
        lambda: [MetricReading((kind,), n) for kind, n in reporter.refreshes.items()],
        ("mechanism",),
    )
    t.counter(
        "rulepush_discovery_failures",
        "Refreshes of discoveries that failed; the last good list stays.",
        lambda: [MetricReading((kind,), n) for kind, n in reporter.failures.items()],
        ("mechanism",),
    )
