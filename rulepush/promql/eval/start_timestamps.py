"""Where start timestamps are used: ranges of counters, and start_timestamp()."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from rulepush.model.arrays import Bools, Floats
from rulepush.model.labels import Labels
from rulepush.promql.eval.evaluation import Evaluation
from rulepush.promql.eval.selectors import select_vector, window_bounds
from rulepush.promql.functions.extended import range_seconds, reach
from rulepush.promql.functions.mixed_range import MixedRange
from rulepush.promql.functions.start_timestamps import STARTED_RANGES
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.annotations import counter_doubt
from rulepush.promql.vectors.values import Vector
from rulepush.promql.vectors.windows import WindowColumns


def _starts_of(selector: ast.VectorSelector, start: int, end: int, ev: Evaluation) -> dict[Labels, dict[int, int]]:
    """By series, the start timestamp of each sample that has one, by its time: all in ms."""
    if ev.starts is None:
        return {}
    found = ev.starts.select(selector.matchers, start, end)
    rows = zip(found.index.labels, found.times, found.values, found.counts.tolist(), strict=True)
    return {
        labels: dict(zip(times[:count].tolist(), map(int, values[:count].tolist()), strict=True))
        for labels, times, values, count in rows
        if count
    }


def with_start_timestamps(
    node: ast.Call, ranged: ast.MatrixSelector, columns: WindowColumns, values: Floats, present: Bools, ev: Evaluation
) -> tuple[Floats, Bools]:
    """(values[n, T], present[n, T]) as computed from the samples alone; here of the series with start timestamps, by
    a function that takes them."""
    call = STARTED_RANGES.get(node.name)
    if call is None or (ranged.selector.extended is not None and node.name != "resets"):
        return values, present  # Prometheus' extendedRate and extendedHistogramRate know no start timestamps
    bounds = window_bounds(ranged, ev)
    back, _ = reach(ranged.selector, ev.options.lookback_delta_ms)
    known = _starts_of(ranged.selector, bounds[0][0] - back + 1, bounds[-1][1], ev)
    rows = [(row, known[labels]) for row, labels in enumerate(columns.index.labels) if labels in known]
    if not rows:
        return values, present
    values, present = np.array(values), np.array(present)
    for step, (start, end, ts) in enumerate(bounds):
        window = columns.window(start - back, end, ts)
        for row, of_row in rows:
            count = int(window.counts[row])
            times: Sequence[int] = window.times[row, :count].tolist()
            first = max(bisect_right(times, start) - 1, 0) if back else 0  # the anchor
            if times and times[-1] <= start:
                continue
            times = times[first:]
            starts = [of_row.get(t, 0) for t in times]
            if not any(starts):
                continue
            samples = [ev.boxes.unbox(v) or v for v in window.values[row, first:count].tolist()]
            labels = columns.index.row(row)
            name = labels.name
            found = call(
                MixedRange(
                    list(times), samples, window.start, window.end, name, node.args[0], ev.notes, range_seconds(window)
                ),
                starts,
            )
            there = bool(present[row, step])
            present[row, step] = found is not None
            if found is None:
                continue
            values[row, step] = found if isinstance(found, float) else ev.boxes.box(found)
            doubt = counter_doubt(labels, type_labels=ev.options.type_and_unit_labels)
            if not there and isinstance(found, float) and doubt is not None:
                ev.notes.info(doubt, node.args[0])
    return values, present


def start_timestamps(selector: ast.VectorSelector, ev: Evaluation) -> Vector:
    """start_timestamp() of a selector: seconds, 0 where it is not known."""
    vector = select_vector(selector, ev, timestamps=True)
    reach = ev.options.lookback_delta_ms
    whens = [ev.first, ev.last, *ev.moments]
    pinned = ev.pinned(selector.at)
    whens = [when - selector.offset_ms for when in ([pinned] if pinned is not None else whens)]
    known = _starts_of(selector, min(whens) - reach + 1, max(whens), ev)
    values = np.zeros(vector.values.shape)
    for row, step in np.argwhere(vector.present).tolist():
        of_row = known.get(vector.index.row(row))
        if of_row is not None:
            values[row, step] = of_row.get(round(float(vector.values[row, step]) * 1000), 0) / 1000
    return Vector(vector.index, values, vector.present, vector.drop_name)
