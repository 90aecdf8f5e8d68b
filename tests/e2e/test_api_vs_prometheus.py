"""The HTTP API beside a real Prometheus on the same targets and rules: same keys, types and values.

Debian's Prometheus is 2.42: what Prometheus 3 added or changed since is named in NEWER and checked on ours alone.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest

from tests.servers import binary, free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

BODY = """# HELP x Help of x\\nwith a newline and \\\\.
# TYPE x gauge
x{zone="a"} 1
x{zone="b"} 2.5
x{zone="c",quote="say \\"hi\\"\\\\n"} 1e-07
x{zone="你好"} 1.23456789e+25
# HELP hits_total Requests.
# TYPE hits_total counter
hits_total{code="200"} 12
hits_total{code="500"} 0
# TYPE odd untyped
odd{what="inf"} +Inf
odd{what="ninf"} -Inf
odd{what="nan"} NaN
# HELP took_seconds Time.
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} 1
took_seconds_bucket{le="1"} 3
took_seconds_bucket{le="+Inf"} 4
took_seconds_sum 2.5
took_seconds_count 4
"""

RULES = """
groups:
- name: first
  interval: 1s
  rules:
  - record: job:x:sum
    expr: sum by (job) (x{zone=~"a|b"})
    labels: {team: a}
  - alert: Firing
    expr: x{zone=~"a|b"} >= 1
    labels: {severity: page, zone_copy: "{{ $labels.zone }}"}
    annotations:
      summary: '{{ $labels.zone }} at {{ $value | printf "%.2f" }} on {{ $externalLabels.site }}'
      sum: '{{ with query "job:x:sum" }}{{ . | first | value | humanize }}{{ end }}'
      broken: "{{ index 1 2 }}"
  - alert: Pending
    expr: x{zone="b"} > 2
    for: 1h
    keep_firing_for: 5m
  - alert: Inactive
    expr: x > 1000
      and x < 1001
    for: 90s
    labels: {severity: none}
  - alert: Nested
    expr: count(ALERTS{alertstate="firing", alertname="Firing"}) == 2
  - alert: Broken
    expr: x * on(job) group_left hits_total > 0
- name: second
  interval: 1s
  limit: 1
  rules:
  - alert: TooMany
    expr: x
  - record: x:copy
    expr: x{zone="a"}
- name: never
  rules:
  - alert: Later
    expr: vector(1)
"""

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1d, external_labels: {{site: e2e}}}}
rule_files: [rules.yml]
scrape_configs:
- job_name: app
  params: {{q: ["a b"]}}
  static_configs: [{{targets: ['{target}'], labels: {{dc: one}}}}, {{targets: ['dropme:80']}}]
  relabel_configs: [{{source_labels: [__address__], regex: "dropme.*", action: drop}}]
- job_name: down
  scrape_interval: 2s
  static_configs: [{{targets: ['127.0.0.1:{dead}']}}]
alerting:
  alertmanagers:
  - path_prefix: /am
    static_configs: [{{targets: ['127.0.0.1:{dead}']}}]
"""

# Keys of Prometheus 3 that 2.42 does not have.
NEWER: Final = {"droppedTargetCounts", "scrapePool", "GOMEMLIMIT", "hostname", "serverTime"}
# Values that differ from moment to moment, and what they look like.
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
MOVING: Final = {
    "lastEvaluation": TIME,
    "lastScrape": TIME,
    "activeAt": TIME,
    "startTime": TIME,
    "lastConfigTime": TIME,
    "evaluationTime": r"\d.*",
    "lastScrapeDuration": r"\d.*",
}


@dataclass(frozen=True)
class Pair:
    """Both servers, and a moment for which both have everything."""

    prometheus: str
    ours: str
    at: int
    target: str
    directory: Path

    def ask(
        self, path: str, params: Sequence[tuple[str, str]] = (), method: str = "GET"
    ) -> tuple[httpx.Response, httpx.Response]:
        first, second = (_ask(base, path, params, method) for base in (self.prometheus, self.ours))
        return first, second

    def same(self, path: str, params: Sequence[tuple[str, str]] = (), method: str = "GET") -> Any:
        """Both answers agree; returns the data."""
        theirs, ours = self.ask(path, params, method)
        assert ours.status_code == theirs.status_code, (ours.text, theirs.text)
        assert ours.headers["content-type"] == theirs.headers["content-type"]
        assert comparable(ours.json()) == comparable(theirs.json())
        return ours.json().get("data")


def _ask(base: str, path: str, params: Sequence[tuple[str, str]], method: str) -> httpx.Response:
    url = f"{base}/api/v1/{path}"
    if method == "GET":
        return httpx.get(url, params=list(params), trust_env=False, timeout=10)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return httpx.request(method, url, content=urlencode(params), headers=form, trust_env=False, timeout=10)


