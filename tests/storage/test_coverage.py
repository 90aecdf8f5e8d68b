"""What is said to be covered must be: held against every label set of a small world."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.promql import parse_selector
from rulepush.storage.coverage import Conditions, covering
from rulepush.storage.demand import Demand, ManualDemand

VALUES = ["", "a", "b", "ab", "a.b", "5", "500", "503", "|", "\n"]
PATTERNS = [
    "a|b",
    "(a|b)",
    "(?:a|b|)",
    "a.b",
    r"a\.b",
    "5..",
    "50[03]",
    ".*",
    ".+",
    "",
    "a*",
    "|",
    r"\|",
    "(?i)A",
    "a|b.*",
    r"\w",
]
NAMES = ["__name__", "x", "y"]
WORLD = [Labels({n: v for n, v in zip(NAMES, values, strict=True) if v}) for values in product(VALUES, repeat=3)]

exact = st.builds(
    Matcher, st.sampled_from(NAMES), st.sampled_from([MatchOp.EQUAL, MatchOp.NOT_EQUAL]), st.sampled_from(VALUES)
)
regex = st.builds(
    Matcher, st.sampled_from(NAMES), st.sampled_from([MatchOp.REGEX, MatchOp.NOT_REGEX]), st.sampled_from(PATTERNS)
)
selectors = st.lists(exact | regex, max_size=4)


def satisfy(selector: list[Matcher], labels: Labels) -> bool:
    return all(m.matches_labels(labels) for m in selector)


@given(selectors, exact | regex)
def test_what_is_implied_holds_for_every_series(selector: list[Matcher], wanted: Matcher) -> None:
    found = [labels for labels in WORLD if satisfy(selector, labels)]
    conditions = Conditions(selector)
    if conditions.imply(wanted):
        assert all(wanted.matches_labels(labels) for labels in found)
    if conditions.exclude(wanted):
        assert not any(wanted.matches_labels(labels) for labels in found)
    values = conditions.values(wanted.name)
    if values is not None:
        assert {labels.get(wanted.name) for labels in found} <= set(values)


@settings(max_examples=150)
@given(selectors, st.lists(selectors, max_size=5))
def test_what_is_covered_is_kept_whatever_series_there_are(
    selector: list[Matcher], others: list[list[Matcher]]
) -> None:
    demand = Demand.of([ManualDemand(tuple(other), i) for i, other in enumerate(others)])
    found = [labels for labels in WORLD if satisfy(selector, labels)]
    parts = covering(selector, others)
    if parts is not None:
        for labels in found:
            assert any(all(satisfy(others[i], labels) for i in part) for part in parts)
    retention = demand.retention_of(selector)
    if retention is not None:
        for labels in found:
            assert demand.wants(labels)
            assert retention.lookback_ms <= demand.keep(labels.name).lookback_ms
    kept = demand.kept_of(selector)
    for labels in found:
        assert demand.wants(labels) is any(satisfy(list(part), labels) for part in kept)


@pytest.mark.parametrize(
    ("selector", "demands", "covered"),
    [
        ("up", ["up"], True),
        ('up{job="a"}', ["up"], True),
        ("up", ['up{job="a"}'], False),
        ('up{job="b"}', ['up{job="a"}'], False),
        ('up{job="a",zone="z"}', ['up{zone="z",job="a"}'], True),
        ('up{job=~"a|b"}', ['up{job=~"b|a|c"}'], True),
        ('up{job=~"a|b"}', ['up{job="a"}', 'up{job="b"}'], True),
        ('up{job=~"a|b|c"}', ['up{job="a"}', 'up{job="b"}'], False),
        ('up{job=~"(a|b)"}', ['up{job="a"}', 'up{job="b"}'], True),
        ('up{job=~".*"}', ["up"], True),
        ("up", ['up{job=~".*"}'], True),
        ("up", ['up{job=~".+"}'], False),
        ('up{job="a"}', ['up{job=~".+"}'], True),
        ('up{job!=""}', ['up{job=~".+"}'], True),
        ('up{job=~"a.+"}', ['up{job!=""}'], True),
        ('up{job="a"}', ['up{job!="b"}'], True),
        ('up{job!="b"}', ['up{job!="b"}', 'up{job="c"}'], True),
        ("up", ['up{job!="b"}', 'up{job="b"}'], True),
        ("up", ['up{job=~"a.*"}', 'up{job!~"a.*"}'], True),
        ("up", ['up{job=~"a.*"}', 'up{job!~"a.+"}'], False),
        ('x{code="500"}', ['x{code=~"5.."}'], True),
        ('x{code=~"5.."}', ['x{code="500"}'], False),
        ('x{code=~"500|503"}', ['x{code=~"5.."}'], True),
        (r'x{instance=~"a\\.b:80"}', ['x{instance="a.b:80"}'], True),
        ('{__name__=~"a|b"}', ["a", "b"], True),
        ('{__name__=~"a|b|c"}', ["a", "b"], False),
        ("jvm_x", ['{__name__=~"jvm_.+"}'], True),
        ('{__name__=~"jvm_.+",job="a"}', ['{__name__=~"jvm_.+"}'], True),
        ('{job="a"}', ["up"], False),
        ('{job="a"}', ['{job="a"}'], True),
        ('{__name__="a",__name__="b"}', [], True),
    ],
)
def test_typical_selectors(selector: str, demands: list[str], covered: bool) -> None:
    demand = Demand.of([ManualDemand(parse_selector(text), 60_000) for text in demands])
    assert (demand.retention_of(parse_selector(selector)) is not None) is covered


def test_the_shortest_look_back_of_the_parts_counts() -> None:
    demand = Demand.of(
        [ManualDemand(parse_selector(text), ms) for text, ms in (("a", 5), ("b", 7), ('{x="1"}', 3), ('{x=~".+"}', 2))]
    )
    found = [demand.retention_of(parse_selector(text)) for text in ('{__name__=~"a|b"}', "a", '{x="1"}', '{x="2"}')]
    assert [r and r.lookback_ms for r in found] == [5, 5, 3, 2]


def test_to_find_out_takes_bounded_time_among_many_demands() -> None:
    others = [parse_selector(f'x{{a="{i}",b="{i}",c="{i}"}}') for i in range(2000)]
    assert covering(parse_selector('x{d="1"}'), others) is None
    assert covering(parse_selector('x{a="7",b="7",c="7"}'), others) == [[7]]
