"""Histograms as text and as JSON.

Source: Prometheus model/histogram/float_histogram.go (String, TestExpression), util/jsonutil/marshal.go.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.errors import HistogramError
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.iteration import Bucket, all_buckets, negative_buckets, positive_buckets, zero_bucket
from rulepush.model.floats import format_float_g, format_float_json

HINT_WORDS: Final = {
    CounterResetHint.UNKNOWN: "unknown",
    CounterResetHint.RESET: "reset",
    CounterResetHint.NOT_RESET: "not_reset",
    CounterResetHint.GAUGE: "gauge",
}
_WIDEST: Final = 1 << 20  # buckets between brackets: more than any two floats are apart


def format_histogram(h: FloatHistogram) -> str:
    """String: `{count:3, sum:4.5, (1,2]:3}`, without empty buckets."""
    buckets = [*reversed(negative_buckets(h))]
    if h.zero_count != 0:
        buckets.append(zero_bucket(h))
    buckets += positive_buckets(h)
    parts = [f"count:{format_float_g(h.count)}", f"sum:{format_float_g(h.sum)}"]
    parts += [format_bucket(bucket) for bucket in buckets if bucket.count != 0]
    return f"{{{', '.join(parts)}}}"


def format_bucket(bucket: Bucket) -> str:
    """Bucket.String: `(1,2]:3`, a bracket where the bound belongs to it."""
    left, right = "[" if bucket.lower_inclusive else "(", "]" if bucket.upper_inclusive else ")"
    bounds = f"{format_float_g(bucket.lower)},{format_float_g(bucket.upper)}"
    return f"{left}{bounds}{right}:{format_float_g(bucket.count)}"


def histogram_literal(h: FloatHistogram) -> str:
    """TestExpression: the literal `{{schema:1 count:3 sum:4.5 buckets:[1 2]}}`. Raises HistogramError when filled
    buckets are too far apart to write all between them."""
    parts = [
        f"{key}:{format_float_g(value)}"
        for key, value in (
            ("schema", float(h.schema)),
            ("count", h.count),
            ("sum", h.sum),
            ("z_bucket", h.zero_count),
            ("z_bucket_w", h.zero_threshold),
        )
        if value != 0
    ]
    if h.uses_custom_buckets:
        parts.append(f"custom_values:[{' '.join(map(format_float_g, h.custom_values))}]")
    if h.counter_reset_hint is not CounterResetHint.UNKNOWN:
        parts.append(f"counter_reset_hint:{HINT_WORDS[h.counter_reset_hint]}")
    for prefix, buckets in (("", h.positive), ("n_", h.negative)):
        parts += _bucket_parts(prefix, buckets.compacted())
    return "{{" + " ".join(parts) + "}}"


def _bucket_parts(prefix: str, buckets: Buckets) -> list[str]:
    if not len(buckets):
        return []
    first, last = int(buckets.indexes[0]), int(buckets.indexes[-1])
    if last - first >= _WIDEST:
        raise HistogramError(f"buckets {first} and {last} are too far apart to write all buckets between them")
    counts = np.zeros(last - first + 1)
    counts[buckets.indexes - first] = buckets.counts
    parts = [f"{prefix}offset:{first}"] if first else []
    return [*parts, f"{prefix}buckets:[{' '.join(map(format_float_g, counts.tolist()))}]"]


def histogram_json(h: FloatHistogram) -> dict[str, object]:
    """As the HTTP API writes it (MarshalHistogram): count, sum and, unless all are empty, `buckets`, each
    [bounds that belong to it: 0 the upper, 1 the lower, 2 none, 3 both; lower; upper; count]."""
    found: dict[str, object] = {"count": format_float_json(h.count), "sum": format_float_json(h.sum)}
    buckets = [[kind, *map(format_float_json, numbers)] for kind, *numbers in api_buckets(h)]
    if buckets:
        found["buckets"] = buckets
    return found


def api_buckets(h: FloatHistogram) -> list[tuple[int, float, float, float]]:
    """The buckets that are not empty, as `histogram_json` has them, with numbers."""
    return [
        (_BOUNDARIES[bucket.lower_inclusive, bucket.upper_inclusive], bucket.lower, bucket.upper, bucket.count)
        for bucket in all_buckets(h)
        if bucket.count != 0
    ]


_BOUNDARIES: Final = {(False, True): 0, (True, False): 1, (False, False): 2, (True, True): 3}
