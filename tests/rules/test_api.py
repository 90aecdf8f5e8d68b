"""The JSON of the rules and alerts APIs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rulepush.model.matcher import Matcher, MatchOp
from rulepush.rules.api import InvalidParameter, RulesFilter, alerts_json, format_value, rules_json
from tests.rules.world import S, World

pytestmark = pytest.mark.usefixtures("both_drivers")

TEXT = """
groups:
- name: b
  interval: 1m
  limit: 10
  labels: {team: x}
  rules:
  - alert: A
    expr: m>1
    for: 90s
    keep_firing_for: 1500ms
    labels: {sev: page}
    annotations: {t: "{{ $value }}"}
  - {record: r, expr: sum(m), labels: {k: v}}
- name: a
  rules:
  - {record: q, expr: 'm[5m]' }
  - {record: p, expr: 1 }
"""


def world() -> World:
    made = World(TEXT.replace("'m[5m]'", "sum(m) by (i)"))
    made.put(0, 5.0, i="0")
    made.evaluate(made.groups.all()[1], made_at(0), made_at(123))
    return made


def made_at(ms: int) -> int:
    return 1_700_000_000_000 + ms


def test_the_shape_of_rules() -> None:
    answer = rules_json(world().groups.all())
    assert [g["name"] for g in answer["groups"]] == ["a", "b"]  # sorted
    group = answer["groups"][1]
    alerting, recording = group.pop("rules")
    assert group == {
        "name": "b",
        "file": "r.yml",
        "interval": 60,
        "limit": 10,
        "evaluationTime": 0.0,
        "lastEvaluation": "2023-11-14T22:13:20.123Z",
    }
    assert alerting == {
        "state": "pending",
        "name": "A",
        "query": "m > 1",
        "duration": 90,
        "keepFiringFor": 1.5,
        "labels": {"sev": "page", "team": "x"},
        "annotations": {"t": "{{ $value }}"},
        "alerts": [
            {
                "labels": {"alertname": "A", "i": "0", "sev": "page", "team": "x"},
                "annotations": {"t": "5"},
                "state": "pending",
                "activeAt": "2023-11-14T22:13:20Z",
                "value": "5e+00",
            }
        ],
        "health": "ok",
        "evaluationTime": 0.0,
        "lastEvaluation": "2023-11-14T22:13:20.123Z",
        "type": "alerting",
    }
    assert recording == {
        "name": "r",
        "query": "sum(m)",
        "labels": {"k": "v", "team": "x"},
        "health": "ok",
        "evaluationTime": 0.0,
        "lastEvaluation": "2023-11-14T22:13:20.123Z",
        "type": "recording",
    }
    json.dumps(answer, allow_nan=False)


def test_a_group_that_was_never_evaluated() -> None:
    group = rules_json(world().groups.all())["groups"][0]
    assert group["lastEvaluation"] == "0001-01-01T00:00:00Z"
    assert {rule["health"] for rule in group["rules"]} == {"unknown"}


def test_an_error_is_shown_and_only_then() -> None:
    made = World("groups: [{name: g, rules: [{alert: A, expr: m, labels: {i: x}}]}]")
    made.step(0, 1.0, 2.0)
    (rule,) = rules_json(made.groups.all())["groups"][0]["rules"]
    assert (rule["health"], rule["state"]) == ("err", "inactive")
    assert rule["lastError"].startswith("vector contains metrics")


def test_alerts_shows_pending_and_firing_ones_only() -> None:
    made = World("groups: [{name: g, rules: [{alert: A, expr: m > 1, keep_firing_for: 1m}]}]")
    made.step(0, 5.0, 5.0)
    made.step(30 * S, 5.0, 0.0)
    alerts = alerts_json(made.groups.active_alerts())["alerts"]
    assert [a["state"] for a in alerts] == ["firing", "firing"]
    assert alerts[1]["keepFiringSince"] == "2023-11-14T22:13:50Z"
    made.step(120 * S, 5.0, 0.0)
    assert len(alerts_json(made.groups.active_alerts())["alerts"]) == 1


def names(**parameters: Any) -> list[str]:
    answer = rules_json(world().groups.all(), RulesFilter.of(**parameters))
    return [rule["name"] for group in answer["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["q", "p", "A", "r"]),
        ({"type": "alert"}, ["A"]),
        ({"type": "RECORD"}, ["q", "p", "r"]),
        ({"rule_names": ["p", "A"]}, ["p", "A"]),
        ({"rule_groups": ["a"]}, ["q", "p"]),
        ({"files": ["other.yml"]}, []),
        ({"files": ["r.yml"], "rule_groups": ["b"], "type": "record"}, ["r"]),
        ({"matchers": [[Matcher("team", MatchOp.EQUAL, "x"), Matcher("k", MatchOp.EQUAL, "v")]]}, ["r"]),
        (
            {"matchers": [[Matcher("sev", MatchOp.EQUAL, "page")], [Matcher("k", MatchOp.REGEX, "v|w")]]},
            ["A", "r"],
        ),
    ],
)
def test_filters(parameters: dict[str, Any], expected: list[str]) -> None:
    assert names(**parameters) == expected


def test_excluded_alerts_are_null() -> None:
    answer = rules_json(world().groups.all(), RulesFilter.of(exclude_alerts="true", type="alert"))
    assert answer["groups"][0]["rules"][0]["alerts"] is None


def test_pages() -> None:
    groups = world().groups.all()
    first = rules_json(groups, RulesFilter.of(group_limit="1"))
    assert [g["name"] for g in first["groups"]] == ["a"]
    token = first["groupNextToken"]
    second = rules_json(groups, RulesFilter.of(group_limit="1", group_next_token=token))
    assert [g["name"] for g in second["groups"]] == ["b"]
    assert "groupNextToken" not in second
    assert "groupNextToken" not in rules_json(groups, RulesFilter.of(group_limit="2"))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"type": "x"}, 'invalid parameter "type": not supported value "x"'),
        (
            {"exclude_alerts": "maybe"},
            'invalid parameter "exclude_alerts": error converting exclude_alerts: strconv.ParseBool: '
            'parsing "maybe": invalid syntax',
        ),
        ({"group_limit": "0"}, 'invalid parameter "group_limit": group_limit needs to be greater than 0'),
        (
            {"group_limit": "x"},
            'invalid parameter "group_limit": group_limit needs to be a valid number: strconv.ParseInt: '
            'parsing "x": invalid syntax',
        ),
        (
            {"group_next_token": "t"},
            'invalid parameter "group_next_token": '
            "group_limit needs to be present in order to paginate over the groups",
        ),
        (
            {"group_next_token": "t", "group_limit": "1"},
            "invalid parameter \"group_next_token\": invalid group_next_token 't'. were rule groups changed?",
        ),
    ],
)
def test_wrong_parameters_are_refused_as_prometheus_does(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        names(**parameters)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1e+00"),
        (0.0, "0e+00"),
        (-0.0, "-0e+00"),
        (1.5e-7, "1.5e-07"),
        (123456.789, "1.23456789e+05"),
        (-1e100, "-1e+100"),
        (0.1, "1e-01"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (5e-324, "5e-324"),
    ],
)
def test_values_are_written_as_go_does(value: float, text: str) -> None:
    assert format_value(value) == text
