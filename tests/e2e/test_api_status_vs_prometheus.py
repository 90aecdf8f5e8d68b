"""What the HTTP API says of rules, targets, metadata and status beside a real Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.api_pair import Pair, ask, comparable, running_pair

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("api")) as both:
        yield both


def test_rules(pair: Pair) -> None:
    groups = pair.same("rules")["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert {name: rule["health"] for name, rule in rules.items()} == {
        "job:x:sum": "ok",
        "Firing": "ok",
        "Pending": "ok",
        "Inactive": "ok",
        "Nested": "ok",
        "Broken": "err",
        "TooMany": "err",
        "x:copy": "ok",
        "Later": "unknown",
    }
    assert {name: rule.get("state") for name, rule in rules.items() if rule["type"] == "alerting"} == {
        "Firing": "firing",
        "Pending": "pending",
        "Inactive": "inactive",
        "Nested": "firing",
        "Broken": "inactive",
        "TooMany": "inactive",
        "Later": "inactive",
    }
    for kind in ("alert", "ALERT"):
        pair.same("rules", [("type", kind)])


def test_rules_are_filtered_as_prometheus_3_does(pair: Pair) -> None:
    def names(*params: tuple[str, str]) -> list[str]:
        answer = ask(pair.ours, "rules", params, "GET").json()
        return [rule["name"] for group in answer["data"]["groups"] for rule in group["rules"]]

    assert names(("type", "record")) == ["job:x:sum", "x:copy"]
    assert names(("rule_name[]", "Firing"), ("rule_name[]", "x:copy")) == ["Firing", "x:copy"]
    assert names(("rule_name[]", "Firing"), ("type", "record")) == []
    assert names(("rule_group[]", "second")) == ["TooMany", "x:copy"]
    assert names(("file[]", str(pair.directory / "rules.yml")), ("rule_group[]", "never")) == ["Later"]
    assert names(("file[]", "elsewhere")) == []
    assert names(("match[]", '{severity="page"}')) == ["Firing"]
    assert names(("group_limit", "1"), ("type", "record")) == ["job:x:sum"]
    first = ask(pair.ours, "rules", [("group_limit", "2")], "GET").json()["data"]
    assert names(("group_limit", "2"), ("group_next_token", first["groupNextToken"])) == ["TooMany", "x:copy"]
    bare = ask(pair.ours, "rules", [("exclude_alerts", "true"), ("rule_name[]", "Firing")], "GET").json()
    assert bare["data"]["groups"][0]["rules"][0]["alerts"] is None


def test_alerts_and_alertmanagers(pair: Pair) -> None:
    alerts = pair.same("alerts")["alerts"]
    assert sorted(alert["state"] for alert in alerts) == ["firing", "firing", "firing", "pending"]
    assert len(pair.same("alertmanagers")["activeAlertmanagers"]) == 1


@pytest.mark.parametrize("state", ["", "active", "dropped", "any", "ACTIVE", "nonsense"])
def test_targets(pair: Pair, state: str) -> None:
    params = [("state", state)] if state else []
    answers = [answer.json()["data"] for answer in pair.ask("targets", params)]
    errors = [[target.pop("lastError") for target in data["activeTargets"]] for data in answers]
    assert comparable(answers[1]) == comparable(answers[0])
    assert len(errors[0]) == len(errors[1])
    for theirs, ours in zip(*errors, strict=True):
        assert (theirs == "") == (ours == "")
        assert ours.endswith("connection refused") == theirs.endswith("connection refused")


def test_targets_have_what_prometheus_3_added(pair: Pair) -> None:
    data = ask(pair.ours, "targets", (), "GET").json()["data"]
    assert data["droppedTargetCounts"] == {"app": 1, "down": 0}
    assert data["droppedTargets"][0]["scrapePool"] == "app"
    only = ask(pair.ours, "targets", [("scrapePool", "down")], "GET").json()["data"]
    assert [target["scrapePool"] for target in only["activeTargets"]] == ["down"]
    assert ask(pair.ours, "scrape_pools", (), "GET").json()["data"] == {"scrapePools": ["app", "down"]}


@pytest.mark.parametrize(
    "params",
    [
        [],
        [("metric", "x")],
        [("metric", "odd")],
        [("metric", "took_seconds")],
        [("metric", "nosuch")],
        [("limit", "0")],
        [("limit", "-1")],
        [("limit_per_metric", "1")],
    ],
)
def test_metadata(pair: Pair, params: list[tuple[str, str]]) -> None:
    pair.same("metadata", params)


@pytest.mark.parametrize(
    "params",
    [
        [],
        [("match_target", '{job="app"}')],
        [("match_target", '{job="nosuch"}')],
        [("metric", "hits_total")],
        [("metric", "nosuch")],
        [("match_target", '{job="app"}'), ("metric", "x")],
    ],
)
def test_targets_metadata(pair: Pair, params: list[tuple[str, str]]) -> None:
    pair.same("targets/metadata", params)


def test_exemplars_are_asked_for_without_an_error(pair: Pair) -> None:
    for method in ("GET", "POST"):
        assert pair.same("query_exemplars", [("query", "x"), ("start", "1"), ("end", "2")], method) == []


@pytest.mark.parametrize("page", ["runtimeinfo", "buildinfo"])
def test_status_pages_have_the_same_keys_and_types(pair: Pair, page: str) -> None:
    theirs, ours = (answer.json()["data"] for answer in pair.ask(f"status/{page}"))
    assert ours.keys() == theirs.keys()
    assert {k: type(v) for k, v in ours.items()} == {k: type(v) for k, v in theirs.items()}


def test_flags_are_texts_by_name_and_agree_where_both_have_them(pair: Pair) -> None:
    theirs, ours = (answer.json()["data"] for answer in pair.ask("status/flags"))
    assert all(isinstance(value, str) for value in ours.values())
    shared = ours.keys() & theirs.keys() - {"config.file", "web.listen-address"}
    assert {"query.lookback-delta", "rules.alert.resend-delay", "web.enable-lifecycle"} <= shared
    differing = {k for k in shared if ours[k] != theirs[k]}
    assert differing <= {"query.max-concurrency"}, differing


def test_config_is_the_file_and_parses_alike(pair: Pair) -> None:
    theirs, ours = pair.ask("status/config")
    assert "job_name: app" in ours.json()["data"]["yaml"]
    assert theirs.json().keys() == ours.json().keys()
    assert theirs.json()["data"].keys() == ours.json()["data"].keys()
