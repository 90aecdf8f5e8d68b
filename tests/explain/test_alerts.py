"""Why an alert is in its state: what comes next, and what ended it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rulepush.explain import ReasonKind, Surroundings
from rulepush.rules.context import HoldPolicy
from tests.explain.explaining import NODE_A, alert, explained, messages, of_kind
from tests.rules.world import T0, M, S, World, one_rule

GONE = Surroundings((NODE_A,))
SOURCE = {"job": "app", "instance": "a:1"}
FOR = "for: 1m, labels: {severity: page}"


def running(expr: str = "used > 5", more: str = FOR, hold: HoldPolicy | None = None) -> World:
    return World(alert(expr, more), hold=hold)


def step(made: World, at: int, value: float | None, name: str = "used", **labels: str) -> None:
    """One sample and an evaluation; None ends the series."""
    made.put(at, value, name, **{**SOURCE, **labels})
    made.tick(at)


def fired(more: str = FOR, expr: str = "used > 5") -> World:
    """Pending since T0, firing since T0 + 1m."""
    made = running(expr, more)
    for at in (0, 30 * S, 60 * S):
        step(made, at, 9.0)
    return made


def only(made: World, at: int, around: Surroundings = GONE) -> list[str]:
    (one,) = explained(made, at, around).alerts
    return messages(one.reasons)


def test_a_pending_alert_says_at_which_evaluation_it_fires() -> None:
    made = running(more="for: 70s")
    step(made, 0, 9.0)
    (one,) = explained(made, 10 * S).alerts
    # Evaluations are 30 s apart: the first one after 70 s is that of 90 s.
    assert one.fires_at == T0 + 90 * S
    assert messages(one.reasons) == [
        "in the result since 2023-11-14T22:13:20Z; fires at the evaluation of 2023-11-14T22:14:50Z (in 1m20s) if it "
        "stays so: `for` is 1m10s"
    ]


def test_a_pending_alert_that_is_under_the_threshold_again_says_so_and_not_when_it_fires() -> None:
    made = running()
    step(made, 0, 9.0)
    made.put(10 * S, 4.0, "used", **SOURCE)
    (one,) = explained(made, 11 * S).alerts
    assert one.state == "pending"
    assert messages(one.reasons) == [
        "no longer in the result",
        'used{instance="a:1", job="app"}: 4 is 1 under 5 (20.0 %)',
    ]


def test_a_firing_alert_says_since_when() -> None:
    assert only(fired(), 61 * S) == ["firing since 2023-11-14T22:14:20Z, active since 2023-11-14T22:13:20Z"]


def test_a_kept_alert_says_until_when_and_why_it_is_missing() -> None:
    made = fired(more="for: 1m, keep_firing_for: 5m")
    step(made, 90 * S, 2.0)
    assert only(made, 91 * S)[1:] == [
        "no longer in the result since 2023-11-14T22:14:50Z, kept firing until 2023-11-14T22:19:50Z: "
        "`keep_firing_for` is 5m",
        'used{instance="a:1", job="app"}: 2 is 3 under 5 (60.0 %)',
    ]


def test_a_held_alert_names_the_target_that_is_down() -> None:
    made = World(alert("used > 5", FOR), hold=HoldPolicy(10 * M, lambda _labels: True))
    for at in (0, 30 * S, 60 * S):
        step(made, at, 9.0)
    step(made, 90 * S, None)
    down = replace(NODE_A, down_since=T0 + 85 * S, error="connection refused")
    assert only(made, 91 * S, Surroundings((down,)))[1:] == [
        "held since 2023-11-14T22:14:50Z (its target cannot be scraped), until 2023-11-14T22:24:50Z at the latest",
        "target http://a:1/metrics (app) is down since 2023-11-14T22:14:45Z: connection refused",
    ]


def test_a_resolved_alert_whose_value_dropped() -> None:
    made = fired()
    step(made, 90 * S, 4.0)
    (one,) = explained(made, 91 * S, GONE).alerts
    assert (one.state, one.resolved_at) == ("inactive", T0 + 90 * S)
    assert messages(one.reasons) == [
        "resolved at 2023-11-14T22:14:50Z, fired at 2023-11-14T22:14:20Z",
        'used{instance="a:1", job="app"}: 4 is 1 under 5 (20.0 %)',
    ]


def test_a_resolved_alert_whose_series_ended() -> None:
    made = fired()
    step(made, 90 * S, None)
    assert only(made, 91 * S)[1:] == ["1 series ended at 2023-11-14T22:14:50Z: the scrapes since do not have them"]


def test_a_resolved_alert_whose_target_went_down() -> None:
    made = fired()
    step(made, 90 * S, None)
    down = replace(NODE_A, down_since=T0 + 90 * S, error="connection refused")
    assert only(made, 91 * S, Surroundings((down,)))[-1] == (
        "target http://a:1/metrics (app) is down since 2023-11-14T22:14:50Z: connection refused"
    )


def test_a_resolved_alert_whose_target_was_removed() -> None:
    made = fired()
    step(made, 90 * S, None)
    other = replace(NODE_A, labels=NODE_A.labels.with_({"instance": "other:1"}))
    assert only(made, 91 * S, Surroundings((other,)))[-1] == ('no target has {instance="a:1", job="app"} any more')


def test_a_resolved_alert_that_unless_took_away_does_not_blame_its_series() -> None:
    made = fired(expr="used > 5 unless on (instance) muted")
    made.put(80 * S, 1.0, "muted", instance="a:1")
    step(made, 90 * S, 9.0)
    (one,) = explained(made, 91 * S, GONE).alerts
    assert one.state == "inactive"
    assert messages(one.reasons)[1:] == ["`unless` removes 1 of 1: the right side has the same instance"]


def test_a_resolved_alert_whose_partner_is_gone_follows_it_to_the_other_side() -> None:
    made = running("used > 5 and on (instance) leader == 1")
    for at in (0, 30 * S, 60 * S):
        made.put(at, 1.0, "leader", **SOURCE)
        step(made, at, 9.0)
    made.put(80 * S, 0.0, "leader", **SOURCE)
    step(made, 90 * S, 9.0)
    assert only(made, 91 * S)[1:] == [
        "the right side of `and on (instance)` is empty",
        'leader{instance="a:1", job="app"}: 0 is 1 away from 1 (100 %)',
    ]


def test_a_resolved_alert_inside_an_aggregation() -> None:
    made = fired(expr="sum by (job) (used > 5)")
    step(made, 90 * S, 1.0)
    assert only(made, 91 * S)[1:] == ['used{instance="a:1", job="app"}: 1 is 4 under 5 (80.0 %)']


def test_a_resolved_absent_alert() -> None:
    made = running('absent(used{job="app"})', "for: 1m")
    for at in (0, 30 * S, 60 * S):
        made.tick(at)
    step(made, 90 * S, 1.0)
    assert only(made, 91 * S)[1:] == ["absent() gives nothing: its argument has 1 series"]


def test_a_resolved_alert_that_is_in_the_result_again() -> None:
    made = fired()
    step(made, 90 * S, 1.0)
    made.put(100 * S, 9.0, "used", **SOURCE)
    assert only(made, 101 * S)[1:] == ["in the result again: the next evaluation makes a new alert of it"]


def test_the_reason_is_that_of_the_alert_and_not_of_another_series() -> None:
    made = running(more="")
    for at, mine, other in ((0, 9.0, 1.0), (30 * S, 3.0, 4.9)):
        made.put(at, mine, "used", **SOURCE)
        made.put(at, other, "used", job="app", instance="b:1")
        made.tick(at)
    (one,) = explained(made, 31 * S, GONE).alerts
    assert messages(one.reasons)[1:] == ['used{instance="a:1", job="app"}: 3 is 2 under 5 (40.0 %)']


@dataclass(frozen=True)
class Remembered:
    """A TransitionView."""

    ts: int
    described: str


def test_what_the_history_remembers_comes_first() -> None:
    made = fired()
    step(made, 90 * S, 4.0)
    (labels,) = (a.labels for a in explained(made, 91 * S).alerts)
    history = {labels: Remembered(T0 + 90 * S, "no longer in the result")}
    found = only(made, 91 * S, Surroundings((NODE_A,), transitions=history))
    assert found[1:] == ["no longer in the result", 'used{instance="a:1", job="app"}: 4 is 1 under 5 (20.0 %)']
    earlier = {labels: Remembered(T0 + 30 * S, "something older")}
    found = only(made, 91 * S, Surroundings((NODE_A,), transitions=earlier))
    assert "something older" not in found


def test_alerts_are_bounded_counted_and_chosen_by_label() -> None:
    made = World(alert("used > 5"))
    for i in range(30):
        made.put(0, 9.0, "used", instance=f"i{i:02}")
    made.tick(0)
    found = explained(made)
    assert (found.alert_count, len(found.alerts)) == (30, 20)
    chosen = explained(made, focus={"instance": "i29"})
    assert [a.labels.get("instance") for a in chosen.alerts] == ["i29"]
    assert chosen.alert_count == 1


def test_the_state_and_the_clocks_of_the_rule() -> None:
    found = explained(fired(), 61 * S)
    assert (found.state, found.health, found.for_ms) == ("firing", "ok", 60_000)
    assert (found.last_ts, found.next_ts) == (T0 + 60 * S, T0 + 90 * S)
    assert of_kind(found.summary, ReasonKind.RESULT).message == "1 in the result"


def test_a_resolved_alert_that_alone_lost_its_partner() -> None:
    made = running("used > 5 and on (instance) leader == 1", "")
    for at, mine in ((0, 1.0), (30 * S, 0.0)):
        for instance, leads in (("a:1", mine), ("b:1", 1.0)):
            made.put(at, 9.0, "used", job="app", instance=instance)
            made.put(at, leads, "leader", job="cluster", instance=instance)
        made.put(at, 9.0, "used", job="app", instance="c:1")  # which never had one
        made.tick(at)
    gone = [a for a in explained(made, 31 * S, GONE).alerts if a.state == "inactive"]
    assert [messages(a.reasons)[1:] for a in gone] == [
        [
            "2 of 3 on the left find no partner for `and on (instance)`: "
            'instance is "a:1" on the left and "b:1" on the right',
            'leader{instance="a:1", job="cluster"}: 0 is 1 away from 1 (100 %)',
        ]
    ]


def test_only_the_series_of_the_alert_count_as_ended() -> None:
    made = running(more="")
    for at, value in ((0, 9.0), (30 * S, None)):
        for instance in ("a:1", "b:1"):
            made.put(at, value, "used", job="app", instance=instance)
        made.tick(at)
    first, second = explained(made, 31 * S).alerts
    for one in (first, second):
        assert messages(one.reasons)[1:] == [
            "1 series ended at 2023-11-14T22:13:50Z: the scrapes since do not have them"
        ]


def test_a_label_that_the_rule_sets_says_nothing_about_the_series() -> None:
    made = fired(more="labels: {job: team-x}")
    step(made, 90 * S, 4.0)
    assert only(made, 91 * S)[1:] == ['used{instance="a:1", job="app"}: 4 is 1 under 5 (20.0 %)']


def test_the_expression_is_read_as_early_as_the_rule_reads_it() -> None:
    made = World(one_rule("{alert: X, expr: used > 5}", "query_offset: 1m,"))
    for at, value in ((0, 9.0), (60 * S, 1.0)):
        made.put(at, value, "used", **SOURCE)
    assert [r.value for r in explained(made, 70 * S).tree.rows] == [9.0]


def test_a_label_that_the_expression_makes_says_nothing_about_the_target() -> None:
    made = running('label_replace(used, "instance", "$1", "instance", "(.*):.*") > 5', "")
    step(made, 0, 9.0)
    step(made, 30 * S, None)
    assert only(made, 31 * S)[1:] == ["1 series ended at 2023-11-14T22:13:50Z: the scrapes since do not have them"]


def test_a_side_of_or_that_never_had_the_series_is_no_reason() -> None:
    made = running("used > 5 or other > 5", "")
    step(made, 0, 9.0)
    step(made, 30 * S, 4.0)
    assert only(made, 31 * S)[1:] == ['used{instance="a:1", job="app"}: 4 is 1 under 5 (20.0 %)']


def test_an_alert_that_topk_left_out_gets_no_reason_rather_than_a_wrong_one() -> None:
    made = running("topk(1, used)", "")
    for at, mine in ((0, 9.0), (30 * S, 1.0)):
        made.put(at, mine, "used", **SOURCE)
        made.put(at, 5.0, "used", job="app", instance="b:1")
        made.tick(at)
    (gone,) = [a for a in explained(made, 31 * S, GONE).alerts if a.state == "inactive"]
    assert messages(gone.reasons) == ["resolved at 2023-11-14T22:13:50Z, fired at 2023-11-14T22:13:20Z"]


def test_a_rule_whose_result_cannot_be_one_says_so() -> None:
    made = running("used[5m]", "")
    step(made, 0, 9.0)
    assert messages(explained(made, 1 * S).summary) == [
        "used[5m]: rule result is not a vector or scalar but a range vector"
    ]
