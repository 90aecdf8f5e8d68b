"""Groups: order, what is written, failures, offset, and reload."""

from __future__ import annotations

import json
import logging

import pytest

from rulepush.model.labels import Labels
from rulepush.model.matcher import selector_text
from rulepush.rules.alert import AlertState
from rulepush.rules.context import HoldPolicy
from rulepush.rules.groups import GroupDefaults
from rulepush.rules.health import RuleHealthState
from rulepush.rules.rulefmt import RuleFile, parse_rule_file
from rulepush.rules.specs import demanded
from rulepush.rules.transition import Transition
from tests.rules import world as world_module
from tests.rules.world import T0, M, S, World, one_rule, specs

pytestmark = pytest.mark.usefixtures("both_drivers")


def test_rules_see_what_earlier_ones_wrote_at_the_same_time_and_not_what_later_ones_will() -> None:
    world = World(
        """
        groups:
        - name: g
          rules:
          - {record: before, expr: b + 0}
          - {record: a, expr: m * 2}
          - {record: b, expr: a + 1}
          - {record: c, expr: a + b}
        """
    )
    world.put(0, 3.0)
    world.tick(0)
    assert world.query('{__name__=~"a|b|c"}', 0) == {"a": 6.0, "b": 7.0, "c": 13.0}
    assert world.query("before", 0) == {}
    world.put(30 * S, 4.0)
    world.tick(30 * S)
    assert world.query('{__name__=~"a|b|c|before"}', 30 * S) == {"before": 7.0, "a": 8.0, "b": 9.0, "c": 17.0}


def test_a_shared_expression_is_forgotten_when_an_earlier_rule_writes_what_it_reads() -> None:
    world = World(
        """
        groups:
        - name: g
          rules:
          - {alert: First, expr: sum(a) > 5}
          - {record: a, expr: m}
          - {alert: Second, expr: sum(a) > 5}
        """
    )
    world.put(-30 * S, 1.0, name="a")
    world.put(0, 9.0)
    assert [s.alert.labels.get("alertname") for s in world.tick(0)] == ["Second"]


def test_recorded_labels_replace_those_of_the_result_and_empty_ones_remove() -> None:
    world = World(one_rule('{record: r, expr: m, labels: {i: "", x: "1"}}', "labels: {x: group, y: group},"))
    world.step(0, 2.0)
    assert world.query("r", 0) == {'r{x="1", y="group"}': 2.0}


def test_a_recorded_series_that_ends_is_marked_stale() -> None:
    world = World(one_rule("{record: r, expr: m > 1}"))
    world.step(0, 2.0, 3.0)
    world.step(30 * S, 2.0, 0.0)
    assert world.query("r", 30 * S) == {'r{i="0"}': 2.0}


@pytest.mark.parametrize(
    ("rule", "group", "error"),
    [
        (
            '{record: r, expr: m, labels: {i: ""}}',
            "",
            "vector contains metrics with the same labelset after applying rule labels",
        ),
        ("{record: r, expr: m}", "limit: 1,", "exceeded limit of 1 with 2 series"),
    ],
)
def test_a_recording_rule_that_fails_writes_nothing_and_ends_nothing(rule: str, group: str, error: str) -> None:
    world = World(one_rule(rule, group))
    world.step(0, 2.0)
    world.step(30 * S, 2.0, 3.0)
    assert len(world.query("r", 30 * S)) == 1
    (only,) = world.group.rules
    assert (only.status.health, only.status.last_error) == (RuleHealthState.ERR, error)
    assert world.group.counters.failures == 1
    assert world.group.counters.evaluations == 2


def test_two_rules_that_write_the_same_series_differently_are_told_so() -> None:
    text = "groups: [{name: g, rules: [{record: r, expr: m}, {record: r, expr: m + 1}]}]"
    world = World(text)
    world.step(0, 2.0)
    assert [rule.status.last_error for rule in world.group.rules] == ["", "duplicate sample for timestamp"]
    assert world.query("r", 0) == {'r{i="0"}': 2.0}


def test_one_failing_rule_does_not_stop_the_others() -> None:
    text = 'groups: [{name: g, rules: [{record: "a", expr: "m * on(i) m1"}, {record: b, expr: m}]}]'
    world = World(text)
    world.put(0, 1.0, i="0")
    world.put(0, 1.0, name="m1", i="0", k="1")
    world.put(0, 1.0, name="m1", i="0", k="2")
    world.tick(0)
    assert [rule.status.health for rule in world.group.rules] == [RuleHealthState.ERR, RuleHealthState.OK]


