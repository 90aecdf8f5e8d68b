"""/federate beside a real Prometheus', and a real Prometheus that federates from rulepush."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.api_pair import BODY, Pair, running_pair
from tests.http_server import HttpReply, LoopbackServer
from tests.needs import binary
from tests.servers import free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

SCRAPER_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("federate")) as both:
        yield both


def federate(base: str, *match: str, accept: str = "") -> httpx.Response:
    params = httpx.QueryParams([("match[]", text) for text in match])
    return httpx.get(f"{base}/federate", params=params, headers={"Accept": accept}, trust_env=False, timeout=60)


def without_times(text: str) -> list[str]:
    return [re.sub(r" \d{13}$", "", line) for line in text.splitlines()]


@pytest.mark.parametrize(
    "match",
    [
        (),
        ("x",),
        ('{job="app",__name__!~"ALERTS_FOR_STATE|scrape_.*"}',),
        ("odd", "x", '{__name__=~"x|hits_total"}'),
        ('{__name__=~"took.*|size.*|late"}',),
        ("job:x:sum", "ALERTS"),
        ("nosuch",),
        ("up",),
        ('{__name__=~".*",job="down",__name__!~"scrape_.*"}', '{zone=~".*",job="down",__name__="up"}'),
    ],
)
@pytest.mark.parametrize("accept", ["", SCRAPER_ACCEPTS, "application/openmetrics-text", "text/plain;version=0.0.4"])
def test_the_same_lines_in_the_same_order(pair: Pair, match: tuple[str, ...], accept: str) -> None:
    theirs, ours = (federate(base, *match, accept=accept) for base in (pair.prometheus, pair.ours))
    assert (ours.status_code, ours.headers["content-type"]) == (theirs.status_code, theirs.headers["content-type"])
    assert without_times(ours.text) == without_times(theirs.text)


@pytest.mark.parametrize("match", ["(", "sum(x)", "x[5m]"])
def test_a_selector_that_is_none(pair: Pair, match: str) -> None:
    theirs, ours = (federate(base, match) for base in (pair.prometheus, pair.ours))
    assert (ours.status_code, ours.headers["content-type"]) == (theirs.status_code, theirs.headers["content-type"])
    assert ours.status_code == 400


CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{site: a}}}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target}']}}]}}]
"""
RULES = """
groups:
- name: g
  rules:
  - {record: "job:x:sum", expr: "sum by (job) (x)"}
  - {alert: Low, expr: "job:x:sum < 0 or up == 0"}
"""
ABOVE = """
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: kept
  honor_labels: true
  metrics_path: /federate
  params: {{'match[]': ['up', '{{__name__="job:x:sum"}}', 'x']}}
  static_configs: [{{targets: ['{ours}']}}]
- job_name: not_kept
  honor_labels: true
  metrics_path: /federate
  params: {{'match[]': ['up', 'hits_total']}}
  static_configs: [{{targets: ['{ours}']}}]
- job_name: partial
  metrics_path: /federate
  params: {{'match[]': ['up', 'hits_total'], incomplete: [allow]}}
  static_configs: [{{targets: ['{ours}']}}]
"""


def values(prometheus: str, query: str) -> list[tuple[dict[str, str], str]]:
    result: list[Any] = get_json(f"{prometheus}/api/v1/query", query=query)["data"]["result"]
    return [(row["metric"], row["value"][1]) for row in result]


def test_a_prometheus_federates_what_the_rules_need(tmp_path: Path) -> None:
    program = binary("prometheus")
    server = LoopbackServer(lambda _: HttpReply(BODY.encode()))
    ports = [free_port(), free_port()]
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "rulepush.yml").write_text(CONFIG.format(target=server.address))
    (tmp_path / "above.yml").write_text(ABOVE.format(ours=f"127.0.0.1:{ports[0]}"))
    ours = rulepush_command(
        "run", f"--config.file={tmp_path / 'rulepush.yml'}", f"--web.listen-address=127.0.0.1:{ports[0]}"
    )
    theirs = [
        program,
        f"--config.file={tmp_path / 'above.yml'}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{ports[1]}",
    ]
    url = f"http://127.0.0.1:{ports[1]}"
    with (
        running(ours, tmp_path / "rulepush.log", f"http://127.0.0.1:{ports[0]}/-/ready"),
        running(theirs, tmp_path / "prometheus.log", f"{url}/-/ready"),
    ):
        found = wait_for("the recorded sum above", lambda: values(url, '{__name__="job:x:sum"}'))
        assert found == [({"__name__": "job:x:sum", "job": "app", "site": "a"}, "1.23456789e+25")]
        assert {row[0]["zone"] for row in values(url, "x")} == {"a", "b", "c", "你好"}
        assert values(url, 'up{job="app"}') == [
            ({"__name__": "up", "instance": server.address, "job": "app", "site": "a"}, "1")
        ]
        # A rule reads neither: the scrape fails rather than to show no series.
        wait_for("a failed scrape", lambda: values(url, 'up{job="not_kept"} == 0'))
        targets = get_json(f"{url}/api/v1/targets")["data"]["activeTargets"]
        errors = {target["scrapePool"]: target["lastError"] for target in targets}
        assert errors["kept"] == errors["partial"] == ""
        assert "422" in errors["not_kept"]
        assert wait_for("what is there", lambda: values(url, 'up{exported_job="app"}'))
    server.close()
