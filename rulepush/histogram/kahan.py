"""One addition of a Kahan-Neumaier sum, of floats and of arrays. Source: Prometheus util/kahansum."""

from __future__ import annotations

import math

import numpy as np

from rulepush.model.arrays import Floats


def step(inc: float, total: float, rest: float) -> tuple[float, float]:
    """kahansum.Inc: (total, compensation) with `inc` added."""
    t = total + inc
    if math.isinf(t):
        return t, 0.0
    if abs(total) >= abs(inc):
        return t, rest + ((total - t) + inc)
    return t, rest + ((inc - t) + total)


def steps(inc: Floats, total: Floats, rest: Floats) -> tuple[Floats, Floats]:
    """`step` of each element."""
    t = total + inc
    error = np.where(np.abs(total) >= np.abs(inc), (total - t) + inc, (inc - t) + total)
    return t, np.where(np.isinf(t), 0.0, rest + error)
