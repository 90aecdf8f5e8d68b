"""Rows that are the same series: an error at one step, one series over several."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.errors import EvaluationError
from rulepush.model.arrays import Bools
from rulepush.model.columns import WHOLE, first_rows
from rulepush.model.index import LabelIndex
from rulepush.promql.vectors.matching import recent
from rulepush.promql.vectors.values import Vector, dropped_index

SAME_LABELSET: Final = "vector cannot contain metrics with the same labelset"


@dataclass(frozen=True, slots=True, eq=False)
class _Merged:
    """`index` the distinct rows; `codes` intp[n] the distinct row of each row; `rows` the rows that have a twin."""

    index: LabelIndex
    codes: npt.NDArray[np.intp]
    twins: npt.NDArray[np.intp]


def _merged(index: LabelIndex) -> _Merged | None:
    """None when all rows differ, which is nearly always. Memoised."""

    if index.differ():
        return None

    def compute() -> _Merged:
        pool, numbers = index.reduced(WHOLE)
        firsts, codes = first_rows(numbers)
        twins = np.flatnonzero(np.bincount(codes)[codes] > 1)
        return _Merged(LabelIndex.pooled(pool, numbers[firsts], distinct=True), codes, twins)

    return index.memo("merged", compute)


def merge_duplicates(vector: Vector) -> Vector:
    """The vector with one row for each label set. Raises EvaluationError where two of them meet at a step."""
    merged = _merged(vector.index)
    if merged is None:
        return vector
    steps = vector.values.shape[1]
    counts = np.zeros((len(merged.index), steps), np.int64)
    np.add.at(counts, merged.codes, vector.present)
    if (counts > 1).any():
        raise EvaluationError(SAME_LABELSET)
    values = np.zeros((len(merged.index), steps))
    rows, columns = np.nonzero(vector.present)
    values[merged.codes[rows], columns] = vector.values[rows, columns]
    drop = None
    if vector.drop_name is not None:
        # Of several, the first that is present anywhere decides; a later assignment wins, so from the last one.
        alive = np.flatnonzero(vector.present.any(axis=1))[::-1]
        drop = np.zeros(len(merged.index), np.bool_)
        drop[merged.codes[alive]] = vector.drop_name[alive]
    order = None if vector.order is None else merged.codes[vector.order]
    return Vector(merged.index, values, counts > 0, drop, order)


def reject_duplicates(vector: Vector) -> Vector:
    """As `merge_duplicates`, but two series may not even meet at different steps: the rule for range functions."""
    merged = _merged(vector.index)
    if merged is None:
        return vector
    alive = vector.present.any(axis=1)
    if (np.bincount(merged.codes[alive], minlength=len(merged.index)) > 1).any():
        raise EvaluationError(SAME_LABELSET)
    return merge_duplicates(vector)


def apply_drops(vector: Vector) -> Vector:
    """The names that were marked for removal are removed: the end of a query with delayed name removal."""
    drop = vector.drop_name
    if drop is None:
        return vector
    if not drop.any():
        return replace(vector, drop_name=None)
    if drop.all():
        index = dropped_index(vector.index)
    else:
        index = _partly_dropped(vector.index, drop)
    return merge_duplicates(replace(vector, index=index, drop_name=None))


def _partly_dropped(index: LabelIndex, drop: Bools) -> LabelIndex:
    def compute() -> LabelIndex:
        pool, codes = index.reduced(WHOLE)
        return LabelIndex.pooled(pool, np.where(drop, index.reduced(pool.nameless(), pool)[1], codes))

    return recent(index, "partly dropped", drop.tobytes(), compute)


def distinct_matrix(index: LabelIndex, alive: Bools) -> None:
    """Raises EvaluationError when two rows of `alive` (bool[n]) have the same labels."""
    merged = _merged(index)
    if merged is not None and (np.bincount(merged.codes[alive], minlength=len(merged.index)) > 1).any():
        raise EvaluationError(SAME_LABELSET)
