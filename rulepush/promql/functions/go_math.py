"""Powers and logarithms in the order of operations of Go's mathematics library, whose results differ from C's in the
last bit: a rule may compare them.

Source: golang/go src/math/pow.go and log10.go. Exp and Log themselves are C's here, which agree with Go's for most
values.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rulepush.model.arrays import Floats

_PER_LN2: Final = 1.4426950408889634  # 1 / ln(2)
_PER_LN10: Final = 0.4342944819032518  # 1 / ln(10), rounded once
_MAX_EXPONENT: Final = 1 << 12  # of x1, from where on the result overflows or is 0
_MAX_POWER: Final = float(1 << 63)


def log2(x: Floats) -> Floats:
    """Exact for powers of 2."""
    fraction, exponent = np.frexp(x)
    found: Floats = np.where(fraction == 0.5, exponent - 1.0, np.log(fraction) * _PER_LN2 + exponent)
    return found


def log10(x: Floats) -> Floats:
    """By way of the natural logarithm."""
    found: Floats = np.log(x) * _PER_LN10
    return found


def power(x: Floats, y: Floats) -> Floats:
    """x ** y: the fraction of `y` by exponential and logarithm, its whole part by repeated squares."""
    x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    found: Floats = np.power(x, y)
    plain = np.isfinite(x) & np.isfinite(y) & (x != 0) & (x != 1) & (y != 0) & (y != 1) & (np.abs(y) < _MAX_POWER)
    half = np.abs(y) == 0.5
    if half.any():
        root = np.sqrt(x)
        found = np.where(plain & half, np.where(y > 0, root, 1 / root), found)
    # A square is rounded once either way, and C's is hundreds of times quicker.
    plain &= ~half & (y != 2) & ((x > 0) | (y == np.trunc(y)))
    if plain.any():
        found[plain] = _power(x[plain], y[plain])
    return found


def _power(x: Floats, y: Floats) -> Floats:
    fraction, whole = np.modf(np.abs(y))
    up = fraction > 0.5
    fraction, whole = np.where(up, fraction - 1, fraction), np.where(up, whole + 1, whole)
    product = np.where(fraction == 0, 1.0, np.exp(fraction * np.log(np.abs(x))))
    exponent = np.zeros(len(x), np.int64)
    square, doubled = np.frexp(x)
    doubled = doubled.astype(np.int64)
    bits = whole.astype(np.int64)
    while (bits != 0).any():
        over = (bits != 0) & (np.abs(doubled) > _MAX_EXPONENT)
        exponent[over] += doubled[over]
        bits[over] = 0
        odd = (bits & 1) == 1
        product[odd] *= square[odd]
        exponent[odd] += doubled[odd]
        square = square * square
        doubled *= 2
        low = square < 0.5
        square[low] += square[low]
        doubled[low] -= 1
        bits >>= 1
    negative = y < 0
    product = np.where(negative, 1 / product, product)
    exponent = np.where(negative, -exponent, exponent)
    found: Floats = np.ldexp(product, np.clip(exponent, -5000, 5000).astype(np.int32))
    return found
