"""Selectors: from the storage's samples to vectors and windows. Look-back, staleness, offset and @ live here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rulepush.errors import EvaluationError
from rulepush.histogram.boxes import box_mask
from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.sample import stale_mask
from rulepush.promql.eval.evaluation import Evaluation, samples_in
from rulepush.promql.functions.extended import extended_matrix, reach, smoothed_at
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.values import Matrix, Vector, empty_vector, everywhere, nowhere
from rulepush.promql.vectors.windows import RangeWindow, WindowColumns, row_bounds
from rulepush.storage.selection import Selection


def select_vector(node: ast.VectorSelector, ev: Evaluation, timestamps: bool = False) -> Vector:
    """The newest sample of each series at each step, at most the look-back delta old (left-open), unless it is a stale
    marker. With `timestamps`, its time in seconds in place of its value."""
    vector = _select_vector(node, ev, timestamps)
    if ev.samples is not None:
        ev.samples.per_step += vector.present.sum(axis=0)
        if ev.boxes and not timestamps:
            columns = zip(vector.values.T, vector.present.T, strict=True)
            ev.samples.per_step += [samples_in(values[here], ev.boxes) for values, here in columns]
    return vector


def _select_vector(node: ast.VectorSelector, ev: Evaluation, timestamps: bool) -> Vector:
    delta, offset = ev.options.lookback_delta_ms, node.offset_ms
    pinned = None if node.at is None else ev.pinned(node.at)
    if pinned is not None:
        times = [pinned - offset]
    else:
        times = [ts - offset for ts in ev.moments] if offset else ev.moments
    if not times:
        return empty_vector(0)
    if node.extended is ast.Extended.SMOOTHED and not timestamps:
        return _select_smoothed(node, times, ev)
    selection = ev.querier.select(node.matchers, times[0] - delta + 1, times[-1])
    boxes = selection.boxes
    if boxes is not None:
        selection = _hinted(selection, node, ev)
        boxes = selection.boxes
    n, steps = len(selection.index), len(ev.moments)
    ev.limits.take(n * steps)
    if len(times) == 1:
        found = None if timestamps else _newest_shared(selection, times[0], delta)
        if found is None:
            at, value, present = newest(selection, times[0], delta)
            if timestamps:
                value = at / 1000
        else:
            value, present = found
        if boxes is not None and not timestamps:
            value = ev.boxes.adopted(value, boxes)
        values, presence = value.reshape(n, 1), present.reshape(n, 1)
        if steps > 1:
            values, presence = np.repeat(values, steps, axis=1), np.repeat(presence, steps, axis=1)
        return Vector(selection.index, values, presence)
    if n <= steps:  # a search per row costs less than one per step: a subquery over few series and many steps
        values, presence = newest_by_row(selection, np.array(times, np.int64), delta, timestamps)
        return Vector(selection.index, _adopted(values, selection, ev), presence)
    out, here = np.empty((steps, n)), np.empty((steps, n), np.bool_)
    for i, when in enumerate(times):
        at, value, here[i] = newest(selection, when, delta)
        out[i] = at / 1000 if timestamps else value
    return Vector(selection.index, _adopted(out.T, selection, ev), here.T)


def _hinted(selection: Selection, node: ast.VectorSelector, ev: Evaluation) -> Selection:
    """The histograms of a selection with the hints that the query reads."""
    from rulepush.promql.eval.histogram_hints import reads_statistics, with_reset_hints

    return with_reset_hints(selection) if reads_statistics(node, ev.root) else selection


def _adopted(values: Floats, selection: Selection, ev: Evaluation) -> Floats:
    """The same with the boxes of the evaluation."""
    return values if selection.boxes is None else ev.boxes.adopted(values, selection.boxes)


def newest_by_row(selection: Selection, whens: Ints, delta: int, timestamps: bool) -> tuple[Floats, Bools]:
    """(float64[n, T], bool[n, T]): what `newest` finds at all of `whens`, with one binary search for each row."""
    n = len(selection.index)
    out, here = np.zeros((n, len(whens))), np.zeros((n, len(whens)), np.bool_)
    for row, count in enumerate(selection.counts.tolist()):
        if count == 0:
            continue
        times, values = selection.times[row, :count], selection.values[row, :count]
        bound = times.searchsorted(whens, "right")
        last = np.maximum(bound - 1, 0)
        at, value = times[last], values[last]
        here[row] = (at > whens - delta) & (bound > 0) & ~stale_mask(value)
        out[row] = at / 1000 if timestamps else value
    return out, here


def _select_smoothed(node: ast.VectorSelector, times: list[int], ev: Evaluation) -> Vector:
    """The value of each series at exactly these times (all steps have the same one under @)."""
    delta, steps = ev.options.lookback_delta_ms, len(ev.steps)
    start, end = times[0] - delta, times[-1] + delta
    selection = ev.querier.select(node.matchers, start + 1, end)
    columns = WindowColumns.of_selection(selection, start, end)
    if selection.boxes is not None:
        columns.values = ev.boxes.adopted(columns.values, selection.boxes)
    ev.limits.take(columns.sample_count + len(columns.index) * steps)
    found = [smoothed_at(columns, when, delta) for when in times]
    if selection.boxes is not None:
        from rulepush.promql.eval.histogram_smoothing import smoothed_histograms

        found = [
            smoothed_histograms(columns, when, delta, *at, node, ev) for when, at in zip(times, found, strict=True)
        ]
    values, present = np.array([value for value, _ in found]), np.array([here for _, here in found], np.bool_)
    if len(times) < steps:
        values, present = np.repeat(values, steps, axis=0), np.repeat(present, steps, axis=0)
    return Vector(columns.index, values.T, present.T)


def _newest_shared(selection: Selection, when: int, delta: int) -> tuple[Floats, Bools] | None:
    """(values float64[n], present bool[n]) as of `newest`, where the times are the same in all rows; otherwise None."""
    shared, n = selection.shared, len(selection.index)
    if shared is None or not len(shared.times):
        return None
    at = shared.until(when) - 1
    if at < 0:
        return None
    time = int(shared.times[at])
    value = selection.column(shared.first + at).copy()
    if time <= when - delta:
        present = nowhere(n)
    else:
        present = everywhere(n) if time > shared.stale_at else ~stale_mask(value)
    if selection.odd is not None:
        present = present.copy()
        _, value[selection.odd], present[selection.odd] = newest(selection.part(selection.odd), when, delta)
    return value, present


def newest(selection: Selection, when: int, delta: int) -> tuple[Ints, Floats, Bools]:
    """(times int64[n], values float64[n], present bool[n]) of the newest samples in (when - delta, when]. Copies."""
    times, values, counts = selection.times, selection.values, selection.counts
    n = len(counts)
    bound = row_bounds(times, counts, when)
    if isinstance(bound, int):
        if bound == 0:
            return np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.bool_)
        at, value = times[:, bound - 1], values[:, bound - 1].copy()
        present = at > when - delta
    else:
        rows, last = np.arange(n), np.maximum(bound - 1, 0)
        at, value = times[rows, last], values[rows, last]
        present = (at > when - delta) & (bound > 0)
    stale = stale_mask(value)
    if stale.any():
        present &= ~stale
    return at, value, present


def window_bounds(node: ast.MatrixSelector | ast.Subquery, ev: Evaluation) -> list[tuple[int, int, int]]:
    """(start, end, ts) of the range at each step; start is exclusive."""
    selector = node.selector if isinstance(node, ast.MatrixSelector) else node
    pinned = None if selector.at is None else ev.pinned(selector.at)
    offset, span = selector.offset_ms, node.range_ms
    if pinned is not None:
        return [(pinned - offset - span, pinned - offset, ts) for ts in ev.moments]
    if len(ev.moments) == 1:
        ts = ev.moments[0]
        return [(ts - offset - span, ts - offset, ts)]
    return [(ts - offset - span, ts - offset, ts) for ts in ev.moments]


def select_windows(
    node: ast.MatrixSelector, ev: Evaluation, *, apart: bool = False
) -> tuple[WindowColumns, Iterator[RangeWindow]]:
    """The samples that all steps need, and the window of each step. With @, the steps share one window's arrays. At one
    step, odd rows may be given `apart`."""
    bounds = window_bounds(node, ev)
    back, ahead = reach(node.selector, ev.options.lookback_delta_ms)
    start, end = bounds[0][0] - back, bounds[-1][1] + ahead
    selection = ev.querier.select(node.selector.matchers, start + 1, end)
    if selection.boxes is not None:
        selection = _hinted(selection, node.selector, ev)
        columns = WindowColumns.of_selection(selection, start, end)
        columns.values = _adopted(columns.values, selection, ev)
    else:
        columns = WindowColumns.of_selection(selection, start, end, apart=apart and len(bounds) == 1)
    ev.limits.take(columns.sample_count)
    return columns, _windows(columns, bounds, back, ahead)


def _windows(
    columns: WindowColumns, bounds: list[tuple[int, int, int]], back: int, ahead: int
) -> Iterator[RangeWindow]:
    first = bounds[0]
    if first[1] == bounds[-1][1]:
        for start, end, ts in bounds:
            yield columns.whole(start, end, ts)
        return
    for start, end, ts in bounds:
        yield columns.window(start, end, ts, back, ahead)


def samples_of(window: RangeWindow, ev: Evaluation) -> int:
    """How many samples a window counts for."""
    count = int(window.counts.sum())
    return count + samples_in(window.values[window.mask], ev.boxes) if ev.boxes else count


def select_matrix(node: ast.MatrixSelector, ev: Evaluation) -> Matrix:
    """The samples of a range at one step: what an instant query for `x[5m]` answers."""
    columns, windows = select_windows(node, ev)
    if ev.samples is not None:
        ev.samples.per_step += samples_of(columns.whole(*window_bounds(node, ev)[0]), ev)
    if node.selector.extended is not None:
        if ev.boxes and np.count_nonzero(box_mask(columns.values)):
            raise EvaluationError(f"{node.selector.extended.value} modifier is not supported with histograms")
        return extended_matrix(next(windows), smoothed=node.selector.extended is ast.Extended.SMOOTHED)
    return Matrix(columns.index, columns.times.copy(), columns.values.copy(), columns.counts)
