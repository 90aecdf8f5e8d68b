"""What the HTTP API says of rules, targets, metadata and status beside a real Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import yaml

from rulepush.scrape.target import HISTOGRAM_LABELS
from tests.e2e.api_pair import Pair, ask, comparable, running_pair
from tests.needs import shared

pytestmark = pytest.mark.e2e

BUSY: Final = "Scrapes are skipped: the server does not keep up with its targets."
NOT_REACHED: Final = "http://127.0.0.1:{}/am/api/v2/alerts is not reached."
EXPRESSIONS: Final = (
    "1",
    "-1e100 + Inf",
    '"text\\n"',
    "x",
    '{__name__="x"}',
    '{"x.y", "a.b"!~"c"}',
    'x{a="b",__name__!="y"}',
    "-x offset 5m",
    "+x @ 1.5",
    "x @ start() offset -1m",
    "rate(x[5m] @ end())",
    "max_over_time(x[1h:5m] offset 1d)",
    "max_over_time(x[1h:] @ 7)",
    "sum(x)",
    "sum without() (x)",
    "topk by (a, b) (3, x)",
    'count_values("v", x)',
    "(x) + on(a) group_left(b, c) y",
    "x / ignoring() group_right y",
    "x and on() y",
    "x == bool 1",
    "1 >= bool 2",
    "x atan2 y",
    'label_replace(x, "a", "$1", "b", "(.*)")',
    'label_join(x, "a", ",", "b", "c")',
    "time()",
    "round(x, 0.5)",
    "hour()",
    "histogram_quantile(0.9, sum by (le) (rate(x[1m])))",
    "clamp(x, 1, NaN)",
    "nonsense(x)",
    "x[5m",
    "",
)


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
    for target in answers[0]["activeTargets"] + answers[0]["droppedTargets"]:
        target["discoveredLabels"] |= dict.fromkeys(HISTOGRAM_LABELS, "false")  # as 3.14 does
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
    # On purpose, both: docs/differences.md, docs/configuration.md (the interval alone switches automatic reloads on).
    assert differing <= {"query.max-concurrency", "config.auto-reload-interval"}, differing


def test_config_is_the_file_and_parses_alike(pair: Pair) -> None:
    theirs, ours = pair.ask("status/config")
    assert "job_name: app" in ours.json()["data"]["yaml"]
    assert theirs.json().keys() == ours.json().keys()
    assert theirs.json()["data"].keys() == ours.json()["data"].keys()


def bare(pair: Pair, path: str) -> tuple[httpx.Response, httpx.Response]:
    first, second = (httpx.get(f"{base}/{path}", trust_env=False, timeout=60) for base in (pair.prometheus, pair.ours))
    return first, second


def test_version(pair: Pair) -> None:
    theirs, ours = bare(pair, "version")
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert ours.json().keys() == theirs.json().keys()


def test_wal_replay_and_notifications(pair: Pair) -> None:
    assert pair.same("status/walreplay") == {"min": 0, "max": 0, "current": 0}
    theirs, ours = pair.ask("notifications")
    assert theirs.json() == {"status": "success", "data": []}
    # The Alertmanager of this test is dead, and rulepush says so. Where the machine is busy, it says that, too.
    texts = [notice["text"] for notice in ours.json()["data"]]
    assert [text for text in texts if text != BUSY] == [NOT_REACHED.format(pair.dead)]


@pytest.mark.parametrize("limit", ["", "1", "3", "100"])
def test_tsdb_status(pair: Pair, limit: str) -> None:
    theirs, ours = (answer.json()["data"] for answer in pair.ask("status/tsdb", [("limit", limit)] if limit else []))
    assert ours.keys() == theirs.keys()
    assert ours["headStats"].keys() == theirs["headStats"].keys()
    assert ours["headStats"]["numSeries"] == theirs["headStats"]["numSeries"]
    assert ours["headStats"]["numLabelPairs"] == theirs["headStats"]["numLabelPairs"]
    for part in theirs.keys() - {"headStats"}:
        # Equals are in any order there, and some of them may be cut off.
        assert [row["value"] for row in ours[part]] == [row["value"] for row in theirs[part]], part
        if limit == "100":
            assert comparable(ours[part]) == comparable(theirs[part])


@pytest.mark.parametrize("limit", ["0", "-1", "x"])
def test_tsdb_status_refuses_a_limit(pair: Pair, limit: str) -> None:
    pair.same("status/tsdb", [("limit", limit)])


def test_admin_api_is_off(pair: Pair) -> None:
    for method in ("POST", "PUT"):
        theirs, ours = pair.ask("admin/tsdb/snapshot", method=method)
        assert (ours.status_code, ours.json()["errorType"]) == (theirs.status_code, theirs.json()["errorType"])
        assert ours.json()["error"].startswith(theirs.json()["error"])
    theirs, ours = pair.ask("write", method="POST")
    assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text)


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_parse_query(pair: Pair, expr: str) -> None:
    theirs, ours = pair.ask("parse_query", [("query", expr)], "POST")
    assert (ours.status_code, ours.headers["content-type"]) == (theirs.status_code, theirs.headers["content-type"])
    assert of_same_keys(ours.json(), theirs.json()) == theirs.json()


def test_parse_query_of_published_rules(pair: Pair) -> None:
    found = 0
    for text in published_expressions():
        theirs, ours = pair.ask("parse_query", [("query", text)], "POST")
        assert of_same_keys(ours.json(), theirs.json()) == theirs.json(), text
        found += theirs.status_code == 200
    assert found > 100


def of_same_keys(ours: Any, theirs: Any) -> Any:
    """Ours without what later versions have added to the nodes of a tree."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {key: of_same_keys(value, theirs[key]) for key, value in ours.items() if key in theirs}
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [of_same_keys(*both) for both in zip(ours, theirs, strict=True)]
    return ours


def published_expressions() -> list[str]:
    """The expressions of the published rule sets."""
    found = set()
    for file in sorted(shared("conformance/real_rules").glob("*.yml")):
        for test in yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["tests"]:
            found |= {case["expr"] for case in test.get("promql_expr_test", ())}
    return sorted(found)[::2]
