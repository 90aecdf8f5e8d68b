"""Providers: the discoveries of one job, merged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rulepush.discovery.file import FileSdConfig
from rulepush.discovery.groups import Environment, GroupSink, SdConfig, TargetGroup
from rulepush.discovery.provider import Providers
from rulepush.discovery.static import StaticConfig
from rulepush.model.labels import EMPTY_LABELS, Labels
from tests.discovery.driving import environment
from tests.fakes import FakeClock


@dataclass
class ByHand:
    """A discovery that the test drives."""

    kind: str = "hand"
    sink: GroupSink | None = field(default=None)

    def discoverer(self, env: Environment) -> ByHand:
        return self

    async def run(self, sink: GroupSink) -> None:
        self.sink = sink
        await asyncio.Event().wait()

    def give(self, *addresses: str) -> None:
        assert self.sink is not None
        self.sink.replace([TargetGroup("g", tuple(Labels({"__address__": a}) for a in addresses))])


def test_it_knows_whether_every_discovery_has_answered() -> None:
    async def go() -> None:
        env = environment()
        assert isinstance(env.clock, FakeClock)
        hand = ByHand()
        providers = Providers([StaticConfig(("a:1",), EMPTY_LABELS), hand], env, lambda _: None)
        task = asyncio.get_running_loop().create_task(providers.run())
        await env.clock.settle()
        assert not providers.answered
        hand.give()
        assert providers.answered
        task.cancel()

    asyncio.run(go())


def test_a_reload_keeps_what_an_unchanged_discovery_knew() -> None:
    async def go() -> None:
        env, updates = environment(), list[list[str]]()
        assert isinstance(env.clock, FakeClock)
        same, gone, new = ByHand("same"), ByHand("gone"), ByHand("new")
        before = Providers([same, gone], env, lambda _: None)
        task = asyncio.get_running_loop().create_task(before.run())
        await env.clock.settle()
        same.give("same:1")
        gone.give("gone:1")
        task.cancel()

        def changed(groups: Sequence[TargetGroup]) -> None:
            updates.append([t.get("__address__") for g in groups for t in g.merged()])

        after = Providers([new, same], env, changed)
        after.take_over(before)
        task = asyncio.get_running_loop().create_task(after.run())
        await env.clock.settle()
        assert updates == [["same:1"]]
        assert not after.answered
        task.cancel()

    asyncio.run(go())


def test_a_reload_keeps_the_last_good_groups_of_a_file_that_is_bad_by_then(tmp_path: Path) -> None:
    async def go() -> None:
        env, updates = environment(), list[list[str]]()
        assert isinstance(env.clock, FakeClock)
        for name in ("a", "b"):
            (tmp_path / f"{name}.json").write_text(f'[{{"targets": ["{name}:1"]}}]')
        config = FileSdConfig((str(tmp_path / "*.json"),))
        before = Providers([config], env, lambda _: None)
        task = asyncio.get_running_loop().create_task(before.run())
        await env.clock.settle()
        (tmp_path / "a.json").write_text("[{")
        await env.clock.advance(10)

        def changed(groups: Sequence[TargetGroup]) -> None:
            updates.append([t.get("__address__") for g in groups for t in g.merged()])

        after = Providers([replace(config)], env, changed)
        after.take_over(before)
        second = asyncio.get_running_loop().create_task(after.run())
        task.cancel()
        await env.clock.advance(400)
        assert updates == [["a:1", "b:1"]]
        (tmp_path / "a.json").write_text('[{"targets": ["a:2"]}]')
        await env.clock.advance(10)
        assert updates[1:] == [["a:2", "b:1"]]
        second.cancel()

    asyncio.run(go())


async def drive(configs: Sequence[SdConfig], env: Environment, updates: list[list[str]]) -> asyncio.Task[None]:
    def changed(groups: Sequence[TargetGroup]) -> None:
        updates.append([t.get("__address__") for g in groups for t in g.merged()])

    task = asyncio.get_running_loop().create_task(Providers(configs, env, changed).run())
    assert isinstance(env.clock, FakeClock)
    await env.clock.settle()
    return task


@dataclass
class Crashing(ByHand):
    """Crashes once, after it gave its first list."""

    runs: int = 0

    async def run(self, sink: GroupSink) -> None:
        self.sink = sink
        self.runs += 1
        self.give(f"run:{self.runs}")
        if self.runs == 1:
            raise ZeroDivisionError("a mistake")
        await asyncio.Event().wait()


def test_a_bug_in_one_discovery_stops_no_other() -> None:
    async def go() -> None:
        env, updates = environment(), list[list[str]]()
        assert isinstance(env.clock, FakeClock)
        one, two = Crashing(), ByHand()
        task = await drive([one, two], env, updates)
        two.give("two:1")
        await env.clock.advance(10)
        assert updates[-1] == ["run:1", "two:1"]
        await env.clock.advance(30)
        assert (one.runs, updates[-1]) == (2, ["run:2", "two:1"])
        task.cancel()

    asyncio.run(go())


def test_static_targets_of_all_entries_come_at_once_and_together() -> None:
    async def go() -> None:
        env, updates = environment(), list[list[str]]()
        statics = [StaticConfig((f"a:{i}",), EMPTY_LABELS, i) for i in range(20)]
        task = await drive(statics, env, updates)
        assert updates == [[f"a:{i}" for i in range(20)]]
        task.cancel()

    asyncio.run(go())


def test_a_first_list_passes_at_once_and_later_ones_settle() -> None:
    async def go() -> None:
        env, updates = environment(), list[list[str]]()
        assert isinstance(env.clock, FakeClock)
        one, two = ByHand(), ByHand()
        task = await drive([one, two], env, updates)
        assert updates == []
        two.give("two:1")
        await env.clock.settle()
        assert updates == [["two:1"]]
        one.give("one:1")
        await env.clock.settle()
        assert updates[-1] == ["one:1", "two:1"]
        for i in range(5):
            one.give(*(f"one:{n}" for n in range(i + 1)))
            await env.clock.advance(0.5)
        assert len(updates) == 2
        await env.clock.advance(5)
        assert updates[2:] == [["one:0", "one:1", "one:2", "one:3", "one:4", "two:1"]]
        one.give("one:0", "one:1", "one:2", "one:3", "one:4")
        await env.clock.advance(10)
        assert len(updates) == 3
        one.give()
        await env.clock.advance(5)
        assert updates[-1] == ["two:1"]
        task.cancel()

    asyncio.run(go())
