"""What the alerts page shows of the rules: order, groups, filters, clocks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rulepush.model.labels import Labels
from rulepush.rules.alert import Alert
from rulepush.rules.context import HoldPolicy
from rulepush.rules.transition import ChangeReason, RuleRef, Transition
from rulepush.site.alert_views import (
    SHOWN_OF_ALL,
    SHOWN_OF_ONE,
    SHOWN_OF_RULE,
    AlertsFilter,
    AlertSources,
    AlertsView,
    RuleAlerts,
    SilencePlace,
    alerting_rules_now,
    alerts_url,
    alerts_view,
    severity_of,
    shown_texts,
)
from rulepush.site.links import safe_link
from tests.rules.world import T0, World

MINUTE = 60_000
RULES = """
groups:
- name: g
  interval: 1m
  rules:
  - {alert: Queue, expr: queue > 5, labels: {severity: warning}, annotations: {summary: "{{ $labels.q }} is long"}}
  - {alert: Disk, expr: disk < 1, for: 30m, labels: {severity: critical}}
  - {alert: Late, expr: late > 0, labels: {severity: page}, keep_firing_for: 10m}
  - {alert: Odd, expr: odd > 0}
  - {alert: Made, expr: leveled > 0, labels: {severity: "{{ $labels.level }}"}}
  - {alert: Watchdog, expr: vector(1), labels: {severity: none}}
  - {alert: DeadMansSwitch, expr: up == 77}
  - {alert: Broken, expr: calm / on() twice, labels: {severity: critical}}
  - {alert: Calm, expr: queue > 1e9}
"""


Rows = Sequence[tuple[dict[str, str], float]]


def world(hold_ms: int = 0, **series: Rows) -> World:
    """Evaluated once, at T0, with these series."""
    made = World(RULES, hold=HoldPolicy(hold_ms, lambda _: True) if hold_ms else None)
    put(made, 0, **series)
    made.tick(0)
    return made


def put(made: World, at: int, **series: Rows) -> None:
    for name, rows in series.items():
        for labels, value in rows:
            made.put(at, value, name, **labels)


ALL = AlertsFilter()
OVER = ChangeReason.CONDITION_FALSE
NOTHING_MORE = AlertSources()


def view(made: World, at: int = 0, wanted: AlertsFilter = ALL, sources: AlertSources = NOTHING_MORE) -> AlertsView:
    return alerts_view(alerting_rules_now(made.groups.all()), wanted, sources, T0 + at)


def outline(shown: AlertsView) -> list[tuple[str, list[str]]]:
    """(severity, rules) of each section, in order."""
    return [(s.severity.value, [r.rule.name for r in s.rules]) for s in shown.sections]


def only(shown: AlertsView) -> RuleAlerts:
    ((part,),) = [s.rules for s in shown.sections]
    return part


def test_alerts_are_shown_by_severity_then_firing_then_newest() -> None:
    made = world(odd=[({}, 1)], late=[({}, 1)], queue=[({"q": "a"}, 9)])
    levels: Rows = [({"level": "warning"}, 1), ({"level": "info"}, 1)]
    put(made, MINUTE, disk=[({}, 0.5)], late=[({"i": "2"}, 1)], leveled=levels)
    made.tick(MINUTE)
    assert outline(view(made, MINUTE)) == [
        ("critical", ["Disk"]),
        ("error", ["Late"]),
        ("warning", ["Made", "Queue"]),
        ("info", ["Made"]),
        ("other", ["Odd"]),
    ]
    late = view(made, MINUTE).sections[1].rules[0]
    assert [a.since - T0 for a in late.alerts] == [MINUTE, 0]


def test_what_fires_stands_before_what_waits() -> None:
    text = """
groups:
- name: g
  rules:
  - {alert: Waits, expr: m > 0, for: 30m, labels: {severity: critical}}
  - {alert: Fires, expr: n > 0, labels: {severity: critical}}
