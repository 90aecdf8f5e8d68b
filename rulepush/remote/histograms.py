"""Native histograms of remote write, in both versions.

Sources: prometheus prompb/types.proto and prompb/io/prometheus/write/v2/types.proto (the message is the same), and
their codec.go.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from rulepush.errors import RemoteWriteError
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.errors import HistogramError
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.resolution import limit_schema
from rulepush.histogram.schema import MAX_SCHEMA
from rulepush.histogram.validate import validate_histogram
from rulepush.remote.wire import field, varint

_HINTS: Final = {hint.value: hint for hint in CounterResetHint}
_DOUBLES: Final = "<{}d"


def read_histogram(message: Any) -> FloatHistogram:
    """The histogram of a message, of integers or of floats. Raises RemoteWriteError 400 in Prometheus' words."""
    fractional = message.HasField("count_float")
    counts = (message.positive_counts, message.negative_counts)
    deltas = (message.positive_deltas, message.negative_deltas)
    sides = [
        _side(name, spans, counts[i] if fractional else deltas[i], fractional)
        for i, (name, spans) in enumerate((("positive", message.positive_spans), ("negative", message.negative_spans)))
    ]
    histogram = FloatHistogram(
        schema=message.schema,
        count=message.count_float if fractional else float(message.count_int),
        sum=message.sum,
        zero_threshold=message.zero_threshold,
        zero_count=message.zero_count_float if fractional else float(message.zero_count_int),
        positive=sides[0],
        negative=sides[1],
        custom_values=tuple(message.custom_values),
        counter_reset_hint=_HINTS.get(message.reset_hint, CounterResetHint.UNKNOWN),
    )
    if histogram.is_stale:
        return histogram
    try:
        histogram = limit_schema(histogram, MAX_SCHEMA)
        validate_histogram(histogram, integer=not fractional)
    except HistogramError as e:
        raise RemoteWriteError(400, str(e)) from None
    return histogram


def _side(name: str, spans: Any, numbers: Any, fractional: bool) -> Buckets:
    pairs = [(span.offset, span.length) for span in spans]
    try:
        return Buckets.from_spans(pairs, list(numbers)) if fractional else Buckets.from_deltas(pairs, list(numbers))
    except HistogramError as e:
        raise RemoteWriteError(400, f"{name} side: {e}") from None


def write_histogram(histogram: FloatHistogram, ts: int) -> bytes:
    """The Histogram message, with fractional counts: which ones were integers is not kept."""
    parts = [_double(2, histogram.count), _double(3, histogram.sum), b"\x20" + _zigzag(histogram.schema)]
    if histogram.zero_threshold:
        parts.append(_double(5, histogram.zero_threshold))
    parts.append(_double(7, histogram.zero_count))
    for spans_field, counts_field, side in ((8, 10, histogram.negative), (11, 13, histogram.positive)):
        parts += [
            field(_tag(spans_field), b"\x08" + _zigzag(span.offset) + b"\x10" + varint(span.length))
            for span in side.spans()
        ]
        if len(side):
            parts.append(_packed(counts_field, side.counts.tolist()))
    parts.append(b"\x70" + varint(histogram.counter_reset_hint.value) + b"\x78" + varint(ts))
    if histogram.custom_values:
        parts.append(_packed(16, histogram.custom_values))
    return b"".join(parts)


def _tag(number: int) -> bytes:
    return varint(number << 3 | 2)


def _double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def _packed(number: int, values: Any) -> bytes:
    return field(_tag(number), struct.pack(_DOUBLES.format(len(values)), *values))


def _zigzag(number: int) -> bytes:
    return varint(number << 1 ^ number >> 31)
