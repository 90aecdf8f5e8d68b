"""Random histograms beside promtool 3.5: written as literals of a rule test, their sums, quantiles and so on are what
promtool prints as got. Custom buckets have equal bounds, for 3.5 refuses to add others."""

from __future__ import annotations

import math
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from rulepush.histogram.adding import add, subtract
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.literal import parse_histogram
from rulepush.histogram.resets import detect_reset
from rulepush.histogram.schema import CUSTOM_SCHEMA
from rulepush.histogram.statistics import (
    histogram_average,
    histogram_deviation,
    histogram_fraction,
    histogram_quantile,
    histogram_variance,
)
from rulepush.histogram.text import histogram_literal
from tests.needs import binary

PAIRS = 40
BOUNDS = (-1.0, 0.0, 0.25, 1.0, 2.5, 10.0)


def counts(r: random.Random, most: int) -> list[float]:
    return [float(r.choice([0, 1, 1, 3, 8])) + r.choice([0.0, 0.5]) for _ in range(r.randint(0, most))]


def drawn(r: random.Random, custom: bool) -> FloatHistogram:
    """With a count of all observations, a sum that is possible, and nothing empty at the ends."""
    zero, threshold = (0.0, 0.0) if custom else (r.choice([0.0, 4.0]), r.choice([0.0, 0.001, 0.3]))
    positive = Buckets.at(0 if custom else r.randint(-5, 5), counts(r, len(BOUNDS) if custom else 9)).compacted()
    negative = Buckets.at(r.randint(-5, 5), counts(r, 4) if not custom and r.random() < 0.4 else []).compacted()
    total = zero + float(positive.counts.sum() + negative.counts.sum())
    return FloatHistogram(
        schema=CUSTOM_SCHEMA if custom else r.choice([-1, 0, 1, 3]),
        count=total,
        sum=r.choice([0.5, 1.25, 3.3]) * total,
        zero_threshold=threshold,
        zero_count=zero,
        positive=positive,
        negative=negative,
        custom_values=BOUNDS if custom else (),
    )


Answer = float | FloatHistogram | None
EXPRESSIONS: dict[str, Callable[[FloatHistogram, FloatHistogram], Answer]] = {
    "histogram_quantile(0.3, A)": lambda a, _: histogram_quantile(0.3, a)[0],
    "histogram_quantile(0.9, A)": lambda a, _: histogram_quantile(0.9, a)[0],
    "histogram_quantile(1, A)": lambda a, _: histogram_quantile(1, a)[0],
    "histogram_fraction(-0.7, 0.2, A)": lambda a, _: histogram_fraction(-0.7, 0.2, a)[0],
    "histogram_fraction(0.4, 3, A)": lambda a, _: histogram_fraction(0.4, 3, a)[0],
    "histogram_avg(A)": lambda a, _: histogram_average(a),
    "histogram_stddev(A)": lambda a, _: histogram_deviation(a),
    "histogram_stdvar(A)": lambda a, _: histogram_variance(a),
    "A + on(i) B": lambda a, b: add(a, b).histogram.compacted(),
    "A - on(i) B": lambda a, b: subtract(a, b).histogram.compacted(),
    "A * 0.3": lambda a, _: a.multiplied(0.3).compacted(),
    "A / 0.7": lambda a, _: a.divided(0.7).compacted(),
    "-A": lambda a, _: a.negated().compacted(),
    "A == on(i) B": lambda a, b: a if a.equals(b) else None,
    "resets(A[2m])": lambda a, b: float(detect_reset(b, a)),  # A is followed by B in this one
}
GOT = re.compile(r"^ *got: (?:nil|\{.*?\} (.*))$", re.MULTILINE)


def answer_of(text: str) -> Answer:
    """What promtool prints of one series."""
    return parse_histogram(text) if text.startswith("{{") else float(text)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_histograms_have_the_answers_of_promtool(seed: int, tmp_path: Path) -> None:
    promtool = binary("promtool")
    r = random.Random(seed)
    pairs = [(drawn(r, i % 4 == 0), drawn(r, i % 4 == 0)) for i in range(PAIRS)]
    pairs[1::7] = [(a, a) for a, _ in pairs[1::7]]
    series, asked = [], []
    for i, (a, b) in enumerate(pairs):
        first, second = histogram_literal(a), histogram_literal(b)
        series.append({"series": f'a{{i="{i}"}}', "values": first})
        series.append({"series": f'b{{i="{i}"}}', "values": second})
        series.append({"series": f'both{{i="{i}"}}', "values": f"{first} {second}"})
        for expr in EXPRESSIONS:
            late = expr.startswith("resets")
            text = re.sub(r"\bA\b", f'{"both" if late else "a"}{{i="{i}"}}', expr)
            text = re.sub(r"\bB\b", f'b{{i="{i}"}}', text)
            samples = [{"labels": "not_expected", "value": 1}]  # so that it prints what it got
            asked.append({"expr": text, "eval_time": "1m" if late else "0s", "exp_samples": samples})
    file = tmp_path / "test.yml"
    file.write_text(
        yaml.safe_dump(
            {
                "evaluation_interval": "1m",
                "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}],
            }
        )
    )
    command = [promtool, "test", "rules", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    printed = GOT.findall(run.stdout + run.stderr)
    assert len(printed) == PAIRS * len(EXPRESSIONS), run.stdout[-500:] + run.stderr[-500:]
    seen = iter(printed)
    for a, b in pairs:
        for expr, own in EXPRESSIONS.items():
            text = next(seen)
            got = own(a, b)
            operands = f"A {histogram_literal(a)}, B {histogram_literal(b)}"
            # 3.5 multiplies before it divides here (until Prometheus' commit e96eacb4), which may round otherwise.
            slack = 4e-16 if "fraction" in expr else 0.0
            assert agrees(answer_of(text) if text else None, got, slack), f"{expr} of {operands}: {text}, not {got}"


def agrees(wanted: Answer, got: Answer, slack: float) -> bool:
    """Floats to the last bit, or but for `slack`; histograms as they are written, but for the counter reset hint, which
    later versions set otherwise."""
    if isinstance(wanted, FloatHistogram) and isinstance(got, FloatHistogram):
        texts = [histogram_literal(in_order(h, got)) for h in (wanted, got)]
        return texts[0] == texts[1]
    if isinstance(wanted, float) and isinstance(got, float):
        return math.isclose(wanted, got, rel_tol=slack) or (math.isnan(wanted) and math.isnan(got))
    return wanted is got


def in_order(h: FloatHistogram, shown: FloatHistogram) -> FloatHistogram:
    """Without the hint; and without gaps when 3.5 may have written them at the wrong place: it loses its position after
    the first gap that it fills up (3.14's compactBuckets in model/histogram/generic.go says how)."""
    if max(len(shown.positive.spans()), len(shown.negative.spans())) > 2:
        sides = [Buckets.at(0, side.compacted().counts.tolist()) for side in (h.positive, h.negative)]
        h = replace(h, positive=sides[0], negative=sides[1])
    return h.with_hint(CounterResetHint.UNKNOWN)
