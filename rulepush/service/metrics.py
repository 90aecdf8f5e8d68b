"""Own metrics of the service itself: the clock, and the configuration in force."""

from __future__ import annotations

from collections.abc import Callable

from rulepush.service.clock_watch import ClockWatch
from rulepush.telemetry import Telemetry, single


def expose_clock_watch(t: Telemetry, watch: ClockWatch) -> None:
    """How often time did not run evenly."""
    t.counter(
        "rulepush_time_jumps",
        "Times that the clock was set, or the process stood still.",
        single(lambda: watch.breaks),
    )


def expose_configuration(t: Telemetry, last_reload_ok: Callable[[], bool], loaded_at: Callable[[], int]) -> None:
    """Whether the last reload was good, and when (ms) the configuration in force was loaded."""
    t.gauge(
        "rulepush_config_last_reload_successful",
        "Whether the last attempt to load the configuration was good.",
        single(lambda: float(last_reload_ok())),
    )
    t.gauge(
        "rulepush_config_last_reload_success_timestamp_seconds",
        "When the configuration in force was loaded.",
        single(lambda: loaded_at() / 1000),
    )
