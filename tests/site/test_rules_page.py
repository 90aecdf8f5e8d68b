"""What the rules page shows of the rules, without a browser."""

from __future__ import annotations

import pytest

from rulepush.rules.health import RECENT_EVALUATIONS
from rulepush.site.rules import MAX_UNFOLDED, RulesView, RulesWanted, RuleView, group_states, rules_view
from tests.rules.world import T0, M, S, World

RULES = """
groups:
- name: first group
  rules:
  - {alert: High, expr: m > 5, labels: {severity: page}}
  - {alert: Waits, expr: m > 1, for: 1h, keep_firing_for: 5m}
  - {alert: High, expr: 'rate(m[10m]) > 5 or m > 9'}
  - {record: total, expr: sum(m)}
- name: broken
  rules:
  - {alert: Broken, expr: m / on() m}
"""


def world(text: str = RULES) -> World:
    one = World(text)
    one.step(0, 7.0, 3.0)
    return one


def shown(of: World, **parameters: str) -> list[str]:
    return [rule.name for group in view(of, **parameters).groups for rule in group.rules]


def view(of: World, **parameters: str) -> RulesView:
    return rules_view(group_states(of.groups.all()), RulesWanted.of(parameters), 5 * M)


def rule(of: World, name: str) -> RuleView:
    return next(rule for group in view(of).groups for rule in group.rules if rule.name == name)


def test_a_rule_with_its_alerts_and_clocks() -> None:
    one = rule(world(), "Waits")
    assert (one.type, one.state, one.firing, one.pending) == ("alerting", "pending", 0, 2)
    assert (one.for_ms, one.keep_firing_ms) == (60 * M, 5 * M)
    assert (one.health, one.error, one.last_evaluation) == ("ok", "", T0)


def test_the_selectors_of_a_rule_each_with_the_longest_time_that_it_needs() -> None:
    one = view(world()).groups[-1].rules[2]
    assert [(k.text, k.lookback_ms) for k in one.kept] == [("m", 10 * M)]


def test_the_last_evaluations_the_newest_first_with_their_errors() -> None:
    of = world()
    for n in range(1, 12):
        of.step(n * 30 * S, 7.0, None if n >= 6 else 3.0)
    recent = rule(of, "Broken").recent
    assert len(recent) == RECENT_EVALUATIONS
    assert [e.at for e in recent] == [T0 + n * 30 * S for n in range(11, 3, -1)]
    assert [bool(e.error) for e in recent] == [False] * 6 + [True] * 2
    assert [e.samples for e in rule(of, "High").recent][:2] == [2, 2], "ALERTS and ALERTS_FOR_STATE"


def test_counts_are_of_all_rules_and_a_failing_group_is_never_folded() -> None:
    found = view(world(), fold="all")
    assert found.health == {"ok": 4, "err": 1, "unknown": 0}
    assert {g.name: g.is_open for g in found.groups} == {"broken": True, "first group": False}
    assert all(g.is_open for g in view(world()).groups)


def test_many_rules_are_folded_at_first_and_a_filter_unfolds_few() -> None:
    rules = "\n".join(f"  - {{alert: A{n}, expr: m > {n}}}" for n in range(MAX_UNFOLDED))
    of = World(f"groups:\n- name: a\n  rules:\n{rules}\n- name: b\n  rules: [{{record: x, expr: m}}]")
    assert [g.is_open for g in view(of).groups] == [False, False]
    assert [g.is_open for g in view(of, fold="none").groups] == [True, True]
    assert [g.is_open for g in view(of, type="recording").groups] == [True]
    assert not view(of).is_detailed, "evaluations and selectors are left to the pages of the rules"
    assert view(of, type="recording").is_detailed


def test_before_the_first_evaluation_health_is_unknown() -> None:
    found = view(World(RULES))
    assert found.health == {"ok": 0, "err": 0, "unknown": 5}
    assert found.groups[0].rules[0].recent == ()


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({}, ["Broken", "High", "Waits", "High", "total"]),
        ({"q": "high"}, ["High", "High"]),
        ({"q": "waits > 1"}, ["Waits"]),
        ({"q": 'severity="page"'}, ["High"]),
        ({"q": "first sum"}, ["total"]),
        ({"search": "waits"}, ["Waits"]),
        ({"health": "err"}, ["Broken"]),
        ({"ruleHealthFilter": "err"}, ["Broken"]),
        ({"health": "strange"}, ["Broken", "High", "Waits", "High", "total"]),
        ({"state": "firing"}, ["High"]),
        ({"state": "inactive", "health": "ok"}, ["High"]),
        ({"type": "recording"}, ["total"]),
        ({"q": "nothing"}, []),
    ],
)
def test_filters(parameters: dict[str, str], names: list[str]) -> None:
    assert shown(world(), **parameters) == names


def test_anchors_are_names_and_none_is_there_twice() -> None:
    groups = view(world()).groups
    anchors = [group.anchor for group in groups] + [rule.anchor for group in groups for rule in group.rules]
    assert anchors == [
        "broken",
        "first%20group",
        "broken.Broken",
        "first%20group.High",
        "first%20group.Waits",
        "first%20group.High~2",
        "first%20group.total",
    ]
