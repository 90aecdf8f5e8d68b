"""Rules on a real Prometheus that has native histograms, beside the same rules evaluated by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests import delimited_families as wire
from tests.delimited_families import HISTOGRAM
from tests.http_server import HttpReply, LoopbackServer
from tests.servers import binary, free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

RULES = """
groups:
- name: histograms
  rules:
  - {record: "job:h:sum_WHERE", expr: sum by (job) (h)}
  - {record: "job:h:count_WHERE", expr: histogram_count(sum by (job) (h))}
  - {record: "custom_WHERE", expr: sum by (job) (c)}
  - {record: "either_WHERE", expr: e}
  - {alert: Quantile, expr: "histogram_quantile(0.9, h) > 0", annotations: {is: "{{ $value }}"}}
  - {alert: OfCustom, expr: "histogram_quantile(0.5, c) > 0", annotations: {is: "{{ $value }}"}}
  - {alert: Whole, expr: sum by (job) (h), annotations: {is: "{{ $value }}"}}
  - {alert: Custom, expr: c, annotations: {is: "{{ $value }}"}}
  - {alert: Either, expr: e, annotations: {is: "{{ $value }}"}}
  - {alert: Chain, expr: "histogram_quantile(0.9, job:h:sum_WHERE) > 0", annotations: {is: "{{ $value }}"}}
  - {alert: Joined, expr: "job:h:sum_WHERE + on (job) sum by (job) (h)", annotations: {is: "{{ $value }}"}}
  - alert: OverTime
    expr: histogram_sum(sum_over_time(h[4s]) / on (instance, p) count_over_time(h[4s])) > on () group_left
      0 * histogram_count(job:h:sum_WHERE)
    annotations: {is: "{{ $value }}"}
"""
JOINED_WITH_CUSTOM = "histogram_count(c) > on (job) histogram_count(job:h:sum_WHERE) * 0"
DOUBTFUL = f"""
  - {{alert: Doubtful, expr: "{JOINED_WITH_CUSTOM}"}}
"""
EQUAL = {"Quantile", "OfCustom", "Whole", "Custom", "Either", "Chain", "Joined", "OverTime"}


def body() -> bytes:
    first = wire.histogram(
        9, 6.5, schema=3, zero=(0.01, 1), positive=([(-1, 2), (5, 1)], [2, 0, 1]), negative=([(0, 1)], [1])
    )
    other = wire.histogram(7, 31.25, schema=1, zero=(0.001, 1), positive=([(1, 3)], [2, 0, 0]))
    either = wire.histogram(3, 4, schema=0, zero=(0.001, 0), positive=([(0, 2)], [1, 1]))
    classic = wire.histogram(9, 5, [(0.1, 1), (0.3, 1), (0.7, 6), (2.5, 6)])
    pairs = [wire.metric(HISTOGRAM, one, [("p", p)]) for one, p in ((first, "x"), (other, "y"))]
    found = wire.family("h", HISTOGRAM, *pairs)
    found += wire.family("e", HISTOGRAM, wire.metric(HISTOGRAM, either))
    return found + wire.family("c", HISTOGRAM, wire.metric(HISTOGRAM, classic))


@dataclass
class Both:
    theirs: str
    ours: str

    def alerts(self, url: str) -> dict[str, list[tuple[str, str]]]:
        """(value, annotation) of each alert that fires, by name."""
        found: dict[str, list[tuple[str, str]]] = {}
        for alert in get_json(f"{url}/api/v1/alerts")["data"]["alerts"]:
            pair = alert["value"], alert["annotations"].get("is", "")
            found.setdefault(alert["labels"]["alertname"], []).append(pair)
        return {name: sorted(pairs) for name, pairs in found.items()}

    def rule(self, name: str) -> dict[str, Any]:
        groups = get_json(f"{self.ours}/api/v1/rules")["data"]["groups"]
        return next(rule for group in groups for rule in group["rules"] if rule["name"] == name)

    def recorded(self, name: str) -> list[Any]:
        """On the engine."""
        result = get_json(f"{self.theirs}/api/v1/query", query=name)["data"]["result"]
        return [(one["metric"]["job"], (one.get("histogram") or one.get("value"))[1]) for one in result]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    target = LoopbackServer(lambda _: HttpReply(body(), content_type=wire.CONTENT_TYPE))
    home = tmp_path_factory.mktemp("both")
    theirs, ours = (f"127.0.0.1:{free_port()}" for _ in range(2))
    every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    scrape = {
        "job_name": "app",
        "scrape_protocols": ["PrometheusProto"],
        "convert_classic_histograms_to_nhcb": True,
        "static_configs": [{"targets": [target.address]}],
    }
    (home / "theirs.rules").write_text(RULES.replace("WHERE", "prometheus"))
    (home / "ours.rules").write_text((RULES + DOUBTFUL).replace("WHERE", "rulepush"))
    (home / "theirs.yml").write_text(
        json.dumps({"global": every, "rule_files": ["theirs.rules"], "scrape_configs": [scrape]})
    )
    source = {"name": "central", "url": f"http://{theirs}", "rule_files": ["ours.rules"], "write_to": "central"}
    send = {
        "name": "central",
        "url": f"http://{theirs}/api/v1/write",
        "send_native_histograms": True,
        "queue_config": {"batch_send_deadline": "100ms"},
    }
    (home / "ours.yml").write_text(json.dumps({"global": every, "remote_write": [send], "datasources": [source]}))
    real = [binary("prometheus"), f"--config.file={home}/theirs.yml", f"--web.listen-address={theirs}"]
    real += [f"--storage.tsdb.path={home}/data", "--web.enable-remote-write-receiver"]
    real += ["--enable-feature=native-histograms"]
    command = rulepush_command("run", f"--config.file={home}/ours.yml", f"--web.listen-address={ours}")
    with (
        running(real, home / "theirs.log", f"http://{theirs}/-/ready"),
        running(command, home / "ours.log", f"http://{ours}/-/ready"),
    ):
        made = Both(f"http://{theirs}", f"http://{ours}")
        for url in (made.theirs, made.ours):
            wait_for("all alerts", lambda url=url: set(made.alerts(url)) >= EQUAL or None)  # type: ignore[misc]
        yield made
    target.close()


@pytest.mark.parametrize("name", sorted(EQUAL))
def test_alerts_have_the_value_and_the_text_that_prometheus_gives_them(both: Both, name: str) -> None:
    assert both.alerts(both.ours)[name] == both.alerts(both.theirs)[name]


@pytest.mark.parametrize("name", ["job:h:sum", "job:h:count"])
def test_what_is_recorded_of_histograms_arrives_as_prometheus_records_it(both: Both, name: str) -> None:
    arrived = wait_for("the recorded series", lambda: both.recorded(f"{name}_rulepush"))
    assert arrived == both.recorded(f"{name}_prometheus")
    assert both.rule(f"{name}_rulepush")["health"] == "ok"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("custom_rulepush", 'cannot record the native histogram of {job="app"} as the engine has it: it has custom b'),
        ("either_rulepush", "its buckets may be custom or exponential ones: all bounds are powers of 2"),
        ("Doubtful", "cannot compute with the native histogram of c{instance="),
    ],
)
def test_what_the_api_does_not_tell_is_an_error_of_the_rule(both: Both, name: str, said: str) -> None:
    rule = both.rule(name)
    assert rule["health"] == "err"
    assert said in rule["lastError"]
    assert both.recorded(name) == []
