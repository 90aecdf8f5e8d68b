"""Cost of evaluating rules while only values change: milliseconds of CPU a tick, in one process, without servers.

    .venv/bin/python benchmarks/rule_evaluation.py [--targets 1,10,100] [--ticks 200] [--each] [--rest 0] [--digest]

The targets answer the bodies of ../shared/bench/target.py, and the rules are those of ../shared/bench/rules.yml
(`--rules` for another file), 5 s apart, as in `fleet_vs_prometheus.py` for a fleet without churn. Timed is
`EvaluationGroup.evaluate` alone, after a look-back's worth of ticks; the samples are written between. `--each` lists
what each rule costs, `--rest` sleeps so many seconds before each evaluation, so that it finds the caches of the
processor as cold as in a service, and `--digest` prints a hash of all results, bit by bit, to compare two versions.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from rulepush.exposition.text import parse_text
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.promql import Engine, Query, QueryResult, SharedResults
from rulepush.promql.vectors.values import Vector
from rulepush.rules.context import RuleContext
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.rulefmt import load_rule_files
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.storage.selection import Querier
from rulepush.storage.table import Table, as_rows

BENCH: Final = Path(__file__).resolve().parent.parent.parent / "shared" / "bench"
INTERVAL_MS: Final = 5_000
WARM_TICKS: Final = 66  # the look-back of 5 minutes, and a little more
TRUNCATE_EVERY: Final = 12


def bodies(uris: int) -> list[bytes]:
    """The bodies that target.py answers in turn. It serves as soon as it is imported: only what makes them is run."""
    path = BENCH / "target.py"
    wanted = ("build", "VARIANTS", "TIERS")
    tree = ast.parse(path.read_text())
    names = {id(node): getattr(node, "name", None) or _target(node) for node in tree.body}
    tree.body = [node for node in tree.body if names[id(node)] in wanted]
    space: dict[str, Any] = {"random": random}
    exec(compile(tree, str(path), "exec"), space)
    return [space["build"](uris, phase) for phase in range(space["VARIANTS"])]


def _target(node: ast.stmt) -> str | None:
    return node.targets[0].id if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) else None


class Fleet:
    """Writes the bodies of all targets into a head, table by table, as the scraper does."""

    def __init__(self, head: Head, targets: int, uris: int):
        self._head = head
        made = bodies(uris)
        self._values: list[dict[str, np.ndarray[Any, np.dtype[np.float64]]]] = []
        names: dict[str, list[Labels]] = {"up": [Labels({METRIC_NAME: "up"})], "bench_breach": []}
        names["bench_breach"].append(Labels({METRIC_NAME: "bench_breach"}))
        for body in made:
            values: dict[str, list[float]] = {"up": [1.0], "bench_breach": [0.0]}
            for sample in parse_text(body).samples:
                labels = Labels(sample.pairs)
                values.setdefault(labels.name, []).append(sample.value)
                if body is made[0]:
                    names.setdefault(labels.name, []).append(labels)
            self._values.append({name: np.array(of_name) for name, of_name in values.items()})
        self._rows: list[tuple[str, Table, Any]] = []
        for target in range(targets):
            own = {"app": f"app{target}", "instance": f"app{target}:80", "job": "fleet"}
            for name, plain in names.items():
                series = [of_line.with_(own) for of_line in plain]
                table = head.table_for(series[0])
                if table is not None:
                    self._rows.append((name, table, as_rows([table.row(one) for one in series])))

    def write(self, ts: int) -> None:
        values = self._values[ts // INTERVAL_MS % len(self._values)]
        for name, table, rows in self._rows:
            self._head.append_rows(table, rows, ts, values[name])


class TimedEngine:
    """Notes what each query costs, and hashes what it answers."""

    def __init__(self, engine: Engine, digest: Any):
        self._engine = engine
        self._digest = digest
        self.seconds: dict[str, list[float]] = {}

    def instant(self, query: Query, ts: int, querier: Querier, shared: SharedResults | None = None) -> QueryResult:
        began = time.process_time()
        result = self._engine.instant(query, ts, querier, shared)
        self.seconds.setdefault(query.text, []).append(time.process_time() - began)
        if self._digest is not None and isinstance(result.value, Vector):
            value = result.value
            present = value.present[:, 0]
            self._digest.update(str(value.index.some(np.flatnonzero(present))).encode())
            self._digest.update(present.tobytes() + value.values[present].tobytes())
        return result


def measure(args: argparse.Namespace, targets: int) -> None:
    specs = load_rule_files([str(args.rules)])
    head = Head(Demand.of(use for spec in specs for rule in spec.rules for use in rule.query.selectors()))
    fleet = Fleet(head, targets, args.uris)
    plain = Engine(monotonic=time.monotonic)
    digest = hashlib.sha256() if args.digest else None
    timed = TimedEngine(plain, digest)
    context = RuleContext(engine=timed if args.each or args.digest else plain, samples=head)
    groups = [EvaluationGroup(spec, context, INTERVAL_MS, 0) for spec in specs]
    ticks: list[float] = []
    ts = 1_700_000_000_000
    for tick in range(WARM_TICKS + args.ticks):
        ts += INTERVAL_MS
        fleet.write(ts)
        if tick % TRUNCATE_EVERY == 0:
            head.truncate(ts)
        if tick == WARM_TICKS:
            timed.seconds.clear()
        if args.rest and tick >= WARM_TICKS:
            time.sleep(args.rest)
        began = time.process_time()
        for group in groups:
            group.evaluate(ts)
        ticks.append(time.process_time() - began)
    ticks = ticks[WARM_TICKS:]
    failed = [rule.status.last_error for group in groups for rule in group.rules if rule.status.last_error]
    rules = sum(len(group.rules) for group in groups)
    median, mean = statistics.median(ticks) * 1e3, statistics.mean(ticks) * 1e3
    print(
        f"{targets:>5} targets, {head.series_count:>7} series, {rules} rules:"
        f" {median:.3f} ms a tick (mean {mean:.3f}, least {min(ticks) * 1e3:.3f}), {median / rules:.4f} ms a rule"
        f" {failed or ''}"
    )
    if digest is not None:
        print(f"      results {digest.hexdigest()[:16]}")
    if args.each:
        for group in groups:
            for rule in group.rules:
                cost = statistics.median(timed.seconds[rule.spec.query.text]) * 1e3
                print(f"      {cost:7.3f}  {rule.spec.name:<20} {rule.spec.query.text}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=Path, default=BENCH / "rules.yml")
    parser.add_argument("--targets", default="1,10,100")
    parser.add_argument("--uris", type=int, default=120)
    parser.add_argument("--ticks", type=int, default=200)
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--rest", type=float, default=0.0)
    parser.add_argument("--digest", action="store_true")
    args = parser.parse_args()
    for targets in args.targets.split(","):
        measure(args, int(targets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
