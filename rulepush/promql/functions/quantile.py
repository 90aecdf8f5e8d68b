"""The quantile of a set of numbers, shared by quantile(), quantile_over_time() and mad_over_time()."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rulepush.model.arrays import Floats, Ints
from rulepush.promql.functions.registry import AnnotationSink
from rulepush.promql.vectors.annotations import invalid_quantile


def quantile_rows(q: float, values: Floats, counts: Ints) -> Floats:
    """The q-quantile of the first counts[i] entries of each row of values[n, k]: float64[n], NaN for an empty row.

    Prometheus' `quantile`: linear between the two nearest ranks, NaN sorted as the least, -Inf and +Inf for q < 0
    and q > 1.
    """
    n, k = values.shape
    if q != q or k == 0 or n == 0:
        return np.full(n, math.nan)
    if not 0 <= q <= 1:
        return np.where(counts > 0, math.copysign(math.inf, q), math.nan)
    full = bool((counts == k).all())
    if not full:
        values = np.where(np.arange(k) < counts[:, None], values, math.nan)
    ordered = np.sort(values, axis=1)  # NaN and padding last
    nans = np.isnan(ordered[:, -1])
    rank = q * (np.maximum(counts, 1) - 1)
    below = np.floor(rank)
    lower = below.astype(np.intp)
    upper = np.minimum(counts - 1, lower + 1).astype(np.intp)
    weight = rank - below
    if nans.any():
        # Shift the ranks, for NaN counts as the least: rank r is the (r - m)-th number that is not NaN.
        m = np.isnan(ordered).sum(axis=1) - (k - counts)
        lower, upper = lower - m, upper - m
    rows = np.arange(n)
    low = np.where(lower < 0, math.nan, ordered[rows, np.maximum(lower, 0)])
    high = np.where(upper < 0, math.nan, ordered[rows, np.maximum(upper, 0)])
    result = low * (1 - weight) + high * weight
    return np.where(counts > 0, result, math.nan)


def quantile_warning(q: float, notes: AnnotationSink, node: Any) -> None:
    """The warning for a quantile outside of 0..1."""
    if not 0 <= q <= 1:
        notes.warn(invalid_quantile(q), node)
