"""Kahan-Neumaier summation over the rows of an array. Source: Prometheus util/kahansum.

`numpy.add.accumulate` gives the same running sums t[j] = t[j-1] + x[j] as Prometheus' loop; the error of each of these
additions is then found for all of them at once (Knuth's TwoSum finds the same error as Neumaier's comparison does, as
both are exact). Rows are taken in blocks that fit the cache.
"""

from __future__ import annotations

import math

import numpy as np

from rulepush.model.arrays import Bools, Floats

_BLOCK = 1 << 15  # elements a block: 256 KiB of float64


def kahan_sum(values: Floats, mask: Bools | None = None) -> tuple[Floats, Floats]:
    """(sum[n], compensation[n]) of the rows of values[n, k], where `mask`, if given; their sum is the result.

    The compensation is 0 where the sum is infinite or NaN, as in Prometheus.
    """
    n, k = values.shape
    total, rest = np.zeros(n), np.zeros(n)
    if k == 0 or n == 0:
        return total, rest
    size = max(1, _BLOCK // k)
    with np.errstate(all="ignore"):
        for low in range(0, n, size):
            part = slice(low, low + size)
            x = values[part] if mask is None else np.where(mask[part], values[part], 0.0)
            total[part], rest[part] = _block(x)
    return total, rest


def _block(x: Floats) -> tuple[Floats, Floats]:
    t = np.add.accumulate(x, axis=1)
    total = t[:, -1]
    if x.shape[1] == 1:
        return total, np.zeros(len(x))
    before, after, inc = t[:, :-1], t[:, 1:], x[:, 1:]
    virtual = after - before
    error = before - (after - virtual)
    np.subtract(inc, virtual, out=virtual)
    error += virtual
    rest = np.add.accumulate(error, axis=1)[:, -1]  # sum() would add in pairs, and round otherwise
    finite = np.isfinite(total)
    if not finite.all():
        rest = np.where(finite, rest, 0.0)
    return total, rest


def kahan_step(inc: float, total: float, rest: float) -> tuple[float, float]:
    """kahansum.Inc: one addition with Neumaier's compensation."""
    t = total + inc
    if math.isinf(t):
        return t, 0.0
    if abs(total) >= abs(inc):
        return t, rest + ((total - t) + inc)
    return t, rest + ((inc - t) + total)


def kahan_add(inc: Floats, total: Floats, rest: Floats) -> tuple[Floats, Floats]:
    """`kahan_step` of all rows."""
    t = total + inc
    error = np.where(np.abs(total) >= np.abs(inc), (total - t) + inc, (inc - t) + total)
    return t, np.where(np.isinf(t), 0.0, rest + error)
