"""When groups are evaluated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

from rulepush.rules.groups import GroupDefaults, RuleGroups
from rulepush.rules.loop import RuleLoops
from tests.fakes import FakeClock
from tests.rules.world import World, specs

PHASE = 7_000


def next_tick(now: int, interval: int) -> int:
    return now + (PHASE - now) % interval


class Recorded(RuleGroups):
    """Notes every evaluation, which takes a given time."""

    def __init__(self, clock: FakeClock):
        super().__init__()
        self.clock = clock
        self.ticks: list[tuple[str, int, int]] = []

    def evaluate(self, group, ts, now=None):  # type: ignore[no-untyped-def]
        self.ticks.append((group.name, ts, self.clock.now()))
        super().evaluate(group, ts, now)


class Scene:
    def __init__(
        self, text: str, wave: Callable[[int], Awaitable[object]] | None = None, clock: FakeClock | None = None
    ):
        self.clock = clock or FakeClock(1_700_000_000_000)
        self.groups = Recorded(self.clock)
        self.context = World("groups: []").context
        self.wave = wave or self.no_wave
        self.update(text)
        self.evaluated: list[int] = []  # the number of ticks by then
        self.loops = RuleLoops(
            self.groups,
            self.clock,
            next_tick,
            lambda ts: self.wave(ts),
            lambda: self.evaluated.append(len(self.groups.ticks)),
        )

    async def no_wave(self, ts: int) -> None:
        return None

    def update(self, text: str) -> None:
        self.groups.update(specs(text), self.context, GroupDefaults(30_000), self.clock.now())

    def run(self, story: Callable[[Scene], Awaitable[None]]) -> Scene:
        async def play() -> None:
            task = asyncio.ensure_future(self.loops.run())
            await self.clock.settle()
            try:
                await story(self)
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

        asyncio.run(play())
        return self

    def times(self, name: str = "g") -> list[int]:
        return [ts for n, ts, _ in self.groups.ticks if n == name]


ONE = "groups: [{name: g, interval: 30s, rules: []}]"


def test_ticks_are_on_the_grid() -> None:
    async def story(scene: Scene) -> None:
        await scene.clock.advance(95)

    scene = Scene(ONE).run(story)
    assert len(scene.times()) == 3
    assert scene.evaluated == [1, 2, 3]
    assert all((ts - PHASE) % 30_000 == 0 for ts in scene.times())
    assert all(ts == at for _, ts, at in scene.groups.ticks)


def test_a_tick_waits_for_the_scrapes_of_its_moment_and_goes_on_at_once() -> None:
    async def story(scene: Scene) -> None:
        async def wave(ts: int) -> None:
            await scene.clock.sleep(4)

        scene.wave = wave
        await scene.clock.advance(95)

    scene = Scene(ONE).run(story)
    assert [at - ts for _, ts, at in scene.groups.ticks] == [4000, 4000, 4000][: len(scene.groups.ticks)]
    assert [b - a for a, b in pairwise(scene.times())] == [30_000, 30_000]


def test_missed_ticks_are_skipped_and_counted_but_for_the_last() -> None:
    async def story(scene: Scene) -> None:
        slow = [100]

        async def wave(ts: int) -> None:
            await scene.clock.sleep(slow.pop() if slow else 0)

        scene.wave = wave
        await scene.clock.advance(200)

    scene = Scene(ONE).run(story)
    first, *rest = scene.times()
    assert rest[:2] == [first + 90_000, first + 120_000]
    counters = scene.groups.all()[0].counters
    assert (counters.iterations_missed, counters.iterations) == (2, len(scene.times()) + 2)


def test_groups_have_their_own_intervals() -> None:
    async def story(scene: Scene) -> None:
        await scene.clock.advance(120)

    scene = Scene("groups: [{name: a, interval: 10s, rules: []}, {name: b, rules: []}]").run(story)
    assert (len(scene.times("a")), len(scene.times("b"))) == (12, 4)


def test_a_reload_starts_and_stops_loops_and_leaves_the_others_alone() -> None:
    async def story(scene: Scene) -> None:
        await scene.clock.advance(61)
        scene.update("groups: [{name: g, interval: 30s, rules: []}, {name: new, interval: 10s, rules: []}]")
        scene.loops.sync()
        await scene.clock.advance(60)
        scene.update("groups: [{name: new, interval: 20s, rules: []}]")
        scene.loops.sync()
        await scene.clock.advance(60)

    scene = Scene(ONE).run(story)
    assert [b - a for a, b in pairwise(scene.times())] == [30_000] * 3
    gaps = [b - a for a, b in pairwise(scene.times("new"))]
    assert gaps[:5] == [10_000] * 5
    assert gaps[-2:] == [20_000] * 2
    assert min(gaps) > 0


def test_a_longer_interval_begins_with_an_evaluation_of_the_former_rhythm() -> None:
    async def story(scene: Scene) -> None:
        await scene.clock.advance(100)
        scene.update("groups: [{name: g, interval: 20m, rules: []}]")
        scene.loops.sync()
        await scene.clock.advance(3600)

    gaps = [b - a for a, b in pairwise(Scene(ONE).run(story).times())]
    assert gaps[:3] == [30_000] * 3
    assert gaps[3] < 1_200_000
    assert gaps[4:] == [1_200_000] * 2


def test_a_clock_set_back_does_not_stop_the_evaluations() -> None:
    async def story(scene: Scene) -> None:
        await scene.clock.advance(61)
        scene.clock.set_wall(scene.clock.now() - 3_600_000)
        await scene.clock.advance(120)

    scene = Scene(ONE).run(story)
    assert len(scene.times()) >= 5


def test_a_clock_set_forward_skips_what_lies_between() -> None:
    async def story(scene: Scene) -> None:
        await scene.clock.advance(61)
        scene.clock.set_wall(scene.clock.now() + 3_600_000)
        await scene.clock.advance(120)

    scene = Scene(ONE).run(story)
    assert 5 <= len(scene.times()) <= 7
    assert scene.groups.all()[0].counters.iterations_missed in (119, 120)


class HurryingClock(FakeClock):
    """A second passes with each look at the monotonic clock, so that every rule takes long."""

    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic() + self.looks


def test_others_work_between_the_rules_of_a_first_evaluation() -> None:
    """Over a million series each rule takes half a second the first time."""
    rules = "{record: a, expr: m}, {record: b, expr: m}, {record: c, expr: x * on () m}"
    text = f"groups: [{{name: g, interval: 30s, rules: [{rules}]}}]"
    turns: list[int] = [0]
    passed: list[int] = []

    async def story(scene: Scene) -> None:
        async def other() -> None:
            while True:
                turns[0] += 1
                await asyncio.sleep(0)

        async def wave(ts: int) -> None:
            passed.append(turns[0])

        scene.wave = wave
        busy = asyncio.ensure_future(other())
        await scene.clock.advance(70)
        busy.cancel()

    scene = Scene(text, clock=HurryingClock(1_700_000_000_000))
    evaluate = scene.groups.evaluate

    def noted(*args: Any) -> None:
        passed[-1] = turns[0] - passed[-1]
        evaluate(*args)  # type: ignore[no-untyped-call]

    scene.groups.evaluate = noted  # type: ignore[method-assign]
    scene.run(story)
    first, *later = passed
    assert first >= 3
    assert later == [0]