def test_the_query_offset_moves_what_is_read_and_what_is_written_but_not_the_alerts_times() -> None:
    text = "groups: [{name: g, query_offset: 1m, rules: [{record: r, expr: m}, {alert: A, expr: m > 1}]}]"
    world = World(text)
    world.put(0, 5.0)
    assert world.tick(30 * S) == []
    world.put(M, 0.0)
    (sent,) = world.tick(M)
    assert sent.alert.active_at == T0 + M
    assert world.query("r", 0) == {"r": 5.0}
    assert len(world.query("ALERTS", 0)) == 1


def test_a_scalar_is_an_alert_without_labels() -> None:
    world = World(one_rule("{alert: A, expr: 1}"))
    (sent,) = world.tick(0)
    assert sent.alert.labels.as_dict() == {"alertname": "A"}


def test_what_the_group_shows_of_its_last_evaluation() -> None:
    asking = [1.0, 1.0, 1.0] if world_module.drive_on_datasource else [1.0]  # how long there is to ask is measured, too
    seconds = iter([*asking, 1.0, 1.25, 1.5])
    world = World(one_rule("{record: r, expr: m}"), context={"stopwatch": lambda: next(seconds)})
    world.evaluate(world.group, T0, T0 + 7)
    (rule,) = world.group.rules
    assert (world.group.last_evaluation, world.group.evaluation_seconds) == (T0 + 7, 0.5)
    assert (rule.status.last_evaluation, rule.status.evaluation_seconds) == (T0 + 7, 0.25)


def test_every_change_of_state_is_logged_with_labels_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rulepush.rules")
    world = World(one_rule("{alert: A, expr: m > 1, for: 30s}"))
    world.step(0, 5.0)
    world.step(30 * S, 5.0)
    world.step(60 * S, 0.0)
    assert [r.getMessage() for r in caplog.records] == [
        'INACTIVE => PENDING (in the result, fires after 30s): alert={alertname="A", i="0"}',
        'PENDING => FIRING (active for 30s): alert={alertname="A", i="0"}',
        'FIRING => INACTIVE (no longer in the result): alert={alertname="A", i="0"}',
    ]


def test_what_the_rules_demand() -> None:
    groups = specs(
        """
        groups:
        - name: g
          query_offset: 1m
          rules:
          - alert: A
            expr: rate(a[10m]) > 1
            annotations: {t: '{{ range query "b" }}{{ . }}{{ end }} {{ query "(" }}'}
        """
    )
    wants = {next(m.value for m in w.matchers if m.name == "__name__"): w.lookback_ms for w in demanded(groups)}
    assert wants == {"a": 11 * M, "b": 6 * M, "ALERTS": 5 * M}


def test_a_result_that_no_rule_can_have_is_that_rules_error_alone() -> None:
    world = World(
        """
        groups:
        - name: g
          rules:
          - {alert: Range, expr: "m[5m]"}
          - {record: r:range, expr: "m[5m]"}
          - {alert: Text, expr: '"a"'}
          - {record: r:text, expr: '"a"'}
          - {alert: Good, expr: m > 1, annotations: {t: '{{ query "m[5m]" }}'}}
        """
    )
    (sent,) = world.step(0, 5.0)
    assert sent.alert.labels.get("alertname") == "Good"
    assert "rule result is not a vector or scalar but a range vector" in sent.alert.annotations[0][1]
    shown = [(rule.status.health, rule.status.last_error) for rule in world.group.rules]
    text = "rule result is not a vector or scalar but a "
    assert shown == [
        *[(RuleHealthState.ERR, text + "range vector")] * 2,
        *[(RuleHealthState.ERR, text + "string")] * 2,
        (RuleHealthState.OK, ""),
    ]
    assert world.group.counters.failures == 4


