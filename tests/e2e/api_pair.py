"""Prometheus and rulepush on the same targets and rules, to compare what their HTTP APIs answer.

It is Prometheus 3.5 or later: older ones answer otherwise.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from tests.http_server import HttpReply, LoopbackServer
from tests.servers import binary, free_port, get_json, rulepush_command, running, wait_for

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
# TYPE size summary
size{quantile="1"} 5
size{quantile="0.5",le="1"} 3
size_sum 8
size_count 2
# TYPE late gauge
late{le="1",quantile="1"} 1
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
    dead: int  # a port that nothing listens on

    def ask(
        self, path: str, params: Sequence[tuple[str, str]] = (), method: str = "GET"
    ) -> tuple[httpx.Response, httpx.Response]:
        first, second = (ask(base, path, params, method) for base in (self.prometheus, self.ours))
        return first, second

    def same(self, path: str, params: Sequence[tuple[str, str]] = (), method: str = "GET") -> Any:
        """Both answers agree; returns the data."""
        theirs, ours = self.ask(path, params, method)
        assert ours.status_code == theirs.status_code, (ours.text, theirs.text)
        assert ours.headers["content-type"] == theirs.headers["content-type"]
        assert comparable(ours.json()) == comparable(theirs.json())
        return ours.json().get("data")


def ask(base: str, path: str, params: Sequence[tuple[str, str]], method: str) -> httpx.Response:
    url = f"{base}/api/v1/{path}"
    if method == "GET":
        return httpx.get(url, params=list(params), trust_env=False, timeout=60)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return httpx.request(method, url, content=urlencode(params), headers=form, trust_env=False, timeout=60)


def comparable(data: Any) -> Any:
    """What moves checked and set aside, lists in one order (both give series in any)."""
    if isinstance(data, dict):
        out = {}
        for key, value in data.items():
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


@contextlib.contextmanager
def running_pair(directory: Path) -> Iterator[Pair]:
    """Both servers, with three seconds of history."""
    program = binary("prometheus")
    server = LoopbackServer(lambda _: HttpReply(BODY.encode()))
    target, dead = server.address, free_port()
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
        yield Pair(urls[0], urls[1], int(time.time()) - 1, target, directory, dead)
    server.close()


def _complete(url: str) -> float | None:
    """A time by which every target was scraped and every rule evaluated on its samples."""
    wanted = {"up": 2, "ALERTS": 4, "job:x:sum": 1, "x:copy": 1, "odd": 3}
    counts = {q: len(get_json(f"{url}/api/v1/query", query=q)["data"]["result"]) for q in wanted}
    return time.time() if counts == wanted else None
