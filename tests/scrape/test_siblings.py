"""A target's first body, where another target of the process said the same: it means what it means on its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.exposition import Format
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import is_stale
from rulepush.relabel.relabel import Action, RelabelConfig, relabel
from rulepush.scrape.cache import Ingested, ScrapeCache
from rulepush.scrape.interner import Interner
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from rulepush.storage.table import Table

T0 = 1_700_000_000_000
KEEP_ALL = Demand.keep_all(3_600_000)


def use(metric: str, *others: tuple[str, MatchOp, str]) -> ManualDemand:
    matchers = (Matcher("__name__", MatchOp.EQUAL, metric), *(Matcher(*other) for other in others))
    return ManualDemand(matchers, 3_600_000)


DEMANDS = {
    "all": KEEP_ALL,
    "by their labels": Demand.of([use("a", ("n", MatchOp.EQUAL, "1")), use("b", ("x", MatchOp.EQUAL, ""))]),
    "by the target's": Demand.of([use("a", ("instance", MatchOp.EQUAL, "i2")), use("b", ("job", MatchOp.EQUAL, "j"))]),
    "nameless": Demand.of([ManualDemand((Matcher("n", MatchOp.REGEX, "[0-2]"),), 3_600_000)]),
}
DROP_B = SampleRules(
    metric_relabel=lambda labels: relabel(
        labels, (RelabelConfig(source_labels=("__name__",), regex="b", action=Action.DROP),)
    )
)
RULES = {
    "plain": SampleRules(),
    "relabelled": DROP_B,
    "honored": SampleRules(honor_labels=True),
    "limited": SampleRules(sample_limit=5),
    "long labels": SampleRules(label_value_length_limit=3),
}
LINES = [
    *(f'a{{n="{n}"}} %d' for n in range(4)),
    'a{n="1",} %d',  # the same series again, written in another way
    'a{n="2"} %d',
    'b{x=""} %d',
    'b{x="long"} %d',
    'b{instance="of the body",z="1"} %d',
    'b{job="",exported_job="e"} %d',
    "a %d",
    "aa %d",
    'c{quoted="\\n} \\""} %d',
    "c %d 1700000000000",
    "# TYPE a gauge",
    "# HELP b text",
    "",
    "c %d ",
    "c  %d",
    "broken{ %d",
]
bodies = st.lists(st.lists(st.sampled_from(LINES), min_size=1, max_size=10), min_size=1, max_size=3)


def said(lines: list[str], value: int) -> bytes:
    return "\n".join([line.replace("%d", str(value)) for line in lines] + [""]).encode()


class Sibling:
    """A target with its own head."""

    def __init__(self, number: int, demand: Demand, rules: SampleRules, interner: Interner, *, sink: bool = False):
        self.head = Head(demand)
        self.sunk: list[str] = []
        target = Labels.of(instance=f"i{number}", job="j", zone=f"z{number}")
        self.cache = ScrapeCache(
            self.head,
            target,
            rules,
            interner,
            (lambda block: self.sunk.extend(map(str, block.samples()))) if sink else None,
        )

    def read(self, body: bytes, at: int) -> Ingested:
        return self.cache.ingest(body, Format.TEXT, T0 + at * 1000)

    def kept(self) -> dict[Labels, list[tuple[int, str]]]:
        found: dict[Labels, list[tuple[int, str]]] = {}
        for table in self.head.tables():
            times, values, counts = table.columns()
            for labels, t, v, n in zip(table.labels, times, values, counts, strict=True):
                pairs = zip(t[:n].tolist(), v[:n].tolist(), strict=True)
                found[labels] = [(at, "stale" if is_stale(value) else str(value)) for at, value in pairs]
        return found


@pytest.mark.parametrize("sink", [False, True], ids=["kept", "sunk"])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("demand", DEMANDS.values(), ids=DEMANDS.keys())
@settings(max_examples=12, deadline=None)
@given(bodies)
def test_a_first_body_means_what_it_means_alone(
    demand: Demand, rules: SampleRules, sink: bool, exposed: list[list[str]]
) -> None:
    shared = Interner()
    for number in range(3):
        sibling = Sibling(number, demand, rules, shared, sink=sink)
        alone = Sibling(number, demand, rules, Interner(), sink=sink)
        for at, lines in enumerate([*exposed, exposed[0]]):
            body = said(lines, at + number)
            assert sibling.read(body, at) == alone.read(body, at)
            assert sibling.kept() == alone.kept()
            assert sorted(sibling.sunk) == sorted(alone.sunk)
        assert sibling.cache.exposed().families() == alone.cache.exposed().families()
        assert list(sibling.cache._entries) == list(alone.cache._entries)


MANY = [f'a{{n="{n}"}} %d' for n in range(300)]


def test_what_is_known_of_the_lines_is_held_once() -> None:
    shared = Interner()
    first, second = (Sibling(number, KEEP_ALL, SampleRules(), shared) for number in range(2))
    first.read(said(MANY, 1), 0)
    second.read(said(MANY, 2), 0)
    assert first.cache._plan is not None
    assert second.cache._plan is not None
    assert first.cache._plan.lines is second.cache._plan.lines
    assert len(second.kept()) == 300


def test_a_reload_asks_the_new_demand() -> None:
    shared = Interner()
    found = [Sibling(number, DEMANDS["by their labels"], SampleRules(), shared) for number in range(2)]
    for sibling in found:
        sibling.read(said(MANY, 1), 0)
        assert len(sibling.kept()) == 1
    for sibling in found:
        sibling.head.set_demand(Demand.of([use("a", ("n", MatchOp.REGEX, "[0-4]"))]))
        sibling.read(said(MANY, 1), 1)
        assert len(sibling.kept()) == 5


def test_one_that_changes_leaves_the_others_as_they_are() -> None:
    shared = Interner()
    first, second = (Sibling(number, KEEP_ALL, SampleRules(), shared) for number in range(2))
    for sibling in (first, second):
        sibling.read(said(MANY, 1), 0)
    changed = [*MANY[:100], 'a{n="new"} %d', *MANY[103:], "aa %d"]
    assert first.read(said(changed, 2), 1).added == 2
    assert second.read(said(MANY, 2), 1).added == 0
    assert first.read(said(changed, 3), 2).added == 0
    assert [len(sibling.kept()) for sibling in (first, second)] == [302, 300]
    new = next(samples for labels, samples in first.kept().items() if labels.get("n") == "new")
    assert new == [(T0 + 1000, "2.0"), (T0 + 2000, "3.0")]
    taken = first.cache.begin(said([*changed, "ab %d"], 4), Format.TEXT, T0 + 3000)
    assert isinstance(taken, Ingested), "read by what changed, the lines that were new before are known"
    assert taken.added == 1


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=5))
def test_rows_that_come_together_are_those_that_come_one_by_one(batches: list[list[int]]) -> None:
    tables = []
    for _ in range(2):
        head = Head(KEEP_ALL)
        tables.append(head.wanted_table("m"))
    together, single = tables
    for batch in batches:
        labels = [Labels.of(__name__="m", n=str(n)) for n in batch]
        assert together.add_rows(labels) == [single.row(one) for one in labels]
        _alike(together, single)
        for row in range(0, len(single), 2):
            assert together.append(row, len(single) * 1000, 1.0) == single.append(row, len(single) * 1000, 1.0)
        _alike(together, single)


def _alike(one: Table, other: Table) -> None:
    assert one.labels == other.labels
    assert one.version == other.version
    assert one.ids(slice(0, len(one))).tolist() == other.ids(slice(0, len(other))).tolist()
    for a, b in zip(one.columns(), other.columns(), strict=True):
        assert a.tolist() == b.tolist()


def test_a_demand_for_one_target_keeps_its_series_only() -> None:
    shared = Interner()
    kept = []
    for number in range(4):
        sibling = Sibling(number, DEMANDS["by the target's"], SampleRules(), shared)
        counts = sibling.read(said(['a{n="1"} %d', 'b{x="1"} %d', "c %d"], 1), 0).counts
        kept.append(sorted(labels.name for labels in sibling.kept()))
        assert counts.wanted == len(kept[-1])
    assert kept == [["b"], ["b"], ["a", "b"], ["b"]]


def test_change_after_change_is_read_by_what_changed() -> None:
    shared = Interner()
    sibling = Sibling(0, KEEP_ALL, SampleRules(), shared)
    sibling.read(said(["# TYPE a gauge", *MANY, "", "b %d"], 0), 0)
    for at in range(1, 5):
        body = said(["# TYPE a gauge", *MANY[:150], f'a{{n="new {at}"}} %d', *MANY[150 + at :], "", "b %d"], at)
        taken = sibling.cache.begin(body, Format.TEXT, T0 + at * 1000)
        assert isinstance(taken, Ingested)
        assert (taken.added, taken.counts.scraped) == (1, 302 - at)
    ended = [samples for samples in sibling.kept().values() if samples[-1][1] == "stale"]
    assert sorted(samples[-1][0] - T0 for samples in ended) == [1000, 2000, 2000, 3000, 3000, 4000, 4000]