class TestReload:
    rule = "{alert: A, expr: m > 1, for: 1m, labels: {s: p}}"

    def test_a_rule_that_is_still_there_goes_on_also_when_others_were_inserted(self) -> None:
        world = World(one_rule(self.rule))
        world.step(0, 5.0)
        world.reload(one_rule("{alert: New, expr: m > 3, for: 1m}, {record: r, expr: m}, " + self.rule), 10 * S)
        world.step(30 * S, 5.0)
        (sent,) = world.step(60 * S, 5.0)
        assert (sent.alert.labels.get("alertname"), sent.alert.active_at) == ("A", T0)

    def test_a_firing_alert_keeps_its_start_and_its_rhythm(self) -> None:
        world = World(one_rule("{alert: A, expr: m > 1}"))
        world.step(0, 5.0)
        world.reload(one_rule("{alert: A, expr: m > 1, annotations: {t: new}}"), 10 * S)
        assert [s.ts for i in range(1, 5) for s in world.step(i * 30 * S, 5.0)] == [90 * S]
        assert (world.alert.fired_at, world.alert.annotations) == (T0, (("t", "new"),))

    def test_a_longer_for_makes_a_firing_alert_pending_again_and_ends_it_at_alertmanager(self) -> None:
        world = World(one_rule("{alert: A, expr: m > 1, for: 1m}"))
        for at in range(0, 91 * S, 30 * S):
            world.step(at, 5.0)
        assert world.alert.fired_at == T0 + 60 * S
        world.reload(one_rule("{alert: A, expr: m > 1, for: 5m}"), 100 * S)
        (ended,) = world.step(120 * S, 5.0)
        assert (ended.alert.state, ended.alert.fired_at) == (AlertState.INACTIVE, T0 + 60 * S)
        assert ended.alert.resolved_at == T0 + 120 * S
        assert (world.alert.state, world.alert.active_at) == (AlertState.PENDING, T0)
        assert world.query("ALERTS", 120 * S) == {'ALERTS{alertname="A", alertstate="pending", i="0"}': 1.0}
        sent = [one for at in range(150 * S, 5 * M + 1, 30 * S) for one in world.step(at, 5.0)]
        assert [(one.ts, one.alert.fired_at) for one in sent] == [(5 * M, T0 + 5 * M)]  # the `for` clock went on

    def test_a_longer_for_that_is_over_already_changes_nothing(self) -> None:
        world = World(one_rule("{alert: A, expr: m > 1, for: 1m}"))
        for at in range(0, 4 * M, 30 * S):
            world.step(at, 5.0)
        before = world.alert
        world.reload(one_rule("{alert: A, expr: m > 1, for: 3m}"), 4 * M - 10 * S)
        world.step(4 * M, 5.0)
        assert (world.alert.state, world.alert.fired_at) == (AlertState.FIRING, before.fired_at)

    def test_the_exact_rule_wins_over_the_one_with_another_expression(self) -> None:
        two = "{alert: A, expr: m > 1}, {alert: A, expr: n > 1}"
        world = World(one_rule("{alert: A, expr: n > 1}"))
        world.put(0, 5.0, name="n")
        world.tick(0)
        world.reload(one_rule(two), 10 * S)
        assert [len(rule.alerts) for rule in world.groups.alerting_rules()] == [0, 1]

    def test_a_changed_expression_keeps_the_alerts_as_in_prometheus(self) -> None:
        world = World(one_rule("{alert: A, expr: m > 1}"))
        world.step(0, 5.0)
        world.reload(one_rule("{alert: A, expr: m > 2}"), 10 * S)
        world.step(30 * S, 5.0)
        assert world.alert.fired_at == T0
        (sent,) = world.step(60 * S, 2.0)
        assert sent.alert.resolved_at == T0 + 60 * S

    def test_other_labels_make_another_rule_whose_series_end(self) -> None:
        world = World(one_rule("{alert: A, expr: m > 1, labels: {s: a}}"))
        world.step(0, 5.0)
        world.reload(one_rule("{alert: A, expr: m > 1, labels: {s: b}}"), 10 * S)
        assert world.states() == []
        world.step(30 * S, 5.0)
        assert list(world.query("ALERTS", 30 * S)) == ['ALERTS{alertname="A", alertstate="firing", i="0", s="b"}']

    def test_the_series_of_a_rule_that_goes_away_end_at_the_next_evaluation(self) -> None:
        world = World(one_rule("{record: r, expr: m}, {record: q, expr: m}"))
        world.step(0, 5.0)
        world.reload(one_rule("{record: q, expr: m}"), 10 * S)
        assert len(world.query("r", 29 * S)) == 1
        world.step(30 * S, 5.0)
        assert world.query("r", 30 * S) == {}
        assert len(world.query("q", 30 * S)) == 1

    def test_a_series_that_another_rule_gives_now_does_not_end(self) -> None:
        world = World(one_rule("{record: r, expr: m}"))
        world.step(0, 5.0)
        world.reload(one_rule('{record: r, expr: m + 1, labels: {i: "0"}}'), 10 * S)
        world.step(30 * S, 5.0)
        assert world.query("r", 30 * S) == {'r{i="0"}': 6.0}

    def test_the_series_of_a_group_that_goes_away_end_at_once(self) -> None:
        world = World("groups: [{name: a, rules: [{record: r, expr: m}]}, {name: b, rules: []}]")
        world.step(0, 5.0)
        world.reload("groups: [{name: b, rules: []}]", 10 * S)
        assert world.query("r", 10 * S) == {}

    def test_a_group_whose_file_was_renamed_goes_on(self) -> None:
        world = World(one_rule("{alert: A, expr: m > 1, for: 30s}"))
        world.step(0, 5.0)
        world.step(30 * S, 5.0)
        other = specs(one_rule("{alert: B, expr: m > 1}"), "b.yml")
        renamed = specs(one_rule("{alert: A, expr: m > 1, for: 30s}"), "c.yml")
        world.groups.update([*other, *renamed], world.context, GroupDefaults(30 * S), T0 + 40 * S)
        assert world.query("ALERTS", 50 * S) != {}
        world.step(60 * S, 5.0)
        (a,) = (a for a in world.groups.active_alerts() if a.labels.get("alertname") == "A")
        assert (a.state, a.fired_at) == (AlertState.FIRING, T0 + 30 * S)

    def test_counters_and_health_go_on(self) -> None:
        world = World(one_rule("{record: r, expr: m}"))
        world.step(0, 5.0)
        world.reload(one_rule("{record: r, expr: m}"), 10 * S)
        assert world.group.counters.evaluations == 1
        assert world.group.rules[0].status.health is RuleHealthState.OK


