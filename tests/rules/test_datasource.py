"""Rules that a datasource answers: what is asked when, and what a failure leaves as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rulepush.errors import DatasourceError, EvaluationError
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.asking import Answer, Question
from rulepush.rules.for_state import active_since
from rulepush.rules.health import RuleHealthState
from rulepush.rules.state import SCHEMA, SqliteAlertStates, StateChange
from rulepush.rules.transition import ChangeReason, Transition
from rulepush.storage.database import Database
from tests.rules import world as world_module
from tests.rules.world import T0, M, S, World, one_rule

HOLD = {"unanswered_hold_ms": 10 * M}
AWAY = DatasourceError("no answer within 30s")


@pytest.fixture(autouse=True)
def on_datasource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "drive_on_datasource", True)


def test_an_engine_that_fails_resolves_nothing_and_forgets_nothing() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, for: 1m}"), context=HOLD)
    world.step(0, 5.0)
    world.step(30 * S, 5.0)
    before = world.alert
    world.datasource.failure = AWAY
    for i in range(2, 8):
        world.tick(i * 30 * S)
    assert world.alert == before
    assert (world.rule.status.health, world.rule.status.last_error) == (RuleHealthState.ERR, str(AWAY))
    world.datasource.failure = None
    (sent,) = world.step(240 * S, 5.0)  # its `for` clock went on
    assert (sent.alert.state, sent.alert.active_at) == (AlertState.FIRING, T0)
    assert world.rule.status.health is RuleHealthState.OK


def test_a_firing_alert_is_sent_on_while_the_engine_is_away_and_no_longer_than_the_hold() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"), context=HOLD)
    world.step(0, 5.0)
    world.datasource.failure = AWAY
    sent = [s for i in range(1, 40) for s in world.tick(i * 30 * S)]
    assert {s.alert.state for s in sent} == {AlertState.FIRING}
    assert [s.ts for s in sent] == [i * 90 * S for i in range(1, 7)]  # the first failure was at 30 s: until 10m30s
    ends = [s.alert.valid_until for s in sent]
    assert ends == [T0 + s.ts + 6 * M for s in sent]


def test_the_hold_begins_anew_after_an_answer() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"), context=HOLD)
    for start in (0, 9 * M, 18 * M):
        world.datasource.failure = None
        world.step(start, 5.0)
        world.datasource.failure = AWAY
        assert any(world.tick(start + i * 30 * S) for i in range(14, 18))


def test_the_end_of_a_hold_is_told_once_and_again_after_the_next_outage() -> None:
    told: list[Transition] = []
    world = World(one_rule("{alert: A, expr: m > 1}"), context={**HOLD, "record": told.extend})
    for start in (0, 30 * M):
        told.clear()
        world.datasource.failure = None
        world.step(start, 5.0)
        world.datasource.failure = AWAY
        for i in range(1, 40):
            world.tick(start + i * 30 * S)
            if i in (10, 30):
                world.reload(one_rule("{alert: A, expr: m > 1}"), start + i * 30 * S)
        rows = [(one.ts - T0 - start, one.reason, one.detail) for one in told if not len(one.labels)]
        assert rows[-2:] == [
            (30 * S, ChangeReason.EVALUATION_FAILED, "no answer within 30s"),
            (10 * M + 30 * S, ChangeReason.HOLD_ENDED, "after 10m"),
        ]


def test_without_an_alert_there_is_no_hold_that_ends() -> None:
    told: list[Transition] = []
    world = World(one_rule("{alert: A, expr: m > 1}"), context={**HOLD, "record": told.extend})
    world.step(0, 0.0)
    world.datasource.failure = AWAY
    for i in range(1, 40):
        world.tick(i * 30 * S)
    assert [one.reason for one in told] == [ChangeReason.EVALUATION_FAILED]


def test_an_error_of_the_rule_itself_is_not_held() -> None:
    world = World(one_rule("{alert: A, expr: m > 1, labels: {i: same}}"), context=HOLD)
    world.step(0, 5.0)
    world.put(30 * S, 5.0, i="1")
    assert world.tick(2 * M) == []  # two elements with the labels of one alert
    assert world.rule.status.health is RuleHealthState.ERR


def test_the_queries_of_all_templates_are_asked_side_by_side() -> None:
    rounds: list[list[str]] = []

    class Rounds(world_module.HeadDatasource):
        async def ask(self, question: Question, within_s: float) -> Answer:
            if not self.asked:
                rounds.append([])
                asyncio.get_running_loop().call_soon(self.asked.clear)
            rounds[-1].append(question.expr)
            return await super().ask(question, within_s)

    text = """
        groups:
        - name: g
          rules:
          - alert: A
            expr: m > 1
            labels: {n: '{{ with query "count(m)" }}{{ . | first | value }}{{ end }}'}
            annotations:
              v: '{{ with printf "m{i=\\"%s\\"} * 2" $labels.i | query }}{{ . | first | value }}{{ end }}'
        """
    world = World(text)
    world.datasource = Rounds(world.engine, world.head)
    world.context = replace(world.context, datasource=world.datasource)
    world.reload(text, 0)
    sent = world.step(0, 5.0, 6.0, 7.0)
    assert rounds == [["m > 1"], ["count(m)", 'm{i="0"} * 2', 'm{i="1"} * 2', 'm{i="2"} * 2']]
    assert [(s.alert.labels.get("n"), dict(s.alert.annotations)["v"]) for s in sent] == [
        ("3", "10"),
        ("3", "12"),
        ("3", "14"),
    ]


def test_why_an_alert_ended_is_asked_before_it_ends() -> None:
    moved: list[Transition] = []
    world = World(one_rule("{alert: A, expr: m > 1}"), context={"record": moved.extend})
    world.step(0, 5.0)
    world.step(30 * S, 0.5)
    (end,) = [t for t in moved if t.reason is ChangeReason.CONDITION_FALSE]
    assert (end.value, end.detail) == (0.5, "0.5 > 1 is not true")


def test_the_end_is_told_although_why_cannot_be_asked() -> None:
    class Half(world_module.HeadDatasource):
        async def ask(self, question: Question, within_s: float) -> Answer:
            return AWAY if question.expr == "m" else await super().ask(question, within_s)

    world = World(one_rule("{alert: A, expr: m > 1}"))
    world.context = replace(world.context, datasource=Half(world.engine, world.head))
    world.reload(one_rule("{alert: A, expr: m > 1}"), 0)
    world.step(0, 5.0)
    (sent,) = world.step(30 * S, 0.5)
    assert sent.alert.state is AlertState.INACTIVE


def test_a_reload_while_the_engine_is_asked_leaves_the_rest_to_the_new_group() -> None:
    text = "groups: [{name: g, rules: [{alert: A, expr: m > 1}, {alert: B, expr: m > 2}]}]"
    world = World(text)

    class Reloading(world_module.HeadDatasource):
        async def ask(self, question: Question, within_s: float) -> Answer:
            if question.expr == "m > 2" and len(self.asked) == 1:
                world.reload(text, 0)
            return await super().ask(question, within_s)

    world.context = replace(world.context, datasource=Reloading(world.engine, world.head))
    world.reload(text, 0)
    sent = world.step(0, 5.0)
    assert [s.alert.labels.get("alertname") for s in sent] == ["A"]
    assert [s.alert.labels.get("alertname") for s in world.step(30 * S, 5.0)] == ["B"]
    assert world.rule.alert_of(Labels.of(alertname="A", i="0")) is not None


def test_a_group_whose_engine_hangs_takes_two_intervals_at_most() -> None:
    """Later, the alerts that are sent on would end at Alertmanager in between."""
    seconds = 0.0
    allowed: list[float] = []

    class Hanging(world_module.HeadDatasource):
        async def ask(self, question: Question, within_s: float) -> Answer:
            nonlocal seconds
            allowed.append(within_s)
            seconds += within_s
            return AWAY

    rules = ", ".join(f"{{alert: A{i}, expr: m > {i}}}" for i in range(10))
    world = World(f"groups: [{{name: g, interval: 30s, rules: [{rules}]}}]")
    datasource = Hanging(world.engine, world.head)
    world.context = replace(world.context, datasource=datasource, stopwatch=lambda: seconds)
    world.reload(f"groups: [{{name: g, interval: 30s, rules: [{rules}]}}]", 0)
    world.tick(0)
    assert allowed == [30.0] + [3.0] * 9


CHAIN = """
    groups:
    - name: g
      interval: 30s
      rules:
      - {record: "job:m:sum", expr: sum by (job) (m)}
      - {alert: High, expr: "job:m:sum > on (job) limit"}
      - {alert: Rising, expr: "increase(job:m:sum[2m]) > 5"}
