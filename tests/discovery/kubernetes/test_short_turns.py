"""Groups are made in turns of some milliseconds: few of them may have thousands of targets."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import Any

import pytest

from rulepush.discovery import short_turns
from rulepush.discovery.known_groups import KnownGroups
from rulepush.discovery.kubernetes.discovery import Following
from rulepush.discovery.kubernetes.fields import object_key
from rulepush.discovery.kubernetes.objects import EndpointPort
from rulepush.discovery.kubernetes.resource import ObjectChange
from rulepush.discovery.kubernetes.watching import ResourceWatch
from rulepush.discovery.short_turns import ShortTurns
from rulepush.slices import at_once
from tests.discovery.kubernetes.cluster import Json, WatchedCluster, config_of
from tests.kubernetes_objects import (
    container,
    endpoint,
    endpoint_address,
    endpoints,
    endpointslice,
    node,
    pod,
    service,
    subset,
    target_ref,
)
from tests.kubernetes_server import KINDS

SLICES, PER_SLICE = 3, 200


def addresses() -> list[tuple[str, Json]]:
    return [(f"10.0.{i // 250}.{i % 250 + 1}", target_ref("Pod", f"p{i}")) for i in range(SLICES * PER_SLICE)]


def slices() -> list[Json]:
    made = [endpoint(ip, target=ref) for ip, ref in addresses()]
    return [
        endpointslice(f"web-{i}", service="web", endpoints=made[i * PER_SLICE : (i + 1) * PER_SLICE])
        for i in range(SLICES)
    ]


def pods() -> list[Json]:
    ports = [container(ports=[("http", 8080), ("metrics", 9090)])]
    return [pod(f"p{i}", ip=ip, containers=ports) for i, (ip, _) in enumerate(addresses())]


def test_the_next_turn_begins_when_the_work_of_this_one_has_taken_its_time() -> None:
    seconds = [0.0]

    async def test() -> list[bool]:
        turns, over = ShortTurns(lambda: seconds[0], lambda: seconds[0]), []
        for spent in (0.003, 0.003, 0.003):
            seconds[0] += spent
            over.append(turns.is_over)
            await turns.piece_done()
        return over

    assert asyncio.run(test()) == [False, True, False]


def test_short_work_is_not_asked_for_its_cpu_time() -> None:
    seconds, asked = [0.0], []

    def stopwatch() -> float:
        asked.append(seconds[0])
        return seconds[0]

    async def test() -> None:
        turns = ShortTurns(stopwatch, lambda: seconds[0])
        for _ in range(10):
            seconds[0] += 0.001
            await turns.piece_done()
            seconds[0] += 0.001
            await turns.next()
        assert asked == []
        seconds[0] += 0.004
        await turns.piece_done()
        assert len(asked) == 1

    asyncio.run(test())


def test_what_others_worked_meanwhile_ends_no_turn() -> None:
    cpu, clock = [0.0], [0.0]

    def work(seconds: float, with_others: float) -> bool:
        cpu[0] += seconds
        clock[0] += with_others
        return turns.is_over

    turns = ShortTurns(lambda: cpu[0], lambda: clock[0])
    assert not work(0.003, 0.003)
    assert not work(0.001, 5.0)
    assert work(0.002, 0.002)


@pytest.mark.parametrize(("spent", "rest"), [(0.002, 0.098), (0.006, 0.294), (5.0, 2.0)])
def test_work_that_comes_again_and_again_takes_a_fiftieth_of_the_time(
    spent: float, rest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, rested = [0.0], []

    async def sleep(delay: float) -> None:
        rested.append(delay)

    async def test() -> None:
        turns = ShortTurns(lambda: seconds[0], lambda: seconds[0])
        monkeypatch.setattr(asyncio, "sleep", sleep)
        seconds[0] += spent / 2
        await turns.next()
        seconds[0] += spent / 2
        await turns.rest()

    asyncio.run(test())
    assert rested == [0, 0, pytest.approx(rest)]


@pytest.mark.parametrize("role", ["endpoints", "endpointslice"])
def test_the_targets_of_a_large_group_are_made_in_steps(role: str) -> None:
    cluster = WatchedCluster(f"role: {role}", service("web"), *pods())
    one = [endpoint_address(ip, target=ref) for ip, ref in addresses()]
    source = "endpoints/default/web" if role == "endpoints" else "endpointslice/default/web-0"
    cluster.put(*([endpoints("web", subsets=[subset(one)])] if role == "endpoints" else slices()))
    of_another = cluster.config.build_role(cluster.objects)
    targets = len(cluster.group(source).targets)
    assert len(list(of_another.group(source))) >= targets / 2
    assert len(list(of_another.group(source))) <= targets / 50  # they are made, and not made again
    assert at_once(of_another.group(source)) == cluster.group(source)


@pytest.mark.parametrize("role", ["endpoints", "endpointslice"])
def test_only_the_targets_of_what_changed_are_made_again(role: str) -> None:
    cluster = WatchedCluster(f"role: {role}, attach_metadata: {{node: true}}", service("web"), node("n1"), *pods())
    one = [endpoint_address(ip, target=ref) for ip, ref in addresses()]
    source = "endpoints/default/web" if role == "endpoints" else "endpointslice/default/web-0"
    cluster.put(*([endpoints("web", subsets=[subset(one)])] if role == "endpoints" else slices()))
    before = cluster.group(source).targets
    cluster.put(pod("p7", ip="10.9.9.9"))
    after = cluster.group(source).targets
    kept = {id(target) for target in before} & {id(target) for target in after}
    assert len(kept) == len(before) - 2  # of the address, and of the other port, which the pod has no longer
    # As after a new list: equal records, none of them the same one.
    cluster.put(*([endpoints("web", subsets=[subset(one)])] if role == "endpoints" else slices()))
    anew = cluster.group(source).targets
    assert [id(target) for target in anew] == [id(target) for target in after]


def test_others_have_their_turn_while_large_groups_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_turns, "_SECONDS", 0.0)  # whatever the machine does in the real time

    async def test() -> tuple[int, int]:
        config, known = config_of("role: endpointslice"), KnownGroups(lambda _: None)
        watches = [Listed(w.within(""), *pods(), *slices(), service("web")) for w in config.watched()]
        of_resources: Any = [(w.scope.resource, [w]) for w in watches]
        following = asyncio.create_task(Following(config.build_role, of_resources, [""]).run(known))
        turns = 0
        while not known.answered:
            turns += 1
            await asyncio.sleep(0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return turns, sum(len(g.targets) for g in known.by_source.values())

    turns, targets = asyncio.run(test())
    assert targets == SLICES * PER_SLICE * 2
    assert turns >= targets / 20


class Listed(ResourceWatch[Any]):
    """A watch that has these objects, those of its resource, and sees no more."""

    def __init__(self, scope: Any, *objects: Json):
        self.scope, self.is_listed = scope, True
        self._listeners = []
        plural = scope.resource.name
        mine = [made for made in objects if KINDS[made["kind"]][1] == plural]
        self.objects = {object_key(made["metadata"]): scope.resource.project(made) for made in mine}

    @property
    def has_failed(self) -> bool:
        return False


def test_the_memory_of_a_large_group_is_given_back_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of its targets is used any more, and to free all at once would hold the loop."""
    monkeypatch.setattr(short_turns, "_SECONDS", 0.0)
    monkeypatch.setattr(short_turns, "_REST", 0.0)

    async def test() -> list[int]:
        config, known = config_of("role: endpointslice"), KnownGroups(lambda _: None)
        watches = [Listed(w.within(""), *pods(), *slices(), service("web")) for w in config.watched()]
        of_resources: Any = [(w.scope.resource, [w]) for w in watches]
        following = asyncio.create_task(Following(config.build_role, of_resources, [""]).run(known))
        for _ in range(3000):
            await asyncio.sleep(0)
        assert known.answered
        source = "endpointslice/default/web-0"
        first = known.by_source[source]
        watched = next(w for w in watches if w.scope.resource.name == "endpointslices")
        key = "default/web-0"
        before = watched.objects[key]
        after = watched.objects[key] = replace(before, address_type="FQDN", ports=(EndpointPort(81),))
        samples = [first.targets[at] for at in (0, PER_SLICE // 2, PER_SLICE - 1)]
        del first
        for listener in list(watched._listeners):
            listener(watched, [ObjectChange(key, before, after)])
        freed: dict[int, int] = {}
        for turn in range(2000):
            await asyncio.sleep(0)
            for at in range(3):
                if sys.getrefcount(samples[at]) <= 2:  # the list's and the call's
                    freed.setdefault(at, turn)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return [freed[at] for at in range(3)]

    first, middle, last = asyncio.run(test())
    assert first > middle > last
