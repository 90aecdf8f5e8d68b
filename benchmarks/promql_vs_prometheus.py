"""PromQL evaluation beside a real Prometheus: the same samples, the same queries, in one run on one machine.

    .venv/bin/python benchmarks/promql_vs_prometheus.py [--series 100,10000,100000] [--repeat 15] [--together]

Prometheus gets the samples by remote write, so they are in its head as scraped samples are; ours are in a Head. The
time of Prometheus is what it says itself (`stats=all`, evalTotalTime: preparation and evaluation, no JSON); ours is
`Engine.instant`. Both are the median of the repetitions, the first few left out; below 1 we are faster. The column
`+samples` adds what it costs us to hand out one object a row, which a rule does only for the rows its filter leaves.
Every instance is scraped at its own phase, as targets are; with `--together` all at the same time, which suits our
columns better. Both answers are compared before anything is timed. The rows "+ 1 new" evaluate the same when each
metric has a new series at each evaluation, as it has where paths, pods or versions come and go.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import cramjam
import httpx

from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import Sample
from rulepush.promql import Engine, Query, parse_expr
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

SAMPLES = 20
INTERVAL_MS = 15_000
LES = ("0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf")
BATCH = 2_000
QUERIES = {
    "rate": "rate(requests_total[5m])",
    "sum by (rate)": "sum by (job, path) (rate(requests_total[5m]))",
    "histogram_quantile": "histogram_quantile(0.9, sum by (le, job) (rate(latency_bucket[5m])))",
    "ratio with on": "errors_total / on (instance, path) requests_total",
    "comparison": "errors_total > 990",
}


@dataclass(frozen=True, slots=True)
class Stream:
    """One series: `values` at `SAMPLES` times, `late` ms after the common grid."""

    labels: Labels
    late: int
    values: list[float]


def streams(n: int, together: bool) -> Iterator[Stream]:
    """n counters, n error counters, n buckets; ten paths an instance, ten jobs."""
    for i in range(n):
        instance, job, path = f"10.0.{i // 2560}.{i // 10 % 256}:9100", f"job-{i % 97 % 10}", f"/path/{i % 10}"
        late = 0 if together else i // 10 * 7919 % INTERVAL_MS
        at = {"instance": instance, "job": job, "path": path}
        step = 1 + i % 13
        counts = [float(1000 + step * k) for k in range(SAMPLES)]
        if i % 50 == 0:  # some counters restart
            counts = counts[:7] + [float(step * k) for k in range(SAMPLES - 7)]
        errors = [float((i * 7 + k) % 1000) for k in range(SAMPLES)]
        bucket = [float((i % 10 + 1) * k) for k in range(SAMPLES)]
        where = {"instance": instance, "job": f"job-{i // 10 % 10}", "le": LES[i % 10]}
        yield Stream(Labels({METRIC_NAME: "requests_total", **at}), late, counts)
        yield Stream(Labels({METRIC_NAME: "errors_total", **at}), late, errors)
        yield Stream(Labels({METRIC_NAME: "latency_bucket", **where}), late, bucket)


def newcomers(number: int) -> Iterator[Stream]:
    """One series of each metric that was never there."""
    instance, job, path = f"10.1.0.{number % 256}:9100", f"job-{number % 10}", f"/once/{number}"
    at = {"instance": instance, "job": job, "path": path}
    counts = [float(number + k) for k in range(SAMPLES)]
    yield Stream(Labels({METRIC_NAME: "requests_total", **at}), 0, counts)
    yield Stream(Labels({METRIC_NAME: "errors_total", **at}), 0, counts)
    yield Stream(Labels({METRIC_NAME: "latency_bucket", "le": "+Inf", **at}), 0, counts)


def varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def encode(stream: Stream, start: int) -> bytes:
    """A TimeSeries of remote write (prompb): labels = 1 (name = 1, value = 2), samples = 2 (value = 1, t = 2)."""
    out = bytearray()
    for name, value in stream.labels:
        out += field(1, field(1, name.encode()) + field(2, value.encode()))
    for k, number in enumerate(stream.values):
        out += field(2, b"\x09" + struct.pack("<d", number) + b"\x10" + varint(start + stream.late + k * INTERVAL_MS))
    return field(1, bytes(out))


class Prometheus:
    """A Prometheus of its own, with its data in a temporary directory."""

    def __init__(self, binary: str, home: Path):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{s.getsockname()[1]}"
        (home / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n")
        flags = ["--web.enable-remote-write-receiver", f"--web.listen-address={address}", "--log.level=error"]
        flags += [f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data"]
        self._process = subprocess.Popen([binary, *flags], cwd=home)
        self._client = httpx.Client(base_url=f"http://{address}", timeout=300)

    def wait(self) -> None:
        for _ in range(200):
            try:
                if self._client.get("/-/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise SystemExit("Prometheus does not start")

    def write(self, body: bytes) -> None:
        headers = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}
        packed = bytes(cramjam.snappy.compress_raw(body))
        self._client.post("/api/v1/write", content=packed, headers=headers).raise_for_status()

    def query(self, text: str, ts: int) -> tuple[float, dict[Labels, float]]:
        """(seconds of evaluation, values)."""
        answer = self._client.get("/api/v1/query", params={"query": text, "time": ts / 1000, "stats": "all"})
        data = json.loads(answer.raise_for_status().content)["data"]
        values = {Labels(row["metric"]): float(row["value"][1]) for row in data["result"]}
        return data["stats"]["timings"]["evalTotalTime"], values

    def stop(self) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(20)


def load(n: int, together: bool, prometheus: Prometheus, start: int) -> Head:
    head = Head(Demand.keep_all(600_000))
    add(head, prometheus, streams(n, together), start)
    return head


def add(head: Head, prometheus: Prometheus, some: Iterable[Stream], start: int) -> None:
    body, pending = bytearray(), 0
    for stream in some:
        first = start + stream.late
        head.append_many(Sample(stream.labels, first + k * INTERVAL_MS, v) for k, v in enumerate(stream.values))
        body += encode(stream, start)
        pending += 1
        if pending == BATCH:
            prometheus.write(bytes(body))
            body, pending = bytearray(), 0
    if pending:
        prometheus.write(bytes(body))


def compare(text: str, theirs: dict[Labels, float], ours: list[Sample]) -> None:
    got = {s.labels: s.value for s in ours}
    if got.keys() != theirs.keys():
        raise SystemExit(f"{text}: {len(got)} series here, {len(theirs)} there")
    for labels, value in theirs.items():
        if not math.isclose(got[labels], value, rel_tol=1e-9) and not (math.isnan(value) and math.isnan(got[labels])):
            raise SystemExit(f"{text}: {labels} is {got[labels]} here, {value} there")


def measure(n: int, together: bool, binary: str, repeat: int) -> None:
    with tempfile.TemporaryDirectory(prefix="promql-bench-") as home:
        prometheus = Prometheus(binary, Path(home))
        try:
            prometheus.wait()
            ts = int(time.time()) * 1000
            head = load(n, together, prometheus, ts - SAMPLES * INTERVAL_MS - 5_000)
            for name, text in QUERIES.items():
                report(n, name, parse_expr(text), ts, head, prometheus, repeat)
            numbers = count()

            def one_new() -> None:
                add(head, prometheus, newcomers(next(numbers)), ts - SAMPLES * INTERVAL_MS - 5_000)

            for name, text in QUERIES.items():
                report(n, f"{name} + 1 new", parse_expr(text), ts, head, prometheus, repeat, one_new)
        finally:
            prometheus.stop()


def report(
    n: int,
    name: str,
    query: Query,
    ts: int,
    head: Head,
    prometheus: Prometheus,
    repeat: int,
    change: Callable[[], None] = lambda: None,
) -> None:
    """`change` is called before each evaluation, and its time does not count."""
    engine, querier = Engine(), head.querier()
    compare(query.text, prometheus.query(query.text, ts)[1], engine.instant(query, ts, querier).samples())
    seconds, ours, handed = [], [], []
    for _ in range(repeat):
        change()
        seconds.append(prometheus.query(query.text, ts)[0])
    theirs = statistics.median(seconds[2:])
    for _ in range(max(repeat, 3 * repeat if n < 1000 else 0)):
        change()
        began = time.perf_counter()
        result = engine.instant(query, ts, querier)
        ours.append(time.perf_counter() - began)
        result.samples()
        handed.append(time.perf_counter() - began)
    mine, all_mine = statistics.median(ours[2:]), statistics.median(handed[2:])
    print(
        f"{n:>7}  {name:<27}{theirs * 1e3:>12.3f}{mine * 1e3:>12.3f}{mine / theirs:>8.3f}"
        f"{all_mine * 1e3:>12.3f}{all_mine / theirs:>8.3f}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default="100,10000,100000", help="series a metric, comma-separated")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--prometheus", default=shutil.which("prometheus"), help="the binary")
    parser.add_argument("--together", action="store_true", help="all instances are scraped at the same time")
    args = parser.parse_args()
    if not args.prometheus:
        print("no prometheus on PATH: apt-get install prometheus", file=sys.stderr)
        return 1
    header = f"{'series':>7}  {'query':<27}{'theirs ms':>12}{'ours ms':>12}{'ratio':>8}{'+samples':>12}{'ratio':>8}"
    print(header, flush=True)
    for n in map(int, args.series.split(",")):
        measure(n, args.together, args.prometheus, args.repeat)
    return 0


if __name__ == "__main__":
    sys.exit(main())
