"""What counts as time that did not run evenly."""

from __future__ import annotations

import asyncio

import pytest

from rulepush.service.clock_watch import ClockWatch
from tests.fakes import FakeClock


def jumps(*steps: tuple[float, float]) -> int:
    """How many jumps are noticed while the clock is set, and time passes without a turn of the loop, step by step, in
    seconds."""

    async def act() -> int:
        clock = FakeClock()
        watch = ClockWatch(clock, lambda: None)
        watching = asyncio.ensure_future(watch.run())
        await clock.advance(60)
        for set_by, stood in steps:
            await clock.advance(3)
            clock.set_wall(clock.now() + round(set_by * 1000))
            clock.stall(stood)
            await clock.advance(60)
        watching.cancel()
        return watch.jumps

    return asyncio.run(act())


@pytest.mark.parametrize(
    ("set_by", "stood", "noticed"),
    [(0, 0, 0), (-0.9, 0, 0), (-1.5, 0, 1), (4, 0, 0), (5.5, 0, 1), (0, 4, 0), (0, 10, 1), (3600, 0, 1), (0, 3600, 1)],
)
def test_a_step_of_the_clock_and_a_pause_are_told_from_a_busy_moment(set_by: float, stood: float, noticed: int) -> None:
    assert jumps((set_by, stood)) == noticed


def test_each_jump_counts_once() -> None:
    assert jumps((-10, 0), (0, 0), (10, 0)) == 2


def test_who_asks_in_between_knows_at_once() -> None:
    clock = FakeClock()
    noticed: list[int] = []
    watch = ClockWatch(clock, lambda: noticed.append(clock.now()))
    clock.set_wall(clock.now() - 2000)
    watch.check()
    assert noticed == [clock.now()]
    assert watch.since == clock.now()
