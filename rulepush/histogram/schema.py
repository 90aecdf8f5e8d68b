"""Schemas of buckets and their bounds. Source: Prometheus model/histogram/generic.go.

An exponential schema n divides each power of two into 2^n buckets: bucket i is (2^((i-1)/2^n), 2^(i/2^n)]. The schema
of custom buckets takes its upper bounds from a list; bucket i ends with bound i, and the one after the last with +Inf.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import Final

import numpy as np

from rulepush.histogram.go_floats import go_exp2, go_ldexp
from rulepush.model.arrays import Floats, Ints

MIN_SCHEMA: Final = -4
MAX_SCHEMA: Final = 8
CUSTOM_SCHEMA: Final = -53
# Schemas that a later Prometheus may use: they are understood, but their resolution is reduced on arrival.
MIN_RESERVED_SCHEMA: Final = -9
MAX_RESERVED_SCHEMA: Final = 52


def is_exponential(schema: int) -> bool:
    """Whether the schema is one of the exponential ones in use (IsExponentialSchema)."""
    return MIN_SCHEMA <= schema <= MAX_SCHEMA


def is_valid_schema(schema: int) -> bool:
    """Whether histograms of the schema can be kept (IsValidSchema)."""
    return schema == CUSTOM_SCHEMA or is_exponential(schema)


def is_known_schema(schema: int) -> bool:
    """Whether histograms of the schema can be taken in, perhaps with less resolution (IsKnownSchema)."""
    return schema == CUSTOM_SCHEMA or MIN_RESERVED_SCHEMA <= schema <= MAX_RESERVED_SCHEMA


def exponential_bound(index: int, schema: int) -> float:
    """The upper bound of bucket `index` (getBoundExponential): the greatest float for the last bucket of finite values,
    +Inf for the one after it. Takes reserved schemas below 0 too; above 8 it raises ValueError."""
    if schema < 0:
        exponent = index << -schema
        return sys.float_info.max if exponent == 1024 else go_ldexp(1.0, exponent)
    if schema > MAX_SCHEMA:
        raise ValueError(f"no bounds are known for schema {schema}: reduce it to {MAX_SCHEMA} or less first")
    fraction = _fractions(schema)[index & ((1 << schema) - 1)]
    exponent = (index >> schema) + 1
    return sys.float_info.max if fraction == 0.5 and exponent == 1025 else go_ldexp(fraction, exponent)


def exponential_bounds(indexes: Ints, schema: int) -> Floats:
    """`exponential_bound` of each of indexes[n]."""
    if schema < 0:
        exponents, fractions = indexes << -schema, np.ones(len(indexes))
        last = exponents == 1024
    elif schema > MAX_SCHEMA:
        raise ValueError(f"no bounds are known for schema {schema}: reduce it to {MAX_SCHEMA} or less first")
    else:
        fractions = _fraction_array(schema)[indexes & ((1 << schema) - 1)]
        exponents = (indexes >> schema) + 1
        last = (fractions == 0.5) & (exponents == 1025)
    bounds: Floats
    with np.errstate(over="ignore"):
        bounds = np.ldexp(fractions, np.clip(exponents, -5000, 5000).astype(np.int32))
    if last.any():
        bounds[last] = sys.float_info.max
    return bounds


def custom_bound(index: int, custom_values: tuple[float, ...]) -> float:
    """getBound of custom buckets: -Inf before the first, +Inf after the last. Raises IndexError beyond these."""
    if not -1 <= index <= len(custom_values):
        raise IndexError(f"index {index} out of bounds for custom bounds of length {len(custom_values)}")
    if index < 0:
        return -math.inf
    return custom_values[index] if index < len(custom_values) else math.inf


def target_index(index: int, origin_schema: int, target_schema: int) -> int:
    """The bucket of a lower resolution that holds bucket `index` (targetIdx)."""
    return ((index - 1) >> (origin_schema - target_schema)) + 1


@lru_cache(maxsize=MAX_SCHEMA + 1)
def _fractions(schema: int) -> tuple[float, ...]:
    """The bounds in [0.5, 1): those of even place are the ones of the schema below, which keeps their precision; the
    others are one factor more. With Go's Exp2 this is the table exponentialBounds to the last bit, which correctly
    rounded powers are not: they differ at sqrt(0.5)."""
    if schema == 0:
        return (0.5,)
    below = _fractions(schema - 1)
    factor = go_exp2(2.0**-schema)
    return tuple(bound for even in below for bound in (even, even * factor))


@lru_cache(maxsize=MAX_SCHEMA + 1)
def _fraction_array(schema: int) -> Floats:
    return np.array(_fractions(schema))
