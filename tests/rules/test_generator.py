"""What a Prometheus-compliant alert generator does, sentence by sentence (facts/alert_generator.md), over fake time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rulepush.rules.alert import AlertState
from rulepush.rules.health import RuleHealthState
from tests.rules.world import T0, M, S, World, one_rule

pytestmark = pytest.mark.usefixtures("both_drivers")

PENDING, FIRING, INACTIVE = AlertState.PENDING, AlertState.FIRING, AlertState.INACTIVE


def test_labels_are_those_of_the_element_then_of_the_rule_then_alertname() -> None:
    world = World(
        one_rule(
            '{alert: A, expr: m > 1, labels: {i: "rule-{{ $labels.i }}", sev: page, alertname: other, gone: ""},'
            ' annotations: {t: "{{ $labels.i }} is {{ $value }}"}}'
        )
    )
    world.put(0, 5.0, i="0", gone="x")
    (sent,) = world.tick(0)
    assert sent.alert.labels.as_dict() == {"alertname": "A", "i": "rule-0", "sev": "page"}
    assert sent.alert.annotations == (("t", "0 is 5"),)
    assert sent.expr == "m > 1"


def test_two_alerts_with_the_same_final_labels_make_the_rule_fail() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, labels: {i: same}}"))
    assert world.step(0, 5.0, 6.0) == []
    assert world.states() == []
    assert world.query("ALERTS", 0) == {}
    status = world.rule.status
    assert status.health is RuleHealthState.ERR
    assert status.last_error == "vector contains metrics with the same labelset after applying alert labels"


def test_with_for_zero_it_fires_at_once() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"))
    (sent,) = world.step(0, 5.0)
    assert (sent.alert.state, sent.alert.fired_at) == (FIRING, T0)


def test_pending_becomes_firing_when_for_is_over() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, for: 1m}"))
    assert world.step(0, 5.0) == []
    assert world.states() == [PENDING]
    assert world.step(30 * S, 5.0) == []
    (sent,) = world.step(60 * S, 5.0)
    assert (sent.alert.active_at, sent.alert.fired_at) == (T0, T0 + 60 * S)


def test_a_for_below_the_interval_fires_at_the_second_evaluation() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, for: 1s}"))
    world.step(0, 5.0)
    assert world.states() == [PENDING]
    world.step(30 * S, 5.0)
    assert world.states() == [FIRING]


def test_a_pending_alert_that_is_not_in_the_result_is_gone() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, for: 1m}"))
    world.step(0, 5.0)
    assert world.step(30 * S, 0.0) == []
    assert world.states() == []
    world.step(60 * S, 5.0)
    assert world.alert.active_at == T0 + 60 * S


def test_a_firing_alert_that_is_not_in_the_result_resolves() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"))
    world.step(0, 5.0)
    (sent,) = world.step(30 * S, 0.0)
    assert (sent.alert.state, sent.alert.fired_at, sent.alert.resolved_at) == (INACTIVE, T0, T0 + 30 * S)


def test_keep_firing_for_holds_it_and_ends_when_it_comes_back() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, keep_firing_for: 1m}"))
    world.step(0, 5.0)
    world.step(30 * S, 0.0)
    assert world.alert.keep_firing_since == T0 + 30 * S
    assert world.query('ALERTS{alertstate="firing"}', 30 * S) != {}
    world.step(60 * S, 5.0)
    assert world.alert.keep_firing_since is None
    world.step(90 * S, 0.0)
    world.step(120 * S, 0.0)
    assert world.states() == [FIRING]
    world.step(150 * S, 0.0)
    assert (world.alert.state, world.alert.resolved_at) == (INACTIVE, T0 + 150 * S)


def test_the_same_labels_after_a_resolution_are_a_new_alert() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, for: 30s}"))
    world.step(0, 5.0)
    world.step(30 * S, 5.0)
    world.step(60 * S, 0.0)
    world.step(90 * S, 5.0)
    assert (world.alert.state, world.alert.active_at, world.alert.resolved_at) == (PENDING, T0 + 90 * S, None)
    (sent,) = world.step(120 * S, 5.0)
    assert sent.alert.fired_at == T0 + 120 * S


def test_annotations_and_value_follow_every_evaluation() -> None:
    world = World(one_rule('{alert: A, expr: m > 1, annotations: {v: "{{ $value }}"}}'))
    world.step(0, 5.0)
    world.step(30 * S, 7.0)
    assert (world.alert.value, world.alert.annotations) == (7.0, (("v", "7"),))


def test_annotations_that_ask_the_storage_follow_although_the_value_stays() -> None:
    text = """{alert: A, expr: m > 1, annotations: {v: '{{ with query "n" }}{{ . | first | value }}{{ end }}'}}"""
    world = World(one_rule(text))
    world.put(0, 1.0, name="n")
    world.step(0, 5.0)
    world.put(30 * S, 2.0, name="n")
    world.step(30 * S, 5.0)
    assert world.alert.annotations == (("v", "2"),)


def test_the_series_of_alerts_and_their_stale_markers() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, for: 30s, labels: {sev: page}}"))
    world.step(500, 5.0)
    labels = 'alertname="A", alertstate="{}", i="0", sev="page"'
    assert world.query("ALERTS", 500) == {"ALERTS{" + labels.format("pending") + "}": 1.0}
    assert world.query("ALERTS_FOR_STATE", 500) == {
        'ALERTS_FOR_STATE{alertname="A", i="0", sev="page"}': float(T0 // 1000)  # whole seconds
    }
    world.step(30 * S + 500, 5.0)
    assert world.query("ALERTS", 30 * S + 500) == {"ALERTS{" + labels.format("firing") + "}": 1.0}
    assert len(world.query("ALERTS", 30 * S + 499)) == 1
    world.step(60 * S + 500, 0.0)
    assert world.query('{__name__=~"ALERTS.*"}', 60 * S + 500) == {}


def test_alerts_are_visible_to_later_rules_of_the_same_evaluation() -> None:
    world = World(
        """
        groups:
        - name: g
          rules:
          - {alert: A, expr: m > 1}
          - {record: firing:count, expr: 'count(ALERTS{alertname="A",alertstate="firing"})'}
          - {alert: B, expr: firing:count > 0}
        """
    )
    sent = world.step(0, 5.0)
    assert [s.alert.labels.get("alertname") for s in sent] == ["A", "B"]
    sent = world.step(30 * S, 0.0)
    assert [s.alert.resolved_at for s in sent] == [T0 + 30 * S] * 2


@pytest.mark.parametrize(
    ("interval", "delay", "expected"),
    [(30 * S, 60 * S, 90 * S), (30 * S, 50 * S, 60 * S), (60 * S, 20 * S, 60 * S), (25 * S, 60 * S, 75 * S)],
)
def test_firing_is_sent_again_when_more_than_the_resend_delay_has_passed(
    interval: int, delay: int, expected: int
) -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"), context={"resend_delay_ms": delay})
    times = [s.ts for i in range(20) for s in world.step(i * interval, 5.0)]
    assert [b - a for a, b in pairwise(times)] == [expected] * (len(times) - 1)
    assert times[0] == 0


def test_a_resolution_is_sent_on_the_same_rhythm_for_fifteen_minutes_with_the_same_end() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"))
    world.step(0, 5.0)
    sent = [s for i in range(1, 50) for s in world.step(i * 30 * S, 0.0)]
    assert [s.ts for s in sent] == [30 * S + k * 90 * S for k in range(11)]
    assert {s.alert.resolved_at for s in sent} == {T0 + 30 * S}
    assert sent[-1].ts == 30 * S + 15 * M
    assert world.states() == []


def test_a_resolution_is_not_sent_again_once_the_labels_are_active_again() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, for: 5m}"))
    for i in range(11):
        world.step(i * 30 * S, 5.0)
    assert [s.alert.state for s in world.step(11 * 30 * S, 0.0)] == [INACTIVE]
    assert [s for i in range(12, 20) for s in world.step(i * 30 * S, 5.0)] == []


@pytest.mark.parametrize(
    ("interval", "delay", "ahead"), [(30 * S, 60 * S, 240 * S), (120 * S, 60 * S, 480 * S), (30 * S, 0, 120 * S)]
)
def test_while_firing_the_end_is_four_times_the_larger_of_interval_and_delay_ahead(
    interval: int, delay: int, ahead: int
) -> None:
    text = f"groups: [{{name: g, interval: {interval // S}s, rules: [{{alert: A, expr: m > 1}}]}}]"
    world = World(text, context={"resend_delay_ms": delay})
    (sent,) = world.step(0, 5.0)
    assert sent.alert.valid_until == T0 + ahead


def test_an_alert_that_would_end_before_the_next_evaluation_is_sent_although_its_rhythm_says_no() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"))
    world.step(0, 5.0)
    world.reload("groups: [{name: g, interval: 10m, rules: [{alert: A, expr: m > 1}]}]", 10 * S)
    (sent,) = world.step(30 * S, 5.0)
    assert sent.alert.valid_until == T0 + 30 * S + 40 * 60 * S


def test_over_the_limit_all_alerts_are_dropped_and_the_rule_fails() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}", "limit: 1,"))
    assert len(world.step(0, 5.0)) == 1
    assert world.step(30 * S, 5.0, 6.0) == []
    assert world.states() == []
    assert world.rule.status.last_error == "exceeded limit of 1 with 2 alerts"
    assert world.rule.state is INACTIVE


def test_a_failed_evaluation_neither_resolves_nor_clears() -> None:
    world = World(one_rule("{alert: A, expr: m * on() group_left n > 1}"))
    world.put(0, 1.0, name="n")
    world.step(0, 5.0)
    world.put(30 * S, 1.0, name="n")
    world.put(30 * S, 1.0, name="n", other="x")
    assert world.step(30 * S, 5.0) == []
    assert world.states() == [FIRING]
    assert world.rule.status.health is RuleHealthState.ERR
    assert "many-to-many" in world.rule.status.last_error
    assert world.query('ALERTS{alertstate="firing"}', 30 * S) != {}  # not marked stale
    world.put(60 * S, None, name="n", other="x")
    world.step(60 * S, 5.0)
    assert (world.rule.status.health, world.rule.status.last_error) == (RuleHealthState.OK, "")
    assert world.alert.fired_at == T0


def test_a_template_error_is_the_text_and_does_not_stop_the_alert() -> None:
    world = World(one_rule('{alert: A, expr: m > 1, annotations: {t: "{{ first (query \\"nothing\\") }}"}}'))
    (sent,) = world.step(0, 5.0)
    assert sent.alert.annotations[0][1].startswith("<error expanding template: ")


def test_a_stale_series_resolves_at_once() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"))
    world.step(0, 5.0)
    world.step(30 * S, None)
    assert world.states() == [INACTIVE]


def test_external_labels_are_seen_by_templates_and_not_part_of_the_alert() -> None:
    from rulepush.model.labels import Labels

    text = '{alert: A, expr: m > 1, annotations: {t: "{{ $externalLabels.dc }} {{ $externalURL }}"}}'
    world = World(one_rule(text), context={"external_labels": Labels.of(dc="x1")})
    (sent,) = world.step(0, 5.0)
    assert sent.alert.annotations == (("t", "x1 http://x"),)
    assert "dc" not in sent.alert.labels
