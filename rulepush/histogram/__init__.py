"""Native histograms: the value and its arithmetic, pure. Source: Prometheus 3.14, model/histogram and promql.

- `histogram`: FloatHistogram, immutable; `*`, `/`, `==`, compaction.
- `buckets`: Buckets, the two arrays of one side; spans and deltas of wire formats.
- `schema`: schemas and bounds.
- `adding`: `add`, `subtract`, `kahan_add`, with what is to be said of them.
- `summing`: `kahan_sum` of many at once.
- `resolution`: less resolution, greater zero buckets, limits of scrapes.
- `resets`: `detect_reset`.
- `iteration`: buckets with their bounds, in either direction.
- `trim`: `</` and `>/`.
- `statistics`: quantile, fraction, average, deviation.
- `from_json`: out of the API's JSON, as far as it tells.
- `text`, `literal`: as text, JSON and literals of scripts and rule tests.
- `classic`: custom buckets from classic histograms, and back.
- `validate`: whether one contradicts itself.
"""

from rulepush.histogram.buckets import NO_BUCKETS, Buckets, Span
from rulepush.histogram.errors import BucketLimitError, HistogramError, IncompatibleSchemas, InvalidHistogram
from rulepush.histogram.histogram import EMPTY, CounterResetHint, FloatHistogram, stale_histogram
from rulepush.histogram.schema import CUSTOM_SCHEMA, MAX_SCHEMA, MIN_SCHEMA

__all__ = [
    "CUSTOM_SCHEMA",
    "EMPTY",
    "MAX_SCHEMA",
    "MIN_SCHEMA",
    "NO_BUCKETS",
    "BucketLimitError",
    "Buckets",
    "CounterResetHint",
    "FloatHistogram",
    "HistogramError",
    "IncompatibleSchemas",
    "InvalidHistogram",
    "Span",
    "stale_histogram",
]
