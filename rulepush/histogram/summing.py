"""The Kahan sum of many histograms at once, as sum() over series or over time needs it.

Buckets that are not there count as 0, which changes neither a sum nor its compensation, so histograms of one schema and
one zero threshold are the rows of one array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from rulepush.histogram.adding import KahanStep, combined_hint, kahan_add, no_rest
from rulepush.histogram.buckets import NO_BUCKETS, Buckets
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.schema import exponential_bound
from rulepush.model.arrays import Floats, Ints
from rulepush.model.kahan import kahan_sum

_FEW: Final = 4  # histograms: up to so many, one after the other costs less
_MOST: Final = 1 << 22  # elements of the array: beyond, one after the other


@np.errstate(all="ignore")
def kahan_sum_of_histograms(histograms: Sequence[FloatHistogram]) -> KahanStep:
    """`kahan_add` of at least one histogram after the other, with the same bits once compacted; the flags tell of any
    addition. Raises IncompatibleSchemas."""
    first = histograms[0]
    if len(histograms) <= _FEW or not all(_fits(h, first) for h in histograms):
        return _one_by_one(histograms)
    layouts = [_union([h.positive.indexes for h in histograms]), _union([h.negative.indexes for h in histograms])]
    width = 3 + sum(len(layout) for layout in layouts)
    if width * len(histograms) > _MOST:
        return _one_by_one(histograms)
    rows = np.zeros((len(histograms), width))
    middle = 3 + len(layouts[0])
    rows[:, 0] = [h.count for h in histograms]
    rows[:, 1] = [h.sum for h in histograms]
    rows[:, 2] = [h.zero_count for h in histograms]
    _fill(rows[:, 3:middle], layouts[0], [h.positive for h in histograms])
    _fill(rows[:, middle:], layouts[1], [h.negative for h in histograms])
    totals, rests = (sums.copy() for sums in kahan_sum(rows.T))  # they may be views of all running sums
    hint, collision = first.counter_reset_hint, False
    rest_hint = combined_hint(hint, histograms[1].counter_reset_hint)[0]
    for h in histograms[1:]:
        hint, collides = combined_hint(hint, h.counter_reset_hint)
        collision = collision or collides
    parts = []
    for values, own_hint in ((totals, hint), (rests, rest_hint)):
        parts.append(
            replace(
                first,
                count=float(values[0]),
                sum=float(values[1]),
                zero_count=float(values[2]),
                positive=Buckets.of(layouts[0], values[3:middle]) if len(layouts[0]) else NO_BUCKETS,
                negative=Buckets.of(layouts[1], values[middle:]) if len(layouts[1]) else NO_BUCKETS,
                counter_reset_hint=own_hint,
            )
        )
    return KahanStep(parts[0], parts[1], collision, False)


def _one_by_one(histograms: Sequence[FloatHistogram]) -> KahanStep:
    step = KahanStep(histograms[0], no_rest(histograms[0]), False, False)
    rest: FloatHistogram | None = None
    for h in histograms[1:]:
        added = kahan_add(step.total, h, rest)
        rest = added.rest
        step = KahanStep(
            added.total,
            rest,
            step.counter_reset_collision or added.counter_reset_collision,
            step.bounds_reconciled or added.bounds_reconciled,
        )
    return step


def _fits(h: FloatHistogram, first: FloatHistogram) -> bool:
    """Whether nothing is to be reconciled with the first, and no bucket is within the zero bucket."""
    if h.schema != first.schema or h.zero_threshold != first.zero_threshold or h.custom_values != first.custom_values:
        return False
    return h.uses_custom_buckets or all(
        not len(side) or exponential_bound(int(side.indexes[0]), h.schema) > h.zero_threshold
        for side in (h.positive, h.negative)
    )


def _union(layouts: list[Ints]) -> Ints:
    """All indexes of the layouts, ascending."""
    first = layouts[0]
    others = {id(layout): layout for layout in layouts if layout is not first}
    if not others:
        return first
    if all(np.array_equal(first, layout) for layout in others.values()):
        return first
    return np.unique(np.concatenate((first, *others.values())))


def _fill(rows: Floats, layout: Ints, sides: list[Buckets]) -> None:
    """rows[k, n] with the counts of each side at the places of its buckets in layout[n]."""
    places: dict[int, Ints] = {}
    for row, side in zip(rows, sides, strict=True):
        if side.indexes is layout:
            row[:] = side.counts
            continue
        place = places.get(id(side.indexes))
        if place is None:
            place = places[id(side.indexes)] = np.searchsorted(layout, side.indexes)
        row[place] = side.counts
