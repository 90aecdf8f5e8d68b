"""Speed of a backtest: a day of three Nacos servers, scraped and evaluated every 15 s, with all rule packs.

    .venv/bin/python benchmarks/backtest.py [--hours 24] [--servers 3] [--series 1100] [--rules rules/*.yml] [--profile]

The bodies are those of a simulated Nacos 2.4 (`rulepush.nacos`), filled up with requests to as many series as a server
in use has. The heap of the second server is full for ten minutes every six hours, and the third cannot be scraped for
five. Timed is `backtest` whole. Without --directory the events are made while it runs, which is timed apart.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from rulepush.backtest import BacktestOptions, EventSource, backtest
from rulepush.clock import SystemClock
from rulepush.exposition.text import parse_text
from rulepush.model.arrays import Floats
from rulepush.model.block import SampleBlock
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import STALE
from rulepush.nacos.fake_server import FakeNacos
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedEvent, RecordedStart
from rulepush.recorded.recording import Recording
from rulepush.recorded.writer import RecordingWriter
from rulepush.rules.rulefmt import load_rule_files

T0: Final = 1_700_000_000_000
S: Final = 1000
DAY_MS: Final = 24 * 3600 * S
STEP_MS: Final = 15 * S
ROOT: Final = Path(__file__).resolve().parent.parent


class SimulatedServer:
    """The series of one server, and their values at a time."""

    def __init__(self, number: int, series: int):
        self._number = number
        self.name = f"nacos-{number}"
        good, later, full = (self._body(day, heap) for day, heap in ((0, 0.26), (1, 0.26), (1, 0.97)))
        target = {"instance": f"nacos-{number}:8848", "job": "nacos"}
        labels = [one.with_(target) for one in good]
        extra = max(0, series - len(labels) - 1)
        for i in range(extra):
            part = ("count", "sum", "max")[i % 3]
            own = {METRIC_NAME: f"http_server_requests_seconds_{part}", "uri": f"/v1/{i // 3}", "status": "200"}
            labels.append(Labels({**own, "method": "GET", "outcome": "SUCCESS", **target}))
        self.series = (*labels, Labels({METRIC_NAME: "up", **target}))
        growth = np.arange(extra) % 7 * 1000.0
        self._first = np.array([*good.values(), *np.zeros(extra), 1.0])
        self._grown = np.array([*later.values(), *growth, 1.0]) - self._first
        self._full = np.array([*full.values(), *growth, 1.0]) - self._first
        self.down = SampleBlock(self.series, 0, np.array([STALE] * (len(self.series) - 1) + [0.0]))

    def _body(self, day: int, heap: float) -> dict[Labels, float]:
        fake = FakeNacos(version="2.4", started_at=T0 - DAY_MS)
        fake.old_gen_ratio = heap
        body = fake.body(T0 + day * DAY_MS)
        return {Labels(s.pairs): s.value for s in parse_text(body).samples}

    def values(self, ts: int) -> Floats:
        """float64, one a series."""
        since = ts - T0
        grown: Floats = self._grown
        if self._number == 2 and since % (6 * 3600 * S) > 5 * 3600 * S + 50 * 60 * S:
            grown = self._full
        if self._number == 3 and since % (6 * 3600 * S) > 5 * 3600 * S + 55 * 60 * S:
            return self.down.values
        values: Floats = self._first + grown * (since / DAY_MS)
        return values


class SimulatedDay:
    """An EventSource. `seconds` is what the making of the events took."""

    def __init__(self, servers: int, series: int, hours: float, groups: Sequence[tuple[str, str]]):
        self._servers = [SimulatedServer(i + 1, series) for i in range(servers)]
        self._end = T0 + int(hours * 3600 * S)
        self._groups = groups
        self.seconds = 0.0
        self.samples = 0
        self.problems: list[str] = []

    def bounds(self) -> tuple[int, int]:
        return T0, self._end

    def events(self, start: int, end: int) -> Iterator[RecordedEvent]:
        yield RecordedStart(T0)
        for ts in range(T0, min(end, self._end) + 1, STEP_MS):
            for server in self._servers:
                began = time.perf_counter()
                block = SampleBlock(server.series, ts, server.values(ts))
                self.samples += len(block)
                self.seconds += time.perf_counter() - began
                yield RecordedBlock(ts + 40, Origin.SCRAPE, server.name, block)
            warm = ts - T0 > 60 * S
            for file, group in self._groups:
                yield RecordedEvaluation(ts, file, group, STEP_MS, 0, ts > T0, ts > T0 + STEP_MS, warm)


def record(day: SimulatedDay, directory: Path) -> Recording:
    """The day as a service would have recorded it."""
    now = [T0]

    class DayClock(SystemClock):
        def now(self) -> int:
            return now[0]

    writer = RecordingWriter(directory, 2 * DAY_MS, 1 << 32, DayClock())
    for i, event in enumerate(day.events(T0, day.bounds()[1])):
        now[0] = event.at
        writer.record(event)
        if i % 64 == 0:
            writer.flush()
    writer.close()
    return Recording(directory)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--hours", type=float, default=24.0)
    p.add_argument("--servers", type=int, default=3)
    p.add_argument("--series", type=int, default=1100, help="of each server")
    packs = [str(ROOT / "rules" / f"{name}.yml") for name in ("jvm", "nacos", "self", "spring-boot")]
    p.add_argument("--rules", nargs="+", default=packs)
    p.add_argument("--directory", type=Path, help="write a recording there, and read it back while it is replayed")
    p.add_argument("--profile", action="store_true", help="print where the time goes")
    args = p.parse_args()
    groups = load_rule_files(args.rules)
    day = SimulatedDay(args.servers, args.series, args.hours, [(g.file, g.name) for g in groups])
    source: EventSource = day
    if args.directory:
        source = record(day, args.directory)
        day.seconds = 0.0
    profile = cProfile.Profile()
    began, cpu_began = time.perf_counter(), time.process_time()
    if args.profile:
        profile.enable()
    report = backtest(source, groups, BacktestOptions())
    profile.disable()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    rules = sum(len(group.rules) for group in groups)
    ticks = int(args.hours * 3600 * S) // STEP_MS
    print(f"{args.hours:g} h, {args.servers} servers, {day.samples:,} samples, {rules} rules, {ticks:,} ticks")
    print(f"whole {seconds:.1f} s ({cpu:.1f} s of CPU), of which making the events {day.seconds:.1f} s")
    each = (seconds - day.seconds) / max(1, ticks * rules)
    print(f"{(seconds - day.seconds) / max(1, ticks) * 1000:.2f} ms a tick, {each * 1e6:.0f} us a rule and tick")
    print(f"{len(report.episodes)} episodes, {len(report.fired)} fired")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    if args.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
