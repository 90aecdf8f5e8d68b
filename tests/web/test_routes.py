"""The whole web side over a fake world: targets, metadata, rules, alerts, status, lifecycle, and where it all hangs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.web.app_parts import Parts
from tests.web.asking import ask_app


def get(parts: Parts, path: str, method: str = "GET", **options: Any) -> httpx.Response:
    return ask_app(parts.routes(), method, path, **options)


def data(parts: Parts, path: str, **params: str) -> Any:
    answer = get(parts, "/api/v1" + path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


# --- targets


def test_active_and_dropped_targets(parts: Parts) -> None:
    found = data(parts, "/targets")
    up, down = found["activeTargets"]
    assert up["labels"] == {"instance": "app:1", "job": "app"}
    assert up["discoveredLabels"]["__address__"] == "app:1"
    assert (up["scrapePool"], up["scrapeUrl"], up["health"]) == ("app", "http://app:1/metrics", "up")
    assert (up["lastError"], up["scrapeInterval"], up["scrapeTimeout"]) == ("", "10s", "5s")
    assert down["health"] == "down"
    assert "connection refused" in down["lastError"]
    assert [t["discoveredLabels"]["__address__"] for t in found["droppedTargets"]] == ["gone:1"]
    assert found["droppedTargetCounts"] == {"app": 1, "dead": 0}


@pytest.mark.parametrize(
    ("params", "active", "dropped"),
    [
        ({"state": "active"}, 2, 0),
        ({"state": "DROPPED"}, 0, 1),
        ({"state": "any"}, 2, 1),
        ({"state": "bogus"}, 0, 0),
        ({"scrapePool": "dead"}, 1, 0),
        ({"scrapePool": "nothing"}, 0, 0),
    ],
)
def test_targets_by_state_and_pool(parts: Parts, params: dict[str, str], active: int, dropped: int) -> None:
    found = data(parts, "/targets", **params)
    assert (len(found["activeTargets"]), len(found["droppedTargets"])) == (active, dropped)


def test_scrape_pools(parts: Parts) -> None:
    assert data(parts, "/scrape_pools") == {"scrapePools": ["app", "dead"]}


def test_metadata_of_scraped_and_of_pushed_metrics(parts: Parts) -> None:
    found = data(parts, "/metadata")
    assert found["queue_size"] == [{"type": "gauge", "help": "Jobs that wait.", "unit": ""}]
    assert found["pushed_total"] == [{"type": "counter", "help": "Pushed.", "unit": ""}]
    assert list(data(parts, "/metadata", metric="queue_size")) == ["queue_size"]
    assert len(data(parts, "/metadata", limit="1")) == 1
    assert data(parts, "/metadata", metric="nothing") == {}


def test_metadata_by_target(parts: Parts) -> None:
    found = data(parts, "/targets/metadata", match_target='{job="app"}', metric="queue_size")
    assert found == [
        {"target": {"instance": "app:1", "job": "app"}, "type": "gauge", "help": "Jobs that wait.", "unit": ""}
    ]
    assert data(parts, "/targets/metadata", match_target='{job="none"}') == []


# --- rules and alerts


def test_rules_and_alerts(parts: Parts) -> None:
    (group,) = data(parts, "/rules")["groups"]
    states = {r["name"]: (r["type"], r["health"], r.get("state")) for r in group["rules"]}
    assert states["queues"] == ("recording", "ok", None)
    assert states["QueueLong"] == ("alerting", "ok", "pending")
    assert states["Down"] == ("alerting", "ok", "firing")
    assert states["Broken"] == ("alerting", "err", "inactive")
    found = {a["labels"]["alertname"]: a for a in data(parts, "/alerts")["alerts"]}
    assert set(found) == {"QueueLong", "Down"}
    assert found["QueueLong"]["annotations"] == {"summary": "a<b> is <long>"}


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"type": "record"}, ["queues"]),
        ({"rule_name[]": "Down"}, ["Down"]),
        ({"rule_group[]": "other"}, None),
        ({"file[]": "r.yml", "match[]": '{severity="page"}'}, ["QueueLong"]),
    ],
)
def test_rules_by_parameter(parts: Parts, params: dict[str, str], names: list[str] | None) -> None:
    groups = data(parts, "/rules", **params)["groups"]
    assert [r["name"] for g in groups for r in g["rules"]] == (names or [])


@pytest.mark.parametrize(
    "params",
    [{"type": "x"}, {"match[]": "{"}, {"group_limit": "0"}, {"group_next_token": "t"}, {"exclude_alerts": "x"}],
)
def test_a_bad_parameter_of_rules_is_400(parts: Parts, params: dict[str, str]) -> None:
    answer = get(parts, "/api/v1/rules", params=params)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")


# --- status


def test_status(parts: Parts) -> None:
    assert data(parts, "/status/config") == {"yaml": "scrape_configs: <secret>\n"}
    assert data(parts, "/status/flags") == {"web.enable-lifecycle": "true"}
    info = data(parts, "/status/runtimeinfo")
    assert (info["reloadConfigSuccess"], info["storageRetention"]) == (True, "by demand")
    assert info["startTime"] == "2023-11-14T22:13:20Z"
    assert data(parts, "/status/buildinfo")["version"]
    assert data(parts, "/alertmanagers") == {
        "activeAlertmanagers": [{"url": "http://am:9093/api/v2/alerts"}],
        "droppedAlertmanagers": [],
    }


# --- lifecycle


def test_healthy_ready_and_own_metrics() -> None:
    parts = Parts()
    assert get(parts, "/-/healthy").status_code == 200
    assert get(parts, "/-/ready").status_code == 200
    parts.ready = False
    assert get(parts, "/-/ready").status_code == 503
    assert get(parts, "/-/healthy").status_code == 200
    answer = get(parts, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "rulepush_things_total 3\n" in answer.text


@pytest.mark.parametrize("path", ["/-/reload", "/-/quit"])
def test_what_changes_something_is_closed_unless_it_is_opened(path: str) -> None:
    parts = Parts()
    answer = get(parts, path, "POST")
    assert (answer.status_code, "--web.enable-lifecycle" in answer.text) == (403, True)
    assert parts.calls == []


def test_reload_and_quit() -> None:
    parts = Parts(lifecycle=True)
    assert get(parts, "/-/reload", "GET").status_code == 405
    assert get(parts, "/-/reload", "POST").status_code == 200
    assert get(parts, "/-/quit", "PUT").status_code == 200
    assert parts.calls == ["reload", "stop"]
    parts.reload_error = "rules.yml:3: broken"
    answer = get(parts, "/-/reload", "POST")
    assert (answer.status_code, answer.text) == (500, "failed to reload config: rules.yml:3: broken\n")


# --- where it hangs


def test_a_path_in_the_external_url_is_before_every_route() -> None:
    parts = Parts(prefix="/mon/rules")
    for path in ("/-/healthy", "/alerts", "/api/v1/alerts", "/metrics"):
        assert get(parts, "/mon/rules" + path).status_code == 200
        assert get(parts, path).status_code == 404
    for path in ("/", "/mon/rules"):
        assert get(parts, path).headers["location"] == "/mon/rules/"
    assert get(parts, "/mon/rules/").headers["location"] == "/mon/rules/alerts"
    page = get(parts, "/mon/rules/alerts").text
    assert 'href="/mon/rules/rules"' in page
    assert 'href="/mon/rules/graph?g0.expr=up+%3D%3D+0' in get(parts, "/mon/rules/rules").text
    assert 'href="/mon/rules/rules/' in page
    assert 'action="/mon/rules/graph"' in get(parts, "/mon/rules/graph").text


def test_behind_a_proxy_that_takes_the_path_off_routes_have_none_and_links_have_it() -> None:
    parts = Parts(prefix="/mon", route_prefix="/")
    assert get(parts, "/-/healthy").status_code == 200
    assert get(parts, "/mon/alerts").status_code == 404
    assert 'href="/mon/rules"' in get(parts, "/alerts").text
    assert get(parts, "/").headers["location"] == "/mon/alerts"


@pytest.mark.parametrize(("path", "method", "status"), [("/nothing", "GET", 404), ("/api/v1/query", "DELETE", 405)])
def test_what_there_is_not(parts: Parts, path: str, method: str, status: int) -> None:
    assert get(parts, path, method).status_code == status
