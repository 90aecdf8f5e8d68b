"""Histograms out of the JSON of the HTTP API, which shows filled buckets with their bounds and no schema.

Source: Prometheus util/jsonutil/marshal.go (MarshalHistogram) and float_histogram.go (what AllBucketIterator gives).

The width of a bucket tells the exponential schema, its upper bound the index. What is not written is lost: the counter
reset hint, the threshold of an empty zero bucket, and of custom buckets the bounds between which nothing was observed.
Without these bounds a histogram shows the same text and the same quantiles, but added to another it gives wrong
buckets. So `doubt` says what is not certain, for whoever adds it up or stores it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from rulepush.histogram.buckets import NO_BUCKETS, Buckets
from rulepush.histogram.errors import InvalidHistogram
from rulepush.histogram.go_floats import go_log2
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.schema import CUSTOM_SCHEMA, MAX_SCHEMA, MIN_SCHEMA, exponential_bounds
from rulepush.model.floats import parse_float

CUSTOM_DOUBT: Final = "it has custom buckets, and the HTTP API does not show the bounds of empty ones"
EITHER_DOUBT: Final = (
    "its buckets may be custom or exponential ones: all bounds are powers of 2, and the HTTP API shows no schema"
)
_BOTH: Final = 3  # bounds that belong to a bucket: 0 the upper, 1 the lower, 2 none, 3 both

_Row = tuple[int, float, float, float]


def histogram_from_json(found: Any) -> tuple[FloatHistogram, str]:
    """The histogram, and what about it is not certain, "" when adding it up is safe. Without any bucket it has the
    highest resolution, which takes nothing from what it is added to. Raises InvalidHistogram when its bounds fit no
    schema; ValueError, KeyError or TypeError when it is not of this form."""
    count, total = parse_float(found["count"]), parse_float(found["sum"])
    rows = [(int(r), parse_float(low), parse_float(up), parse_float(n)) for r, low, up, n in found.get("buckets", ())]
    zero = [row for row in rows if row[0] == _BOTH and row[1] == -row[2] and not math.isinf(row[2])]
    negative = [(-up, -low, n) for rule, low, up, n in reversed(rows) if rule == 1]
    positive = [(low, up, n) for rule, low, up, n in rows if rule == 0]
    if len(zero) > 1 or (len(zero) + len(negative) + len(positive) != len(rows) and (zero or negative)):
        raise InvalidHistogram("its buckets are none of any schema")
    threshold = zero[0][2] if zero else 0.0
    is_plain = len(zero) + len(negative) + len(positive) == len(rows)
    schema = _schema(negative + positive, threshold) if is_plain else None
    if schema is None:
        if zero or negative:
            raise InvalidHistogram("the bounds of its buckets fit no schema, or more than one")
        return _custom(count, total, rows), CUSTOM_DOUBT
    doubt = EITHER_DOUBT if schema <= 0 and positive and not (zero or negative) else ""
    zero_count = zero[0][3] if zero else 0.0
    filled, below = _side(positive, schema), _side(negative, schema)
    return FloatHistogram(schema, count, total, threshold, zero_count, filled, below), doubt


def _schema(side: Sequence[tuple[float, float, float]], threshold: float) -> int | None:
    """The exponential schema of which all these are buckets; None when there is none, or more than one."""
    if not side:
        return MAX_SCHEMA
    near, far = np.array([b[0] for b in side]), np.array([b[1] for b in side])
    # The bucket that reaches into the zero bucket is shown from the threshold on: its lower bound tells nothing.
    whole = (near != threshold) | (threshold == 0)
    if not (near[whole] > 0).all() or not whole.any():
        return None
    fitting = [s for s in range(MAX_SCHEMA, MIN_SCHEMA - 1, -1) if _fits(near, far, whole, s)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(near: Any, far: Any, whole: Any, schema: int) -> bool:
    indexes = _indexes(far, schema)
    ends = bool((exponential_bounds(indexes, schema) == far).all())
    return ends and bool((exponential_bounds(indexes - 1, schema)[whole] == near[whole]).all())


def _indexes(far: Any, schema: int) -> Any:
    """Of the buckets that end there. The greatest float ends the last bucket of finite values, +Inf the one after."""
    logs = [1024.0 if math.isinf(up) else go_log2(up) for up in far.tolist()]
    found = np.array([round(math.ldexp(log, schema)) for log in logs], np.int64)
    return found + np.isinf(far)


def _side(side: Sequence[tuple[float, float, float]], schema: int) -> Buckets:
    if not side:
        return NO_BUCKETS
    counts = np.array([b[2] for b in side])
    return Buckets.of(_indexes(np.array([b[1] for b in side]), schema), counts)


def _custom(count: float, total: float, rows: Sequence[_Row]) -> FloatHistogram:
    """Custom buckets of the bounds that are shown; the gaps between them are empty buckets."""
    bounds = tuple(sorted({b for _, low, up, _ in rows for b in (low, up) if not math.isinf(b)}))
    places = {bound: i for i, bound in enumerate((*bounds, math.inf))}
    indexes = [places[up] for _, _, up, _ in rows]
    if any(low != (bounds[i - 1] if i else -math.inf) for i, (_, low, _, _) in zip(indexes, rows, strict=True)):
        raise InvalidHistogram("its buckets overlap")
    filled = Buckets.of(np.array(indexes, np.int64), np.array([n for *_, n in rows]))
    return FloatHistogram(CUSTOM_SCHEMA, count, total, positive=filled, custom_values=bounds)
