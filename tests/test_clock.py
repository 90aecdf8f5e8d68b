"""The machine's clock."""

from __future__ import annotations

from freezegun import freeze_time

from rulepush.clock import SystemClock


@freeze_time("2026-11-21T03:04:05Z")
def test_the_system_clock_counts_milliseconds_since_the_epoch() -> None:
    assert SystemClock().now() == 1_795_230_245_000