"""
    made = World(text)
    put(made, 0, n=[({}, 1)])
    made.tick(0)
    put(made, MINUTE, m=[({}, 1)], n=[({}, 1)])
    made.tick(MINUTE)
    assert outline(view(made, MINUTE)) == [("critical", ["Fires", "Waits"])]


@pytest.mark.parametrize(
    ("label", "severity"),
    [
        ("critical", "critical"),
        ("Critical", "critical"),
        ("page", "error"),
        ("error", "error"),
        ("warning", "warning"),
        ("info", "info"),
        ("none", "other"),
        ("", "other"),
    ],
)
def test_severities_have_an_order(label: str, severity: str) -> None:
    assert severity_of(label).value == severity


def test_always_firing_rules_stand_apart_and_say_when_they_do_not_fire() -> None:
    shown = view(world())
    assert outline(shown) == []
    assert [(part.rule.name, part.firing) for part in shown.always] == [("Watchdog", 1), ("DeadMansSwitch", 0)]
    assert (shown.counts.firing, shown.counts.all) == (0, 0)


def test_a_rule_that_cannot_be_evaluated_is_not_among_the_quiet_ones() -> None:
    shown = view(world(calm=[({}, 1)], twice=[({"q": "a"}, 1), ({"q": "b"}, 1)]))
    assert [rule.name for rule in shown.failing] == ["Broken"]
    assert "many-to-many" in shown.failing[0].error
    assert "Broken" not in [rule.name for rule in shown.quiet]
    assert "Calm" in [rule.name for rule in shown.quiet]


def test_alerts_of_one_rule_are_folded_when_there_are_many_and_the_newest_shown() -> None:
    rows: Rows = [({"q": f"q{i}", "job": "shop"}, 9) for i in range(SHOWN_OF_RULE + 3)]
    part = only(view(world(queue=rows)))
    assert part.folded
    assert (part.count, len(part.alerts)) == (SHOWN_OF_RULE + 3, SHOWN_OF_RULE)
    more: Rows = [({"q": f"q{i}"}, 9) for i in range(SHOWN_OF_ONE + 5)]
    assert len(only(view(world(queue=more), wanted=AlertsFilter(alertname="Queue"))).alerts) == SHOWN_OF_ONE
    all_of_it = only(view(world(queue=rows), wanted=AlertsFilter(alertname="Queue")))
    assert len(all_of_it.alerts) == SHOWN_OF_RULE + 3
    assert not only(view(world(queue=rows[:3]))).folded


def test_of_very_many_alerts_the_most_severe_are_shown_and_the_others_counted() -> None:
    names = [f"R{i}" for i in range(20)]
    rules = ", ".join(f"{{alert: {n}, expr: m > 0, labels: {{severity: warning}}}}" for n in names)
    bad = "{alert: Bad, expr: m > 0, labels: {severity: critical}}"
    made = World(f"groups: [{{name: g, rules: [{rules}, {bad}]}}]")
    put(made, 0, m=[({"i": str(i)}, 1) for i in range(9)])
    made.tick(0)
    parts = [part for section in view(made).sections for part in section.rules]
    assert parts[0].rule.name == "Bad"
    assert len(parts[0].alerts) == 9
    assert sum(len(part.alerts) for part in parts) == SHOWN_OF_ALL
    assert {part.count for part in parts} == {9}
    assert len(parts[-1].alerts) == 0


def test_what_all_alerts_of_a_rule_share_is_said_once() -> None:
    part = only(view(world(queue=[({"q": "a", "job": "shop"}, 9), ({"q": "b", "job": "shop"}, 9)])))
    assert part.common == Labels.of(alertname="Queue", job="shop", severity="warning")
    assert [alert.own for alert in part.alerts] == [Labels.of(q="a"), Labels.of(q="b")]
    alone = only(view(world(queue=[({"q": "a"}, 9)])))
    assert len(alone.common) == 0
    assert alone.alerts[0].own == alone.alerts[0].labels


@pytest.mark.parametrize(
    ("wanted", "rules"),
    [
        (AlertsFilter(), ["Disk", "Queue", "Odd"]),
        (AlertsFilter(state="pending"), ["Disk"]),
        (AlertsFilter(state="firing"), ["Queue", "Odd"]),
        (AlertsFilter(state="held"), []),
        (AlertsFilter(severity="warning"), ["Queue"]),
        (AlertsFilter(job="shop"), ["Queue"]),
        (AlertsFilter(alertname="Disk"), ["Disk"]),
        (AlertsFilter(text="ORDERS long"), ["Queue"]),
        (AlertsFilter(text="orders short"), []),
        (AlertsFilter(text="odd"), ["Odd"]),
    ],
)
def test_filters_take_part_of_the_alerts(wanted: AlertsFilter, rules: list[str]) -> None:
    made = world(queue=[({"q": "orders", "job": "shop"}, 9)], disk=[({"job": "db"}, 0.5)], odd=[({}, 1)])
    shown = view(made, wanted=wanted)
    assert [name for _, names in outline(shown) for name in names] == rules
    assert (shown.counts.all, shown.counts.shown) == (3, len(rules))
    assert shown.jobs == ["db", "shop"], "what can be chosen does not shrink"
    assert shown.severities == ["critical", "warning"]


def test_a_link_to_all_of_a_rule_keeps_the_other_filters() -> None:
    wanted = AlertsFilter(state="firing", text="a&b")
    assert alerts_url(wanted, "Queue") == "/alerts?state=firing&alertname=Queue&q=a%26b"


def test_a_pending_alert_knows_when_it_fires() -> None:
    (alert,) = only(view(world(disk=[({}, 0.5)]), 10 * MINUTE)).alerts
    assert (alert.state, alert.fires_at, alert.resolves_at) == ("pending", T0 + 30 * MINUTE, None)


def test_a_kept_alert_knows_when_it_resolves() -> None:
    made = world(late=[({}, 1)])
    put(made, MINUTE, late=[({}, 0)])
    made.tick(MINUTE)
    (alert,) = only(view(made, MINUTE)).alerts
    assert (alert.state, alert.fires_at, alert.resolves_at) == ("firing", None, T0 + 11 * MINUTE)


def test_a_held_alert_resolves_when_the_hold_and_keep_firing_for_are_over() -> None:
    made = world(60 * MINUTE, late=[({}, 1)], disk=[({}, 0.5)])
    put(made, MINUTE, late=[({}, 0)], disk=[({}, 2)])
    made.tick(MINUTE)
    shown = view(made, MINUTE)
    ((disk,), (late,)) = [part.alerts for section in shown.sections for part in section.rules]
    assert (late.held_since, late.resolves_at) == (T0 + MINUTE, T0 + 71 * MINUTE)
    assert (disk.held_since, disk.fires_at, disk.resolves_at) == (T0 + MINUTE, None, None)
    assert shown.counts.held == 2


def test_what_is_over_is_told_for_a_while_the_newest_first() -> None:
    made = world(odd=[({"i": "1"}, 1), ({"i": "2"}, 1)], queue=[({"q": "a"}, 9)])
    put(made, MINUTE, odd=[({"i": "1"}, 0)])
    made.tick(MINUTE)
    put(made, 2 * MINUTE, odd=[({"i": "2"}, 0)], queue=[({"q": "a"}, 1)])
    made.tick(2 * MINUTE)
    shown = view(made, 2 * MINUTE)
    assert outline(shown) == []
    assert [(alert.name, alert.resolved_at - T0) for alert in shown.resolved][-1] == ("Odd", MINUTE)
    assert {alert.labels.get("q") for alert in shown.resolved} == {"a", ""}
    assert [a.name for a in view(made, 2 * MINUTE, AlertsFilter(severity="warning")).resolved] == ["Queue"]
    assert view(made, 2 * MINUTE, AlertsFilter(state="firing")).resolved == []


def test_an_alert_can_be_silenced_by_the_labels_that_an_alertmanager_knows() -> None:
    def places(alert: Alert) -> list[SilencePlace]:
        return [SilencePlace("http://am", alert.labels.with_({"site": "x"}))]

    (alert,) = only(view(world(odd=[({}, 1)]), sources=AlertSources(places))).alerts
    assert alert.silences == [SilencePlace("http://am", Labels.of(alertname="Odd", site="x"))]


def test_the_strip_is_of_the_history_and_else_of_the_alert_itself() -> None:
    made = world(disk=[({}, 0.5)])
    (alert,) = only(view(made, 3 * 60 * MINUTE)).alerts
    assert [(span.x, span.width, span.kind) for span in alert.strip.spans] == [(500, 500, "pending")]
    rule = RuleRef("r.yml", "g", "Disk")
    past = [
        Transition(T0, rule, alert.labels, "inactive", "pending", ChangeReason.CONDITION_TRUE),
        Transition(T0 - 90 * MINUTE, rule, alert.labels, "firing", "inactive", ChangeReason.CONDITION_FALSE),
    ]
    (alert,) = only(view(made, 3 * 60 * MINUTE, sources=AlertSources(changes={alert.labels: past}))).alerts
    assert [(span.x, span.width, span.kind) for span in alert.strip.spans] == [
        (0, 250, "firing"),
        (500, 500, "pending"),
    ]


def test_what_the_history_leaves_out_is_not_drawn() -> None:
    made = world(disk=[({}, 0.5)])
    (alert,) = only(view(made, 60 * MINUTE)).alerts
    past = [Transition(T0 - 10 * MINUTE, RuleRef("r.yml", "g", "Disk"), alert.labels, "firing", "inactive", OVER)]
    cut = AlertSources(changes={alert.labels: past}, since=T0 - 40 * MINUTE)
    (alert,) = only(view(made, 60 * MINUTE, sources=cut)).alerts
    assert [(span.start - T0, span.end - T0) for span in alert.strip.spans] == [(-40 * MINUTE, -10 * MINUTE)]


def test_before_the_first_evaluation_nothing_is_known() -> None:
    made = World(RULES)
    shown = view(made)
    assert (shown.unknown, shown.counts.all) == (9, 0)
    made.tick(0)
    assert view(made).unknown == 0


def test_the_title_comes_first_and_links_apart() -> None:
    texts = shown_texts(
        {
            "runbook_url": "https://wiki/x",
            "description": "long",
            "summary": "short",
            "owner": "me",
            "dashboard": "javascript:alert(1)",
            "empty": "",
        },
        safe_link,
    )
    assert (texts.title, texts.description) == ("short", "long")
    assert texts.links == [("runbook_url", "https://wiki/x")]
    assert texts.others == [("owner", "me"), ("dashboard", "javascript:alert(1)")]


def test_without_a_summary_the_description_is_the_title() -> None:
    texts = shown_texts({"description": "long"}, safe_link)
    assert (texts.title, texts.description) == ("long", "")
    assert shown_texts({}, safe_link).title == ""
