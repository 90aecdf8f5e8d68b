"""The protobuf messages of remote write, in both versions, and of remote read.

Sources: prometheus/prompb/{remote,types}.proto (1.0) and prompb/io/prometheus/write/v2/types.proto (2.0).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from rulepush.errors import RemoteWriteError
from rulepush.message_types import DecodeError, MessageFields, declare_messages

_Fields = MessageFields
_SPAN: Final[_Fields] = {"offset": (1, "sint32", False), "length": (2, "uint32", False)}
_HISTOGRAM: Final[_Fields] = {
    "count_int": (1, "uint64", False),
    "count_float": (2, "double?", False),
    "sum": (3, "double", False),
    "schema": (4, "sint32", False),
    "zero_threshold": (5, "double", False),
    "zero_count_int": (6, "uint64", False),
    "zero_count_float": (7, "double", False),
    "negative_spans": (8, "BucketSpan", True),
    "negative_deltas": (9, "sint64", True),
    "negative_counts": (10, "double", True),
    "positive_spans": (11, "BucketSpan", True),
    "positive_deltas": (12, "sint64", True),
    "positive_counts": (13, "double", True),
    "reset_hint": (14, "enum", False),
    "timestamp": (15, "int64", False),
    "custom_values": (16, "double", True),
}

_V1: Final[dict[str, _Fields]] = {
    "Label": {"name": (1, "string", False), "value": (2, "string", False)},
    "Sample": {"value": (1, "double", False), "timestamp": (2, "int64", False)},
    "Exemplar": {
        "labels": (1, "Label", True),
        "value": (2, "double", False),
        "timestamp": (3, "int64", False),
    },
    "BucketSpan": _SPAN,
    "Histogram": _HISTOGRAM,
    "TimeSeries": {
        "labels": (1, "Label", True),
        "samples": (2, "Sample", True),
        "exemplars": (3, "Exemplar", True),
        "histograms": (4, "Histogram", True),
    },
    "MetricMetadata": {
        "type": (1, "enum", False),
        "metric_family_name": (2, "string", False),
        "help": (4, "string", False),
        "unit": (5, "string", False),
    },
    "WriteRequest": {"timeseries": (1, "TimeSeries", True), "metadata": (3, "MetricMetadata", True)},
    "LabelMatcher": {"type": (1, "enum", False), "name": (2, "string", False), "value": (3, "string", False)},
    "Query": {
        "start_timestamp_ms": (1, "int64", False),
        "end_timestamp_ms": (2, "int64", False),
        "matchers": (3, "LabelMatcher", True),
    },
    "ReadRequest": {"queries": (1, "Query", True), "accepted_response_types": (2, "enum", True)},
    "QueryResult": {"timeseries": (1, "TimeSeries", True)},
    "ReadResponse": {"results": (1, "QueryResult", True)},
}

_V2: Final[dict[str, _Fields]] = {
    "Sample": {
        "value": (1, "double", False),
        "timestamp": (2, "int64", False),
        "start_timestamp": (3, "int64", False),
    },
    "Exemplar": {
        "labels_refs": (1, "uint32", True),
        "value": (2, "double", False),
        "timestamp": (3, "int64", False),
    },
    "BucketSpan": _SPAN,
    "Histogram": {**_HISTOGRAM, "start_timestamp": (17, "int64", False)},
    "Metadata": {
        "type": (1, "enum", False),
        "help_ref": (3, "uint32", False),
        "unit_ref": (4, "uint32", False),
    },
    "TimeSeries": {
        "labels_refs": (1, "uint32", True),
        "samples": (2, "Sample", True),
        "histograms": (3, "Histogram", True),
        "exemplars": (4, "Exemplar", True),
        "metadata": (5, "Metadata", False),
        "created_timestamp": (6, "int64", False),
    },
    "Request": {"symbols": (4, "string", True), "timeseries": (5, "TimeSeries", True)},
}

# The enum MetricType of both versions, as the exposition formats name it.
METRIC_TYPES: Final = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")


def _messages(strict_texts: bool) -> dict[str, Any]:
    v1 = declare_messages("prometheus", _V1, strict_texts=strict_texts)
    v2 = declare_messages("io.prometheus.write.v2", _V2, strict_texts=strict_texts)
    classes = (v1["WriteRequest"], v1["ReadRequest"], v1["ReadResponse"], v2["Request"])
    return {message.DESCRIPTOR.full_name: message for message in classes}


_STRICT: Final = _messages(strict_texts=True)
WriteRequest: Final = _STRICT["prometheus.WriteRequest"]
ReadRequest: Final = _STRICT["prometheus.ReadRequest"]
ReadResponse: Final = _STRICT["prometheus.ReadResponse"]
RequestV2: Final = _STRICT["io.prometheus.write.v2.Request"]


@cache
def _lenient_messages() -> dict[str, Any]:
    """The same with bytes for texts: protobuf refuses a whole message for one text that is not UTF-8, Prometheus'
    decoder does not check texts. Built when the first such message arrives, which is rare."""
    return _messages(strict_texts=False)


def parse_message(message: Any, data: bytes) -> Any:
    """Parse `data` as `message` (one of the above). Where a text is not UTF-8, all texts of the result are
    bytes: read them with `text_of`. Raises RemoteWriteError 400."""
    name = message.DESCRIPTOR.full_name
    try:
        return message.FromString(data)
    except (DecodeError, UnicodeDecodeError):
        try:
            return _lenient_messages()[name].FromString(data)
        except DecodeError as e:
            raise RemoteWriteError(400, f"the body is not a protobuf {name}: {e}") from None


def text_of(value: str | bytes) -> str:
    """A text of a message; bytes that are not UTF-8 become surrogates, which no valid text has."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
