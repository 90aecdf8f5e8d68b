"""Between scalars and vectors: scalar(), vector(), min_of(), max_of(), and what depends on the query alone."""

from __future__ import annotations

from typing import Final

import numpy as np

from rulepush.model.arrays import Floats
from rulepush.model.index import LabelIndex
from rulepush.model.labels import EMPTY_LABELS
from rulepush.promql.functions.math import go_max, go_min
from rulepush.promql.functions.registry import CallContext, Function, VectorFunction
from rulepush.promql.syntax.signature import SCALAR, VECTOR, Signature
from rulepush.promql.vectors.native import floats_of
from rulepush.promql.vectors.values import Scalar, Vector

NO_LABELS: Final = LabelIndex((EMPTY_LABELS,))  # shared, so that memos on it are found again


def _scalar(ctx: CallContext, vector: Vector) -> Scalar:
    """The value of the only row; NaN where there is not exactly one."""
    if ctx.boxes:
        vector = floats_of(vector, ctx.boxes)
    count = vector.present.sum(axis=0)
    only = np.where(vector.present, vector.values, 0.0).sum(axis=0)
    if len(vector.index) == 1:
        only = vector.values[0]
    return Scalar(np.where(count == 1, only, np.nan))


def _vector(ctx: CallContext, scalar: Scalar) -> Vector:
    """One row without labels."""
    return one_row(scalar.values)


def one_row(values: Floats) -> Vector:
    """The vector of one row without labels: values[T]."""
    return Vector(NO_LABELS, values[None, :], np.ones((1, len(values)), np.bool_))


def _max_of(ctx: CallContext, a: Scalar, b: Scalar) -> Scalar:
    return Scalar(go_max(a.values, b.values))


def _min_of(ctx: CallContext, a: Scalar, b: Scalar) -> Scalar:
    return Scalar(go_min(a.values, b.values))


def _time(ctx: CallContext) -> Scalar:
    return Scalar(ctx.steps / 1000.0)


def _start(ctx: CallContext) -> Scalar:
    return _everywhere(ctx, ctx.start)


def _end(ctx: CallContext) -> Scalar:
    return _everywhere(ctx, ctx.end)


def _step(ctx: CallContext) -> Scalar:
    return _everywhere(ctx, ctx.interval)


def _range(ctx: CallContext) -> Scalar:
    return _everywhere(ctx, ctx.end - ctx.start)


def _everywhere(ctx: CallContext, ms: int) -> Scalar:
    return Scalar(np.full(len(ctx.steps), ms / 1000.0))


_CONSTANT: Final = Signature((), returns=SCALAR)
_QUERY: Final = Signature((), returns=SCALAR, experimental=True)
_TWO: Final = Signature((SCALAR, SCALAR), returns=SCALAR, experimental=True)

SCALARS: Final[dict[str, Function]] = {
    "end": VectorFunction("end", _QUERY, _end),
    "max_of": VectorFunction("max_of", _TWO, _max_of),
    "min_of": VectorFunction("min_of", _TWO, _min_of),
    "range": VectorFunction("range", _QUERY, _range),
    "scalar": VectorFunction("scalar", Signature((VECTOR,), returns=SCALAR), _scalar),
    "start": VectorFunction("start", _QUERY, _start),
    "step": VectorFunction("step", _QUERY, _step),
    "time": VectorFunction("time", _CONSTANT, _time),
    "vector": VectorFunction("vector", Signature((SCALAR,)), _vector),
}
