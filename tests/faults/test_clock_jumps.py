"""The wall clock is set back and forward under a running rulepush: no alert is lost, doubled or faked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.inside import Inside

RULES = "{alert: Now, expr: m > 50}, {alert: Late, expr: m > 50, for: 10m}, {alert: Never, expr: m < 0}"
HOUR = 3_600_000
INTERVALS = [("15s", "15s"), ("1m", "15s"), ("15s", "1m")]
JUMPS = [HOUR, -HOUR, 7 * 60_000, -7 * 60_000, 24 * HOUR, -24 * HOUR, 20_000, -20_000]

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize(("scrape", "evaluate"), INTERVALS)
def test_a_firing_alert_stays_firing_and_resolves_when_it_is_over(
    tmp_path: Path, scrape: str, evaluate: str, jump: int
) -> None:
    async def go() -> None:
        inside = Inside(tmp_path, RULES, scrape=scrape, evaluate=evaluate, targets=("a", "b"))
        network, clock = inside.network, inside.clock
        network.metrics |= {"a": "m 99\n", "b": "m 1\n"}
        async with inside.running():
            await clock.advance(20 * 60)
            assert network.firing() == {"a Now", "a Late"}
            clock.set_wall(clock.now() + jump)
            await clock.advance(60)  # to Alertmanager it may have ended by itself: it has the same clock
            for _ in range(8):
                await clock.advance(30)
                assert network.firing() == {"a Now", "a Late"}
            assert network.resolutions() == []
            assert inside.app is not None
            assert [loop.counts.rejected for loop in inside.app.alerting.notifier.loops] == [0, 0]
            network.metrics |= {"a": "m 1\n"}
            await clock.advance(150)
            assert network.firing() == set()
            network.metrics |= {"b": "m 99\n"}
            await clock.advance(150)
            assert network.firing() == {"b Now"}
            await clock.advance(15 * 60)
            assert network.firing() == {"b Now", "b Late"}
        assert "Never" not in {p.name for p in network.received["am1"]}

    asyncio.run(go())


@pytest.mark.parametrize("jump", [-HOUR, -7 * 60_000, -20_000])
def test_an_alert_that_resolved_does_not_come_back_when_the_clock_goes_back(tmp_path: Path, jump: int) -> None:
    async def go() -> None:
        inside = Inside(tmp_path, RULES, targets=("a",))
        network, clock = inside.network, inside.clock
        network.metrics |= {"a": "m 99\n"}
        async with inside.running():
            await clock.advance(20 * 60)
            network.metrics |= {"a": "m 1\n"}
            await clock.advance(60)
            assert network.firing() == set()
            clock.set_wall(clock.now() + jump)
            await clock.advance(150)
            assert network.firing() == set()
            assert inside.app is not None
            assert [loop.counts.rejected for loop in inside.app.alerting.notifier.loops] == [0, 0]
            await clock.advance(HOUR / 1000)
            assert network.firing() == set()

    asyncio.run(go())


def test_a_pending_alert_fires_after_the_clock_went_back_and_not_before_its_time_in_all(tmp_path: Path) -> None:
    async def go() -> None:
        inside = Inside(tmp_path, RULES, targets=("a",))
        network, clock = inside.network, inside.clock
        network.metrics |= {"a": "m 99\n"}
        async with inside.running():
            await clock.advance(5 * 60)
            clock.set_wall(clock.now() - HOUR)
            await clock.advance(4 * 60)
            assert network.firing() == {"a Now"}
            await clock.advance(7 * 60)
            assert network.firing() == {"a Now", "a Late"}

    asyncio.run(go())
