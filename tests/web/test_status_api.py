"""The endpoints of Prometheus' API about the server itself; tests/e2e compares them with the real one."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from rulepush.config.sections import ScrapeConfig
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.relabel.relabel import Action, RelabelConfig
from rulepush.rules.groups import GroupDefaults, RuleGroups
from rulepush.web.notifications import MAX_SUBSCRIBERS, Notice, NotificationsApi
from rulepush.web.rules import RulesApi
from rulepush.web.tsdb_status import tsdb_status
from tests.fakes import FakeClock
from tests.rules.world import T0, World, specs
from tests.web.app_parts import RULES, Parts, job
from tests.web.asking import ask, ask_app


def get(path: str, parts: Parts | None = None, **params: str) -> Any:
    answer = ask_app((parts or Parts()).routes(), "GET", path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_version_is_buildinfo_without_the_envelope() -> None:
    parts = Parts()
    answer = ask_app(parts.routes(), "GET", "/version")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.json() == get("/api/v1/status/buildinfo", parts)["data"]


def test_the_largest_names_and_labels_come_first() -> None:
    series = [Labels({METRIC_NAME: "x", "a": f"v{i}", "job": "j"}) for i in range(3)]
    series.append(Labels({METRIC_NAME: "y", "job": "j"}))
    data = tsdb_status(series, samples=9, times=(5, 7), limit=2)
    assert data["headStats"] == {"numSeries": 4, "numLabelPairs": 6, "chunkCount": 9, "minTime": 5, "maxTime": 7}
    assert data["seriesCountByMetricName"] == [{"name": "x", "value": 3}, {"name": "y", "value": 1}]
    assert data["labelValueCountByLabelName"] == [{"name": "a", "value": 3}, {"name": METRIC_NAME, "value": 2}]
    assert data["memoryInBytesByLabelName"] == [
        {"name": METRIC_NAME, "value": 4 * (8 + 1 + 2)},
        {"name": "job", "value": 4 * (3 + 1 + 2)},
    ]
    assert data["seriesCountByLabelValuePair"] == [{"name": "job=j", "value": 4}, {"name": "__name__=x", "value": 3}]


def test_the_status_of_the_head_is_that_of_the_series_in_memory() -> None:
    parts = Parts()
    data = get("/api/v1/status/tsdb", parts)["data"]
    assert data["headStats"]["numSeries"] == parts.world.head.series_count
    assert data["headStats"]["chunkCount"] == parts.world.head.sample_count
    assert T0 <= data["headStats"]["minTime"] <= data["headStats"]["maxTime"] <= parts.clock.now()
    assert {"name": "up", "value": 2} in data["seriesCountByMetricName"]
    assert len(get("/api/v1/status/tsdb", parts, limit="1")["data"]["seriesCountByMetricName"]) == 1


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ("0", "limit must be a positive number"),
        ("x", "limit must be a positive number"),
        ("10001", "limit must not exceed 10000"),
    ],
)
def test_a_limit_of_the_status_that_is_none(limit: str, error: str) -> None:
    answer = ask_app(Parts().routes(), "GET", f"/api/v1/status/tsdb?limit={limit}")
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_there_is_nothing_to_replay_and_no_block() -> None:
    assert get("/api/v1/status/walreplay")["data"] == {"min": 0, "max": 0, "current": 0}
    assert get("/api/v1/status/tsdb/blocks")["data"] == {"blocks": []}


def test_notifications_are_what_is_wrong_now() -> None:
    parts = Parts(notices=[Notice("Configuration reload has failed.", T0)])
    assert get("/api/v1/notifications", parts)["data"] == [
        {"text": "Configuration reload has failed.", "date": "2023-11-14T22:13:20Z", "active": True}
    ]
    assert get("/api/v1/notifications")["data"] == []


class Listener:
    """A browser that listens to /api/v1/notifications/live."""

    def __init__(self, api: NotificationsApi):
        self._api = api
        self.left = asyncio.Event()
        self.received: list[dict[str, Any]] = []
        self.ended = False
        self.status = 0

    async def listen(self) -> None:
        async def receive() -> Message:
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            elif message.get("body", b"").startswith(b"data: "):
                self.received.append(json.loads(message["body"].removeprefix(b"data: ")))

        scope = {"type": "http", "method": "GET", "headers": []}
        await (await self._api.live(Request(scope, receive)))(scope, receive, send)
        self.ended = True


def test_changes_are_sent_to_those_who_listen() -> None:
    clock, notices, serving = FakeClock(T0), [Notice("old", T0)], [True]
    api = NotificationsApi(lambda: notices, clock, lambda: serving[0])

    async def main() -> None:
        first, second = Listener(api), Listener(api)
        tasks = [asyncio.create_task(one.listen()) for one in (first, second)]
        await clock.advance(1)
        assert [(e["text"], e["active"]) for e in first.received] == [("old", True)]
        notices[:] = [Notice("new")]
        await clock.advance(1)
        assert [(e["text"], e["active"]) for e in first.received[1:]] == [("new", True), ("old", False)]
        second.left.set()
        await clock.advance(1)
        assert (first.ended, second.ended) == (False, True)
        serving[0] = False  # the server stops
        await clock.advance(1)
        assert first.ended
        assert len(first.received) == 3  # what has not changed is not sent again
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_only_so_many_may_listen() -> None:
    clock, serving = FakeClock(T0), [True]
    api = NotificationsApi(list, clock, lambda: serving[0])

    async def main() -> None:
        listeners = [Listener(api) for _ in range(MAX_SUBSCRIBERS + 1)]  # at the same moment
        tasks = [asyncio.create_task(one.listen()) for one in listeners]
        await clock.advance(1)
        assert [one.status for one in listeners] == [*[200] * MAX_SUBSCRIBERS, 204]
        listeners[0].left.set()
        await clock.advance(1)
        late = Listener(api)
        tasks.append(asyncio.create_task(late.listen()))
        await clock.advance(1)
        assert late.status == 200
        serving[0] = False
        await clock.advance(1)
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_relabelling_is_shown_rule_by_rule() -> None:
    rules = (
        RelabelConfig(source_labels=("a",), target_label="b", replacement="x$1"),
        RelabelConfig(action=Action.DROP, source_labels=("b",), regex="xgone"),
        RelabelConfig(action=Action.LABEL_DROP, regex="a"),
    )
    parts = Parts(jobs_wanted=(job("app", "app:1", relabel_configs=rules),))
    data = get("/api/v1/targets/relabel_steps", parts, scrapePool="app", labels='{"a": "1"}')["data"]
    assert [step["output"] for step in data["steps"]] == [{"a": "1", "b": "x1"}, {"a": "1", "b": "x1"}, {"b": "x1"}]
    assert data["steps"][0]["rule"] == {
        "source_labels": ["a"],
        "separator": ";",
        "regex": "(.*)",
        "target_label": "b",
        "replacement": "x$1",
        "action": "replace",
    }
    data = get("/api/v1/targets/relabel_steps", parts, scrapePool="app", labels='{"a": "gone"}')["data"]
    assert [(step["keep"], step["output"]) for step in data["steps"]] == [
        (True, {"a": "gone", "b": "xgone"}),
        (False, {}),
        (False, {}),
    ]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", "no scrapePool parameter provided"),
        ("scrapePool=app", "no labels parameter provided"),
        ("scrapePool=no&labels={}", 'error retrieving scrape config: scrape pool "no" not found'),
        ("scrapePool=app&labels=[1]", "error parsing labels: 'list' object has no attribute 'items'"),
        ('scrapePool=app&labels={"a":1}', "error parsing labels: each value must be a string"),
    ],
)
def test_relabel_steps_that_cannot_be_shown(query: str, error: str) -> None:
    answer = ask_app(Parts().routes(), "GET", f"/api/v1/targets/relabel_steps?{query}")
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_the_configuration_of_one_job() -> None:
    parts = Parts(jobs_wanted=(ScrapeConfig("app", 10_000, 5_000), ScrapeConfig("elsewhere", 10_000, 5_000)))
    yaml = "scrape_configs:\n- job_name: other\n- job_name: app\n  basic_auth: {password: <secret>}\n"
    parts.status = type(parts.status)(yaml, T0, True, T0, 0, "by demand", ())
    data = get("/api/v1/scrape_pools/config", parts, scrapePool="app")["data"]
    assert data["yaml"] == "job_name: app\nbasic_auth:\n  password: <secret>\n"
    answer = ask_app(parts.routes(), "GET", "/api/v1/scrape_pools/config?scrapePool=elsewhere")
    assert answer.status_code == 404


def test_features_tell_what_the_flags_enable() -> None:
    data = get("/api/v1/features")["data"]
    assert data["api"]["lifecycle"] is True
    assert data["api"]["remote_write_receiver"] is False
    assert data["promql_functions"]["rate"] is True


def test_own_metrics_as_json() -> None:
    parts = Parts()
    found = get("/api/v1/status/self_metrics", parts, metric_name_pattern="rulepush_(things|build_info).*")["data"]
    assert [family["name"] for family in found] == ["rulepush_build_info", "rulepush_things_total"]
    assert found[1] == {
        "name": "rulepush_things_total",
        "help": "Things.",
        "type": "COUNTER",
        "metric": [{"counter": {"value": 3}}],
    }
    assert [label["name"] for label in found[0]["metric"][0]["label"]] == ["version", "python_version"]
    answer = ask_app(parts.routes(), "GET", "/api/v1/status/self_metrics?metric_name_pattern=(")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("POST", "write", 404, "--web.enable-remote-write-receiver"),
        ("POST", "read", 404, "/federate"),
        ("POST", "otlp/v1/metrics", 404, "remote write"),
        ("GET", "openapi.yaml", 404, "docs/differences.md"),
        ("POST", "admin/tsdb/snapshot", 500, "admin APIs disabled"),
        ("PUT", "admin/tsdb/delete_series", 500, "admin APIs disabled"),
        ("GET", "search/metric_names", 500, "search API disabled"),
    ],
)
def test_what_is_not_there_says_so(method: str, path: str, status: int, word: str) -> None:
    answer = ask_app(Parts().routes(), method, f"/api/v1/{path}")
    assert answer.status_code == status
    assert word in answer.text


def test_the_syntax_tree_of_an_expression() -> None:
    data = get("/api/v1/parse_query", query='rate(x{a!="b"}[5m] offset -1m) > bool on(c) group_left(d) 2 * y @ end()')[
        "data"
    ]
    assert (data["type"], data["op"], data["bool"]) == ("binaryExpr", ">", True)
    assert data["matching"]["card"] == "many-to-one"
    call = data["lhs"]
    assert call["func"] == {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}
    assert call["args"][0] == {
        "type": "matrixSelector",
        "name": "x",
        "offset": -60_000,
        "offsetExpr": None,
        "matchers": [{"name": "a", "value": "b", "type": "!="}, {"name": "__name__", "value": "x", "type": "="}],
        "timestamp": None,
        "startOrEnd": None,
        "anchored": False,
        "smoothed": False,
        "range": 300_000,
        "rangeExpr": None,
    }
    assert data["rhs"]["rhs"]["startOrEnd"] == "end"


def test_a_computed_duration_is_shown_as_it_is_written() -> None:
    data = get("/api/v1/parse_query", query="x[5m * (1 + step())]")["data"]
    assert data["range"] == 0
    assert data["rangeExpr"]["op"] == "*"
    assert data["rangeExpr"]["lhs"] == {"type": "numberLiteral", "val": "300", "duration": True}
    assert data["rangeExpr"]["rhs"]["wrapped"] is True


def test_a_tree_that_is_too_deep_is_refused() -> None:
    answer = ask_app(Parts().routes(), "POST", "/api/v1/parse_query", data={"query": "-" * 100_000 + "x"})
    assert answer.status_code == 400
    assert ask_app(Parts().routes(), "GET", "/api/v1/parse_query?query=(").status_code == 400


def groups_of(file: str) -> RuleGroups:
    world = World("groups: []")
    world.groups.update(specs(RULES, file), world.context, GroupDefaults(30_000), T0)
    return world.groups


@pytest.mark.parametrize("name", ["/conf/rules/r.yml", "rules/r.yml", "./rules/r.yml", "rules/../rules/r.yml"])
def test_rules_of_a_file_by_its_name_as_it_is_written(name: str) -> None:
    routes = RulesApi(groups_of("/conf/rules/r.yml"), "/conf/prometheus.yml").routes()
    data = ask(routes, "GET", "/rules", params={"file[]": name}).json()["data"]
    assert len(data["groups"]) == 1


def test_rules_of_a_file_relative_to_where_rulepush_runs() -> None:
    routes = RulesApi(groups_of(os.path.abspath("conf/r.yml")), "conf/prometheus.yml").routes()
    for name, found in (("conf/r.yml", 1), ("r.yml", 1), ("other/r.yml", 0), ("", 0)):
        data = ask(routes, "GET", "/rules", params={"file[]": name}).json()["data"]
        assert len(data["groups"]) == found, name