class TestHoldOnScrapeFailure:
    """`alerting.hold_on_scrape_failure`."""

    def world(self, down: set[tuple[str, str]], rule: str, minutes: int = 5) -> World:
        def target_down(labels: Labels) -> bool:
            return any(
                labels.get("job") in ("", job) and labels.get("instance") in ("", instance) for job, instance in down
            )

        return World(one_rule(rule), hold=HoldPolicy(minutes * M, target_down))

    def test_a_firing_alert_stays_while_its_target_fails_and_resolves_when_it_is_back(self) -> None:
        down: set[tuple[str, str]] = set()
        world = self.world(down, "{alert: A, expr: m > 1}")
        world.put(0, 5.0, job="j", instance="a")
        world.tick(0)
        down.add(("j", "a"))
        world.put(30 * S, None, job="j", instance="a")
        assert world.tick(30 * S) == []
        assert (world.alert.state, world.alert.held_since) == (AlertState.FIRING, T0 + 30 * S)
        assert len(world.query('ALERTS{alertstate="firing"}', 30 * S)) == 1
        down.clear()
        world.put(60 * S, 0.0, job="j", instance="a")
        (sent,) = world.tick(60 * S)
        assert sent.alert.resolved_at == T0 + 60 * S

    def test_a_pending_clock_goes_on_over_a_failed_scrape(self) -> None:
        down: set[tuple[str, str]] = {("j", "a")}
        world = self.world(down, "{alert: A, expr: m > 1, for: 1m}")
        world.put(0, 5.0, job="j", instance="a")
        world.tick(0)
        world.put(30 * S, None, job="j", instance="a")
        world.tick(30 * S)
        world.tick(60 * S)
        assert world.alert.state is AlertState.PENDING
        world.put(90 * S, 5.0, job="j", instance="a")
        (sent,) = world.tick(90 * S)
        assert (sent.alert.active_at, sent.alert.held_since) == (T0, None)

    def test_it_is_held_no_longer_than_said(self) -> None:
        world = self.world({("j", "a")}, "{alert: A, expr: m > 1}", minutes=1)
        world.put(0, 5.0, job="j", instance="a")
        world.tick(0)
        world.put(30 * S, None, job="j", instance="a")
        world.tick(30 * S)
        world.tick(60 * S)
        assert world.alert.state is AlertState.FIRING
        world.tick(90 * S)
        assert (world.alert.state, world.alert.resolved_at) == (AlertState.INACTIVE, T0 + 90 * S)

    def test_an_aggregated_alert_is_held_when_the_job_of_its_selectors_has_a_failing_target(self) -> None:
        down: set[tuple[str, str]] = {("other", "a")}
        world = self.world(down, "{alert: A, expr: 'sum(m{job=\"j\"}) > 1', labels: {job: fake}}")
        world.put(0, 5.0, job="j", instance="a")
        world.tick(0)
        down.add(("j", "a"))
        world.put(30 * S, None, job="j", instance="a")
        world.tick(30 * S)
        assert world.alert.state is AlertState.FIRING
        down.remove(("j", "a"))
        world.tick(60 * S)
        assert world.states() == [AlertState.INACTIVE]

    def test_a_target_is_looked_up_once_for_all_its_alerts(self) -> None:
        asked: list[Labels] = []

        def target_down(labels: Labels) -> bool:
            asked.append(labels)
            return True

        world = World(one_rule("{alert: A, expr: m > 1}"), hold=HoldPolicy(5 * M, target_down))
        for at, value in ((0, 5.0), (30 * S, None)):
            for i in range(10):
                world.put(at, value, job="j", instance=str(i % 2), i=str(i))
            world.tick(at)
        assert [a.state for a in world.rule.alerts] == [AlertState.FIRING] * 10
        assert len(asked) == 2

    def test_by_default_nothing_is_held(self) -> None:
        world = World(one_rule("{alert: A, expr: m > 1}"))
        world.step(0, 5.0)
        world.step(30 * S, None)
        assert world.alert.state is AlertState.INACTIVE


