"""What an expression evaluates to. Everything here is immutable; arrays may be shared, so never write into one.

Every value covers the T steps of the evaluation; an instant query is a range query with T = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.columns import Reduction, only
from rulepush.model.index import EMPTY_INDEX, LabelIndex
from rulepush.model.labels import EMPTY_LABELS, METADATA_NAMES, METRIC_NAME
from rulepush.promql.syntax.signature import ValueType

__all__ = [
    "Bools",
    "Floats",
    "Ints",
    "Matrix",
    "Scalar",
    "String",
    "Value",
    "ValueType",
    "Vector",
    "drop_names",
    "dropped_index",
    "empty_vector",
    "everywhere",
    "nowhere",
    "with_present",
    "with_values",
]

_NAME: Final[Reduction] = only((METRIC_NAME,))
_RESERVED: Final[Reduction] = only((METRIC_NAME, *METADATA_NAMES))


@dataclass(slots=True, eq=False)  # not frozen, for then to make one costs as much as the arithmetic of a few rows
class Vector:
    """n series at T steps. Immutable, as all values.

    `index`      n label sets. Keep the object itself wherever the rows stay the same: its identity is what makes
                 the next evaluation cheap. A filter changes only `present`.
    `values`     float64[n, T]; meaningless (any bits) where not present
    `present`    bool[n, T]
    `drop_name`  bool[n] or None: the rows whose metric name goes at the end of the query. Only set when names are
                 removed late (EngineOptions.delayed_name_removal); None means no row.
    `order`      int[k] or None: the order in which an instant query lists its rows (sort, topk); None is index order.
                 It selects nothing: a row that is not in it is not present.
    """

    index: LabelIndex
    values: Floats
    present: Bools
    drop_name: Bools | None = None
    order: npt.NDArray[np.intp] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """`values` float64[T]."""

    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class String:
    """A string literal."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """n series with their samples, left-aligned; the result of a range selector or a subquery at one time.

    `times` int64[n, k], `values` float64[n, k], `counts` int64[n]; what lies beyond a row's count has no meaning.
    """

    index: LabelIndex
    times: Ints
    values: Floats
    counts: Ints
    drop_name: Bools | None = None


def with_values(vector: Vector, values: Floats) -> Vector:
    """The same rows with other values."""
    return Vector(vector.index, values, vector.present, vector.drop_name, vector.order)


def with_present(vector: Vector, present: Bools) -> Vector:
    """The same rows, some of them filtered away."""
    return Vector(vector.index, vector.values, present, vector.drop_name, vector.order)


Value = Vector | Scalar | String | Matrix


def empty_vector(steps: int) -> Vector:
    """A vector with no series at `steps` steps."""
    return Vector(EMPTY_INDEX, np.empty((0, steps)), np.empty((0, steps), np.bool_))


def everywhere(rows: int) -> Bools:
    """bool[rows]: True. A view, which cannot be written into: most vectors are present as a whole."""
    if rows > len(_ALL):
        _grow_constants(rows)
    return _ALL[:rows]


def nowhere(rows: int) -> Bools:
    """bool[rows]: False, as `everywhere`."""
    if rows > len(_NONE):
        _grow_constants(rows)
    return _NONE[:rows]


def _constant(value: bool, rows: int) -> Bools:
    made = np.full(rows, value)
    made.flags.writeable = False
    return made


_ALL, _NONE = _constant(True, 1024), _constant(False, 1024)


def _grow_constants(rows: int) -> None:
    global _ALL, _NONE
    _ALL, _NONE = _constant(True, rows + rows // 4), _constant(False, rows + rows // 4)


def dropped_index(index: LabelIndex) -> LabelIndex:
    """The same rows without `__name__` and what goes with it; the same object when no row has any. Memoised. Rows may
    now be equal: see `distinct.merge_duplicates`, which the engine applies to every result."""

    def compute() -> LabelIndex | None:
        pool, codes = index.reduced(_RESERVED if index.source.pool.has_metadata else _NAME)
        nothing = pool.number(EMPTY_LABELS)
        return index.reduced_rows(pool.nameless()) if (codes != nothing).any() else None

    dropped = index.memo("without name", compute)
    return index if dropped is None else dropped


def drop_names(vector: Vector, delayed: bool) -> Vector:
    """The vector with its metric names removed: now, or marked for the end of the query when `delayed`."""
    # Spelled out: dataclasses.replace costs as much as the arithmetic of a small vector.
    if delayed:
        drop = np.ones(len(vector.index), np.bool_)
        return Vector(vector.index, vector.values, vector.present, drop, vector.order)
    return Vector(dropped_index(vector.index), vector.values, vector.present, None, vector.order)
