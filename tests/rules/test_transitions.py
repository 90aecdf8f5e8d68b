"""What changes, with its reason, as the rules record it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rulepush.model.labels import Labels
from rulepush.promql import parse_expr
from rulepush.rules.context import HoldPolicy, TargetStates
from rulepush.rules.state import SCHEMA, SqliteAlertStates
from rulepush.rules.thresholds import thresholds
from rulepush.rules.transition import WORDS, ChangeReason, Transition
from rulepush.storage.database import Database
from tests.rules.world import T0, M, S, World, one_rule

pytestmark = pytest.mark.usefixtures("both_drivers")

RULE = one_rule("{alert: A, expr: m > 1}")
SLOW = one_rule("{alert: A, expr: m > 1, for: 1m}")


def recording(text: str, **options: Any) -> tuple[World, list[Transition]]:
    """A world, and the transitions that its rules record."""
    told: list[Transition] = []
    context = {"record": told.extend, **options.pop("context", {})}
    return World(text, context=context, **options), told


def short(told: list[Transition]) -> list[tuple[int, str, str, str]]:
    return [((one.ts - T0) // S, one.was, one.now, one.reason.value) for one in told]


def test_the_life_of_an_alert_is_told_with_its_reasons() -> None:
    world, told = recording(SLOW)
    for at, value in ((0, 5.0), (30, 6.0), (60, 7.0), (90, 0.5), (120, 0.5)):
        world.step(at * S, value)
    assert short(told) == [
        (0, "inactive", "pending", "condition_true"),
        (60, "pending", "firing", "for_elapsed"),
        (90, "firing", "inactive", "condition_false"),
    ]
    assert [one.value for one in told] == [5.0, 7.0, 0.5]
    assert told[0].described == "the condition became true: fires after 1m"
    assert told[2].described == "the condition is no longer true: 0.5 > 1 is not true"
    assert {one.labels for one in told} == {Labels.of(alertname="A", i="0")}
    assert (told[0].rule.file, told[0].rule.group, told[0].rule.name) == ("r.yml", "g", "A")


def test_nothing_is_told_while_only_values_change() -> None:
    world, told = recording(RULE)
    world.step(0, 5.0)
    told.clear()
    for at, value in ((30, 6.0), (60, 7.0), (90, 7.0)):
        world.step(at * S, value)
    assert told == []


def test_an_alert_without_for_fires_at_once() -> None:
    world, told = recording(RULE)
    world.step(0, 5.0)
    assert short(told) == [(0, "inactive", "firing", "condition_true")]


def test_an_alert_that_comes_back_soon_after_it_resolved_is_told_anew() -> None:
    world, told = recording(SLOW)
    for at, value in ((0, 5.0), (60, 5.0), (90, 0.0), (120, 6.0), (150, 0.0)):
        world.step(at * S, value)
    assert short(told)[3:] == [
        (120, "inactive", "pending", "condition_true"),
        (150, "pending", "inactive", "condition_false"),
    ]


def test_a_series_that_is_gone_is_another_end_than_a_condition_that_is_false() -> None:
    world, told = recording(RULE)
    world.step(0, 5.0)
    world.step(30 * S, None)
    assert short(told)[1:] == [(30, "firing", "inactive", "series_gone")]
    assert told[1].value is None


@pytest.mark.parametrize(
    ("up", "reason"),
    [
        ({("j", "a"): False}, "target_down"),
        ({("j", "b"): True}, "target_removed"),
        ({("j", "a"): True}, "series_gone"),
        ({("k", "a"): False}, "series_gone"),  # pushed: no scrape is its source
    ],
)
def test_a_series_that_is_gone_is_explained_by_its_target(up: dict[tuple[str, str], bool], reason: str) -> None:
    states = TargetStates(up, frozenset(job for job, _ in up))
    world, told = recording(RULE, context={"targets": lambda: states})
    world.put(0, 5.0, job="j", instance="a")
    world.tick(0)
    world.put(30 * S, None, job="j", instance="a")
    world.tick(30 * S)
    assert [one.reason.value for one in told[1:]] == [reason]


def test_a_job_that_the_rule_sets_is_not_that_of_the_target() -> None:
    text = one_rule("{alert: A, expr: m > 1, labels: {job: team}}")
    states = TargetStates({("team", "a"): False}, frozenset(["team"]))
    world, told = recording(text, context={"targets": lambda: states})
    world.put(0, 5.0, job="j", instance="a")
    world.tick(0)
    world.put(30 * S, None, job="j", instance="a")
    world.tick(30 * S)
    assert told[-1].reason is ChangeReason.SERIES_GONE


def test_the_other_side_of_an_and_is_told_apart_from_the_comparison() -> None:
    world, told = recording(one_rule("{alert: A, expr: m > 1 and on () n == 1}"))
    world.put(0, 5.0)
    world.put(0, 1.0, name="n")
    world.tick(0)
    world.put(30 * S, 5.0)
    world.put(30 * S, 0.0, name="n")
    world.tick(30 * S)
    assert told[-1].described == (
        "no longer in the result of the expression: 5 > 1 is true, another part of the expression is not"
    )
    assert told[-1].value == 5.0


def test_an_expression_without_a_comparison_ends_without_a_value() -> None:
    world, told = recording(one_rule("{alert: A, expr: absent(m)}"))
    world.tick(0)
    world.step(30 * S, 5.0)
    assert (told[-1].reason, told[-1].value) == (ChangeReason.NOT_IN_RESULT, None)


def test_the_element_of_an_alert_is_found_although_on_keeps_some_labels_only() -> None:
    world, told = recording(one_rule("{alert: A, expr: m > on (i) n}"))
    for at, n in ((0, 1.0), (30 * S, 9.0)):
        world.put(at, 5.0, i="0", pod="x")
        world.put(at, n, name="n", i="0")
        world.tick(at)
    assert told[-1].labels == Labels.of(alertname="A", i="0")
    assert (told[-1].reason, told[-1].value) == (ChangeReason.CONDITION_FALSE, 5.0)


def test_keep_firing_for_is_told_when_it_begins_and_when_it_is_over() -> None:
    world, told = recording(one_rule("{alert: A, expr: m > 1, keep_firing_for: 1m}"))
    for at, value in ((0, 5.0), (30, 0.0), (60, 0.0), (90, 0.0)):
        world.step(at * S, value)
    assert short(told)[1:] == [(30, "firing", "firing", "kept_firing"), (90, "firing", "inactive", "condition_false")]
    assert told[1].detail == "0 > 1 is not true; until 1m have passed"
    assert told[2].detail == "0 > 1 is not true; `keep_firing_for` is over, kept for 1m"


def test_an_alert_that_was_kept_is_seen_again() -> None:
    world, told = recording(one_rule("{alert: A, expr: m > 1, keep_firing_for: 5m}"))
    for at, value in ((0, 5.0), (30, 0.0), (60, 8.0)):
        world.step(at * S, value)
    assert short(told)[2:] == [(60, "firing", "firing", "seen_again")]
    assert told[2].value == 8.0


def test_holding_is_told_once_and_how_it_ended() -> None:
    down = {"now": False}
    hold = HoldPolicy(5 * M, lambda _: down["now"])
    world, told = recording(RULE, hold=hold)
    world.step(0, 5.0)
    down["now"] = True
    for at in (30, 60):
        world.step(at * S, None)
    down["now"] = False
    world.step(90 * S, 6.0)
    assert short(told)[1:] == [(30, "firing", "firing", "held"), (90, "firing", "firing", "seen_again")]


def test_what_was_held_for_too_long_says_so() -> None:
    hold = HoldPolicy(M, lambda _: True)
    world, told = recording(RULE, hold=hold)
    world.step(0, 5.0)
    for at in (30, 60, 90):
        world.step(at * S, None)
    assert (told[-1].now, told[-1].detail) == ("inactive", "held for 1m")


def test_alerts_over_the_limit_are_told() -> None:
    world, told = recording(one_rule("{alert: A, expr: m > 1}", group="limit: 1,"))
    world.step(0, 5.0, 0.0)
    world.step(30 * S, 5.0, 5.0)
    assert [one.reason.value for one in told] == ["condition_true", "over_limit", "evaluation_failed"]
    assert told[-1].detail == "exceeded limit of 1 with 2 alerts"


def test_a_rule_that_fails_is_told_once_and_when_it_works_again() -> None:
    world, told = recording(one_rule("{alert: A, expr: m > on () n}"))
    for at in (0, 30 * S):
        world.put(at, 1.0, name="n", x="1")
        world.put(at, 1.0, name="n", x="2")
        world.put(at, 5.0)
        world.tick(at)
    world.put(60 * S, None, name="n", x="2")
    world.put(60 * S, 9.0)
    world.tick(60 * S)
    rule = [one for one in told if not len(one.labels)]
    assert [(one.was, one.now, one.reason.value) for one in rule] == [
        ("unknown", "err", "evaluation_failed"),
        ("err", "ok", "evaluation_works"),
    ]
    assert "many" in rule[0].detail


def test_a_reload_tells_what_it_changed_in_a_rule() -> None:
    world, told = recording(RULE)
    world.step(0, 5.0)
    told.clear()
    world.reload(one_rule("{alert: A, expr: m > 2, for: 10m}"), 10 * S)
    (changed,) = told
    assert (changed.reason, changed.was, changed.now) == (ChangeReason.RULE_CHANGED, "ok", "ok")
    assert changed.detail == "expr was m > 1; for was 0s, is 10m"
    world.step(30 * S, 5.0)
    assert short(told)[1:] == [(30, "firing", "pending", "for_longer")]


def test_a_reload_that_changes_nothing_tells_nothing() -> None:
    world, told = recording(RULE)
    world.step(0, 5.0)
    told.clear()
    world.reload(RULE, 10 * S)
    assert told == []


@pytest.mark.parametrize("text", [one_rule("{alert: B, expr: m > 1}"), "groups: [{name: other}]"])
def test_a_reload_tells_which_alerts_its_removal_of_a_rule_ended(text: str) -> None:
    world, told = recording(RULE)
    world.step(0, 5.0)
    told.clear()
    world.reload(text, 10 * S)
    assert [(one.rule.name, one.was, one.now, one.reason.value) for one in told] == [
        ("A", "firing", "inactive", "rule_removed"),
        ("A", "ok", "", "rule_removed"),
    ]


def test_a_restart_tells_which_alerts_go_on(tmp_path: Path) -> None:
    def store() -> SqliteAlertStates:
        return SqliteAlertStates(Database(tmp_path / "alerts.db", SCHEMA))

    before, _ = recording(RULE, store=store())
    before.step(0, 5.0)
    _, told = recording(RULE, store=store(), start=10 * S)
    assert short(told) == [(10, "firing", "firing", "restored")]


def test_a_for_clock_that_starts_over_after_a_long_stop_is_told(tmp_path: Path) -> None:
    def store() -> SqliteAlertStates:
        return SqliteAlertStates(Database(tmp_path / "alerts.db", SCHEMA))

    before, _ = recording(one_rule("{alert: A, expr: m > 1, for: 10m}"), store=store())
    before.step(0, 5.0)
    after, told = recording(one_rule("{alert: A, expr: m > 1, for: 10m}"), store=store(), start=90 * M)
    after.step(90 * M, 5.0)
    assert [one.reason.value for one in told] == ["restored", "started_over", "condition_true"]


def test_every_reason_has_words() -> None:
    assert set(WORDS) == set(ChangeReason)


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("m > 5", [("m", ">", 5.0, True)]),
        ("5 < m", [("m", ">", 5.0, True)]),
        ("m > 2 ^ 3 * 10 / 4", [("m", ">", 20.0, True)]),
        ("m > -1", [("m", ">", -1.0, True)]),
        ("m > n", [("m", ">", None, True)]),
        ("0 < m < 5", [("m", ">", 0.0, True), ("m", "<", 5.0, True)]),
        ("(m > 1) and n == 1", [("m", ">", 1.0, True), ("n", "==", 1.0, False)]),
        ("m > 1 or n > 2", [("m", ">", 1.0, True), ("n", ">", 2.0, True)]),
        ("m > 1 unless n > 2", [("m", ">", 1.0, True)]),
        ("count(up == 0) > 3", [("count(up == 0)", ">", 3.0, True)]),
        ("m > bool 1", []),
        ("absent(m)", []),
        ("m / 0 > 1 / 0", [("m / 0", ">", None, True)]),
    ],
)
def test_the_comparisons_of_an_expression(expr: str, found: list[tuple[str, str, float | None, bool]]) -> None:
    got = thresholds(parse_expr(expr))
    assert [(str(c.value), c.op, c.constant, c.decides) for c in got] == found