def test_a_failure_is_reported_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rulepush.rules")
    world = World(one_rule("{record: twice, expr: m}, {record: twice, expr: m + 1}, {alert: A, expr: m + on() m}"))
    for at in range(0, 120 * S, 30 * S):
        world.step(at, 1.0, 2.0)
    logged = [r.getMessage() for r in caplog.records]
    assert [text.partition("rule=")[2].partition(" ")[0] for text in logged] == ["twice", "A"]
    assert world.group.counters.failures == 8
    world.step(120 * S, 1.0, None)  # one series is left: m + on() m can be evaluated
    world.step(150 * S, 1.0, 2.0)
    assert len(caplog.records) == 3


def annotated(text: str) -> RuleFile:
    rule = {"alert": "A", "expr": "up == 0", "annotations": {"text": text}}
    return parse_rule_file("r.yml", json.dumps({"groups": [{"name": "g", "rules": [rule]}]}).encode())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("""{{ query "rate(x{a='b'}[10m])" }}""", 'x{a="b"} 600000'),
        ("""{{ query (printf "rate(x{a='%s',b=\\"c\\"}[10m])" $labels.a) }}""", 'x{b="c"} 600000'),
        ("""{{ with printf "x{a=%q} offset 5m" $labels.a | query }}{{ . | first | value }}{{ end }}""", "x 600000"),
        ("""{{ query (printf "x{a!~'.*%s'} > %d" $labels.a 3) }}""", "x 300000"),
        ("""{{ query (printf "x{port='%d'} / %.2f" 80 $value) }}""", "x 300000"),
    ],
)
def test_what_the_queries_of_a_template_read_is_kept(text: str, wanted: str) -> None:
    file = annotated(text)
    assert file.warnings == ()
    assert wanted in [f"{selector_text(w.matchers)} {w.lookback_ms}" for w in demanded(file.groups)]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{{ query $labels.q }}", "$labels.q"),
        ("""{{ query (printf "%s{a='b'}" $labels.name) }}""", "...{a='b'}"),
        ("""{{ query (printf "{a='%s'}" $labels.a) }}""", "{a='...'}"),
        ("""{{ query (printf "rate(x[%s])" $labels.a) }}""", "rate(x[...])"),
        ("""{{ query (printf "rate(x[%dm])" 5) }}""", "rate(x[...m])"),
        ("""{{ query (printf "x offset %ds" 5) }}""", "x offset ...s"),
        ("""{{ query (printf "x @ %d" 5) }}""", "x @ ..."),
        ("""{{ query (printf "x > %v" $value) }}""", "x > ..."),
    ],
)
def test_a_query_of_which_nobody_knows_what_it_reads_is_warned_of(text: str, named: str) -> None:
    (warning,) = annotated(text).warnings
    assert f"known only when it runs, and may not be kept: {named}; write it as a literal, or as printf" in warning
    assert [selector_text(w.matchers) for w in demanded(annotated(text).groups)] == ["up", "ALERTS"]


@pytest.mark.parametrize(("to_another_shard", "ended"), [(True, False), (False, True)])
def test_a_group_that_goes_to_another_shard_ends_no_series_and_sends_nothing(
    to_another_shard: bool, ended: bool
) -> None:
    told: list[Transition] = []
    world = World(
        "groups: [{name: g, interval: 30s, rules: [{record: r, expr: m}, {alert: A, expr: m > 1}]}]",
        context={"record": told.extend},
    )
    world.step(0, 5.0)
    told.clear()
    others = {("r.yml", "g")} if to_another_shard else set()
    world.groups.update((), world.context, GroupDefaults(), T0 + 10 * S, other_shards=others)
    assert (world.query("r", 11 * S) == {}) is ended
    assert (world.query("ALERTS", 11 * S) == {}) is ended
    assert world.tick(30 * S) == []
    reason = "other_shard" if to_another_shard else "rule_removed"
    assert [(one.rule.name, one.reason.value) for one in told] == [("r", reason), ("A", reason), ("A", reason)]
