"""Arithmetic to the last bit beside a real Prometheus: a rule may compare what two expressions give with == or > 0.

Of the mathematics library, exp, ln and trigonometry are not here: Go's differ from C's in the last bit for some values.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import Sample
from rulepush.promql import Engine, parse_expr
from rulepush.remote.encode import SentSample, SentSeries, write_request
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.needs import binary
from tests.servers import free_port, running

pytestmark = pytest.mark.e2e

SAMPLES: Final = 24
SPACING_MS: Final = 15_000


class Both:
    """The same samples in a real Prometheus and in a Head."""

    def __init__(self, url: str, ts: int):
        self._url = url
        self._ts = ts
        self._head = Head(Demand.keep_all(3_600_000))

    def load(self, draw: random.Random) -> None:
        sent: list[SentSample] = []
        for i in range(60):
            at = {"a": f"a{i % 7}", "b": f"b{i % 7}", "i": str(i)}
            for name, values in (("c_total", counter(draw)), ("d_total", counter(draw)), ("g", gauge(draw))):
                labels = Labels({METRIC_NAME: name, **at})
                series, late = SentSeries(labels), draw.randrange(SPACING_MS)
                for k, value in enumerate(values):
                    ts = self._ts - (SAMPLES - k) * SPACING_MS + late + draw.randint(-5, 5)
                    if draw.random() < 0.93 and ts <= self._ts:
                        sent.append(SentSample(series, ts, value))
                        self._head.append_many([Sample(labels, ts, value)])
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        answer = httpx.post(
            f"{self._url}/api/v1/write", content=write_request(sent), headers=headers, trust_env=False, timeout=60
        )
        answer.raise_for_status()

    def theirs(self, query: str) -> dict[Labels, float]:
        params = {"query": query, "time": str(self._ts / 1000)}
        answer = httpx.get(f"{self._url}/api/v1/query", params=params, trust_env=False, timeout=60).raise_for_status()
        return {Labels(row["metric"]): float(row["value"][1]) for row in answer.json()["data"]["result"]}

    def ours(self, query: str) -> dict[Labels, float]:
        samples = Engine().instant(parse_expr(query), self._ts, self._head.querier()).samples()
        return {sample.labels: sample.value for sample in samples}


def counter(draw: random.Random) -> list[float]:
    """Steps of many sizes, and a reset now and then."""
    value, values = draw.random() * 10.0 ** draw.randint(-3, 9), []
    for _ in range(SAMPLES):
        value = draw.random() * 5 if draw.random() < 0.12 else value + draw.random() * 10.0 ** draw.randint(-3, 4)
        values.append(value)
    return values


def gauge(draw: random.Random) -> list[float]:
    return [(draw.random() - 0.5) * 10.0 ** draw.randint(-5, 8) for _ in range(SAMPLES)]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    home, port = tmp_path_factory.mktemp("bits"), free_port()
    (home / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n")
    url = f"http://127.0.0.1:{port}"
    with running(command(home, port), home / "prometheus.log", f"{url}/-/ready"):
        pair = Both(url, int(time.time()) * 1000)
        pair.load(random.Random(7))
        yield pair


def command(home: Path, port: int) -> list[str]:
    return [
        binary("prometheus"),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=promql-experimental-functions",
        "--web.enable-remote-write-receiver",
    ]


@pytest.mark.parametrize(
    "query",
    [
        "sum(rate(c_total[5m])) by (a) * on (a) group_left (b) max by (a, b) (d_total) > 0",
        "rate(c_total[5m])",
        "rate(c_total[299999ms])",
        "increase(c_total[5m])",
        "irate(c_total[5m])",
        "delta(g[5m])",
        "rate(c_total[5m]) / rate(d_total[5m])",
        "sum by (a) (rate(c_total[5m])) / sum by (a) (increase(c_total[10m]))",
        "sum(g)",
        "avg by (a) (g)",
        "sum_over_time(g[5m])",
        "avg_over_time(g[5m])",
        "avg_over_time(rate(c_total[1m])[5m:13s])",
        "deriv(g[5m])",
        "predict_linear(g[5m], 3600)",
        "quantile(0.37, g)",
        "quantile_over_time(0.9, g[5m])",
        "double_exponential_smoothing(g[5m], 0.3, 0.7)",
        "stddev(g)",
        "stdvar by (a) (c_total)",
        "stddev_over_time(g[5m])",
        "stdvar_over_time(c_total[1m])",
        "stddev_over_time(rate(c_total[1m])[5m:13s])",
        "(g - avg_over_time(g[5m])) / stddev_over_time(g[5m])",
        "(c_total - c_total offset 1m) / c_total offset 1m",
        "100 * (1 - rate(c_total[1m]) / rate(d_total[1m]))",
        "g ^ 2",
        "g ^ 3",
        "g ^ -5",
        "abs(g) ^ 0.5",
        "abs(g) ^ -0.5",
        "round(g, 0.3)",
        "g % 7",
    ],
)
def test_the_same_to_the_last_bit(both: Both, query: str) -> None:
    theirs = both.theirs(query)
    assert theirs
    assert both.ours(query) == theirs
