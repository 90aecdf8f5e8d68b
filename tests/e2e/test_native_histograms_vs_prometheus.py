"""A real Prometheus and rulepush that send each other what they scrape: both have the same samples, and answer alike.

Prometheus scrapes job `a` and sends it on, rulepush job `b`. So the samples of either have the same times on both, and
ranges can be compared, too.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests import delimited_families as wire
from tests.delimited_families import COUNTER, GAUGE_HISTOGRAM, HISTOGRAM
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import binary, free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

SCRAPES = 10  # then the target answers 500
V1, V2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"


def body(n: int) -> bytes:
    """What the target says at its scrape number `n`: there is a reset, and a series that changes its kind.

    It counts from far above zero. Near it 3.14 extrapolates the rate of a histogram no further than to zero, 3.5 does:
    whether that shows depends on where in its second the target is scraped.
    """
    k = (n + 1 if n < 6 else n - 4) + 100
    integer = wire.histogram(
        7 * k,
        2.5 * k,
        [(1, 2 * k)],
        schema=2,
        zero=(0.01, k),
        positive=([(-1, 2), (2, 1)], [k, k, 0]),
        negative=([(0, 1)], [k]),
    )
    fractional = wire.histogram(
        3.5 * k, 1.5 * k, schema=0, zero=(0.5, 0.5 * k), positive=([(0, 2)], [1.0 * k, 2.0 * k]), fractional=True
    )
    gauge = wire.histogram(n % 3 + 1, n, schema=1, positive=([(n % 4, 1)], [n % 3 + 1]))
    classic = wire.histogram(4 * k, 3 * k, [(0.5, k), (2, 3 * k)])
    found = wire.family(
        "h", HISTOGRAM, wire.metric(HISTOGRAM, integer, [("p", "x")]), wire.metric(HISTOGRAM, integer, [("p", "y")])
    )
    found += wire.family("f", HISTOGRAM, wire.metric(HISTOGRAM, fractional))
    found += wire.family("g", GAUGE_HISTOGRAM, wire.metric(GAUGE_HISTOGRAM, gauge))
    found += wire.family("c", HISTOGRAM, wire.metric(HISTOGRAM, classic))
    found += wire.family("n", COUNTER, wire.metric(COUNTER, wire.number(k)))
    changing = wire.family("k", HISTOGRAM, wire.metric(HISTOGRAM, integer))
    return found + (changing if n % 4 < 2 else wire.gauge("k", n))


QUERIES = [
    "h",
    "f",
    "g",
    "c",
    "k",
    "n",
    "h[20s]",
    "k[20s]",
    "rate(h[15s])",
    "increase(f[15s])",
    "irate(h[15s])",
    "delta(g[15s])",
    "idelta(g[15s])",
    "rate(c[15s])",
    "resets(h[20s])",
    "changes(h[20s])",
    "count_over_time(k[20s])",
    "sum_over_time(g[20s])",
    "avg_over_time(h[20s])",
    "last_over_time(k[20s])",
    "sum(h)",
    "avg by (job) (h)",
    "sum without (p) (rate(h[15s]))",
    "count(h)",
    "h * 2",
    "-h",
    'h{p="x"} + ignoring(p) h{p="y"}',
    'h{p="x"} - ignoring(p) h{p="y"}',
    'h{p="x"} == ignoring(p) h{p="y"}',
    "histogram_quantile(0.9, h)",
    "histogram_quantile(0.5, sum(rate(h[15s])))",
    "histogram_quantile(0.7, c)",
    "histogram_fraction(0, 1, h)",
    "histogram_count(h)",
    "histogram_sum(f)",
    "histogram_avg(h)",
    "histogram_stddev(h)",
    "histogram_stdvar(f)",
    "timestamp(h)",
    "absent(h)",
    "topk(1, h)",
    "max(k)",
    "h offset 3s",
    "h or n",
]


class Pair:
    """The two, and the moments that are compared (seconds)."""

    def __init__(self, theirs: str, ours: str, began: float):
        self.theirs, self.ours, self.began = theirs, ours, began

    def ask(self, url: str, query: str, at: float | None) -> Any:
        if at is not None:
            answer = get_json(f"{url}/api/v1/query", query=query, time=str(at))
        else:
            span = {"start": str(self.began), "end": str(self.began + SCRAPES + 4), "step": "1"}
            answer = get_json(f"{url}/api/v1/query_range", query=query, **span)
        result = answer["data"]["result"]
        return sorted(result, key=lambda one: json.dumps(one["metric"], sort_keys=True)) if result else []


@pytest.fixture(scope="module", params=[V1, V2])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    protocol = request.param
    scrapes: Counter[str] = Counter()
    lock, begin = threading.Lock(), threading.Event()

    def reply(asked: HttpRequest) -> HttpReply:
        if not begin.is_set():
            return HttpReply(status=503)
        with lock:
            n = scrapes[asked.path]
            scrapes[asked.path] += 1
        return HttpReply(body(n), content_type=wire.CONTENT_TYPE) if n < SCRAPES else HttpReply(status=500)

    target = LoopbackServer(reply)
    home = tmp_path_factory.mktemp("both")
    theirs, ours = (f"127.0.0.1:{free_port()}" for _ in range(2))

    def config(job: str, to: str) -> dict[str, Any]:
        scrape = {
            "job_name": job,
            "metrics_path": f"/{job}",
            "scrape_protocols": ["PrometheusProto"],
            # By 1.0 Prometheus 3.5 sends custom buckets without their bounds, which no receiver can take.
            "convert_classic_histograms_to_nhcb": protocol == V2,
            "static_configs": [{"targets": [target.address], "labels": {"instance": "t"}}],
        }
        send = {
            "url": f"http://{to}/api/v1/write",
            "protobuf_message": protocol,
            "send_native_histograms": True,
            "queue_config": {"batch_send_deadline": "200ms"},
            "write_relabel_configs": [{"source_labels": ["job"], "regex": job, "action": "keep"}],
        }
        return {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape], "remote_write": [send]}

    (home / "theirs.yml").write_text(json.dumps(config("a", ours)))
    mine = config("b", theirs)
    mine["scrape_configs"][0]["scrape_native_histograms"] = True
    (home / "ours.yml").write_text(json.dumps({**mine, "storage": {"keep": "all"}}))
    real = [binary("prometheus"), f"--config.file={home}/theirs.yml", f"--web.listen-address={theirs}"]
    real += [f"--storage.tsdb.path={home}/data", "--web.enable-remote-write-receiver"]
    real += ["--enable-feature=native-histograms"]
    command = rulepush_command("run", f"--config.file={home}/ours.yml", f"--web.listen-address={ours}")
    command.append("--web.enable-remote-write-receiver")
    with (
        running(command, home / "ours.log", f"http://{ours}/-/ready"),
        running(real, home / "theirs.log", f"http://{theirs}/-/ready"),
    ):
        pair = Pair(f"http://{theirs}", f"http://{ours}", 0.0)
        # What was scraped before its remote write had begun is never sent.
        wait_for("what they send each other", lambda: pair.ask(pair.theirs, 'up{job="b"}', time.time()))
        wait_for("what they send each other", lambda: pair.ask(pair.ours, 'up{job="a"}', time.time()))
        pair.began = time.time()
        begin.set()
        wait_for("all scrapes", lambda: min(scrapes["/a"], scrapes["/b"]) > SCRAPES + 1, 60)
        everything = "{job=~'a|b', __name__!~'up|scrape_.*'}[1m]"
        at = time.time()
        wait_for(
            "all samples", lambda: pair.ask(pair.theirs, everything, at) == pair.ask(pair.ours, everything, at) or None
        )
        yield pair
    target.close()


def rounded(value: Any) -> Any:
    """With numbers of 13 digits: the last ones of some rates differ from those of 3.5."""
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, str) and re.fullmatch(r"-?[0-9.]+(e[-+][0-9]+)?", value):
        return f"{float(value):.13g}"
    return value


@pytest.mark.parametrize("query", QUERIES)
def test_the_same_answers(both: Pair, query: str) -> None:
    moments = (both.began + 5.5, both.began + SCRAPES - 0.5, None)
    for at in moments if "[20s]" not in query or "(" in query else moments[:2]:
        assert rounded(both.ask(both.ours, query, at)) == rounded(both.ask(both.theirs, query, at)), at
