"""Providers: the discoveries of one job, merged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rulepush.discovery.file import FileSdConfig
from rulepush.discovery.groups import Environment, GroupChanges, GroupSink, SdConfig, TargetGroup
from rulepush.discovery.provider import Providers
from rulepush.discovery.static import StaticConfig
from rulepush.model.labels import EMPTY_LABELS, Labels
from tests.discovery.driving import environment
from tests.fakes import FakeClock


@dataclass(eq=False)
class ByHand:
    """A discovery that the test drives, and its configuration."""

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


def addresses(providers: Providers) -> list[str]:
    """Of all targets that are known now."""
    return [t.get("__address__") for g in providers.groups() for t in g.merged()]


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
        await env.clock.settle()
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

        after = Providers([new, same], env, lambda _: updates.append(addresses(after)))
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

        after = Providers([replace(config)], env, lambda _: updates.append(addresses(after)))
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


@dataclass(frozen=True)
class Counted:
    """A configuration as they are: frozen, equal when its settings are. Notes its discoverers."""

    name: str
    made: list[ByHand] = field(compare=False)
    kind: str = "counted"

    def discoverer(self, env: Environment) -> ByHand:
        self.made.append(ByHand())
        return self.made[-1]


def start(providers: Providers) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(providers.run())


def group(source: str, address: str) -> TargetGroup:
    return TargetGroup(source, (Labels({"__address__": address}),))


def test_only_the_groups_that_changed_are_passed_on() -> None:
    async def go() -> None:
        env, told = replace(environment(), settle_s=3), list[dict[str, TargetGroup | None]]()
        assert isinstance(env.clock, FakeClock)
        hand = ByHand()
        providers = Providers([hand], env, lambda c: told.append({source: one for (_, source), one in c.items()}))
        task = start(providers)
        await env.clock.settle()
        assert hand.sink is not None
        hand.sink.replace([group(f"g{i}", f"a:{i}") for i in range(100)])
        await env.clock.settle()
        assert list(told.pop()) == [f"g{i}" for i in range(100)]
        hand.sink.update([group("g7", "b:7"), group("new", "n:1"), group("brief", "n:2")], gone=["g9"])
        hand.sink.update([group("g7", "c:7")], gone=["brief"])
        await env.clock.advance(2.9)
        assert told == []
        await env.clock.advance(0.2)
        assert told.pop() == {"g7": group("g7", "c:7"), "new": group("new", "n:1"), "g9": None}
        hand.sink.update([group("g8", "b:8")])
        hand.sink.replace([group(f"g{i}", f"a:{i}") for i in range(9)] + [group("new", "n:1")])
        await env.clock.advance(5)
        (last,) = told
        assert last == {"g7": group("g7", "a:7")} | {f"g{i}": None for i in range(10, 100)}
        task.cancel()

    asyncio.run(go())


def test_equal_configurations_share_one_discoverer_which_ends_with_the_last_of_them() -> None:
    async def go() -> None:
        env, made = environment(), list[ByHand]()
        assert isinstance(env.clock, FakeClock)
        told: dict[str, list[list[str]]] = {"a": [], "b": [], "late": []}

        def of(name: str) -> Providers:
            providers = Providers([Counted("same", made)], env, lambda _: told[name].append(addresses(providers)))
            return providers

        a, b = start(of("a")), start(of("b"))
        await env.clock.settle()
        running = [hand for hand in made if hand.sink is not None]
        assert len(running) == 1
        running[0].give("x:1")
        await env.clock.settle()
        late = start(of("late"))
        await env.clock.settle()
        assert told == {name: [["x:1"]] for name in ("a", "b", "late")}
        a.cancel()
        running[0].give("x:2")
        await env.clock.advance(5)
        assert told == {"a": [["x:1"]], "b": [["x:1"], ["x:2"]], "late": [["x:1"], ["x:2"]]}
        assert len(env.shared) == 1
        for task in (b, late):
            task.cancel()
        await env.clock.settle()
        assert len(env.shared) == 0
        assert [hand for hand in made if hand.sink is not None] == running

    asyncio.run(go())


def test_a_reload_leaves_an_unchanged_discovery_running_and_loses_no_change() -> None:
    async def go() -> None:
        env, made = environment(), list[ByHand]()
        assert isinstance(env.clock, FakeClock)
        told: list[list[tuple[str, str]]] = []

        def note(changes: GroupChanges) -> None:
            told.append([(s, one.targets[0].get("__address__") if one else "") for (_, s), one in changes.items()])

        before = Providers([Counted("same", made), Counted("gone", made)], env, note)
        old = start(before)
        await env.clock.settle()
        (sink, gone) = (hand.sink for hand in made)
        assert sink is not None
        assert gone is not None
        sink.replace([group("1", "a:1"), group("2", "a:2")])
        gone.replace([group("9", "a:9")])
        await env.clock.settle()
        sink.update([group("1", "b:1")], gone=["2"])  # is to settle
        told.clear()

        after = Providers([Counted("same", made), Counted("new", made)], env, note)
        after.take_over(before)
        new = start(after)
        old.cancel()
        await env.clock.settle()
        assert [hand.sink for hand in made if hand.sink in (sink, gone)] == [sink, gone]
        assert told == [[("1", "b:1"), ("2", "")]], "what the former was to tell"
        assert not after.answered
        sink.update([group("3", "a:3")])
        await env.clock.advance(5)
        assert told[1:] == [[("3", "a:3")]]
        assert made[2].sink is not None
        made[2].sink.replace([group("9", "c:9")])  # only now what it took the place of goes
        await env.clock.settle()
        assert told[2:] == [[("9", "c:9"), ("9", "")]]
        assert len(env.shared) == 2
        new.cancel()

    asyncio.run(go())


async def drive(configs: Sequence[SdConfig], env: Environment, updates: list[list[str]]) -> asyncio.Task[None]:
    providers = Providers(configs, env, lambda _: updates.append(addresses(providers)))
    task = asyncio.get_running_loop().create_task(providers.run())
    assert isinstance(env.clock, FakeClock)
    await env.clock.settle()
    return task


@dataclass(eq=False)
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
