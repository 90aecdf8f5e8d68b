"""What Prometheus' own code answers, in prometheus_3_14.jsonl: one operation on random histograms a line.

Made on 2026-11-29 by a small Go program around model/histogram, util/kahansum and promql/quantile.go of Prometheus
3.14.0 (commit d15adb9a), which is not part of this project. Floats are hexadecimal, so that they are exact.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram

_FILE = Path(__file__).parent / "prometheus_3_14.jsonl"


@dataclass(frozen=True, slots=True)
class RecordedCase:
    """`given`: the operands; `answer`: the fields of the line."""

    given: tuple[FloatHistogram, ...]
    answer: dict[str, Any]

    @property
    def x(self) -> float:
        """The first number that the operation takes."""
        return read_float(self.answer["x"])

    @property
    def histogram(self) -> FloatHistogram:
        """The result."""
        return read_histogram(self.answer["histogram"])


def read_float(text: str) -> float:
    """A hexadecimal float, or NaN, +Inf, -Inf."""
    return float(text) if text in ("NaN", "+Inf", "-Inf") else float.fromhex(text)


def read_histogram(fields: dict[str, Any]) -> FloatHistogram:
    """A histogram whose fields of 0 are left out."""

    def number(key: str) -> float:
        return read_float(fields[key]) if key in fields else 0.0

    def side(key: str) -> Buckets:
        return Buckets.from_spans(
            ((offset, length) for offset, length in fields.get(f"{key}_spans", ())),
            [read_float(count) for count in fields.get(key, ())],
        )

    return FloatHistogram(
        schema=fields.get("schema", 0),
        count=number("count"),
        sum=number("sum"),
        zero_threshold=number("zero_threshold"),
        zero_count=number("zero_count"),
        positive=side("positive"),
        negative=side("negative"),
        custom_values=tuple(map(read_float, fields.get("custom_values", ()))),
        counter_reset_hint=CounterResetHint(fields.get("hint", 0)),
    )


@cache
def _all() -> dict[str, list[RecordedCase]]:
    found: dict[str, list[RecordedCase]] = {}
    for line in _FILE.read_text().splitlines():
        answer = json.loads(line)
        given = tuple(map(read_histogram, answer["on"]))
        found.setdefault(answer["op"], []).append(RecordedCase(given, answer))
    return found


def recorded(operation: str) -> list[RecordedCase]:
    """All cases of an operation, at least ten."""
    cases = _all()[operation]
    assert len(cases) >= 10
    return cases


def same_number(a: float, b: float) -> bool:
    """Every bit, but that any NaN is any other, and -0 is 0."""
    return a == b or (math.isnan(a) and math.isnan(b))


def same_histogram(a: FloatHistogram, b: FloatHistogram) -> bool:
    """The same buckets, even empty ones, and numbers by `same_number`."""
    return (
        (a.schema, a.custom_values, a.counter_reset_hint) == (b.schema, b.custom_values, b.counter_reset_hint)
        and all(
            same_number(x, y)
            for x, y in (
                (a.count, b.count),
                (a.sum, b.sum),
                (a.zero_threshold, b.zero_threshold),
                (a.zero_count, b.zero_count),
            )
        )
        and _same_buckets(a.positive, b.positive)
        and _same_buckets(a.negative, b.negative)
    )


def _same_buckets(a: Buckets, b: Buckets) -> bool:
    return a.indexes.tolist() == b.indexes.tolist() and np.array_equal(a.counts, b.counts, equal_nan=True)
