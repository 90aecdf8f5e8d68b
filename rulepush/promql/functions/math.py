"""Elementwise mathematics on instant vectors. Source: Prometheus promql/functions.go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from rulepush.model.arrays import Bools, Floats
from rulepush.promql.functions.go_math import log2, log10
from rulepush.promql.functions.registry import CallContext, Function, InstantFunction, VectorFunction
from rulepush.promql.syntax.signature import SCALAR, VECTOR, Signature
from rulepush.promql.vectors.native import floats_of
from rulepush.promql.vectors.values import Scalar, Vector, drop_names


def go_max(a: Floats, b: Floats) -> Floats:
    """Go's math.Max: NaN if either is NaN, but +Inf if either is +Inf."""
    result: Floats = np.maximum(a, b)
    nan = np.isnan(result)
    return np.where(nan & ((a == np.inf) | (b == np.inf)), np.inf, result) if nan.any() else result


def go_min(a: Floats, b: Floats) -> Floats:
    """Go's math.Min: NaN if either is NaN, but -Inf if either is -Inf."""
    result: Floats = np.minimum(a, b)
    nan = np.isnan(result)
    return np.where(nan & ((a == -np.inf) | (b == -np.inf)), -np.inf, result) if nan.any() else result


def sgn(values: Floats) -> Floats:
    """-1, 1, or the value itself, which is 0, -0 or NaN."""
    return np.where(values < 0, -1.0, np.where(values > 0, 1.0, values))


def round_(values: Floats, to_nearest: Floats | float = 1.0) -> Floats:
    """Rounded to the nearest multiple; ties go up. Dividing by the inverse has smaller errors, Prometheus found."""
    inverse = 1.0 / np.asarray(to_nearest, np.float64)
    result: Floats = np.floor(values * inverse + 0.5) / inverse
    return result


def clamp_min(values: Floats, low: Floats) -> Floats:
    """Not below `low`."""
    return go_max(low, values)


def clamp_max(values: Floats, high: Floats) -> Floats:
    """Not above `high`."""
    return go_min(high, values)


def clamp(ctx: CallContext, vector: Vector, low: Scalar, high: Scalar) -> Vector:
    """Between `low` and `high`; nothing at the steps where `high` is below `low`."""
    if ctx.boxes:
        vector = floats_of(vector, ctx.boxes)
    values = go_max(low.values, go_min(high.values, vector.values))
    possible: Bools = ~(high.values < low.values)
    present = vector.present if possible.all() else vector.present & possible
    return drop_names(Vector(vector.index, values, present, vector.drop_name, vector.order), ctx.delayed_name_removal)


def _math(name: str, kernel: Callable[..., Floats]) -> InstantFunction:
    return InstantFunction(name, Signature((VECTOR,)), kernel)


MATH: Final[dict[str, Function]] = {
    "abs": _math("abs", np.abs),
    "ceil": _math("ceil", np.ceil),
    "clamp": VectorFunction("clamp", Signature((VECTOR, SCALAR, SCALAR)), clamp),
    "clamp_max": InstantFunction("clamp_max", Signature((VECTOR, SCALAR)), clamp_max),
    "clamp_min": InstantFunction("clamp_min", Signature((VECTOR, SCALAR)), clamp_min),
    "exp": _math("exp", np.exp),
    "floor": _math("floor", np.floor),
    "ln": _math("ln", np.log),
    "log10": _math("log10", log10),
    "log2": _math("log2", log2),
    "round": InstantFunction("round", Signature((VECTOR, SCALAR), variadic=1), round_),
    "sgn": _math("sgn", sgn),
    "sqrt": _math("sqrt", np.sqrt),
}
