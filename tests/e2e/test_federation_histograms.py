"""/federate in protobuf beside a real Prometheus', and a real Prometheus that takes native histograms from rulepush."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rulepush.exposition.protobuf.delimited import each_family, read_metric
from tests import delimited_families as wire
from tests.delimited_families import GAUGE_HISTOGRAM, HISTOGRAM, UNTYPED
from tests.http_server import HttpReply, LoopbackServer
from tests.servers import binary, free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
INTEGER = wire.histogram(
    10, 2.5, schema=2, zero=(0.01, 1), positive=([(-1, 2), (2, 1)], [2, 1, 0]), negative=([(3, 1)], [1])
)
FRACTIONAL = wire.histogram(
    3.5, 1.5, schema=0, zero=(0.5, 0.5), positive=([(0, 2)], [1.0, 2.0]), fractional=True, packed=True
)
GAUGE = wire.histogram(4, 7, schema=1, positive=([(2, 2)], [1, 2]))
BODY = b"".join(
    [
        wire.family("h", HISTOGRAM, *(wire.metric(HISTOGRAM, INTEGER, [("p", p)]) for p in ("x", "y"))),
        wire.family("f", HISTOGRAM, wire.metric(HISTOGRAM, FRACTIONAL)),
        wire.family("g", GAUGE_HISTOGRAM, wire.metric(GAUGE_HISTOGRAM, GAUGE)),
        # One metric of all kinds, in the order of its labels.
        wire.family("m", HISTOGRAM, wire.metric(HISTOGRAM, INTEGER, [("p", "1")])),
        wire.family("m", GAUGE_HISTOGRAM, wire.metric(GAUGE_HISTOGRAM, GAUGE, [("p", "2")])),
        wire.family("m", UNTYPED, wire.metric(UNTYPED, wire.number(1.5), [("p", "3")])),
        wire.family("m", HISTOGRAM, wire.metric(HISTOGRAM, FRACTIONAL, [("p", "4")])),
        wire.family("a.b", HISTOGRAM, wire.metric(HISTOGRAM, INTEGER, [("c.d", "e")])),
    ]
)
ALL = '{job="app",__name__!~"up|scrape_.*"}'


class Three:
    """Prometheus and rulepush on one target, and a Prometheus that federates rulepush."""

    def __init__(self, theirs: str, ours: str, above: str):
        self.theirs, self.ours, self.above = theirs, ours, above


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    target = LoopbackServer(lambda _: HttpReply(BODY, content_type=wire.CONTENT_TYPE))
    home = tmp_path_factory.mktemp("federation")
    theirs, ours, above = (f"127.0.0.1:{free_port()}" for _ in range(3))
    scrape = {"job_name": "app", "static_configs": [{"targets": [target.address]}]}
    base: dict[str, Any] = {"global": {"scrape_interval": "1s", "external_labels": {"site": "a"}}}
    native = {**scrape, "scrape_native_histograms": True, "scrape_protocols": ["PrometheusProto"]}
    (home / "theirs.yml").write_text(
        json.dumps({**base, "scrape_configs": [{**scrape, "scrape_protocols": ["PrometheusProto"]}]})
    )
    (home / "ours.yml").write_text(json.dumps({**base, "scrape_configs": [native], "storage": {"keep": "all"}}))
    federates = {
        "job_name": "federate",
        "metrics_path": "/federate",
        "honor_labels": True,
        "params": {"match[]": [ALL]},
        "scrape_protocols": ["PrometheusProto"],
        "static_configs": [{"targets": [ours]}],
    }
    (home / "above.yml").write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [federates]}))
    with (
        running(rulepush_command("run", *flags(home, "ours", ours)), home / "ours.log", f"http://{ours}/-/ready"),
        running(prometheus(home, "theirs", theirs), home / "theirs.log", f"http://{theirs}/-/ready"),
        running(prometheus(home, "above", above), home / "above.log", f"http://{above}/-/ready"),
    ):
        found = Three(*(f"http://{at}" for at in (theirs, ours, above)))
        for url in (found.theirs, found.ours, found.above):
            wait_for("the histograms", lambda url=url: answered(url, ALL))  # type: ignore[misc]
        yield found
    target.close()


def flags(home: Path, name: str, address: str) -> list[str]:
    return [f"--config.file={home}/{name}.yml", f"--web.listen-address={address}"]


def prometheus(home: Path, name: str, address: str) -> list[str]:
    more = [f"--storage.tsdb.path={home}/{name}", "--enable-feature=native-histograms"]
    return [binary("prometheus"), *flags(home, name, address), *more]


def answered(url: str, query: str) -> list[Any]:
    """The instant answer, without its time."""
    result = get_json(f"{url}/api/v1/query", query=query, time=str(time.time()))["data"]["result"]
    rows = [(one["metric"], one.get("value", [0, ""])[1], one.get("histogram", [0, None])[1]) for one in result]
    return sorted(rows, key=lambda row: json.dumps(row[0], sort_keys=True))


def families(url: str, accept: str, *match: str) -> tuple[str, list[Any]]:
    params = httpx.QueryParams([("match[]", text) for text in match])
    answer = httpx.get(f"{url}/federate", params=params, headers={"Accept": accept}, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    found: list[Any] = []
    for family in each_family(answer.content):
        metrics = [read_metric(raw) for raw in family.metric]
        for metric in metrics:
            assert time.time() * 1000 - 60_000 < metric.timestamp_ms <= time.time() * 1000
            metric.ClearField("timestamp_ms")
        found.append((family.name, family.type, family.help, [str(metric) for metric in metrics]))
    return answer.headers["content-type"], found


@pytest.mark.parametrize(
    "match", [(ALL,), ("h",), ("f", "g"), ("m",), ('m{p=~"[23]"}', "h"), ('{"a.b"}',), ("up",), ("no",)]
)
@pytest.mark.parametrize(
    "accept",
    [
        PROTOBUF,
        f"text/plain;q=0.5,{PROTOBUF};escaping=allow-utf-8;q=0.6",
        f"{PROTOBUF};escaping=values",
        f"{PROTOBUF};escaping=dots",
    ],
)
def test_the_same_families(three: Three, match: tuple[str, ...], accept: str) -> None:
    assert families(three.ours, accept, *match) == families(three.theirs, accept, *match)


@pytest.mark.parametrize("accept", [f"text/plain,{PROTOBUF};q=0.9", "*/*", "application/vnd.google.protobuf"])
def test_the_same_text(three: Three, accept: str) -> None:
    answers = [
        httpx.get(f"{url}/federate", params={"match[]": "m"}, headers={"Accept": accept}, trust_env=False, timeout=60)
        for url in (three.theirs, three.ours)
    ]
    theirs, ours = ((a.headers["content-type"], a.text.rsplit(" ", 1)[0]) for a in answers)
    assert ours == theirs
    assert "untyped" in ours[1]


def test_a_prometheus_that_federates_has_the_histograms(three: Three) -> None:
    expected = answered(three.ours, ALL)
    assert len(expected) == 9
    assert sum(histogram is not None for _, _, histogram in expected) == 8
    assert expected == answered(three.theirs, ALL)
    # By this protocol 3.5 asks for names with underscores.
    escaped = {"a.b": "a_b", "c.d": "c_d"}
    expected = [
        ({escaped.get(k, k): escaped.get(v, v) for k, v in labels.items()}, *rest) for labels, *rest in expected
    ]
    above = [({k: v for k, v in labels.items() if k != "site"}, *rest) for labels, *rest in answered(three.above, ALL)]
    assert above == expected
    for query in ("histogram_quantile(0.9, h)", "sum(h)", "histogram_count(f)", "g * 2"):
        got = [row[1:] for row in answered(three.above, query)]
        assert got == [row[1:] for row in answered(three.ours, query)] != []
