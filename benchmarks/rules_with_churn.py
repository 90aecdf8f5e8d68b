"""Cost of the rules when series come and go: milliseconds of CPU a tick and memory, in one process, without servers.

    .venv/bin/python benchmarks/rules_with_churn.py [--rules FILE] [--targets 100] [--churn 0.2] [--ticks 60]

Every target writes a body like that of a Spring application (about 1,000 series that rules read) at each tick of 5 s;
in a share `--churn` of the writes it shows a series that was never seen before in place of its last such one, which
ends with a stale marker. Then all rules of FILE (a Prometheus rule file; a few typical ones without it) are evaluated
at that time. Every line is the median tick of ten: the cost of writing, of evaluating, and the resident memory.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import STALE
from rulepush.promql import Engine, Query, SharedResults, parse_expr
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.storage.table import Table, as_rows

INTERVAL_MS: Final = 5_000
TRUNCATE_EVERY: Final = 12  # ticks
REQUESTS: Final = "http_server_requests_seconds"
EXPRESSIONS: Final = (
    "up == 0",
    f"rate({REQUESTS}_sum[1m]) / rate({REQUESTS}_count[1m]) > 5",
    f'sum by (instance, app) (rate({REQUESTS}_count{{status=~"5.."}}[1m]))'
    f" / sum by (instance, app) (rate({REQUESTS}_count[1m])) > 0.5",
    f"histogram_quantile(0.99, sum by (le, uri) (rate({REQUESTS}_bucket[1m]))) > 5",
    f"sum by (app) (rate({REQUESTS}_count[1m])) < -1",
    f"topk(5, sum by (uri) (rate({REQUESTS}_count[1m]))) > 1e9",
    f"sum(rate({REQUESTS}_count[1m])) == -1",
)


def body(target: int, uris: int) -> dict[str, list[Labels]]:
    """The series of one target by metric."""
    own = {"app": f"app{target}", "instance": f"app{target}:80", "job": "fleet"}
    out: dict[str, list[Labels]] = {}

    def add(name: str, **labels: str) -> None:
        out.setdefault(name, []).append(Labels({METRIC_NAME: name, **own, **labels}))

    add("up")
    for uri in range(uris):
        for status, outcome in (("200", "SUCCESS"), ("500", "SERVER_ERROR")):
            at = {"exception": "None", "method": "GET", "outcome": outcome, "status": status, "uri": f"/configs/{uri}"}
            add(f"{REQUESTS}_count", **at)
            add(f"{REQUESTS}_sum", **at)
            if uri < uris // 2:
                for le in ("0.005", "0.05", "0.5", "+Inf"):
                    add(f"{REQUESTS}_bucket", le=le, **at)
    for area, pool in (("heap", "G1 Eden Space"), ("heap", "G1 Old Gen"), ("nonheap", "Metaspace")):
        for name in ("used", "committed", "max"):
            add(f"jvm_memory_{name}_bytes", area=area, id=pool)
    return out


def once(target: int, number: int) -> Labels:
    """A series that was never there before."""
    own = {"app": f"app{target}", "instance": f"app{target}:80", "job": "fleet", "uri": f"/once/{number}"}
    rest = {"exception": "None", "method": "GET", "outcome": "SUCCESS", "status": "200"}
    return Labels({METRIC_NAME: f"{REQUESTS}_count", **own, **rest})


class Fleet:
    """Writes what the targets show. Rows are noted as the scraper notes them, until a table's layout changes."""

    def __init__(self, head: Head, targets: int, uris: int, churn: float, seed: int):
        self._head = head
        self._churn = churn
        self._random = random.Random(seed)
        self._bodies = [body(i, uris) for i in range(targets)]
        self._rows: dict[tuple[int, str], tuple[Table, int, object]] = {}
        self._extra: dict[int, Labels] = {}
        self._number = 0

    def write(self, ts: int) -> None:
        for target, metrics in enumerate(self._bodies):
            for name, labels in metrics.items():
                self._write(target, name, labels, ts)
            if self._random.random() < self._churn:
                gone = self._extra.get(target)
                if gone is not None:
                    self._head.append(gone, ts, STALE)
                self._number += 1
                self._extra[target] = once(target, self._number)
            if target in self._extra:
                self._head.append(self._extra[target], ts, 1.0)

    def _write(self, target: int, name: str, labels: list[Labels], ts: int) -> None:
        known = self._rows.get((target, name))
        if known is None or known[1] != known[0].layout:
            table = self._head.table_for(labels[0])
            if table is None:
                return
            known = self._rows[target, name] = table, table.layout, as_rows([table.row(ls) for ls in labels])
        values = np.arange(len(labels)) + ts / 1000 % 1e6
        self._head.append_rows(known[0], known[2], ts, values)  # type: ignore[arg-type]


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def evaluate(engine: Engine, queries: list[Query], head: Head, ts: int) -> None:
    shared = SharedResults()
    for query in queries:
        engine.instant(query, ts, head.querier(), shared).samples()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=Path, help="a rule file")
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--uris", type=int, default=120)
    parser.add_argument("--churn", type=float, default=0.2)
    parser.add_argument("--ticks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    texts = list(EXPRESSIONS)
    if args.rules is not None:
        groups = yaml.safe_load(args.rules.read_text())["groups"]
        texts = [rule["expr"] for group in groups for rule in group["rules"]]
    queries = [parse_expr(text) for text in texts]
    head = Head(Demand.of(use for query in queries for use in query.selectors()))
    fleet, engine = Fleet(head, args.targets, args.uris, args.churn, args.seed), Engine()
    written, evaluated = [], []
    ts = 1_700_000_000_000
    print(f"{'tick':>5}{'series':>9}{'write ms':>10}{'rules ms':>10}{'RSS MiB':>9}", flush=True)
    for tick in range(1, args.ticks + 1):
        ts += INTERVAL_MS
        began = time.process_time()
        fleet.write(ts)
        done = time.process_time()
        evaluate(engine, queries, head, ts)
        written.append(done - began)
        evaluated.append(time.process_time() - done)
        if tick % TRUNCATE_EVERY == 0:
            head.truncate(ts)
        if tick % 10 == 0:
            cost = (statistics.median(times[-10:]) * 1e3 for times in (written, evaluated))
            print(f"{tick:>5}{head.series_count:>9}{next(cost):>10.1f}{next(cost):>10.1f}{rss_mib():>9.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
