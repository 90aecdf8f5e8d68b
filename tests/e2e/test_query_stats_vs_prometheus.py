"""How many samples a query read, beside a real Prometheus on the same samples: in all and at each step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import STALE, Sample
from rulepush.promql import Engine, parse_expr
from rulepush.promql.eval.evaluation import QuerySamples
from rulepush.remote.encode import SentSample, SentSeries, write_request
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.web.statistics import QueryStatistics
from tests.needs import binary
from tests.servers import free_port, running

pytestmark = pytest.mark.e2e

SPACING_MS: Final = 15_000
QUERIES: Final = (
    "1",
    "vector(1)",
    "x",
    "nosuch",
    'x{i="1"} + on() group_left() x{i="2"}',
    "sum by (i) (x) / 2",
    "x offset 1m",
    "x @ {at}",
    "timestamp(x)",
    "rate(x[1m])",
    "max_over_time(x[45s] offset 30s)",
    "sum(rate(x[1m] @ {at}))",
    "avg_over_time(x[2m:10s])",
    "max_over_time(sum_over_time(x[1m])[1m:30s])",
    "max_over_time(x[2m:30s] @ {at})",
    "absent(nosuch)",
    "absent_over_time(x[1m])",
    "quantile_over_time(0.5, x[1m]) > bool 2",
    "topk(2, x)",
    "label_replace(x, 'a', '$1', 'i', '(.*)')",
)


class Both:
    """The same samples in a real Prometheus and in a Head."""

    def __init__(self, url: str, ts: int):
        self.url, self.ts = url, ts
        self.head = Head(Demand.keep_all(3_600_000))

    def load(self) -> None:
        sent: list[SentSample] = []
        for i in range(5):
            labels = Labels({METRIC_NAME: "x", "i": str(i)})
            series = SentSeries(labels)
            for k in range(30):
                if k % (i + 3) == 1:
                    continue
                ts, value = self.ts - (30 - k) * SPACING_MS, STALE if k == 20 + i else float(k)
                sent.append(SentSample(series, ts, value))
                self.head.append_many([Sample(labels, ts, value)])
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        body = write_request(sent)
        httpx.post(
            f"{self.url}/api/v1/write", content=body, headers=headers, trust_env=False, timeout=60
        ).raise_for_status()

    def theirs(self, path: str, **params: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params={**params, "stats": "all"}, trust_env=False, timeout=60)
        found: dict[str, Any] = answer.raise_for_status().json()["data"]["stats"]
        return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    program, directory, port = binary("prometheus"), tmp_path_factory.mktemp("stats"), free_port()
    (directory / "prometheus.yml").write_text("global: {}\n")
    command = [
        program,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--enable-feature=promql-per-step-stats",
    ]
    url = f"http://127.0.0.1:{port}"
    with running(command, directory / "log", f"{url}/-/ready"):
        pair = Both(url, int(time.time()) // 60 * 60_000)
        pair.load()
        yield pair


@pytest.mark.parametrize("text", [*QUERIES, "x[1m]", "x[1m] offset 1m", "x[2m:30s]", "rate(x[1m])[1m:20s]"])
def test_an_instant_query(both: Both, text: str) -> None:
    text = text.replace("{at}", str((both.ts - 60_000) / 1000))
    theirs = both.theirs("query", query=text, time=str(both.ts / 1000))
    ours = QueryStatistics(per_step=True)
    result = Engine().instant(parse_expr(text), both.ts, both.head.querier(), None, ours.samples)
    compare(ours.as_json(result.steps), theirs)


@pytest.mark.parametrize("text", QUERIES)
@pytest.mark.parametrize("step_s", [7, 60])
def test_a_range_query(both: Both, text: str, step_s: int) -> None:
    text, start = text.replace("{at}", str((both.ts - 60_000) / 1000)), both.ts - 200_500
    bounds = {"start": str(start / 1000), "end": str(both.ts / 1000), "step": str(step_s)}
    theirs = both.theirs("query_range", query=text, **bounds)
    ours = QueryStatistics(per_step=True)
    query, data = parse_expr(text), both.head.querier()
    result = Engine().range(query, start, both.ts, step_s * 1000, data, ours.samples)
    compare(ours.as_json(result.steps), theirs)


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["timings"].keys() == theirs["timings"].keys()
    assert ours["samples"].keys() == theirs["samples"].keys()
    for key in ("totalQueryableSamples", "totalQueryableSamplesPerStep"):
        assert ours["samples"][key] == theirs["samples"][key], key


def test_nothing_is_counted_where_it_is_not_asked_for(both: Both) -> None:
    samples = QuerySamples()
    query = parse_expr("rate(x[1m])")
    counted = Engine().instant(query, both.ts, both.head.querier(), None, samples)
    plain = Engine().instant(query, both.ts, both.head.querier())
    assert samples.total > 0
    assert samples.held > 0
    assert [(s.labels, s.value) for s in counted.samples()] == [(s.labels, s.value) for s in plain.samples()]