def comparable(data: Any) -> Any:
    """Without what is newer, what moves checked and set aside, lists in one order (both give series in any)."""
    if isinstance(data, dict):
        out = {}
        for key, value in data.items():
            if key in NEWER:
                continue
            if key in MOVING:
                assert re.fullmatch(MOVING[key], str(value)), (key, value)
                value = "checked"
            if key == "lastError" and "duplicate series" in str(value):
                value = str(value).partition("[")[0]  # which two of the duplicates are named depends on their order
            out[key] = comparable(value)
        return out
    if isinstance(data, list):
        if len(data) == 2 and isinstance(data[0], int | float):
            return data  # a sample: its time and value
        return sorted((comparable(item) for item in data), key=lambda item: json.dumps(item, sort_keys=True))
    return data


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = BODY.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    program = binary("prometheus")
    directory = tmp_path_factory.mktemp("api")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target, dead = f"127.0.0.1:{server.server_address[1]}", free_port()
    config = CONFIG.format(target=target, dead=dead)
    (directory / "rules.yml").write_text(RULES)
    (directory / "prometheus.yml").write_text(config)
    (directory / "rulepush.yml").write_text(config + "storage: {keep: all, retention: 15m}\n")
    ports = [free_port(), free_port()]
    theirs = [
        program,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{ports[0]}",
    ]
    ours = rulepush_command(
        "run", f"--config.file={directory / 'rulepush.yml'}", f"--web.listen-address=127.0.0.1:{ports[1]}"
    )
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    with (
        running(theirs, directory / "prometheus.log", f"{urls[0]}/-/ready"),
        running(ours, directory / "rulepush.log", f"{urls[1]}/-/ready"),
    ):
        begun = [wait_for("all series", lambda url=url: _complete(url)) for url in urls]  # type: ignore[misc]
        wait_for("three seconds of history", lambda: time.time() > max(begun) + 4)
        yield Pair(urls[0], urls[1], int(time.time()) - 1, target, directory)
    server.shutdown()
    server.server_close()


def _complete(url: str) -> float | None:
    """A time by which every target was scraped and every rule evaluated on its samples."""
    wanted = {"up": 2, "ALERTS": 4, "job:x:sum": 1, "x:copy": 1, "odd": 3}
    counts = {q: len(get_json(f"{url}/api/v1/query", query=q)["data"]["result"]) for q in wanted}
    return time.time() if counts == wanted else None


