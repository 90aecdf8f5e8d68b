"""Trigonometry, in radians."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from rulepush.model.arrays import Floats
from rulepush.promql.functions.registry import CallContext, Function, InstantFunction, VectorFunction
from rulepush.promql.syntax.signature import SCALAR, VECTOR, Signature
from rulepush.promql.vectors.values import Scalar


def _trig(name: str, ufunc: Callable[..., Floats]) -> InstantFunction:
    return InstantFunction(name, Signature((VECTOR,)), ufunc)  # outside of its domain: NaN or Inf, as in Go


def _deg(values: Floats) -> Floats:
    return values * 180 / math.pi


def _rad(values: Floats) -> Floats:
    return values * math.pi / 180


def _pi(ctx: CallContext) -> Scalar:
    return Scalar(np.full(len(ctx.steps), math.pi))


TRIG: Final[dict[str, Function]] = {
    "acos": _trig("acos", np.arccos),
    "acosh": _trig("acosh", np.arccosh),
    "asin": _trig("asin", np.arcsin),
    "asinh": _trig("asinh", np.arcsinh),
    "atan": _trig("atan", np.arctan),
    "atanh": _trig("atanh", np.arctanh),
    "cos": _trig("cos", np.cos),
    "cosh": _trig("cosh", np.cosh),
    "deg": _trig("deg", _deg),
    "pi": VectorFunction("pi", Signature((), returns=SCALAR), _pi),
    "rad": _trig("rad", _rad),
    "sin": _trig("sin", np.sin),
    "sinh": _trig("sinh", np.sinh),
    "tan": _trig("tan", np.tan),
    "tanh": _trig("tanh", np.tanh),
}
