"""Kahan-Neumaier summation: one addition, and the rows of an array. Source: Prometheus util/kahansum.

`numpy.add.accumulate` gives the same running sums t[j] = t[j-1] + x[j] as Prometheus' loop; the error of each of these
additions is then found for all of them at once (Knuth's TwoSum finds the same error as Neumaier's comparison does, as
both are exact). Rows are taken in blocks that fit the cache.
"""

from __future__ import annotations

import math

import numpy as np

from rulepush.model.arrays import Bools, Floats

_BLOCK = 1 << 15  # elements a block: 256 KiB of float64
_FEW = 64  # elements: up to so many, a loop in Python costs less than numpy's calls
_MANY_ROWS = 40  # so many times more rows than columns: numpy's loop over a row costs more than a call for a column


def kahan_sum(values: Floats, mask: Bools | None = None) -> tuple[Floats, Floats]:
    """(sum[n], compensation[n]) of the rows of values[n, k], where `mask`, if given; their sum is the result.

    The compensation is 0 where the sum is infinite or NaN, as in Prometheus.
    """
    n, k = values.shape
    if k == 0 or n == 0:
        return np.zeros(n), np.zeros(n)
    if mask is not None:
        values = np.where(mask, values, 0.0)
    if values.size <= _FEW:
        sums = np.array([_row(row) for row in values.tolist()])
        return sums[:, 0], sums[:, 1]
    if n >= _MANY_ROWS * k:
        return _by_column(values)
    size = max(1, _BLOCK // k)
    if n <= size:
        return _block(values)
    total, rest = np.empty(n), np.empty(n)
    for low in range(0, n, size):
        part = slice(low, low + size)
        total[part], rest[part] = _block(values[part])
    return total, rest


def _row(values: list[float]) -> tuple[float, float]:
    """The same of one row: `kahan_step`, but for what it does when the total is infinite, as that never ends."""
    total, rest = values[0], 0.0
    for inc in values[1:]:
        before, total = total, total + inc
        if abs(before) >= abs(inc):
            rest += (before - total) + inc
        else:
            rest += (inc - total) + before
    return total, rest if math.isfinite(total) else 0.0


def _block(x: Floats) -> tuple[Floats, Floats]:
    t = np.add.accumulate(x, axis=1)
    total = t[:, -1]
    if x.shape[1] == 1:
        return total, np.zeros(len(x))
    before, after, inc = t[:, :-1], t[:, 1:], x[:, 1:]
    virtual = after - before
    error = after - virtual
    np.subtract(before, error, out=error)
    np.subtract(inc, virtual, out=virtual)
    error += virtual
    rest = np.add.accumulate(error, axis=1)[:, -1]  # sum() would add in pairs, and round otherwise
    return total, _of_finite(total, rest)


def _by_column(x: Floats) -> tuple[Floats, Floats]:
    """The same, one addition of all rows after the other."""
    total, rest = x[:, 0].copy(), np.zeros(len(x))
    for column in range(1, x.shape[1]):
        inc = x[:, column]
        after = total + inc
        virtual = after - total
        error = after - virtual
        np.subtract(total, error, out=error)
        np.subtract(inc, virtual, out=virtual)
        error += virtual
        rest = error if column == 1 else rest + error
        total = after
    return total, _of_finite(total, rest)


def _of_finite(total: Floats, rest: Floats) -> Floats:
    finite = np.isfinite(total)
    return rest if np.count_nonzero(finite) == len(total) else np.where(finite, rest, 0.0)


def kahan_step(inc: float, total: float, rest: float) -> tuple[float, float]:
    """kahansum.Inc: (total, compensation) with `inc` added."""
    t = total + inc
    if math.isinf(t):
        return t, 0.0
    if abs(total) >= abs(inc):
        return t, rest + ((total - t) + inc)
    return t, rest + ((inc - t) + total)


def kahan_steps(inc: Floats, total: Floats, rest: Floats) -> tuple[Floats, Floats]:
    """`kahan_step` of each element."""
    t = total + inc
    error = np.where(np.abs(total) >= np.abs(inc), (total - t) + inc, (inc - t) + total)
    return t, np.where(np.isinf(t), 0.0, rest + error)