QUERIES = [
    "x",
    'x{zone="a"}',
    "odd",
    "sum(x)",
    "1",
    "-1 / 0",
    '"text"',
    "vector(NaN)",
    "time()",
    "up",
    "ALERTS",
    "ALERTS_FOR_STATE * 0",
    "job:x:sum",
    "x:copy",
    "nosuch",
    "hits_total",
    'count_values("v", x)',
    "topk(2, x)",
    "scrape_samples_scraped",
    "histogram_quantile(0.5, took_seconds_bucket)",
    'label_join(x, "d", ",", "zone", "job")',
    "1 == 2",
    "1 == bool 2",
    "x @ start()",
    "-x",
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_instant_queries(pair: Pair, query: str, method: str) -> None:
    pair.same("query", [("query", query), ("time", str(pair.at))], method)


@pytest.mark.parametrize(
    "text", ["1e3", "1600000000.0005", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00.1234+02:00", "-5"]
)
def test_times(pair: Pair, text: str) -> None:
    pair.same("query", [("query", "1"), ("time", text)])


@pytest.mark.parametrize("query", ["x", "sum(x)", "time()", "nosuch", "1", "ALERTS", "x > 1e30", "job:x:sum"])
@pytest.mark.parametrize(("step", "method"), [("1", "GET"), ("0.5", "POST"), ("1s", "GET")])
def test_range_queries(pair: Pair, query: str, step: str, method: str) -> None:
    at = [("start", str(pair.at - 2)), ("end", str(pair.at)), ("step", step)]
    pair.same("query_range", [("query", query), *at], method)


def test_a_range_query_takes_11001_points_and_no_more(pair: Pair) -> None:
    assert len(pair.same("query_range", _range("1", 0, 11000, 1))["result"][0]["values"]) == 11001
    pair.same("query_range", _range("1", 0, 11001, 1))


def _range(query: str, start: float, end: float, step: float | str) -> list[tuple[str, str]]:
    return [("query", query), ("start", str(start)), ("end", str(end)), ("step", str(step))]


SAME_ERRORS: list[tuple[str, list[tuple[str, str]]]] = [
    ("query", []),
    ("query", [("query", "x{")]),
    ("query", [("query", "x +")]),
    ("query", [("query", "sum(")]),
    ("query", [("query", "rate(x)")]),
    ("query", [("query", "foo(x)")]),
    ("query", [("query", '1 + "a"')]),
    ("query", [("query", "x and")]),
    ("query", [("query", "{}")]),
    ("query", [("query", "x[5m")]),
    ("query", [("query", "sum(1)")]),
    ("query", [("query", 'predict_linear(x[5m], "a")')]),
    ("query", [("query", "{__name__=~'.*'}")]),
    ("query", [("query", "1"), ("time", "abc")]),
    ("query", [("query", "1"), ("time", "1"), ("timeout", "abc")]),
    ("query_range", []),
    ("query_range", _range("1", 5, 3, 1)),
    ("query_range", _range("1", 1, 3, 0)),
    ("query_range", _range("1", 1, 3, -1)),
    ("query_range", _range("1", 1, 3, "abc")),
    ("query_range", _range("1", 1, 3, "1e30")),
    ("query_range", [("query", "1"), ("end", "1"), ("step", "1")]),
    ("query_range", [("query", "1"), ("start", "x"), ("end", "1"), ("step", "1")]),
    ("query_range", [*_range("1", 1, 3, 1), ("timeout", "abc")]),
    ("format_query", []),
    ("format_query", [("query", "x{")]),
    ("series", []),
    ("series", [("match[]", "x{")]),
    ("series", [("match[]", "x"), ("start", "abc")]),
    ("labels", [("end", "abc")]),
    ("label/zone/values", [("start", "abc")]),
    ("rules", [("type", "nonsense")]),
    ("metadata", [("limit", "abc")]),
    ("targets/metadata", [("limit", "abc")]),
    ("targets/metadata", [("match_target", "{")]),
]


@pytest.mark.parametrize(("path", "params"), SAME_ERRORS)
def test_errors_say_the_same(pair: Pair, path: str, params: list[tuple[str, str]]) -> None:
    theirs, ours = pair.ask(path, params)
    assert theirs.status_code >= 400
    assert ours.status_code == theirs.status_code
    assert ours.json() == theirs.json()


ALIKE_ERRORS: list[tuple[str, list[tuple[str, str]]]] = [
    # Prometheus 3 names the parameter; which of the duplicates is shown is chance; RE2 has words of its own.
    ("query", [("query", 'x{zone=~"["}')]),
    ("query", [("query", "x * on(job) x")]),
    ("query_range", _range('"a"', 1, 3, 1)),
    ("query_range", _range("x[5m]", 1, 3, 1)),
    ("query_range", _range("x{", 1, 3, 1)),
    ("labels", [("match[]", "x{")]),
    ("labels", [("match[]", "{}")]),
    ("series", [("match[]", "sum(x)")]),
    ("series", [("match[]", "")]),
    ("label/zone/values", [("match[]", "x[5m]")]),
]


@pytest.mark.parametrize(("path", "params"), ALIKE_ERRORS)
def test_errors_are_of_the_same_kind(pair: Pair, path: str, params: list[tuple[str, str]]) -> None:
    theirs, ours = pair.ask(path, params)
    assert theirs.status_code >= 400
    assert ours.status_code == theirs.status_code
    assert ours.json().keys() == theirs.json().keys()
    assert ours.json()["errorType"] == theirs.json()["errorType"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "query"), ("POST", "rules"), ("POST", "label/job/values"), ("GET", "nosuch"), ("GET", "status/nosuch")],
)
def test_what_is_not_there_has_the_same_status(pair: Pair, method: str, path: str) -> None:
    theirs, ours = pair.ask(path, [("query", "1")], method)
    assert ours.status_code == theirs.status_code


