"""Smoothed instant selectors of series that have histograms. Source: Prometheus promql/engine.go, smoothSeries."""

from __future__ import annotations

import numpy as np

from rulepush.histogram.boxes import box_mask
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.model.arrays import Bools, Floats
from rulepush.promql.eval.evaluation import Evaluation
from rulepush.promql.functions.histogram_rates import HistogramSteps, interpolated
from rulepush.promql.syntax import ast
from rulepush.promql.vectors import histogram_notes as words
from rulepush.promql.vectors.windows import WindowColumns


def smoothed_histograms(
    columns: WindowColumns,
    when: int,
    delta: int,
    values: Floats,
    present: Bools,
    node: ast.VectorSelector,
    ev: Evaluation,
) -> tuple[Floats, Bools]:
    """(values float64[n], present bool[n]) at `when` (ms) as `smoothed_at` has found them, with those of the rows that
    have histograms around that time."""
    times, counts = columns.times, columns.counts
    near = (times > when - delta) & (times <= when + delta)
    near &= np.arange(times.shape[1]) < counts[:, None]
    native = box_mask(columns.values) & near
    values, present = np.array(values), np.array(present)
    for row in np.flatnonzero(native.any(axis=1)).tolist():
        present[row] = False
        name = columns.index.row(row).name
        if (near[row] & ~native[row]).any():
            ev.notes.warn(words.mixed_floats_and_histograms(name), node)
            continue
        at = [int(t) for t in times[row, near[row]]]
        held = [h for h in map(ev.boxes.unbox, columns.values[row, near[row]].tolist()) if h is not None]
        found = _at(at, held, when, HistogramSteps(name, node, ev.notes))
        if found is not None:
            values[row], present[row] = ev.boxes.box(found), True
    return values, present


def _at(times: list[int], held: list[FloatHistogram], when: int, steps: HistogramSteps) -> FloatHistogram | None:
    place = sum(t < when for t in times)
    if place < len(times) and times[place] == when:
        return held[place]
    if not place:
        return None
    if place == len(times):
        return held[-1].with_hint(CounterResetHint.UNKNOWN)
    before, after = held[place - 1], held[place]
    if before.uses_custom_buckets is not after.uses_custom_buckets:
        steps.mixed()
        return None
    is_counter = not (before.counter_reset_hint is after.counter_reset_hint is CounterResetHint.GAUGE)
    return interpolated(steps, (before, times[place - 1]), (after, times[place]), when, is_counter)
