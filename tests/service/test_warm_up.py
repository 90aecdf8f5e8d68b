"""How long rules wait for a start to be over."""

from __future__ import annotations

from rulepush.service.clock_watch import ClockWatch
from rulepush.service.warm_up import WarmUp
from tests.service.test_scraping import START, job, play
from tests.service.test_scraping import World as ScrapingWorld


def test_alerts_wait_longer_while_scrapes_are_left_out() -> None:
    async def act(world: ScrapingWorld) -> None:
        world.down.add("a")
        watch = ClockWatch(world.clock, lambda: None)
        warm_up = WarmUp(world.jobs, watch, 300_000, lambda: 0)
        await world.jobs.sync([job("j", "a")])
        assert world.jobs.longest_scrape_ms == 15_000
        assert [warm_up.may_fire(START + s * 1000, False) for s in (14, 16)] == [False, True]
        world.jobs.overload.left_out(1)
        assert [warm_up.may_fire(START + s * 1000, False) for s in (16, 119, 121)] == [False, False, True]

    play(act)
