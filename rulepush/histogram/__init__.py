"""Native histograms: the value and its arithmetic, pure. Source: Prometheus 3.14, model/histogram and promql.

- `histogram`: FloatHistogram, immutable; `*`, `/`, `==`, compaction.
- `buckets`: Buckets, the two arrays of one side; spans and deltas of wire formats.
- `schema`: schemas and bounds.
- `adding`: `add`, `subtract`, `kahan_add`, with what is to be said of them.
- `summing`: `kahan_sum_of_histograms` at once.
- `resolution`: less resolution, greater zero buckets, limits of scrapes.
- `resets`: `detect_reset`.
- `iteration`: buckets with their bounds, in either direction.
- `trim`: `</` and `>/`.
- `statistics`: quantile, fraction, average, deviation.
- `from_json`: out of the API's JSON, as far as it tells.
- `text`, `literal`: as text, JSON and literals of scripts and rule tests.
- `classic`: custom buckets from classic histograms, and back.
- `validate`: whether one contradicts itself.
- `boxes`, `sample`: histograms among floats. Every run has these two, which load none of the others; and
  nor does the package until it is asked for one of its names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rulepush.histogram.buckets import NO_BUCKETS, Buckets, Span
    from rulepush.histogram.errors import BucketLimitError, HistogramError, IncompatibleSchemas, InvalidHistogram
    from rulepush.histogram.histogram import EMPTY, CounterResetHint, FloatHistogram, stale_histogram
    from rulepush.histogram.schema import CUSTOM_SCHEMA, MAX_SCHEMA, MIN_SCHEMA
else:

    def __getattr__(name: str) -> object:
        if name in __all__:
            for part in ("buckets", "errors", "histogram", "schema"):
                found = getattr(import_module(f"{__name__}.{part}"), name, None)
                if found is not None:
                    return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
