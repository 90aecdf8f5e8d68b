"""Functions of Go's mathematics library on one float, operation for operation: C's differ in the last bit, and bounds
of buckets and quantiles would too. Source: golang/go src/math/exp.go (exp2, expmulti), log.go and
log10.go (log2)."""

from __future__ import annotations

import math
from typing import Final

_LN2_HIGH: Final = 6.93147180369123816490e-01
_LN2_LOW: Final = 1.90821492927058770002e-10
_PER_LN2: Final = 1.4426950408889634  # 1 / ln(2)
# Coefficients of FreeBSD's e_exp.c, which Go's exponentials follow.
_P1: Final = 1.66666666666666657415e-01
_P2: Final = -2.77777777770155933842e-03
_P3: Final = 6.61375632143793436117e-05
_P4: Final = -1.65339022054652515390e-06
_P5: Final = 4.13813679705723846039e-08
# Coefficients of FreeBSD's e_log.c, which Go's logarithm follows.
_L1: Final = 6.666666666666735130e-01
_L2: Final = 3.999999999940941908e-01
_L3: Final = 2.857142874366239149e-01
_L4: Final = 2.222219843214978396e-01
_L5: Final = 1.818357216161805012e-01
_L6: Final = 1.531383769920937332e-01
_L7: Final = 1.479819860511658591e-01
_HALF_SQRT2: Final = 0.7071067811865476


def go_exp2(x: float) -> float:
    """math.Exp2."""
    if x != x or x == math.inf:
        return x
    if x > 1.0239999999999999e03:
        return math.inf
    if x < -1.0740e03:
        return 0.0
    k = int(x + 0.5) if x > 0 else int(x - 0.5)
    t = x - k
    high, low = t * _LN2_HIGH, -t * _LN2_LOW
    r = high - low
    t = r * r
    c = r - t * (_P1 + t * (_P2 + t * (_P3 + t * (_P4 + t * _P5))))
    y = 1 - ((low - (r * c) / (2 - c)) - high)
    return go_ldexp(y, k)


def go_log2(x: float) -> float:
    """math.Log2: exact for powers of 2; -Inf for 0, NaN below."""
    if x == 0:
        return -math.inf
    if not 0 < x < math.inf:
        return math.inf if x == math.inf else math.nan
    fraction, exponent = math.frexp(x)
    if fraction == 0.5:
        return float(exponent - 1)
    return _log_of_fraction(fraction) * _PER_LN2 + exponent


def _log_of_fraction(x: float) -> float:
    """math.Log of a number in [0.5, 1)."""
    k = 0.0
    if x < _HALF_SQRT2:
        x, k = x * 2, -1.0
    f = x - 1
    s = f / (2 + f)
    s2 = s * s
    s4 = s2 * s2
    t1 = s2 * (_L1 + s4 * (_L3 + s4 * (_L5 + s4 * _L7)))
    t2 = s4 * (_L2 + s4 * (_L4 + s4 * _L6))
    half = 0.5 * f * f
    return k * _LN2_HIGH - ((half - (s * (half + (t1 + t2)) + k * _LN2_LOW)) - f)


def go_ldexp(fraction: float, exponent: int) -> float:
    """math.Ldexp: +-Inf where it overflows."""
    try:
        return math.ldexp(fraction, exponent)
    except OverflowError:
        return math.copysign(math.inf, fraction)


def go_divide(a: float, b: float) -> float:
    """a / b as Go divides: by 0 too."""
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b
