"""Native histograms beside a real Prometheus: one target in protobuf, two rules over `[1m]`, both systems at once.

    .venv/bin/python benchmarks/native_histograms.py [--minutes 4] [--before DIR] [--in-process] [--memory]

The target has `--series` native histograms of 160 buckets, the limit that Go's client suggests, of which each scrape
finds a tenth of the buckets higher than before. It is scraped each second, and the rules are evaluated each 15 s.
Printed are CPU and memory, with the ratios to Prometheus in brackets; `--before` is a directory with the package of
another revision, to run beside both. Without servers, `--in-process` prints milliseconds of CPU a scrape and a tick, by
the classes of the service and a fake clock, and `--memory` what the head holds after each fake minute.
Binaries: $PROMETHEUS and $RULEPUSH, otherwise those of .servers and of this environment.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import httpx
from processes import free_port, process, usage, wait_until_ready

from rulepush.exposition import Format
from rulepush.exposition.entries import HistogramScraping
from rulepush.exposition.protobuf.messages import MetricMessage
from rulepush.exposition.protobuf.translate import translated
from rulepush.exposition.protobuf.write import MetricType, delimited_family
from rulepush.model.labels import Labels
from rulepush.promql import Engine
from rulepush.rules.context import RuleContext
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.rulefmt import load_rule_files
from rulepush.scrape.body_histograms import BodyHistograms
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

ROOT: Final = Path(__file__).resolve().parent.parent
BUCKETS: Final = 160
START: Final = 1_700_000_000_000
STEP_MS: Final = 1_000
BODIES: Final = 40  # then counters start again: a counter reset now and then
CONTENT_TYPE: Final = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
CONFIG: Final = """\
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 15s}
rule_files: [rules.yml]
scrape_configs:
- {job_name: a, %snative_histogram_bucket_limit: 160, static_configs: [{targets: ['127.0.0.1:%d']}]}
"""
RULES: Final = """\
groups:
- name: latency
  rules:
  - alert: Slow
    expr: histogram_quantile(0.99, sum by (service) (rate(request_seconds[1m]))) > 1e6
  - record: service:request_seconds:rate1m
    expr: sum by (service) (rate(request_seconds[1m]))
