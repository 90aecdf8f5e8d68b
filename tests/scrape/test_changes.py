"""What a change of some groups costs, and what it leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise

import httpx
import pytest

from rulepush.discovery.groups import SourceKey, TargetGroup
from rulepush.model.labels import Labels
from rulepush.model.sample import is_stale
from rulepush.scrape.job import Job
from rulepush.scrape.pool import ScrapePool
from rulepush.scrape.sharding import ScrapeSharding
from rulepush.scrape.turns import WorkTurns
from tests.scrape.finding import found
from tests.scrape.test_pool import INTERVAL, JOB, START, World, hosts, play


class Work:
    """A relabelling that counts, and takes `ms` on the stopwatch of the turns."""

    def __init__(self, ms: int = 0, change: Callable[[Labels], Labels | None] = lambda labels: labels):
        self.addresses: list[str] = []
        self.spent_ms = 0
        self._ms = ms
        self._change = change

    def __call__(self, labels: Labels) -> Labels | None:
        self.addresses.append(labels.get("__address__"))
        self.spent_ms += self._ms
        return self._change(labels)

    def turns(self) -> WorkTurns:
        return WorkTurns(lambda: self.spent_ms / 1000)


def pod(name: str, address: str = "", **labels: str) -> dict[SourceKey, TargetGroup | None]:
    """A change: this group has one target."""
    own = Labels.of(__address__=address or name)
    return {(0, name): TargetGroup(name, (own,), Labels.of(__meta_pod=name, **labels))}


def pods(*names: str) -> dict[SourceKey, TargetGroup | None]:
    return {key: group for name in names for key, group in pod(name).items()}


def pool_of(w: World) -> ScrapePool:
    pool = w.pools.get("j")
    assert pool is not None
    return pool


def instances(w: World) -> list[str]:
    return [target.labels.get("instance") for target, _ in pool_of(w).targets]


def test_a_change_of_one_group_builds_only_its_targets() -> None:
    w, work = World(), Work()

    async def act() -> None:
        w.pools.put(replace(JOB, relabel=work), w.client)
        w.pools.change("j", pods(*(f"p{i}" for i in range(200))))
        await w.clock.settle()
        assert len(work.addresses) == 200
        kept = pool_of(w).running.copy()
        w.pools.change("j", pod("p7", "new") | {(0, "p9"): None} | pod("more"))
        await w.clock.settle()
        assert work.addresses[200:] == ["new", "more"]
        assert {"new", "more"} < set(instances(w))
        assert not {"p7", "p9"} & set(instances(w))
        assert pool_of(w).found_count == len(pool_of(w).running) == 200
        assert sum(pool_of(w).running.get(key) is running for key, running in kept.items()) == 198

    play(w, act)


def test_a_job_knows_when_it_was_told_of_a_change_and_a_reload_is_none() -> None:
    w = World()

    async def act() -> None:
        w.pools.put(JOB, w.client)
        assert pool_of(w).updated_at == 0
        await w.clock.advance(7)
        w.pools.change("j", {})  # a first list may be empty
        told = w.clock.now()
        await w.clock.advance(5)
        w.pools.put(replace(JOB, relabel=Work()), w.client)
        assert pool_of(w).updated_at == told
        w.pools.change("j", pod("a"))
        assert pool_of(w).updated_at == told + 5_000

    play(w, act)


def test_of_a_changed_group_only_the_changed_label_sets_are_built() -> None:
    w, work = World(), Work()

    async def act() -> None:
        w.pools.put(replace(JOB, relabel=work), w.client)
        found(w.pools, "j", hosts("a", "b", "c"))
        await w.clock.settle()
        found(w.pools, "j", hosts("c", "d", "a"))
        await w.clock.settle()
        assert work.addresses == ["a", "b", "c", "d"]
        assert sorted(instances(w)) == ["a", "c", "d"]
        same = TargetGroup("0", tuple(hosts("a", "c", "d")), Labels.of(zone="z"))  # a label of all of them: all are new
        w.pools.change("j", {(0, "0"): same})
        await w.clock.settle()
        assert work.addresses[4:] == ["a", "c", "d"]

    play(w, act)


def test_a_target_of_several_groups_stays_while_any_has_it() -> None:
    w = World()
    w.bodies = {"a": "x 1\n"}

    async def act() -> None:
        w.pools.put(JOB, w.client)
        w.pools.change("j", pod("one", "a") | pod("two", "a"))
        await w.clock.advance(5)
        (scraper,) = pool_of(w).scrapers
        w.pools.change("j", {(0, "one"): None})
        await w.clock.advance(10)
        assert pool_of(w).scrapers == [scraper]
        w.pools.change("j", {(0, "two"): None} | pod("three", "a"))  # it moves
        await w.clock.advance(10)
        assert pool_of(w).scrapers == [scraper]
        assert scraper.target.discovered.get("__meta_pod") == "three"
        assert w.values("x") == [1.0] * 3
        w.pools.change("j", {(0, "three"): None})
        await w.clock.advance(40)
        assert (pool_of(w).scrapers, w.values("x")) == ([], [1.0, 1.0, 1.0, "stale"])

    play(w, act)


def test_a_target_whose_pod_changes_shows_the_new_discovered_labels_and_goes_on() -> None:
    w = World()

    async def act() -> None:
        w.pools.put(JOB, w.client)
        w.pools.change("j", pod("a", __meta_ready="false"))
        await w.clock.advance(5)
        (scraper,) = pool_of(w).scrapers
        w.pools.change("j", pod("a", __meta_ready="true"))
        await w.clock.settle()
        assert pool_of(w).scrapers == [scraper]
        assert scraper.target.discovered.get("__meta_ready") == "true"
        assert scraper.status.last_scrape

    play(w, act)


def test_at_the_target_limit_one_pod_in_place_of_another_refuses_nothing() -> None:
    watch = count(0, 0.02)
    w = World(turns=WorkTurns(lambda: next(watch)))

    async def act() -> None:
        w.pools.put(replace(JOB, target_limit=3), w.client)
        w.pools.change("j", pods("a", "b", "c"))
        await w.clock.advance(5)
        w.pools.change("j", pods("d") | {(0, "a"): None})
        errors = set()
        most = 0
        for _ in range(30):
            await asyncio.sleep(0)
            errors |= {scraper.forced_error for scraper in pool_of(w).scrapers}
            most = max(most, len(pool_of(w).running))
        assert (errors, most) == ({""}, 4)
        w.pools.change("j", pods("e"))
        await w.clock.settle()
        assert {s.forced_error for s in pool_of(w).scrapers} == {
            "target_limit exceeded (number of targets: 4, limit: 3)"
        }
        w.pools.change("j", {(0, "b"): None})
        await w.clock.settle()
        assert {s.forced_error for s in pool_of(w).scrapers} == {""}

    play(w, act)


def test_what_is_dropped_is_counted_and_shown_as_groups_change(caplog: pytest.LogCaptureFixture) -> None:
    shard = ScrapeSharding(0, 2)
    names = [f"p{i}" for i in range(40)]
    mine = [n for n in names if shard.taken(Labels.of(__address__=n)) is not None]
    others = [n for n in names if n not in mine]
    work = Work(change=lambda labels: None if labels.get("__meta_drop") else labels)
    w = World()

    async def act() -> None:
        w.pools.put(replace(JOB, relabel=work, sharding=shard, keep_dropped=2), w.client)
        w.pools.change("j", pods(*names))
        w.pools.change("j", pod(mine[0], __meta_drop="1") | pod(mine[1], "bad/address") | pod("p99", "localhost"))
        w.pools.change("j", pod("x", __meta_drop="1") | pod("y", __meta_drop="1"))
        await w.clock.settle()
        pool = pool_of(w)
        bad = 1 if shard.taken(Labels.of(__address__="bad/address")) is not None else 0
        assert pool.elsewhere == len(others) + 1 - bad
        assert (pool.found_count, pool.dropped_count) == (43, 3 + bad + pool.elsewhere)
        assert (len(pool.dropped), pool.kept_count) == (2, 2)
        assert {d.discovered.get("__address__") for d in pool.left_to_others()} >= set(others)
        assert {d.shards for d in pool.left_to_others()} == {(1,)}
        assert pool.dropped[0].discovered.get("job") == "j"
        w.pools.change("j", pod(mine[0]) | {(0, "x"): None, (0, "y"): None, (0, others[0]): None})
        await w.clock.settle()
        assert pool.elsewhere == len(others) - bad
        assert (pool.found_count, pool.dropped_count) == (40, bad + pool.elsewhere)
        assert len(pool.dropped) == pool.kept_count == bad

    play(w, act)


def test_a_target_that_is_none_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    w = World()

    async def act() -> None:
        w.pools.put(JOB, w.client)
        found(w.pools, "j", hosts("a", "bad/address"))
        await w.clock.settle()
        found(w.pools, "j", hosts("b", "bad/address"))
        await w.clock.settle()
        assert caplog.text.count('err="bad/address" is not a valid hostname') == 1
        found(w.pools, "j", hosts("b", "other/address"))
        await w.clock.settle()
        assert caplog.text.count("target cannot be scraped") == 2

    play(w, act)


def test_a_first_list_and_a_reload_never_hold_the_loop_for_long() -> None:
    work, longest = Work(ms=1), 0
    w = World(turns=work.turns())

    async def watch() -> None:
        nonlocal longest
        before = work.spent_ms
        while True:
            await asyncio.sleep(0)
            longest, before = max(longest, work.spent_ms - before), work.spent_ms

    async def act() -> None:
        watching = asyncio.ensure_future(watch())
        await asyncio.sleep(0)
        for name in ("j", "k", "l"):
            w.pools.put(Job(replace(JOB.defaults, job_name=name), relabel=work), w.client)
            w.pools.change(name, pods(*(f"p{i}" for i in range(300))))
        await w.clock.settle(200)
        assert [len(pool.running) for pool in w.pools] == [300] * 3
        w.pools.put(replace(JOB, relabel=work), w.client)
        found(w.pools, "k", hosts(*(f"q{i}" for i in range(300))))  # one group of many
        await w.clock.settle(200)
        assert len(work.addresses) == 5 * 300
        assert not any(pool.is_changing for pool in w.pools)
        watching.cancel()

    play(w, act)
    assert 10 <= longest < 20  # ms: a slice, and the rest of one that another job had begun


def test_a_reload_keeps_what_runs_and_loses_no_change_while_others_are_put_into_effect() -> None:
    names = [f"p{i}" for i in range(60)]
    work = Work(ms=4)
    w = World(turns=work.turns())
    w.bodies = dict.fromkeys([*names, "more", "late"], "x 1\n")

    def job(n: int) -> Job:
        return replace(JOB, relabel=work, defaults=replace(JOB.defaults, params=(("v", (str(n),)),)))

    async def act() -> None:
        w.pools.put(job(0), w.client)
        w.pools.change("j", pods(*names))
        for _ in range(5):
            await asyncio.sleep(0)
        assert 0 < len(work.addresses) < 60  # in the middle of the first list
        w.pools.change("j", pods("more") | {(0, "p0"): None})
        w.pools.put(job(1), w.client)
        await w.clock.advance(15)
        assert sorted(instances(w)) == sorted([*names[1:], "more"])
        before = len(work.addresses)
        for n in (2, 3):  # a second reload while the first is under way
            w.pools.put(job(n), w.client)
            for _ in range(60 if n == 2 else 0):
                await asyncio.sleep(0)
        assert before < len(work.addresses) < before + 120
        w.pools.change("j", pods("late") | {(0, "p1"): None})
        taken_over = asyncio.ensure_future(w.pools.taken_over("j"))
        await asyncio.sleep(0)
        assert not taken_over.done()
        assert pool_of(w).is_changing
        assert {"p2", "p59", "more"} < set(instances(w)), "what is not rebuilt yet is scraped as before"
        await w.clock.settle(400)
        assert taken_over.done()
        assert sorted(instances(w)) == sorted([*names[2:], "more", "late"])
        assert {target.params for target, _ in pool_of(w).targets} == {(("v", ("3",)),)}
        await w.clock.advance(30)

    play(w, act)
    s = w.head.select([], 0, 2**62)
    for labels, times, values, n in zip(s.index.labels, s.times, s.values, s.counts, strict=True):
        if labels.name == "x" and labels.get("instance") not in ("p0", "p1", "late"):
            assert {after - before for before, after in pairwise(times[:n].tolist())} == {INTERVAL}
            assert not any(map(is_stale, values[:n].tolist()))
        if labels.name == "up" and labels.get("instance") == "p1":
            assert is_stale(values[n - 1])


def test_a_removed_job_ends_all_its_targets_in_the_middle_of_a_reload() -> None:
    watch = count(0, 0.004)
    w = World(turns=WorkTurns(lambda: next(watch)))
    names = [f"p{i}" for i in range(60)]
    w.bodies = dict.fromkeys(names, "x 1\n")

    async def act() -> None:
        w.pools.put(JOB, w.client)
        w.pools.change("j", pods(*names))
        await w.clock.settle(200)
        await w.clock.advance(5)
        w.pools.put(replace(JOB, compression=False), w.client)
        turns = 0
        while turns < 200 and not (pool_of(w).former and pool_of(w).running):
            turns += 1
            await asyncio.sleep(0)
        assert turns < 200
        w.pools.remove("j")
        await w.clock.advance(60)

    play(w, act)
    s = w.head.select([], 0, 2**62)
    ends = [is_stale(v[n - 1]) for lb, v, n in zip(s.index.labels, s.values, s.counts, strict=True) if lb.name == "x"]
    assert ends == [True] * 60
    assert w.stats.scrapes == 60


def test_what_comes_and_goes_does_not_move_the_moments_of_the_others() -> None:
    w = World()
    names = [f"p{i}" for i in range(10)]
    asked: dict[str, list[float]] = {}

    async def act() -> None:
        answer = w.answer

        async def noted(request: httpx.Request) -> httpx.Response:
            asked.setdefault(request.url.host, []).append(w.clock.monotonic() * 1000 - 4_000)
            return await answer(request)

        w.client = httpx.AsyncClient(transport=httpx.MockTransport(noted))
        w.pools.put(JOB, w.client)
        w.pools.change("j", pods(*names))
        await w.clock.advance(5)
        w.pools.change("j", {(0, "p0"): None, (0, "p5"): None})
        await w.clock.advance(10)
        w.pools.change("j", pods("q0", "q1", "q2"))
        await w.clock.advance(10)
        w.pools.put(replace(JOB, compression=False), w.client)  # a reload
        await w.clock.advance(10)

    play(w, act)
    # The clock has whole milliseconds, a slot has 1.5.
    slots = {name: [int((at + 0.1) % INTERVAL // 1.5) for at in times] for name, times in asked.items()}
    for i, name in enumerate(names):
        assert slots[name] == [i] * (1 if name in ("p0", "p5") else 4)
    assert (slots["q0"], slots["q1"], slots["q2"]) == ([0] * 2, [5] * 2, [10] * 2)


def test_the_requests_of_a_large_fleet_are_spread_over_half_of_the_interval() -> None:
    w = World()

    async def act() -> None:
        w.pools.put(JOB, w.client)
        w.pools.change("j", pods(*(f"p{i}" for i in range(5_000))))
        await w.clock.settle()
        delays = [running.loop.delay_ms for running in pool_of(w).running.values()]
        assert delays[:3] == [0.0, 1.5, 3.0]
        assert max(delays) < INTERVAL / 2
        assert len(set(delays)) == 5_000

    play(w, act)
    assert w.clock.now() == START