@pytest.mark.parametrize(
    "query",
    [
        "sum by(a)(x)",
        "rate(x[5m])  +  1",
        "1 + 2 * 3",
        'x{b="1",a=~"2"}',
        "sum without(a,b) (x) / on (c) group_left (d) y",
        "a and b or c unless d",
        "x[1h:5m]@123",
        "'a'",
        "sum(" + "a" * 50 + "+" + "b" * 50 + ") / on(job) group_left(x) rate(" + "c" * 60 + "[5m])",
        f'label_replace({"a" * 60}, "d", "$1", "{"s" * 40}", "(.*)")',
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_format_query(pair: Pair, query: str, method: str) -> None:
    pair.same("format_query", [("query", query)], method)


@pytest.mark.parametrize("path", ["series", "labels", "label/zone/values", "label/__name__/values"])
@pytest.mark.parametrize(
    "matches", [["x"], ["x", "hits_total"], ['{job="app"}'], ["nosuch"], ['x{zone=""}'], ['{__name__=~"x|odd"}']]
)
def test_series_and_labels(pair: Pair, path: str, matches: list[str]) -> None:
    params = [("match[]", m) for m in matches]
    data = pair.same(path, params)
    assert data or matches in (["nosuch"], ['x{zone=""}']), data
    if not path.startswith("label/"):
        pair.same(path, params, "POST")


def test_label_names_and_values_without_a_selector(pair: Pair) -> None:
    assert "zone" in pair.same("labels")
    assert pair.same("label/job/values") == ["app", "down"]
    assert pair.same("label/nosuch/values") == []
    now = [("start", str(pair.at - 3)), ("end", str(pair.at))]
    pair.same("labels", now)
    pair.same("series", [("match[]", "x"), *now])
    assert pair.same("label/zone/values", [("start", "5"), ("end", "3")]) == []


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
        answer = _ask(pair.ours, "rules", params, "GET").json()
        return [rule["name"] for group in answer["data"]["groups"] for rule in group["rules"]]

    assert names(("type", "record")) == ["job:x:sum", "x:copy"]
    assert names(("rule_name[]", "Firing"), ("rule_name[]", "x:copy")) == ["Firing", "x:copy"]
    assert names(("rule_name[]", "Firing"), ("type", "record")) == []
    assert names(("rule_group[]", "second")) == ["TooMany", "x:copy"]
    assert names(("file[]", str(pair.directory / "rules.yml")), ("rule_group[]", "never")) == ["Later"]
    assert names(("file[]", "elsewhere")) == []
    assert names(("match[]", '{severity="page"}')) == ["Firing"]
    assert names(("group_limit", "1"), ("type", "record")) == ["job:x:sum"]
    first = _ask(pair.ours, "rules", [("group_limit", "2")], "GET").json()["data"]
    assert names(("group_limit", "2"), ("group_next_token", first["groupNextToken"])) == ["TooMany", "x:copy"]
    bare = _ask(pair.ours, "rules", [("exclude_alerts", "true"), ("rule_name[]", "Firing")], "GET").json()
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
    data = _ask(pair.ours, "targets", (), "GET").json()["data"]
    assert data["droppedTargetCounts"] == {"app": 1, "down": 0}
    assert data["droppedTargets"][0]["scrapePool"] == "app"
    only = _ask(pair.ours, "targets", [("scrapePool", "down")], "GET").json()["data"]
    assert [target["scrapePool"] for target in only["activeTargets"]] == ["down"]
    assert _ask(pair.ours, "scrape_pools", (), "GET").json()["data"] == {"scrapePools": ["app", "down"]}


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
    assert ours.keys() - NEWER == theirs.keys()
    assert {k: type(v) for k, v in ours.items() if k not in NEWER} == {k: type(v) for k, v in theirs.items()}


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


SECRETS = """
scrape_configs:
- job_name: basic
  basic_auth: {username: me, password: S3CRET-basic}
  http_headers: {X-Token: {secrets: [S3CRET-header]}}
  static_configs: [{targets: ['127.0.0.1:1']}]
- job_name: bearer
  authorization: {credentials: S3CRET-bearer}
  proxy_url: http://user:S3CRET-proxy@127.0.0.1:1
  static_configs: [{targets: ['127.0.0.1:1']}]
- job_name: oauth
  oauth2: {client_id: a, client_secret: S3CRET-oauth, token_url: 'http://127.0.0.1:1/'}
  static_configs: [{targets: ['127.0.0.1:1']}]
- job_name: discovered
  http_sd_configs: [{url: 'http://user:S3CRET-sd@127.0.0.1:1/'}]
  nacos_sd_configs: [{servers: ['http://127.0.0.1:1/nacos'], role: server, username: nacos, password: S3CRET-nacos}]
remote_write:
- url: http://user:S3CRET-write@127.0.0.1:1/
  basic_auth: {username: me, password: S3CRET-write-basic}
alerting:
  alertmanagers:
  - basic_auth: {username: me, password: S3CRET-alertmanager}
    static_configs: [{targets: ['127.0.0.1:1']}]
"""


def test_no_answer_no_page_and_no_log_line_shows_a_secret(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(SECRETS)
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = rulepush_command(
        "run",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=debug",
    )
    paths = ["api/v1/status/config", "api/v1/status/flags", "api/v1/status/runtimeinfo", "api/v1/targets"]
    paths += ["api/v1/targets/metadata", "api/v1/alertmanagers", "api/v1/scrape_pools", "api/v1/rules", "metrics"]
    paths += ["targets", "alerts", "rules", "graph"]
    with running(command, tmp_path / "log", f"{url}/-/ready") as server:
        wait_for("a try", lambda: "127.0.0.1:1/" in server.output())
        for path in paths:
            answer = httpx.get(f"{url}/{path}", trust_env=False, timeout=10)
            assert answer.status_code == 200, path
            assert "S3CRET" not in answer.text, path
        assert "<secret>" in httpx.get(f"{url}/api/v1/status/config", trust_env=False).text
        assert "S3CRET" not in server.output()
