"""Zeros at the start of counters (created-timestamp-zero-ingestion), beside a real Prometheus on the same targets."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests import delimited_families as wire
from tests.delimited_families import COUNTER, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, SUMMARY
from tests.e2e.scraping_pair import scraping_pair
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import get_json, wait_for

pytestmark = pytest.mark.e2e

SCRAPES = 8  # then the target answers 500
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def started(value: bytes, number: int, seconds: float) -> bytes:
    """A value with its created_timestamp, the field `number`."""
    whole = int(seconds)
    return value + wire.field(number, wire.whole(1, whole) + wire.whole(2, round((seconds - whole) * 1e9)))


def protobuf(began: float) -> bytes:
    native = wire.histogram(6, 2.5, schema=1, zero=(0.01, 1), positive=([(-1, 2)], [2, 1]), created=False)
    fraction = wire.histogram(1.5, 1, schema=0, positive=([(0, 1)], [1.5]), fractional=True, created=False)
    classic = wire.histogram(4, 3, [(0.5, 1), (2, 3)], created=False)
    return b"".join(
        [
            wire.family(
                "n_total",
                COUNTER,
                wire.metric(COUNTER, started(wire.number(5), 3, began), [("p", "x")]),
                wire.metric(COUNTER, wire.number(7), [("p", "none")]),
                wire.metric(COUNTER, started(wire.number(8), 3, began - 7200), [("p", "long ago")]),
                wire.metric(COUNTER, started(wire.number(8), 3, began + 86_400), [("p", "ahead")]),
            ),
            wire.family("g", GAUGE, wire.metric(GAUGE, wire.number(1))),
            wire.family("s", SUMMARY, wire.metric(SUMMARY, started(wire.summary(3, 2.5, [(0.5, 1)]), 4, began))),
            wire.family("h", HISTOGRAM, wire.metric(HISTOGRAM, started(native, 15, began))),
            wire.family("f", HISTOGRAM, wire.metric(HISTOGRAM, started(fraction, 15, began))),
            wire.family("k", GAUGE_HISTOGRAM, wire.metric(GAUGE_HISTOGRAM, started(native, 15, began))),
            wire.family("c", HISTOGRAM, wire.metric(HISTOGRAM, started(classic, 15, began))),
        ]
    )


def openmetrics(began: float) -> bytes:
    return f"""# TYPE n counter
n_total{{p="x"}} 5
n_created{{p="x"}} {began:.3f}
n_total{{p="y"}} 6
n_created{{p="y"}} {began + 0.25:.3f}
n_total{{p="none"}} 7
# TYPE s summary
s{{quantile="0.5"}} 1
s_count 3
s_sum 2.5
s_created {began:.3f}
# TYPE c histogram
c_bucket{{le="0.5",p="x"}} 1
c_bucket{{le="+Inf",p="x"}} 4
c_sum{{p="x"}} 3
c_count{{p="x"}} 4
c_created{{p="x"}} {began:.3f}
c_bucket{{le="0.5",p="y"}} 1
c_bucket{{le="+Inf",p="y"}} 4
c_sum{{p="y"}} 3
c_count{{p="y"}} 4
# TYPE g gauge
g 1
# TYPE later_created gauge
later_created 17
# EOF
""".encode()


KINDS = {"protobuf": (protobuf, wire.CONTENT_TYPE), "openmetrics": (openmetrics, OPENMETRICS)}
JOBS: dict[str, dict[str, Any]] = {
    "protobuf": {},
    "protobuf_both": {"always_scrape_classic_histograms": True},
    "openmetrics": {},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """job -> (theirs, ours): series -> its samples, with times after the first scrape as the number of the scrape."""
    base = time.time()
    scrapes: Counter[str] = Counter()
    times: dict[str, list[float]] = {}
    lock = threading.Lock()

    def reply(asked: HttpRequest) -> HttpReply:
        job = asked.path.split("/")[1]
        with lock:
            n = scrapes[asked.path]
            scrapes[asked.path] += 1
            times.setdefault(asked.path, []).append(time.time())
        if n >= SCRAPES:
            return HttpReply(b"", status=500)
        make, content_type = KINDS[job.split("_")[0]]
        # It starts again, first without anybody noticing at a known time, then between two scrapes.
        began = base - 60 if n < 4 else times[asked.path][4] - 0.7
        return HttpReply(make(round(began, 3)), content_type=content_type)

    target = LoopbackServer(reply)
    home = tmp_path_factory.mktemp("starts")
    features = ("created-timestamp-zero-ingestion",)
    with scraping_pair(home, target.address, JOBS, features) as urls:
        wait_for("all scrapes", lambda: len(scrapes) == 2 * len(JOBS) and min(scrapes.values()) > SCRAPES, 60)
        answers: dict[str, list[dict[str, Any]]] = {name: [] for name in JOBS}
        for who, url in zip(("theirs", "ours"), urls, strict=True):
            query = '{instance="t",__name__!~"up|scrape_.*"}[3m]'
            data = get_json(f"{url}/api/v1/query", query=query, time=str(time.time()))["data"]["result"]
            seen: dict[str, dict[str, Any]] = {name: {} for name in JOBS}
            for one in data:
                name = one["metric"].pop("job")
                samples = sorted([*one.get("values", []), *one.get("histograms", [])], key=lambda sample: sample[0])
                shown = [(placed(at, base, times[f"/{name}/{who}"]), value) for at, value in samples]
                seen[name][json.dumps(one["metric"], sort_keys=True)] = shown
            for name in JOBS:
                answers[name].append(seen[name])
        yield answers
    target.close()


def placed(at: float, base: float, scrapes: list[float]) -> str:
    """Where a sample stands: at a start that the target told, or at a scrape."""
    if abs(at - (base - 60)) < 0.3:
        return f"start {at - base:.1f}"
    n = min(range(len(scrapes)), key=lambda i: abs(scrapes[i] - at))
    return f"scrape {n}" if abs(scrapes[n] - at) < 0.2 else f"before scrape {n} {at < scrapes[n]}"


@pytest.mark.parametrize("job", JOBS)
def test_the_same_samples(job: str, found: dict[str, list[dict[str, Any]]]) -> None:
    theirs, ours = found[job]
    assert any(value == "0" and at.startswith("start") for samples in theirs.values() for at, value in samples)
    assert any(value == "0" and at.startswith("before") for samples in theirs.values() for at, value in samples)
    assert ours == theirs
