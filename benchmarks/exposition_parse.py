"""What a line of a body costs, seen for the first time and seen before, kept and dropped.

usage: python benchmarks/exposition_parse.py        (from the project's root; ../shared is used where it is there)

The limits that hold for a body seen before: 1.5 µs a kept line, 0.6 µs a dropped line. Both ways are measured: `plan`,
when the series come in the same order as before, which is what the limits are for, and `lines`, when one line of the
body is new at every scrape.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rulepush.exposition import Format, parse_body
from rulepush.model.labels import Labels
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

SHARED = Path(__file__).parents[2] / "shared"
TARGET = Labels.of(instance="app0:80", job="fleet")
ROUNDS = 60


def fleet_body(n_uri: int) -> list[bytes]:
    """Bodies of ../shared/bench/target.py."""
    source = SHARED / "bench" / "target.py"
    text = source.read_text().replace("asyncio.run(main(", "0 and asyncio.run(main(")
    spec = importlib.util.spec_from_loader("bench_target", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(text, str(source), "exec"), module.__dict__)
    return [module.build(n_uri, phase) for phase in range(8)]


def best(run: Callable[[int], object], rounds: int = ROUNDS) -> float:
    """The median of `rounds` runs, in seconds, the first three left out."""
    took = []
    for i in range(rounds):
        start = time.perf_counter()
        run(i)
        took.append(time.perf_counter() - start)
    return sorted(took[3:])[len(took[3:]) // 2]


def measure(name: str, bodies: list[bytes], fmt: Format) -> bool:
    """Print one body's figures. Returns whether they keep the limits."""
    lines = sum(1 for line in bodies[0].splitlines() if line and not line.startswith(b"#"))
    cold = best(lambda i: parse_body(bodies[i % len(bodies)], fmt), 13) / lines * 1e6
    keep_limits = True
    for what, demand, limit in (("kept", Demand.keep_all(300_000), 1.5), ("dropped", Demand.of([]), 0.6)):
        for way in ("plan", "lines"):
            head = Head(demand)
            cache = ScrapeCache(head, TARGET, SampleRules())

            def scrape(i: int, cache: ScrapeCache = cache, way: str = way) -> None:
                body = bodies[i % len(bodies)]
                if way == "lines":
                    body = b"one_more_series_%d 1\n" % i + body
                done = cache.ingest(body, fmt, 1_700_000_000_000 + i * 5000)
                if done.error:
                    raise SystemExit(done.error)

            cost = best(scrape) / lines * 1e6
            ok = cost <= limit or way == "lines"
            keep_limits = keep_limits and ok
            bound = f"(limit {limit})" if way == "plan" else ""
            print(f"{name:32} {what:8} {way:6} {cost:6.3f} µs a line {bound}{'' if ok else '  OVER'}")
    print(f"{name:32} first time    {cold:6.3f} µs a line, {lines} lines, {len(bodies[0])} bytes")
    return keep_limits


def main() -> int:
    """Measure every body at hand. Exit code 1 when a limit is broken."""
    if not SHARED.is_dir():
        print(f"skipped: {SHARED} is not there")
        return 0
    gc.disable()
    ok = measure("bench target", fleet_body(120), Format.TEXT)
    for file in sorted((SHARED / "samples").glob("*.prom")):
        fmt = Format.OPENMETRICS if "om-" in file.name else Format.TEXT
        ok = measure(file.stem, [file.read_bytes()], fmt) and ok
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
