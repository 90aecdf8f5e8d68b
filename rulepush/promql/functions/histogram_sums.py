"""Sums and means of native histograms, for aggregations and *_over_time. Source: Prometheus promql/engine.go
(aggregation) and promql/functions.go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rulepush.histogram.adding import add, kahan_add
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.summing import kahan_sum_of_histograms
from rulepush.promql.functions.registry import AnnotationSink
from rulepush.promql.vectors import histogram_notes as words


@dataclass(frozen=True, slots=True)
class Summed:
    """A sum or a mean, not compacted. `collision`: a counter reset was said of one, and denied of another;
    `reconciled`: custom bounds differed."""

    histogram: FloatHistogram
    collision: bool
    reconciled: bool

    def note(self, notes: AnnotationSink, node: Any) -> None:
        """What Prometheus says of it, about `node`."""
        if self.collision:
            notes.warn(words.conflicting_resets(words.AGGREGATION), node)
        if self.reconciled:
            notes.info(words.reconciled_bounds(words.AGGREGATION), node)


def sum_of(histograms: Sequence[FloatHistogram]) -> Summed:
    """The Kahan-compensated sum of at least one. Raises IncompatibleSchemas."""
    if len(histograms) == 1:
        return Summed(histograms[0], collision=False, reconciled=False)
    step = kahan_sum_of_histograms(histograms)
    found = add(step.total, step.rest)
    return Summed(found.histogram, _collide(histograms), step.bounds_reconciled or found.bounds_reconciled)


def mean_of(histograms: Sequence[FloatHistogram]) -> Summed:
    """The mean of at least one: of the compensated sum; where that overflows, incrementally from there on. Raises
    IncompatibleSchemas."""
    total, reconciled, count = histograms[0], False, 1.0
    rest: FloatHistogram | None = None
    mean: FloatHistogram | None = None
    for place, other in enumerate(histograms[1:], 2):
        count = float(place)
        if mean is None:
            step = kahan_add(total, other, rest)
            reconciled |= step.bounds_reconciled
            if not step.total.has_overflow():
                total, rest = step.total, step.rest
                continue
            mean = total.divided(count - 1)
            rest = None if rest is None else rest.divided(count - 1)
        q = (count - 1) / count
        rest = None if rest is None else rest.multiplied(q)
        step = kahan_add(mean.multiplied(q), other.divided(count), rest)
        mean, rest = step.total, step.rest
        reconciled |= step.bounds_reconciled
    if mean is None:
        mean = total.divided(count)
        rest = None if rest is None else rest.divided(count)
    if rest is not None:
        mean = add(mean, rest).histogram
    return Summed(mean, _collide(histograms), reconciled)


def _collide(histograms: Sequence[FloatHistogram]) -> bool:
    hints = {h.counter_reset_hint for h in histograms}
    return CounterResetHint.RESET in hints and CounterResetHint.NOT_RESET in hints
