"""Own metrics of the heartbeats. Does not import their sender: it is loaded where one is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rulepush.delivery import HeartbeatState, HeartbeatStatus
from rulepush.telemetry import MetricReading, Telemetry


def expose_heartbeats(t: Telemetry, statuses: Callable[[], Iterable[HeartbeatStatus]]) -> None:
    """Heartbeats by name and what became of them."""
    t.counter(
        "rulepush_heartbeats",
        "Heartbeats that were received (sent), tries that failed, and heartbeats withheld, for not all worked.",
        lambda: [
            MetricReading((s.name, outcome), count)
            for s in statuses()
            for outcome, count in (("sent", s.sent), ("failed", s.failed), ("withheld", s.withheld))
        ],
        ("name", "outcome"),
    )
    t.gauge(
        "rulepush_heartbeat_withheld",
        "Whether the heartbeat is withheld now, for not all works.",
        lambda: [MetricReading((s.name,), float(s.state is HeartbeatState.WITHHELD)) for s in statuses()],
        ("name",),
    )
    t.gauge(
        "rulepush_heartbeat_last_success_timestamp_seconds",
        "When the heartbeat was last received; 0 before the first time.",
        lambda: [MetricReading((s.name,), s.last_success / 1000) for s in statuses()],
        ("name",),
    )
    t.gauge(
        "rulepush_heartbeat_interval_seconds",
        "How often the heartbeat is due.",
        lambda: [MetricReading((s.name,), s.interval_ms / 1000) for s in statuses()],
        ("name",),
    )
