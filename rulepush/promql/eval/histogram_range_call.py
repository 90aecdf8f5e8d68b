"""The rows of a range that have native histograms, one by one, after the others were computed together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rulepush.histogram.boxes import Boxes, box_mask, box_numbers
from rulepush.model.arrays import Bools, Floats
from rulepush.promql.eval.evaluation import Evaluation
from rulepush.promql.functions.extended import range_seconds
from rulepush.promql.functions.histogram_ranges import (
    ANCHORED_MIXED_RANGES,
    ANY_SAMPLE,
    MIXED_RANGES,
    SMOOTHED_MIXED_RANGES,
    MixedFunction,
)
from rulepush.promql.functions.mixed_range import MixedRange, Sampled
from rulepush.promql.functions.registry import RangeFunction, RangeKernel
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.histogram_notes import ignored_in_range
from rulepush.promql.vectors.windows import RangeWindow, WindowColumns


def call_with_histograms(
    node: ast.Call,
    function: RangeFunction,
    kernel: RangeKernel,
    columns: WindowColumns,
    windows: Iterable[RangeWindow],
    scalars: Sequence[Floats],
    ev: Evaluation,
) -> tuple[Floats, Bools]:
    """(values[n, T], present[n, T]) as `call_kernel`, some samples of which are histograms."""
    n, steps = len(columns.index), len(ev.steps)
    values, present = np.zeros((steps, n)), np.zeros((steps, n), np.bool_)
    mixed = _mixed_function(node, function)
    for i, window in enumerate(windows):
        if window.values.shape[1] == 0:
            continue
        arguments = tuple(float(s[i]) for s in scalars)
        found, here = kernel(window, *arguments)
        values[i], present[i] = found, here
        if function.name in ANY_SAMPLE:
            continue
        native = np.logical_or.reduce(box_mask(window.values) & window.mask, axis=1)
        if function.note is not None:
            function.note(window, present[i] & ~native, arguments, ev.notes, node, node.args)
        for row in np.flatnonzero(native).tolist():
            if mixed is not None:
                values[i, row], present[i, row] = _of_row(mixed, window, row, node, ev)
            else:
                values[i, row], present[i, row] = _of_floats(kernel, function, window, row, arguments, node, ev)
            ev.limits.check_time()
    return values.T, present.T


def _mixed_function(node: ast.Call, function: RangeFunction) -> MixedFunction | None:
    ranged = ast.unwrap(node.args[function.range_arg])
    match ranged.selector.extended if isinstance(ranged, ast.MatrixSelector) else None:
        case None:
            return MIXED_RANGES.get(function.name)
        case ast.Extended.ANCHORED:
            return ANCHORED_MIXED_RANGES.get(function.name)
        case ast.Extended.SMOOTHED:
            return SMOOTHED_MIXED_RANGES.get(function.name)


def _of_row(mixed: MixedFunction, window: RangeWindow, row: int, node: ast.Call, ev: Evaluation) -> tuple[float, bool]:
    count = int(window.counts[row])
    samples = _samples(window.values[row, :count], ev.boxes)
    name = window.index.row(row).name
    times = window.times[row, :count].tolist()
    seconds = range_seconds(window)
    result = mixed(MixedRange(times, samples, window.start, window.end, name, node.args[0], ev.notes, seconds))
    if result is None:
        return 0.0, False
    return (result if isinstance(result, float) else ev.boxes.box(result)), True


def _samples(values: Floats, boxes: Boxes) -> list[Sampled]:
    native = box_mask(values)
    if np.count_nonzero(native) == len(values):
        return [boxes[number] for number in box_numbers(values).tolist()]
    return [boxes.unbox(v) or v for v in values.tolist()]


def _of_floats(
    kernel: RangeKernel,
    function: RangeFunction,
    window: RangeWindow,
    row: int,
    arguments: tuple[float, ...],
    node: ast.Call,
    ev: Evaluation,
) -> tuple[float, bool]:
    """What ignores histograms: the kernel over the floats of the row, if there is one."""
    count = int(window.counts[row])
    plain = ~box_mask(window.values[row, :count])
    if not plain.any():
        return 0.0, False
    index = window.index.picked(np.array((row,)))
    ev.notes.info(ignored_in_range(index.row(0).name), node.args[0])
    times, values = window.times[row, :count][plain][None, :], window.values[row, :count][plain][None, :]
    alone = RangeWindow(index, times, values, np.array([values.shape[1]]), window.start, window.end, window.ts)
    found, here = kernel(alone, *arguments)
    if function.note is not None:
        function.note(alone, here, arguments, ev.notes, node, node.args)
    return float(found[0]), bool(here[0])