"""


class LaggingEngine(world_module.HeadDatasource):
    """Has nothing of what rules record."""

    async def ask(self, question: Question, within_s: float) -> Answer:
        answer = await super().ask(question, within_s)
        return answer if isinstance(answer, EvaluationError) else [s for s in answer if s.labels.name != "job:m:sum"]


def chain() -> World:
    world = World(CHAIN)
    datasource = LaggingEngine(world.engine, world.head)
    world.datasource = datasource
    world.context = replace(world.context, datasource=datasource)
    world.reload(CHAIN, 0)
    return world


def active(world: World) -> set[str]:
    return {rule.spec.name for rule in world.groups.alerting_rules() if rule.alerts}


def test_a_rule_sees_what_a_rule_before_it_has_recorded_at_once() -> None:
    world = chain()
    world.put(0, 3.0, name="limit", job="a")
    world.put(0, 5.0, job="a")
    world.tick(0)
    assert active(world) == {"High"}
    world.put(30 * S, 2.0, job="a")
    world.tick(30 * S)
    assert active(world) == set()
    assert {q.expr for q in world.datasource.asked} >= {"sum by (job) (m)", "limit", "job:m:sum", "job:m:sum[120000ms]"}


def test_a_recorded_series_that_ended_is_gone_at_once() -> None:
    world = chain()
    world.put(0, 3.0, name="limit", job="a")
    world.put(0, 5.0, job="a")
    world.tick(0)
    world.put(30 * S, None, job="a")
    world.tick(30 * S)
    assert active(world) == set()


def test_ranges_join_what_the_engine_has_and_what_was_recorded_lately() -> None:
    """As after a restart: what was recorded before it is on the engine alone."""
    world = World(CHAIN)
    for i in range(3):
        world.put(i * 30 * S, i * 10.0, name="job:m:sum", job="a")
    world.put(90 * S, 30.0, job="a")
    world.tick(90 * S)
    assert "Rising" in active(world)
    alone = chain()
    alone.put(90 * S, 30.0, job="a")
    alone.tick(90 * S)
    assert active(alone) == set()


def test_what_was_recorded_is_kept_over_a_reload() -> None:
    world = chain()
    world.put(0, 3.0, name="limit", job="a")
    for at, value in ((0, 1.0), (30 * S, 20.0)):
        world.put(at, value, job="a")
        world.tick(at)
        world.reload(CHAIN, at)
    world.put(60 * S, 40.0, job="a")
    world.tick(60 * S)
    assert active(world) == {"High", "Rising"}


def test_the_time_of_an_evaluation_is_saved_once_a_group() -> None:
    """Pending alerts need it after a restart: of a group of many rules, each of which is saved, once is enough."""

    class Counted(SqliteAlertStates):
        def __init__(self) -> None:
            super().__init__(Database(None, SCHEMA))
            self.saves: list[tuple[int, int]] = []

        def save(self, changes: Sequence[StateChange], file: str, group: str, ts: int) -> None:
            self.saves.append((len(changes), ts - T0))
            super().save(changes, file, group, ts)

    states = Counted()
    rules = ", ".join(f"{{alert: A{i}, expr: m > {i}, for: 5m}}" for i in range(4))
    world = World(one_rule(rules), store=states)
    world.step(0, 5.0)
    states.saves.clear()
    world.step(30 * S, 5.0)
    assert states.saves == [(0, 30 * S)]
    assert {(s.alert.state, s.seen_at) for s in states.load()} == {(AlertState.PENDING, T0 + 30 * S)}
    states.saves.clear()
    world.step(60 * S, 0.0)
    assert states.saves == [(1, 60 * S)] * 4, "what a rule changes is saved before the next one asks"
    world.step(90 * S, 0.0)
    assert len(states.saves) == 4, "nothing pending, nothing changed"


def test_a_label_whose_query_is_not_answered_does_not_become_another_alert() -> None:
    class Half(world_module.HeadDatasource):
        answers = True

        async def ask(self, question: Question, within_s: float) -> Answer:
            if question.expr == "count(m)" and not self.answers:
                return AWAY
            return await super().ask(question, within_s)

    labels = """labels: {n: '{{ with query "count(m)" }}{{ . | first | value }}{{ end }}'}"""
    rule = one_rule(f"{{alert: A, expr: m > 1, {labels}}}")
    world = World(rule)
    datasource = Half(world.engine, world.head)
    world.context = replace(world.context, datasource=datasource)
    world.reload(rule, 0)
    world.step(0, 5.0)
    before = world.alert
    datasource.answers = False
    world.step(30 * S, 6.0)
    assert world.alert == before
    assert world.rule.status.last_error == str(AWAY)


def test_an_annotation_whose_query_is_not_answered_keeps_no_alert_from_firing() -> None:
    class Half(world_module.HeadDatasource):
        async def ask(self, question: Question, within_s: float) -> Answer:
            return AWAY if question.expr == "count(m)" else await super().ask(question, within_s)

    rule = one_rule("""{alert: A, expr: m > 1, annotations: {n: '{{ query "count(m)" | len }}'}}""")
    world = World(rule)
    world.context = replace(world.context, datasource=Half(world.engine, world.head))
    world.reload(rule, 0)
    (sent,) = world.step(0, 5.0)
    assert sent.alert.state is AlertState.FIRING
    assert str(AWAY) in dict(sent.alert.annotations)["n"]


def test_what_an_engine_lacks_after_an_outage_resolves_nothing_before_it_could_catch_up() -> None:
    """What is measured during the outage arrives after it: a range over the last minute finds nothing at first."""
    world = World(one_rule("{alert: A, expr: 'count_over_time(m[1m]) > 0'}"), context=HOLD)
    world.step(0, 5.0)
    world.datasource.failure = AWAY
    for i in range(1, 5):
        world.tick(i * 30 * S)
    world.datasource.failure = None
    for at in (150 * S, 180 * S, 240 * S):  # away from 30 s to 150 s: nothing missing counts before 270 s
        world.tick(at)
        assert world.alert.state is AlertState.FIRING
    (sent,) = [s for s in world.tick(270 * S) if s.alert.state is AlertState.INACTIVE]
    assert sent.alert.resolved_at == T0 + 270 * S


def test_an_alert_that_is_over_ends_also_on_an_engine_that_fails_again_and_again() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"), context=HOLD)
    world.step(0, 5.0)
    world.put(5 * S, 0.5, i="0")
    ended = []
    for i in range(1, 13):  # two failures, an answer, two failures, ...
        world.datasource.failure = None if i % 3 == 0 else AWAY
        ended += [s.ts for s in world.tick(i * 30 * S) if s.alert.state is AlertState.INACTIVE]
    assert ended[0] == 180 * S  # at 90 s it may be late, until 150 s; the next answer counts


def test_an_alert_that_was_there_after_an_outage_is_doubted_anew_after_the_next() -> None:
    world = World(one_rule("{alert: A, expr: 'count_over_time(m[20s]) > 0'}"), context=HOLD)
    world.step(0, 5.0)
    for i in range(1, 7):
        world.datasource.failure = None if i % 3 == 0 else AWAY
        if i == 3:
            world.put(90 * S, 5.0, i="0")
        assert not [s for s in world.tick(i * 30 * S) if s.alert.state is AlertState.INACTIVE]


def test_a_single_evaluation_without_answer_delays_no_end() -> None:
    world = World(one_rule("{alert: A, expr: m > 1}"), context=HOLD)
    world.step(0, 5.0)
    world.datasource.failure = AWAY
    world.tick(30 * S)
    world.datasource.failure = None
    (sent,) = world.step(60 * S, 0.5)
    assert sent.alert.state is AlertState.INACTIVE


@pytest.mark.parametrize("good_ticks", [4, 5])  # with one of them the alerts were sent right before
@pytest.mark.parametrize("interval_s", [15, 60, 120])
def test_while_an_engine_hangs_no_alert_ends_at_alertmanager_by_itself(interval_s: int, good_ticks: int) -> None:
    seconds = 0.0
    hangs = False

    class Hanging(world_module.HeadDatasource):
        async def ask(self, question: Question, within_s: float) -> Answer:
            nonlocal seconds
            if not hangs:
                return await super().ask(question, within_s)
            seconds += within_s
            return AWAY

    rules = ", ".join(f"{{alert: A{i}, expr: m > {i}}}" for i in range(10))
    text = f"groups: [{{name: g, interval: {interval_s}s, rules: [{rules}]}}]"
    world = World(text, context={"unanswered_hold_ms": 600 * M, "stopwatch": lambda: seconds})
    world.context = replace(world.context, datasource=Hanging(world.engine, world.head))
    ends: dict[str, int] = {}
    at = began = 0

    def notify(alerts: Sequence[Alert], _expr: str, _ts: int) -> None:
        now = T0 + began + round(seconds * S)
        for alert in alerts:
            name = alert.labels.get("alertname")
            assert now < ends.get(name, now + 1), f"{name} had ended"
            assert alert.valid_until is not None
            ends[name] = alert.valid_until

    world.context = replace(world.context, notify=notify)
    world.reload(text, 0)
    interval = interval_s * S
    for turn in range(40):
        hangs = turn >= good_ticks
        began, seconds = max(at, began + round(seconds * S)), 0.0
        if hangs:
            world.tick(at)
        else:
            world.step(at, 99.0)
        late = began + round(seconds * S) - (at + interval)  # as RuleLoops: what has passed is skipped, but the last
        at += interval + max(0, late // interval) * interval
    assert len(ends) == 10
    assert min(ends.values()) > T0 + began


def test_what_was_recorded_is_one_series_with_what_the_engine_has_of_it() -> None:
    """The remote write adds the external labels."""

    def as_written(labels: Labels) -> Labels:
        return labels.with_({"site": "hz1"})

    text = "groups: [{name: g, rules: [{record: 'r:m', expr: m}, {alert: A, expr: 'r:m > 1'}]}]"

    class Written(world_module.HeadDatasource):
        async def ask(self, question: Question, within_s: float) -> Answer:
            answer = await super().ask(question, within_s)
            assert not isinstance(answer, EvaluationError)
            return [s for s in answer if s.labels.name == "m" or s.labels.get("site")]

    world = World(text)
    world.context = replace(world.context, as_written=as_written, datasource=Written(world.engine, world.head))
    world.reload(text, 0)
    world.put(0, 5.0, name="r:m", site="hz1")
    world.put(30 * S, 6.0)
    world.tick(30 * S)
    assert [a.labels for a in world.rule.alerts] == [Labels.of(alertname="A", site="hz1")]
    assert world.rule.alerts[0].value == 6.0


FOR_5M = one_rule("{alert: A, expr: m > 1, for: 5m}")
SHARES = {"shares_for_state": True, "external_labels": Labels.of(replica="b")}


def moved(world: World, text: str = FOR_5M, **context: object) -> World:
    """Another process with the same rules on the same engine, without saved states."""
    return World(text, head=world.head, context=SHARES | context)


def test_a_group_from_another_shard_goes_on_with_its_for_clocks() -> None:
    before = World(FOR_5M)
    for i in range(4):
        before.step(i * M, 5.0, 6.0)
    after = moved(before)
    after.put(4 * M, 5.0, i="0")
    after.put(4 * M, 6.0, i="1")
    after.put(4 * M, 7.0, i="2")
    after.tick(4 * M)
    assert [a.active_at - T0 for a in after.rule.alerts] == [0, 0, 4 * M]
    assert {a.state for a in after.rule.alerts} == {AlertState.PENDING}
    sent = after.step(5 * M, 5.0, 6.0, 7.0)
    assert [s.alert.labels.get("i") for s in sent] == ["0", "1"]


def test_an_alert_that_fired_on_another_shard_fires_at_the_first_evaluation() -> None:
    before = World(FOR_5M)
    for i in range(8):
        before.step(i * M, 5.0)
    told: list[Transition] = []
    (sent,) = moved(before, record=told.extend).step(8 * M, 5.0)
    assert (sent.alert.state, sent.alert.active_at) == (AlertState.FIRING, T0)
    assert [(one.reason, one.detail) for one in told] == [(ChangeReason.CONDITION_TRUE, "true for 8m")]


def test_a_clock_that_has_ended_does_not_go_on() -> None:
    before = World(FOR_5M)
    for i in range(3):
        before.step(i * M, 5.0)
    before.step(3 * M, 0.0)  # over: its series is marked stale
    after = moved(before)
    after.step(4 * M, 5.0)
    assert after.alert.active_at == T0 + 4 * M


@pytest.mark.parametrize("shared", [True, False])
def test_only_the_first_evaluation_asks_for_the_clocks_of_others(shared: bool) -> None:
    before = World(FOR_5M)
    before.step(0, 5.0)
    after = moved(before, shares_for_state=shared)
    after.step(30 * S, 5.0)
    after.put(M, 5.0, i="1")
    after.tick(M)
    asked = [q for q in after.datasource.asked if "ALERTS_FOR_STATE" in q.expr]
    assert [(q.expr, q.ts) for q in asked] == ([('ALERTS_FOR_STATE{alertname="A"}', T0 + 30 * S)] if shared else [])


def test_without_for_there_is_no_clock_to_ask_for() -> None:
    world = moved(World(FOR_5M), one_rule("{alert: A, expr: m > 1}"))
    world.step(0, 5.0)
    assert [q.expr for q in world.datasource.asked] == ["m > 1"]


def test_an_engine_that_fails_meanwhile_does_not_start_the_clocks_anew() -> None:
    before = World(FOR_5M)
    before.step(0, 5.0)
    after = moved(before)
    after.datasource.failure = AWAY
    after.tick(30 * S)
    after.datasource.failure = None
    after.step(M, 5.0)
    assert after.alert.active_at == T0


def test_of_the_clocks_of_two_replicas_the_later_one_counts_and_their_labels_do_not() -> None:
    alert = Labels.of(alertname="A", i="0")
    series = [alert.with_({"__name__": "ALERTS_FOR_STATE", "replica": r}) for r in "xyz"]
    values = (100.0, 200.0, 1e12)  # the last one is in the future
    answer = [Sample(labels, T0, value) for labels, value in zip(series, values, strict=True)]
    external = Labels.of(replica="b")
    other = Labels.of(alertname="A", i="1")
    assert active_since([alert, other], answer, external, T0) == {alert: 200_000}
