"""Random expressions over random native histograms and floats: promtool 3.5 confirms what rulepush answers.

Left out is what Prometheus 3.14 does otherwise than the 3.5 of promtool: rate() and increase() stop at the zero of a
histogram too, means are compensated, custom buckets of different bounds are reconciled, differences and products with
negative numbers are gauges, and 3.5 overlooks that all buckets of one side are gone, and moves buckets around empty
ones.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.errors import EvaluationError
from rulepush.histogram.sample import HistogramSample
from rulepush.histogram.text import histogram_literal
from rulepush.model.sample import Sample
from rulepush.promql import Engine, EngineOptions, parse_expr
from rulepush.promql.testscript.series import NativeCell, parse_series
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.needs import binary

MINUTE, CELLS, QUERIES = 60_000, 16, 40
SELECTORS = ['h{k="e"}', 'h{k="c"}', "h", 'h{i="1"}', "f", '{__name__=~"h|f"}', 'h{i="2"}', "h offset 2m"]
OF_RANGES = [
    *["delta", "irate", "idelta", "sum_over_time", "last_over_time", "count_over_time", "present_over_time"],
    *["changes", "resets", "min_over_time", "max_over_time", "stddev_over_time", "deriv"],
]
AGGREGATIONS = ["sum", "count", "group", "min", "max", "stddev", "topk(9,", "bottomk(9,", "quantile(0.5,"]
FUNCTIONS = [
    *["histogram_count(%s)", "histogram_sum(%s)", "histogram_avg(%s)", "histogram_stddev(%s)", "histogram_stdvar(%s)"],
    *["histogram_quantile(0.5, %s)", "histogram_quantile(0.1, %s)", "histogram_quantile(0.9, %s)"],
    *["histogram_fraction(0, 2, %s)", "histogram_fraction(-1, 1, %s)", "histogram_fraction(-Inf, 3, %s)"],
    *["abs(%s)", "ceil(%s)", "clamp_max(%s, 1)", "timestamp(%s)", "absent(%s)", "vector(scalar(%s))", "hour(%s)"],
    'label_replace(%s, "z", "$1", "i", "(.*)")',
]


def literal(r: random.Random, custom: bool) -> str:
    counts = [r.choice([1, 2, 3, 5, 8]) for _ in range(r.randint(1, 4))]
    parts = [f"buckets:[{' '.join(map(str, counts))}]", f"sum:{r.randint(-8, 40) / 2}"]
    if custom:
        parts += ["schema:-53", "custom_values:[1 2.5 5 10]"]
    else:
        zero = r.choice([1, 1, 2])
        counts += [zero, 2]
        width = r.choice(["0.001", "0.001", "0.5"])
        parts += [f"schema:{r.choice([0, 0, 0, 1, 2])}", f"z_bucket:{zero}", f"z_bucket_w:{width}", "n_buckets:[2]"]
    if r.random() < 0.25:
        parts.append(f"counter_reset_hint:{r.choice(['gauge', 'reset', 'not_reset'])}")
    return f"{{{{{' '.join(parts)} count:{sum(counts)}}}}}"


def cells(r: random.Random, custom: bool, floats: float) -> str:
    out: list[str] = []
    count = 0
    while count < CELLS:
        draw = r.random()
        if draw < 0.14:
            out.append("_" if draw < 0.1 else "stale")
        elif draw < 0.14 + floats:
            out.append(str(r.choice([0, 1, 2, 5, 7.5])))
        elif draw < 0.6:
            base, more = literal(r, custom), r.randint(1, 4)
            out.append(f"{base}+{base}x{more}")
            count += more
        else:
            out.append(literal(r, custom))
        count += 1
    return " ".join(out)


def vector(r: random.Random, depth: int = 0) -> str:
    draw, selector = r.random(), r.choice(SELECTORS)
    if depth > 2 or draw < 0.2:
        return selector
    if draw < 0.5:
        span = r.choice(["[3m]", "[5m]", "[5m:1m]", "[7m:2m]"])
        plain = "offset" not in selector and (":" not in span or r.random() < 0.7)
        return (
            f"{r.choice(OF_RANGES)}({selector if plain else '(' + vector(r, depth + 1) + ')'}{span})"
            if (plain or ":" in span)
            else selector
        )
    inner = vector(r, depth + 1)
    if draw < 0.62:
        name, _, parameter = r.choice(AGGREGATIONS).partition("(")
        return f"{name} {r.choice(['by (k)', 'by (i)', 'without (i)', ''])} ({parameter} {inner})"
    if draw < 0.75:
        return r.choice(FUNCTIONS) % inner
    if draw < 0.88:
        op = r.choice(["+", "*", "/", "==", "!=", ">", "<=", "%", "^", "== bool", "> bool", "and", "or", "unless"])
        return f"({inner} {op} {r.choice(['', 'on (i, k)'])} {vector(r, depth + 1)})"
    op, number = r.choice(["+", "*", "/", "==", ">"]), r.choice(["2", "0.5"])
    return f"({inner} {op} {number})" if r.random() < 0.6 else f"({number} {op} {inner})"


def expected(sample: Sample) -> dict[str, Any]:
    if isinstance(sample, HistogramSample):
        return {"labels": str(sample.labels), "histogram": histogram_literal(sample.histogram)}
    return {"labels": str(sample.labels), "value": float(sample.value)}


def filled(series: dict[str, str]) -> Head:
    head = Head(Demand.keep_all(1 << 50))
    for name, values in series.items():
        line = parse_series(f"{name} {values}")
        for i, cell in enumerate(line.cells()):
            if isinstance(cell, float):
                head.append(line.labels, i * MINUTE, cell)
            elif isinstance(cell, NativeCell):
                head.append_histogram(line.labels, i * MINUTE, cell.histogram)
    return head


@pytest.mark.parametrize("seed", range(12))
def test_promtool_agrees_on_histograms(seed: int, tmp_path: Path) -> None:
    r = random.Random(seed)
    floats = r.choice([0.02, 0.02, 0.25])
    series = {f'h{{k="{k}",i="{i}"}}': cells(r, k == "c", floats) for k in "ec" for i in "12"}
    series['f{k="e",i="1"}'] = " ".join(str(r.randint(0, 9)) for _ in range(CELLS))
    head, engine = filled(series), Engine(EngineOptions(default_step_ms=MINUTE))
    checks: list[dict[str, Any]] = []
    while len(checks) < QUERIES:
        expr, minute = vector(r), r.choice([0, 3, 5, 8, 9, 11, 14, 15])
        try:
            found = engine.instant(parse_expr(expr), minute * MINUTE, head).samples()
        except EvaluationError:
            continue
        if all(sample.value == sample.value for sample in found):  # promtool cannot expect NaN
            checks.append({"expr": expr, "eval_time": f"{minute}m", "exp_samples": list(map(expected, found))})
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    scenario = {"interval": "1m", "input_series": inputs, "promql_expr_test": checks}
    document = {"evaluation_interval": "1m", "fuzzy_compare": True, "tests": [scenario]}
    (tmp_path / "t.yml").write_text(yaml.safe_dump(document, width=10_000))
    command = [binary("promtool"), "test", "rules", str(tmp_path / "t.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
