"""One view of several evaluators: replicas are one, shards are added up, what is missing is said."""

from __future__ import annotations

from typing import Any

import pytest

from rulepush.peers.answer import PeerError, read_peer_answer
from rulepush.peers.merge import (
    Evaluator,
    MissingPeer,
    PeersView,
    merged_alerts,
    merged_groups,
    peer_warnings,
    wanted_groups,
)
from rulepush.rules.api import InvalidParameter, RulesFilter, groups_json, next_token, rules_json
from tests.rules.world import World

RULES = """
groups:
- name: one
  interval: 30s
  rules: [{record: r, expr: sum(m)}, {alert: A, expr: m > 1, for: 1m, labels: {severity: page}}]
- name: two
  interval: 30s
  rules: [{alert: B, expr: m > 5}]
"""
NOW = 1_700_000_000_000


def alert(state: str, since: str = "2026-01-01T00:00:00Z", **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": "A", **labels}, "annotations": {}, "state": state, "activeAt": since, "value": "1"}


def group(
    name: str = "g", file: str = "/etc/a.yml", *alerts: dict[str, Any], last: str = "2026-01-01T00:00:00Z"
) -> dict[str, Any]:
    rule = {"type": "alerting", "name": "A", "query": "m > 1", "labels": {}, "alerts": list(alerts), "state": "?"}
    return {"name": name, "file": file, "rules": [rule], "lastEvaluation": last}


def evaluator(name: str, shard: str, *groups: dict[str, Any]) -> Evaluator:
    return Evaluator(name, name, shard, groups)


def test_an_alert_of_two_replicas_is_there_once_with_both() -> None:
    view = [
        evaluator("a", "0/2", group("g", "/a/a.yml", alert("firing", i="0"), last="2026-01-01T00:00:30Z")),
        evaluator("b", "0/2", group("g", "/b/a.yml", alert("firing", i="0"), alert("pending", i="1"))),
    ]
    (found,) = merged_groups(view)
    assert (found["file"], found["evaluators"]) == ("/a/a.yml", ["a", "b"])
    assert [(a["labels"]["i"], a["state"], a["evaluators"]) for a in merged_alerts([found])] == [
        ("0", "firing", ["a", "b"]),
        ("1", "pending", ["b"]),
    ]
    assert found["rules"][0]["state"] == "firing"


def test_a_replica_that_has_just_started_does_not_hide_that_an_alert_fires() -> None:
    old, new = alert("firing", "2026-01-01T00:00:00Z"), alert("pending", "2026-01-01T01:00:00Z")
    for copies in ((old, new), (new, old)):
        view = [evaluator(str(i), "0/1", group("g", "a.yml", one)) for i, one in enumerate(copies)]
        (found,) = merged_alerts(merged_groups(view))
        assert (found["state"], found["activeAt"]) == ("firing", "2026-01-01T00:00:00Z")


def test_groups_of_one_name_in_files_of_one_name_stay_two() -> None:
    both = (group("g", "/etc/x/a.yml"), group("g", "/etc/y/a.yml"))
    found = merged_groups([evaluator("a", "0/1", *both), evaluator("b", "0/1", *both)])
    assert [(one["file"], one["evaluators"]) for one in found] == [
        ("/etc/x/a.yml", ["a", "b"]),
        ("/etc/y/a.yml", ["a", "b"]),
    ]


def test_another_version_of_a_group_is_shown_beside_it() -> None:
    changed = group()
    changed["rules"][0]["query"] = "m > 2"
    found = merged_groups([evaluator("a", "0/1", group()), evaluator("b", "0/1", changed)])
    assert [one["evaluators"] for one in found] == [["a"], ["b"]]
    page = wanted_groups(found, RulesFilter(group_limit=1))
    following = wanted_groups(found, RulesFilter(group_limit=1, group_next_token=page["groupNextToken"]))
    assert [one["evaluators"] for one in (*page["groups"], *following["groups"])] == [["a"], ["b"]]


@pytest.mark.parametrize(
    "wanted",
    [
        RulesFilter.of(),
        RulesFilter.of(type="alert"),
        RulesFilter.of(type="record"),
        RulesFilter.of(rule_names=["B"]),
        RulesFilter.of(rule_groups=["one"]),
        RulesFilter.of(files=["other.yml"]),
        RulesFilter.of(exclude_alerts="true"),
        RulesFilter.of(group_limit="1"),
    ],
)
def test_the_parameters_select_as_among_groups_that_are_evaluated_here(wanted: RulesFilter) -> None:
    world = World(RULES)
    world.step(0, 9.0)
    groups = world.groups.all()
    merged = wanted_groups(merged_groups([evaluator("a", "", *groups_json(groups))]), wanted)
    for one in merged["groups"]:
        del one["evaluators"]
        for found in (found for rule in one["rules"] for found in rule.get("alerts") or ()):
            del found["evaluators"]
    assert merged == rules_json(groups, wanted)


def test_pages_of_groups_follow_each_other() -> None:
    world = World(RULES)
    merged = merged_groups([evaluator("a", "", *groups_json(world.groups.all()))])
    token = wanted_groups(merged, RulesFilter(group_limit=1))["groupNextToken"]
    assert token == next_token(world.groups.all()[1])
    rest = wanted_groups(merged, RulesFilter(group_limit=1, group_next_token=token))
    assert [one["name"] for one in rest["groups"]] == ["two"]
    with pytest.raises(InvalidParameter, match="were rule groups changed"):
        wanted_groups(merged, RulesFilter(group_limit=1, group_next_token="other"))


def test_what_is_missing_is_said() -> None:
    view = PeersView(
        [evaluator("a", "0/3")],
        [
            MissingPeer("http://b", NOW, "no answer within 1s", "1/3"),
            MissingPeer("http://c", NOW, "HTTP status 500 Oops", "0/3", covered=True),
            MissingPeer("http://d", NOW, "not reached"),
        ],
    )
    assert view.missing_shards() == ["1/3", "2/3"]
    assert peer_warnings(view) == [
        "peer http://b does not answer since 2023-11-14T22:13:20Z: no answer within 1s (shard 1/3 is missing)",
        "peer http://c does not answer since 2023-11-14T22:13:20Z: HTTP status 500 Oops "
        "(shard 0/3, which another evaluator shows)",
        "peer http://d does not answer since 2023-11-14T22:13:20Z: not reached (what it evaluates is missing)",
        "no peer has shard 2/3 of the rules",
    ]


def test_a_complete_view_warns_of_nothing() -> None:
    assert peer_warnings(PeersView([evaluator("a", "0/2"), evaluator("b", "1/2"), evaluator("c", "1/2")])) == []
    assert peer_warnings(PeersView([evaluator("a", "")])) == []


@pytest.mark.parametrize("shard", ["x", "1/", "1/99999", "/", "0/-1", "1/²"])
def test_a_shard_that_is_none_is_no_shard(shard: str) -> None:
    assert PeersView([evaluator("a", shard)]).missing_shards() == []


@pytest.mark.parametrize(
    ("status", "content_type", "text", "said"),
    [
        (200, "text/html", "{}", "HTML"),
        (200, "application/json", " <!doctype html>", "HTML"),
        (200, "application/json", "{", "is no JSON"),
        (200, "application/json", "[" * 100_000, "is no JSON"),
        (200, "application/json", "[]", "none of /api/v1/rules"),
        (200, "application/json", '{"status":"error"}', "none of /api/v1/rules"),
        (200, "application/json", '{"status":"success","data":{"groups":null}}', "none of /api/v1/rules"),
        (200, "application/json", '{"status":"success","data":{"groups":[{"name":"g"}]}}', "none of /api/v1/rules"),
        (
            200,
            "application/json",
            '{"status":"success","data":{"groups":[{"name":"g","file":"f","rules":[{"name":"A","query":"","type":'
            '"alerting","alerts":[{"labels":{"a":1},"state":"firing"}]}]}]}}',
            "none of /api/v1/rules",
        ),
        (401, "text/plain", "Unauthorized", "HTTP status 401 Phrase: it wants a user and a password"),
        (404, "text/plain", "no", "HTTP status 404 Phrase"),
    ],
)
def test_an_answer_of_another_server_is_an_error(status: int, content_type: str, text: str, said: str) -> None:
    with pytest.raises(PeerError, match=said):
        read_peer_answer(status, "Phrase", content_type, text)


def test_an_answer_of_another_release_is_taken_for_what_it_says() -> None:
    text = (
        '{"status":"success","news":1,"data":{"groups":[{"name":"g","file":"f","rules":[{"name":"r","query":"m",'
        '"type":"recording","later":[]}],"x":{}}],"evaluator":{"shard":7,"instance":"i"}}}'
    )
    found = read_peer_answer(200, "OK", "application/json", text)
    assert (found.identity.instance, found.identity.shard) == ("i", "")
    (merged,) = merged_groups([evaluator("a", "", *found.groups)])
    assert (merged["x"], merged["rules"][0]["later"]) == ({}, [])
    bare = read_peer_answer(200, "OK", "application/json", '{"status":"success","data":{"groups":[]}}')
    assert bare.identity.instance == ""
