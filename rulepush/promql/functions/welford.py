"""Population variances of the rows of an array by Welford's recurrence, in Prometheus' order of operations: a rule may
compare two of them, and the last bit depends on the order.

Sources: Prometheus promql/engine.go (`aggregation`, STDVAR) and promql/functions.go (`varianceOverTime`). All rows take
their next value at once, or, where there are few, one after the other in Python, which is quicker then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from rulepush.model.arrays import Bools, Floats
from rulepush.model.kahan import kahan_step, kahan_steps

_FEW_ROWS: Final = 24  # below which numpy's calls cost more than Python's arithmetic


def variances(values: Floats, mask: Bools | None) -> Floats:
    """variance[n] of the aggregations, over values[n, k] where `mask`, if given; NaN for an empty row."""
    if len(values) < _FEW_ROWS:
        return _row_by_row(_variance, values, mask)
    count, mean, squares = (np.zeros(len(values)) for _ in range(3))
    for column in range(values.shape[1]):
        x = values[:, column]
        taken = count + 1
        delta = x - mean
        moved = mean + delta / taken
        added = squares + delta * (x - moved)
        if mask is None:
            count, mean, squares = taken, moved, added
        else:
            here = mask[:, column]
            for kept, new in ((count, taken), (mean, moved), (squares, added)):
                np.copyto(kept, new, where=here)
    return squares / count


def compensated_variances(values: Floats, mask: Bools | None) -> Floats:
    """variance[n] of stdvar_over_time: both sums carry Kahan's compensation. NaN for an empty row."""
    if len(values) < _FEW_ROWS:
        return _row_by_row(_compensated_variance, values, mask)
    count, mean, mean_rest, squares, squares_rest = (np.zeros(len(values)) for _ in range(5))
    for column in range(values.shape[1]):
        x = values[:, column]
        taken = count + 1
        delta = x - (mean + mean_rest)
        moved, moved_rest = kahan_steps(delta / taken, mean, mean_rest)
        added, added_rest = kahan_steps(delta * (x - (moved + moved_rest)), squares, squares_rest)
        if mask is None:
            count, mean, mean_rest, squares, squares_rest = taken, moved, moved_rest, added, added_rest
        else:
            here = mask[:, column]
            pairs = ((count, taken), (mean, moved), (mean_rest, moved_rest))
            for kept, new in (*pairs, (squares, added), (squares_rest, added_rest)):
                np.copyto(kept, new, where=here)
    return (squares + squares_rest) / count


def _row_by_row(variance: Callable[[list[float]], float], values: Floats, mask: Bools | None) -> Floats:
    rows = values.tolist() if mask is None else [x[here].tolist() for x, here in zip(values, mask, strict=True)]
    return np.array([variance(row) for row in rows], np.float64)


def _variance(row: list[float]) -> float:
    mean = squares = 0.0
    for count, x in enumerate(row, 1):
        delta = x - mean
        mean += delta / count
        squares += delta * (x - mean)
    return squares / len(row) if row else math.nan


def _compensated_variance(row: list[float]) -> float:
    mean = mean_rest = squares = squares_rest = 0.0
    for count, x in enumerate(row, 1):
        delta = x - (mean + mean_rest)
        mean, mean_rest = kahan_step(delta / count, mean, mean_rest)
        squares, squares_rest = kahan_step(delta * (x - (mean + mean_rest)), squares, squares_rest)
    return (squares + squares_rest) / len(row) if row else math.nan
