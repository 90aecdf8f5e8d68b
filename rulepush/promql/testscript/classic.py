"""`load_with_nhcb`: classic histograms become native ones with custom buckets as well. Source: Prometheus
promql/promqltest/test.go, appendCustomHistogram."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rulepush.histogram.classic import custom_histogram
from rulepush.histogram.errors import HistogramError
from rulepush.histogram.histogram import FloatHistogram
from rulepush.model.floats import parse_float
from rulepush.model.labels import BUCKET, METRIC_NAME, Labels
from rulepush.promql.testscript.script import Load

_SUFFIXES: Final = ("_bucket", "_count", "_sum")


@dataclass(slots=True)
class _Classic:
    """What is known of one classic histogram at one time."""

    buckets: list[tuple[float, float]] = field(default_factory=list)
    count: float | None = None
    total: float = 0.0


def custom_histograms(load: Load) -> Iterator[tuple[Labels, int, FloatHistogram]]:
    """(labels, ms, histogram) of each classic histogram of a load, series by series, by time. One that contradicts
    itself is left out."""
    found: dict[Labels, dict[int, _Classic]] = {}
    for line in load.sample_lines():
        base, _, suffix = line.labels.name.rpartition("_")
        bound = _bound(line.labels) if suffix == "bucket" else None
        if f"_{suffix}" not in _SUFFIXES or (suffix == "bucket" and bound is None):
            continue
        series = found.setdefault(line.labels.without((BUCKET,)).with_({METRIC_NAME: base}), {})
        for i, cell in enumerate(line.cells()):
            if not isinstance(cell, float):
                continue
            at = series.setdefault(i * load.gap_ms, _Classic())
            if bound is not None:
                at.buckets.append((bound, cell))
            elif suffix == "count":
                at.count = cell
            else:
                at.total = cell
    for labels, by_time in found.items():
        for ts, classic in sorted(by_time.items()):
            try:
                yield labels, ts, custom_histogram(classic.buckets, classic.count, classic.total)
            except HistogramError:
                continue


def _bound(labels: Labels) -> float | None:
    try:
        bound = parse_float(labels.get(BUCKET))
    except ValueError:
        return None
    return bound if bound == bound else None
