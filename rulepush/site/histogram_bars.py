"""A histogram as a small bar chart: what `query_macros.html` draws as inline SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.iteration import Bucket, all_buckets
from rulepush.histogram.text import format_bucket

BAR_HEIGHT: Final = 40  # units of the drawing
MAX_BARS: Final = 80  # more would be thinner than two pixels: neighbours are drawn as one
_LEAST_HEIGHT: Final = 1.0  # what is not empty can be seen


@dataclass(frozen=True, slots=True)
class HistogramBar:
    """One bar in units of the drawing: a bar is one wide. `text` is `(1,2]:3`; `css` a class of a count below zero, as
    a subtraction leaves it, drawn as high as one above."""

    x: int
    y: float
    height: float
    text: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class HistogramBars:
    """The filled buckets from the lowest to the highest, each as wide as the others: with exponential buckets that is
    a logarithmic scale. Where empty ones are between two of them, one bar's width is left out, however many they are.
    `lowest` and `highest` are the bounds of all."""

    bars: Sequence[HistogramBar]
    width: int
    buckets: int
    lowest: float
    highest: float


def histogram_bars(histogram: FloatHistogram) -> HistogramBars | None:
    """The bars of a histogram; None where all buckets are empty."""
    found = [bucket for bucket in all_buckets(histogram) if bucket.count != 0]
    if not found:
        return None
    every = -(-len(found) // MAX_BARS)
    shown = [_joined(found[i : i + every]) for i in range(0, len(found), every)]
    most = max((abs(b.count) for b in shown if math.isfinite(b.count)), default=0.0) or 1.0
    bars: list[HistogramBar] = []
    x = 0
    for i, bucket in enumerate(shown):
        if i and shown[i - 1].upper < bucket.lower:
            x += 1
        height = BAR_HEIGHT * (min(abs(bucket.count) / most, 1.0) if not math.isnan(bucket.count) else 0.0)
        height = round(max(height, _LEAST_HEIGHT), 1)
        css = "below" if bucket.count < 0 else ""
        bars.append(HistogramBar(x, round(BAR_HEIGHT - height, 1), height, format_bucket(bucket), css))
        x += 1
    return HistogramBars(bars, x, len(found), found[0].lower, found[-1].upper)


def _joined(buckets: Sequence[Bucket]) -> Bucket:
    """Neighbours as one, over all that is between them."""
    first, last = buckets[0], buckets[-1]
    count = sum(bucket.count for bucket in buckets)
    return Bucket(first.lower, last.upper, first.lower_inclusive, last.upper_inclusive, count, first.index)
