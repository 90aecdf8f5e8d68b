"""What the recording costs: bytes a sample on disk, CPU a block, and how fast it is read back.

usage: python benchmarks/recording.py [--hours 4] [--servers 3] [--directory DIR]

Two fleets are recorded, a scrape every 15 s and a flush after each one, as a service with one target does:
`nacos` is the body of rulepush.nacos.fake_body (153 series) of servers whose state moves a little; `busy` are servers
with 1,100 series as Micrometer writes them (counts, sums of nanoseconds, maxima, gauges), of which the given share
changes at each scrape. `churn` adds a series that was never seen in a fifth of the scrapes, and ends it with a stale
marker in the next one.

What must hold: at most 3 bytes a sample (`busy` at 60 %), at most 0.25 ms of CPU a block of 1,100 samples, and a day of
three such servers read back by `events` in 20 s. The share is that of the same body's ingestion, all of it kept.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from rulepush.clock import Timer
from rulepush.exposition import Format, parse_body
from rulepush.model.arrays import Floats
from rulepush.model.block import SampleBlock
from rulepush.model.floats import format_float
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import STALE
from rulepush.nacos.fake_body import NacosReadings, render_body
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedStart
from rulepush.recorded.recording import Recording
from rulepush.recorded.writer import RecordingWriter
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

INTERVAL_MS = 15_000
START = 1_700_000_000_000
Scrapes = Iterator[tuple[tuple[Labels, ...], Floats]]


class StepClock:
    """A Clock that the benchmark turns."""

    def __init__(self) -> None:
        self.ms = START

    def now(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        raise NotImplementedError


def nacos(server: int, scrapes: int) -> Scrapes:
    """The bodies of one fake Nacos server."""
    rng = random.Random(server)
    readings = NacosReadings((2, 4, 3), START - 86_400_000, long_polls=40, services=200, instances=900, configs=500)
    series: tuple[Labels, ...] = ()
    for i in range(scrapes):
        if i % 4 == 0:
            readings = replace(
                readings,
                long_polls=readings.long_polls + rng.randint(-2, 2),
                instances=readings.instances + rng.randint(-3, 3),
                push_cost_ms=float(rng.randint(1, 90)),
                cpu_ratio=round(rng.random() / 10, 6),
                old_gen_ratio=min(0.9, readings.old_gen_ratio + 0.0003),
                open_files=readings.open_files + rng.randint(-3, 3),
            )
        samples = parse_body(render_body(readings, START + i * INTERVAL_MS), Format.TEXT).samples
        if len(samples) != len(series):
            own = (("instance", f"nacos-{server}:8848"), ("job", "nacos"))
            series = tuple(Labels((*s.pairs, *own)) for s in samples)
        yield series, np.array([s.value for s in samples])


def busy_series(server: int, count: int = 1_100) -> tuple[Labels, ...]:
    """Three in ten are counts, three sums, fifteen in a hundred maxima, the rest gauges."""
    own = {"instance": f"nacos-{server}:8848", "job": "nacos"}
    timer = "http_server_requests_seconds"
    kinds = ((f"{timer}_count", 30), (f"{timer}_sum", 30), (f"{timer}_max", 15))
    made = [
        Labels(
            {
                METRIC_NAME: name,
                **own,
                "exception": "None",
                "method": "GET",
                "outcome": "SUCCESS",
                "status": "200",
                "uri": f"/nacos/v1/cs/configs/{i}",
            }
        )
        for name, share in kinds
        for i in range(count * share // 100)
    ]
    made += [Labels({METRIC_NAME: f"gauge_{i}", **own}) for i in range(count - len(made))]
    return tuple(made)


def busy(server: int, scrapes: int, share: float) -> Scrapes:
    """One server of which about `share` of the series change at each scrape."""
    rng = np.random.default_rng(server)
    series = busy_series(server)
    timers, maxima = len(series) * 30 // 100, len(series) * 15 // 100
    gauges = len(series) - 2 * timers - maxima
    rates = np.where(rng.random(timers) < share, rng.lognormal(2, 1.5, timers), 0)
    cost = rng.lognormal(-5, 1, timers)
    counts = rng.integers(100, 1_000_000, timers).astype(np.float64)
    nanos = (counts * cost * 1e9).astype(np.int64)
    maximum = np.round(rng.random(maxima) / 10, 9)
    gauge = np.round(rng.random(gauges) * 1e9)
    whole = np.arange(gauges) < gauges // 2
    for _ in range(scrapes):
        done = rng.poisson(rates)
        counts = counts + done
        nanos = nanos + (done * cost * rng.lognormal(0, 0.3, timers) * 1e9).astype(np.int64)
        maximum = np.where(rng.random(maxima) < share, np.round(rng.random(maxima) / 10, 9), maximum)
        moved = np.where(whole, np.round(gauge * (1 + rng.normal(0, 0.02, gauges))), np.round(rng.random(gauges), 6))
        gauge = np.where(rng.random(gauges) < share, moved, gauge)
        yield series, np.concatenate((counts, nanos / 1e9, maximum, gauge))


def churned(scrapes: Scrapes) -> Scrapes:
    """The same, with a series that is seen once in a fifth of them."""
    once: Labels | None = None
    for i, (series, values) in enumerate(scrapes):
        ended, once = once, Labels({METRIC_NAME: "once", "uri": f"/once/{i}"}) if i % 5 == 0 else None
        extra = [(labels, value) for labels, value in ((once, 1.0), (ended, STALE)) if labels is not None]
        yield series + tuple(labels for labels, _ in extra), np.append(values, [value for _, value in extra])


def record(directory: Path, fleet: list[Scrapes]) -> tuple[RecordingWriter, float]:
    """Record them all. Returns the writer and the CPU of a block (s): of `record` and its `flush`, the median."""
    shutil.rmtree(directory, ignore_errors=True)
    clock = StepClock()
    writer = RecordingWriter(directory, 365 * 86_400_000, 64 << 30, clock)
    writer.record(RecordedStart(clock.ms))
    took = []
    for scrapes in zip(*fleet, strict=True):
        for server, (series, values) in enumerate(scrapes):
            block = SampleBlock(series, clock.ms, values)
            begun = time.thread_time()
            writer.record(RecordedBlock(clock.ms, Origin.SCRAPE, f"nacos-{server}", block))
            writer.record(RecordedEvaluation(clock.ms, "rules/nacos.yml", "nacos", INTERVAL_MS, 0))
            writer.flush()
            took.append(time.thread_time() - begun)
            clock.ms += INTERVAL_MS // len(scrapes)
    writer.close()
    return writer, statistics.median(took)


def ingestion(scrapes: Scrapes) -> float:
    """What the scraper takes for one such body (s, the median), when it keeps all of it."""
    cache = ScrapeCache(Head(Demand.keep_all(300_000)), Labels.of(instance="a:80", job="nacos"), SampleRules())
    took = []
    for i, (series, values) in enumerate(scrapes):
        pairs = zip(series, values.tolist(), strict=True)
        body = "".join(f"{labels} {format_float(value)}\n" for labels, value in pairs).encode()
        begun = time.thread_time()
        cache.ingest(body, Format.TEXT, START + i * INTERVAL_MS)
        took.append(time.thread_time() - begun)
    return statistics.median(took)


def main() -> int:
    """Print the figures. Exit code 1 when a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=4)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="recording-"))
    scrapes, servers = round(options.hours * 3_600_000 / INTERVAL_MS), range(options.servers)
    broken = False
    fleets: dict[str, tuple[Callable[[int], Scrapes], float | None]] = {
        "nacos": (lambda s: nacos(s, min(scrapes, 480)), None),
        "busy 20 %": (lambda s: busy(s, scrapes, 0.2), None),
        "busy 20 %, churn": (lambda s: churned(busy(s, scrapes, 0.2)), None),
        "busy 60 %, churn": (lambda s: churned(busy(s, scrapes, 0.6)), None),
        "busy 95 %": (lambda s: busy(s, scrapes, 0.95), None),
        "busy 60 %": (lambda s: busy(s, scrapes, 0.6), 3.0),  # the last: it is read below
    }
    parsed = ingestion(busy(0, 30, 0.6))
    print(f"ingestion of a body: {parsed * 1e3:.2f} ms")
    print(f"{'fleet':18} {'samples':>10} {'bytes a sample':>15} {'ms a block':>11}")
    for name, (fleet, limit) in fleets.items():
        writer, cost = record(directory, [fleet(s) for s in servers])
        size, samples = writer.nbytes / writer.stats.samples, writer.stats.samples
        over = limit is not None and (size > limit or cost > 0.25e-3)
        broken = broken or over
        share = f"{cost / parsed:6.0%} of the ingestion" if name.startswith("busy") else ""
        print(f"{name:18} {samples:10} {size:15.2f} {cost * 1e3:11.3f}   {share}{'  OVER' if over else ''}")
    recording = Recording(directory)
    begun = time.process_time()
    blocks = sum(isinstance(event, RecordedBlock) for event in recording.events(0, 1 << 62))
    took = (time.process_time() - begun) / blocks
    day = took * 3 * 86_400_000 / INTERVAL_MS
    broken = broken or day > 20
    print(f"events: {took * 1e3:.3f} ms a block; a day of three servers in {day:.1f} s{'  OVER' if day > 20 else ''}")
    metric = Matcher(METRIC_NAME, MatchOp.EQUAL, "http_server_requests_seconds_count")
    for what, matchers in (
        (
            "one series",
            (metric, Matcher("uri", MatchOp.REGEX, ".*/7"), Matcher("instance", MatchOp.REGEX, "nacos-0.*")),
        ),
        ("a series of each", (metric, Matcher("uri", MatchOp.EQUAL, "/nacos/v1/cs/configs/7"))),
        ("a metric", (metric,)),
    ):
        begun = time.process_time()
        found = recording.select(matchers, 0, 1 << 62)
        took = time.process_time() - begun
        print(f"select {what}: {len(found.labels)} series, {len(found.times)} samples in {took:.2f} s")
    begun = time.process_time()
    listed = recording.series((metric,), 0, 1 << 62)
    print(f"series: {len(listed)} in {time.process_time() - begun:.2f} s")
    if options.directory is None:
        shutil.rmtree(directory)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