"""


class HistogramTarget:
    """Answers counters that grow: the next body each time."""

    def __init__(self, series: int):
        self._random = random.Random(19)
        self._counts = [[self._random.randrange(1, 1000) for _ in range(BUCKETS)] for _ in range(series)]

    def body(self) -> bytes:
        """A scrape later, a tenth of the buckets have one observation to ten more."""
        metrics = []
        for number, counts in enumerate(self._counts):
            for at in self._random.sample(range(BUCKETS), BUCKETS // 10):
                counts[at] += self._random.randrange(1, 10)
            message = MetricMessage()
            message.label.add(name=b"path", value=b"/api/%d" % number)
            message.label.add(name=b"service", value=b"service-%d" % (number % 10))
            out = message.histogram
            out.sample_count, out.sample_sum = sum(counts) + 3, float(sum(counts)) / 7
            out.schema, out.zero_threshold, out.zero_count = 3, 2.938735877055719e-39, 3
            out.positive_span.add(offset=-90, length=100)
            out.positive_span.add(offset=3, length=BUCKETS - 100)
            out.positive_delta.extend(b - a for a, b in zip([0, *counts[:-1]], counts, strict=True))
            metrics.append(bytes(message.SerializeToString()))
        return delimited_family("request_seconds", MetricType.HISTOGRAM, metrics, "How long requests take.")


class InProcess:
    """The classes of the service with a fake clock."""

    def __init__(self, series: int):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "rules.yml")
            path.write_text(RULES)
            specs = load_rule_files([str(path)])
        self.head = Head(Demand.of(use for spec in specs for rule in spec.rules for use in rule.query.selectors()))
        self._cache = ScrapeCache(self.head, Labels.of(instance="a:80", job="a"), SampleRules())
        context = RuleContext(engine=Engine(monotonic=lambda: 0.0), samples=self.head)
        self._groups = [EvaluationGroup(spec, context, STEP_MS, 0) for spec in specs]

    def scrape(self, body: bytes, ts: int) -> None:
        """As `Scraper` does it."""
        made = translated(body, HistogramScraping(native=True, bucket_limit=BUCKETS))
        assert not made.error, made.error
        assert not made.faults, made.faults
        self._cache.ingest(made.text, Format.PROTOBUF, ts, BodyHistograms(made.histograms))

    def tick(self, ts: int) -> None:
        """All rules."""
        for group in self._groups:
            group.evaluate(ts)


def measure_in_process(series: int, seconds: int) -> None:
    """CPU a scrape and a tick, once the window of the rules is full."""
    target, run = HistogramTarget(series), InProcess(series)
    scraped = evaluated = 0.0
    warm = 150
    for i in range(warm + seconds):
        ts, body = START + i * STEP_MS, target.body()
        begun = time.process_time()
        run.scrape(body, ts)
        after = time.process_time()
        if i >= warm:
            run.tick(ts)
            scraped += after - begun
            evaluated += time.process_time() - after
        if i % 60 == 0:
            run.head.truncate(ts)
    print(f"scrape {1000 * scraped / seconds:.1f} ms, tick {1000 * evaluated / seconds:.1f} ms")


def measure_memory(series: int, minutes: int) -> None:
    """What is held at the end of each fake minute."""
    target, run = HistogramTarget(series), InProcess(series)
    bodies = [target.body() for _ in range(BODIES)]
    tracemalloc.start()
    for i in range(minutes * 60 + 1):
        ts = START + i * STEP_MS
        run.scrape(bodies[i % BODIES], ts)
        if i % 5 == 0:
            run.tick(ts)
        if i and i % 60 == 0:
            run.head.truncate(ts)
            boxes = sum(len(table.boxes or ()) for table in run.head.tables())
            size, peak = tracemalloc.get_traced_memory()
            mib = [f"{number / 2**20:.1f} MiB" for number in (run.head.nbytes, size, peak)]
            held = f"{run.head.sample_count} samples, {boxes} histograms, {mib[0]} by the head's count"
            print(f"minute {i // 60}: {held}; {mib[1]} traced, most {mib[2]}", flush=True)
            tracemalloc.reset_peak()


def measure_beside(series: int, minutes: int, before: str) -> None:
    """CPU and memory of all over the whole time, memory each minute."""
    target = HistogramTarget(series)
    bodies = [target.body() for _ in range(min(250, 60 * (minutes + 1)))]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[int(time.time()) % len(bodies)]
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    prometheus = os.environ.get("PROMETHEUS", str(ROOT / ".servers/usr/bin/prometheus"))
    rulepush = os.environ.get("RULEPUSH", str(Path(sys.executable).with_name("rulepush")))
    with tempfile.TemporaryDirectory() as made, contextlib.ExitStack() as running:
        home = Path(made)
        (home / "rules.yml").write_text(RULES)
        for name, option in (("prometheus", ""), ("rulepush", "scrape_native_histograms: true, ")):
            (home / f"{name}.yml").write_text(CONFIG % (option, server.server_port))
        (home / "data").mkdir()
        own = [rulepush, "run", f"--config.file={home}/rulepush.yml"]
        theirs = [prometheus, f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data"]
        commands = {"rulepush": own, "Prometheus": [*theirs, "--enable-feature=native-histograms"]}
        environments = {name: dict(os.environ) for name in commands}
        if before:
            commands["rulepush before"] = own
            environments["rulepush before"] = {**os.environ, "PYTHONPATH": before}
        pids: dict[str, int] = {}
        for name, command in commands.items():
            port = free_port()
            listening = [*command, f"--web.listen-address=127.0.0.1:{port}"]
            pids[name] = running.enter_context(process(listening, home / f"{name}.log", environments[name])).pid
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                wait_until_ready(client)
        first, begun = {name: usage(pid) for name, pid in pids.items()}, time.monotonic()
        for minute in range(1, minutes + 1):
            time.sleep(60)
            now, seconds = {name: usage(pid) for name, pid in pids.items()}, time.monotonic() - begun
            cpu = {name: 100 * (now[name].cpu_s - first[name].cpu_s) / seconds for name in pids}
            texts = [
                f"{name} {cpu[name]:.2f} % ({cpu[name] / cpu['Prometheus']:.2f}), {now[name].rss:.0f} MiB "
                f"({now[name].rss / now['Prometheus'].rss:.2f})"
                for name in pids
            ]
            print(f"minute {minute}, load {os.getloadavg()[0]:.0f}: {'; '.join(texts)}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--minutes", type=int, default=4)
    parser.add_argument("--before", default="")
    parser.add_argument("--in-process", action="store_true")
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    if args.in_process:
        measure_in_process(args.series, 40)
    elif args.memory:
        measure_memory(args.series, args.minutes)
    else:
        measure_beside(args.series, args.minutes, args.before)


if __name__ == "__main__":
    main()
