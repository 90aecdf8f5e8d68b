"""`/api/v1/rules/explain` over a scraped and evaluated world."""

from __future__ import annotations

from typing import Any

import httpx

from rulepush.explain.wire import explanation_json, explanation_of
from rulepush.relabel.relabel import Action, RelabelConfig
from tests.web.app_parts import Parts, job
from tests.web.asking import ask_app

MISSING = """
groups:
- name: first
  rules:
  - {alert: Typo, expr: queue_sise > 5}
  - {alert: Dropped, expr: other_total > 100}
  - {alert: Value, expr: 'queue_size{q="z"} > 1'}
  - {alert: Dead, expr: 'queue_size{job="dead"} > 1'}
  - {record: "job:queue", expr: 'sum by (job) (queue_sise)'}
  - {alert: Recorded, expr: 'job:queue > 1'}
- name: second
  rules:
  - {alert: Typo, expr: queue_size > 500}
"""
NO_OTHER = RelabelConfig(action=Action.DROP, source_labels=("__name__",), regex="other_total")


def ask(query: str, parts: Parts | None = None) -> httpx.Response:
    return ask_app((parts or Parts()).routes(), "GET", f"/api/v1/rules/explain?{query}")


def rules(query: str, parts: Parts | None = None) -> list[dict[str, Any]]:
    answer = ask(query, parts)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["rules"]
    return found


def summary(query: str, parts: Parts) -> list[str]:
    (rule,) = rules(query, parts)
    return [reason["message"] for reason in rule["summary"]]


def missing() -> Parts:
    jobs = (job("app", "app:1", metric_relabel_configs=(NO_OTHER,)), job("dead", "down:1"))
    return Parts(rules=MISSING, jobs_wanted=jobs)


def test_a_rule_with_its_tree_and_its_alerts() -> None:
    (rule,) = rules("name=QueueLong")
    assert (rule["name"], rule["group"], rule["type"], rule["state"]) == ("QueueLong", "queues", "alerting", "pending")
    assert rule["duration"] == 1800
    assert rule["summary"] == [{"kind": "result", "message": "1 in the result", "values": {"count": "1"}}]
    tree = rule["tree"]
    assert (tree["expr"], tree["head"], tree["kind"], tree["series"]) == ("queue_size > 5", "> 5", "comparison", 1)
    labels = {"__name__": "queue_size", "instance": "app:1", "job": "app", "q": "a<b>"}
    assert tree["parts"][0]["rows"] == [{"labels": labels, "value": "7"}]
    (alert,) = rule["alerts"]
    assert (alert["state"], alert["activeAt"], alert["firesAt"]) == (
        "pending",
        "2023-11-14T22:13:35Z",
        "2023-11-14T22:43:35Z",
    )


def test_a_miss_has_its_numbers() -> None:
    (rule,) = rules("name=Never")
    (missed,) = rule["tree"]["missed"]
    assert (missed["value"], missed["threshold"], missed["op"], missed["difference"]) == (
        "7",
        "1000000000",
        ">",
        "999999993",
    )
    assert missed["message"] == "7 is 999999993 under 1000000000 (100.0 %)"


def test_a_failing_rule_shows_its_error_where_it_is() -> None:
    (rule,) = rules("name=Broken")
    assert rule["health"] == "err"
    assert rule["tree"]["error"].startswith("found duplicate series for the match group {}")
    assert rule["tree"]["series"] is None
    assert [part["series"] for part in rule["tree"]["parts"]] == [1, 2]


def test_what_no_target_exposes_is_told_with_what_is_near() -> None:
    (typo, other) = rules("name=Typo", missing())
    assert [r["kind"] for r in typo["summary"]] == ["not-seen", "found", "target-down"]
    assert typo["summary"][1]["message"] == "no target exposes queue_sise"
    assert (typo["group"], other["group"]) == ("first", "second")
    assert other["summary"][0]["message"] == "> 500 drops 1 of 1"


def test_the_values_that_a_label_has_come_from_the_body() -> None:
    assert summary("name=Value", missing())[0] == 'queue_size has no q="z"; q is one of "a<b>"'


def test_what_metric_relabelling_drops_is_told() -> None:
    assert summary("name=Dropped", missing())[0] == (
        "target http://app:1/metrics (app) exposes other_total, and metric_relabel_configs drops it"
    )


def test_a_target_that_is_down_is_the_reason_for_its_series() -> None:
    found = summary("name=Dead", missing())
    assert found[0].startswith("target http://down:1/metrics (dead) is down since 2023-11-14T22:13:")
    assert found[0].endswith("connection refused")


def test_a_recorded_metric_names_its_rule() -> None:
    assert summary("name=Recorded", missing())[0] == (
        "the recording rule job:queue (group first) writes it, and has no result: explain job:queue"
    )
    (rule,) = rules("name=job:queue", missing())
    assert (rule["type"], rule["state"], rule["alerts"]) == ("recording", "", [])


def test_group_and_file_choose_among_rules_of_one_name() -> None:
    assert [r["group"] for r in rules("name=Typo&group=second", missing())] == ["second"]
    assert len(rules("name=Typo&file=r.yml", missing())) == 2
    answer = ask("name=Typo&group=third", missing())
    assert answer.status_code == 404
    assert answer.json()["error"] == (
        "no rule 'Typo' in group 'third': it is in group first of r.yml, group second of r.yml"
    )
    assert ask("name=Typo&file=other.yml", missing()).status_code == 404


def test_an_unknown_name_is_not_found_and_gets_near_ones() -> None:
    answer = ask("name=queuelong")
    assert answer.status_code == 404
    assert answer.json() == {
        "status": "error",
        "errorType": "not_found",
        "error": "no rule is called 'queuelong': did you mean QueueLong or queues?",
    }
    assert ask("name=Zzzzzzzz").json()["error"] == "no rule is called 'Zzzzzzzz': there are 5 others"


def test_bad_parameters_say_what_is_expected() -> None:
    for query, text in (
        ("", 'invalid parameter "name": the name of a rule is needed'),
        ("name=Never&label=a", "invalid parameter \"label\": expected NAME=VALUE, got 'a'"),
        ("name=Never&limit=x", 'invalid parameter "limit": cannot parse "x" to a valid limit'),
        ("name=Never&time=yesterday", 'cannot parse "yesterday" to a valid timestamp'),
    ):
        answer = ask(query)
        assert answer.status_code == 400
        assert text in answer.json()["error"]


def test_labels_and_limit_restrict_what_is_listed() -> None:
    parts = Parts()
    assert rules("name=Down&label=job=dead", parts)[0]["alerts"][0]["labels"]["job"] == "dead"
    (rule,) = rules("name=Down&label=job=app", parts)
    assert rule["alerts"] == []
    assert [m["labels"]["job"] for m in rule["tree"]["missed"]] == ["app"]
    assert rules("name=Down&limit=1", parts)[0]["tree"]["parts"][0]["series"] == 2
    assert len(rules("name=Down&limit=1", parts)[0]["tree"]["parts"][0]["rows"]) == 1


def test_an_earlier_time_can_be_asked_about() -> None:
    (rule,) = rules("name=Never&time=1600000000")
    assert (rule["time"], rule["tree"]["series"], rule["tree"]["parts"][0]["series"]) == ("2020-09-13T12:26:40Z", 0, 0)


def test_the_json_reads_back_to_the_same() -> None:
    for name in ("QueueLong", "Down", "Never", "Broken", "queues"):
        (rule,) = rules(f"name={name}")
        assert explanation_json(explanation_of(rule)) == rule
