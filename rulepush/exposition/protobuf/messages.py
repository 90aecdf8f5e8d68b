"""The messages of io.prometheus.client (prometheus/client_model io/prometheus/client/metrics.proto), as they are read.

A family holds its metrics unread: they are parsed one by one, so that memory is that of one metric. Texts are bytes:
what is not UTF-8 gets an error of its own. Exemplars are not declared, and so skipped. Fields stand in the order of the
source, for Go's texts have them so.
"""

from __future__ import annotations

from typing import Any, Final

from rulepush.message_types import MessageFields, declare_messages

_DECLARED: Final[dict[str, MessageFields]] = {
    "LabelPair": {"name": (1, "string", False), "value": (2, "string", False)},
    "Gauge": {"value": (1, "double", False)},
    "Timestamp": {"seconds": (1, "int64", False), "nanos": (2, "int64", False)},
    "Counter": {"value": (1, "double", False), "created_timestamp": (3, "Timestamp", False)},
    "Quantile": {"quantile": (1, "double", False), "value": (2, "double", False)},
    "Summary": {
        "sample_count": (1, "uint64", False),
        "sample_sum": (2, "double", False),
        "quantile": (3, "Quantile", True),
        "created_timestamp": (4, "Timestamp", False),
    },
    "Untyped": {"value": (1, "double", False)},
    "Bucket": {
        "cumulative_count": (1, "uint64", False),
        "cumulative_count_float": (4, "double", False),
        "upper_bound": (2, "double", False),
    },
    "BucketSpan": {"offset": (1, "sint32", False), "length": (2, "uint32", False)},
    "Histogram": {
        "sample_count": (1, "uint64", False),
        "sample_count_float": (4, "double", False),
        "sample_sum": (2, "double", False),
        "bucket": (3, "Bucket", True),
        "schema": (5, "sint32", False),
        "zero_threshold": (6, "double", False),
        "zero_count": (7, "uint64", False),
        "zero_count_float": (8, "double", False),
        "negative_span": (9, "BucketSpan", True),
        "negative_delta": (10, "sint64", True),
        "negative_count": (11, "double", True),
        "positive_span": (12, "BucketSpan", True),
        "positive_delta": (13, "sint64", True),
        "positive_count": (14, "double", True),
        "created_timestamp": (15, "Timestamp", False),
    },
    "Metric": {
        "label": (1, "LabelPair", True),
        "gauge": (2, "Gauge", False),
        "counter": (3, "Counter", False),
        "summary": (4, "Summary", False),
        "untyped": (5, "Untyped", False),
        "histogram": (7, "Histogram", False),
        "timestamp_ms": (6, "int64", False),
    },
    "MetricFamily": {
        "name": (1, "string", False),
        "help": (2, "string", False),
        "type": (3, "enum", False),
        "metric": (4, "bytes", True),
        "unit": (5, "string", False),
    },
}

_CLASSES: Final = declare_messages("io.prometheus.client", _DECLARED, strict_texts=False, presence=True)
MetricFamilyMessage: Final[Any] = _CLASSES["MetricFamily"]
MetricMessage: Final[Any] = _CLASSES["Metric"]
VALUE_FIELDS: Final = ("counter", "gauge", "summary", "untyped", "histogram", "histogram")
"""Of a Metric the field that has the value, by the type of its family."""
