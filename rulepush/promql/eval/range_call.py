"""Calls the kernel of a RangeFunction for every step: step by step on views, or many small windows at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from rulepush.histogram.boxes import box_mask
from rulepush.model.arrays import Bools, Floats
from rulepush.promql.eval.evaluation import Evaluation
from rulepush.promql.eval.selectors import window_bounds
from rulepush.promql.functions.registry import RangeFunction, RangeKernel
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.values import nowhere
from rulepush.promql.vectors.windows import RangeWindow, WindowColumns

# When the windows of many steps are stacked for one call: see _steps_at_once.
_STACK_STEPS: Final = 4
_STACK_SERIES: Final = 64
_STACK_WINDOW: Final = 4_096  # samples of all series in one window: copying more costs as much as the call it saves
_STACK_ELEMENTS: Final = 1 << 17  # 1 MiB an array


def call_kernel(
    node: ast.Call,
    function: RangeFunction,
    kernel: RangeKernel,
    columns: WindowColumns,
    windows: Iterable[RangeWindow],
    scalars: Sequence[Floats],
    ev: Evaluation,
) -> tuple[Floats, Bools]:
    """(values[n, T], present[n, T]). `windows` are those of `columns` at each step, `scalars` the other arguments."""
    n, steps = len(columns.index), len(ev.steps)
    if not columns.sample_count:
        return np.zeros((n, steps)), np.zeros((n, steps), np.bool_)
    if ev.boxes and np.count_nonzero(box_mask(columns.values)):
        from rulepush.promql.eval.histogram_range_call import call_with_histograms

        return call_with_histograms(node, function, kernel, columns, windows, scalars, ev)
    if steps == 1:
        return _at_one_step(node, function, kernel, columns, next(iter(windows)), scalars, ev)
    values, present = np.empty((steps, n)), np.empty((steps, n), np.bool_)

    def note(window: RangeWindow, here: Bools, arguments: tuple[float, ...]) -> None:
        if function.note is not None:
            function.note(window, here, arguments, ev.notes, node, node.args)
        ev.limits.check_time()

    ranged = ast.unwrap(node.args[function.range_arg])
    assert isinstance(ranged, ast.MatrixSelector | ast.Subquery)
    at_once = _steps_at_once(ranged, function, columns, scalars, steps)
    if at_once == 1:
        for i, window in enumerate(windows):
            arguments = tuple([float(s[i]) for s in scalars]) if scalars else ()
            if window.values.shape[1] == 0:
                present[i] = False
                continue
            values[i], present[i] = kernel(window, *arguments)
            note(window, present[i], arguments)
        return values.T, present.T
    arguments = tuple(float(s[0]) for s in scalars)
    bounds = window_bounds(ranged, ev)
    for first in range(0, steps, at_once):
        part = slice(first, first + at_once)
        window = columns.stacked(bounds[part])
        if window.values.shape[1] == 0:
            present[part] = False
            continue
        of_rows, present_rows = kernel(window, *arguments)
        values[part], present[part] = of_rows.reshape(-1, n), present_rows.reshape(-1, n)
        note(window, np.logical_or.reduce(present[part], axis=0), arguments)
    return values.T, present.T


def _at_one_step(
    node: ast.Call,
    function: RangeFunction,
    kernel: RangeKernel,
    columns: WindowColumns,
    window: RangeWindow,
    scalars: Sequence[Floats],
    ev: Evaluation,
) -> tuple[Floats, Bools]:
    """As `call_kernel` for an instant query, which a rule is. Odd rows are computed apart."""
    arguments = tuple([float(s[0]) for s in scalars])

    def called(w: RangeWindow) -> tuple[Floats, Bools]:
        n, k = w.values.shape
        return kernel(w, *arguments) if k else (np.zeros(n), nowhere(n))

    values, present = called(window)
    if columns.of_odd is not None:
        present = present.copy()
        values[columns.odd], present[columns.odd] = called(columns.of_odd.whole(window.start, window.end, window.ts))
    if function.note is not None:
        function.note(window, present, arguments, ev.notes, node, node.args)
    return values[:, None], present[:, None]


def _steps_at_once(
    ranged: ast.MatrixSelector | ast.Subquery,
    function: RangeFunction,
    columns: WindowColumns,
    scalars: Sequence[Floats],
    steps: int,
) -> int:
    """How many steps one call of the kernel takes. Few small windows cost less stacked than one by one: the samples are
    copied, but numpy is entered once for all. 1: the windows are views, taken step by step."""
    extended = isinstance(ranged, ast.MatrixSelector) and ranged.selector.extended is not None
    pinned = ranged.selector.at if isinstance(ranged, ast.MatrixSelector) else ranged.at
    if steps < _STACK_STEPS or function.absolute_times or extended or pinned is not None:
        return 1
    if any((s != s[0]).any() for s in scalars):
        return 1
    n = len(columns.index)
    if n > _STACK_SERIES:
        return 1
    # From the average spacing of each series; where it varies, a window may be wider, and only takes more memory.
    spans = columns.times[np.arange(n), np.maximum(columns.counts - 1, 0)] - columns.times[:, 0]
    shares = np.minimum(1.0, ranged.range_ms / np.maximum(spans, 1))
    window = n * (int((columns.counts * shares).max()) + 1)
    return 1 if window > _STACK_WINDOW else max(1, _STACK_ELEMENTS // window)
