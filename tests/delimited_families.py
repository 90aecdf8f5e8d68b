"""Writes metric families as Go's and Java's clients send them: each MetricFamily after its length.

Built from the field numbers of prometheus/client_model io/prometheus/client/metrics.proto, the framing of
prometheus/common expfmt/encode.go (protodelim) and prometheus/client_java PrometheusProtobufWriterImpl.java
(writeDelimitedTo). It shares nothing with what reads them, and needs no protobuf library. Like Go (proto2), it writes
the fields that are given, zeros too; packed or not, for both are allowed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM = range(6)
_FIELD_OF_TYPE = {COUNTER: 3, GAUGE: 2, SUMMARY: 4, UNTYPED: 5, HISTOGRAM: 7, GAUGE_HISTOGRAM: 7}
Text = str | bytes


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def zigzag(number: int) -> bytes:
    return varint(number << 1 ^ number >> 63)


def field(number: int, content: bytes) -> bytes:
    """A field with a length: a message, a text, packed numbers."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def whole(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def signed(number: int, value: int) -> bytes:
    return varint(number << 3) + zigzag(value)


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def text(number: int, value: Text) -> bytes:
    return field(number, value.encode() if isinstance(value, str) else value)


def pair(name: Text, value: Text) -> bytes:
    return text(1, name) + text(2, value)


def metric(kind: int, value: bytes | None, labels: Iterable[tuple[Text, Text]] = (), ts: int | None = None) -> bytes:
    """A Metric with the field of the type `kind`, None for none."""
    out = b"".join(field(1, pair(*label)) for label in labels)
    if value is not None:
        out += field(_FIELD_OF_TYPE[kind], value)
    return out + (b"" if ts is None else whole(6, ts))


def number(value: float, exemplar: bytes = b"") -> bytes:
    """A Counter, a Gauge or an Untyped."""
    return double(1, value) + exemplar


def summary(count: int, total: float, quantiles: Sequence[tuple[float, float]] = ()) -> bytes:
    return whole(1, count) + double(2, total) + b"".join(field(3, double(1, q) + double(2, v)) for q, v in quantiles)


def histogram(
    count: float,
    total: float,
    buckets: Sequence[tuple[float, float]] = (),
    *,
    schema: int | None = None,
    zero: tuple[float, float] | None = None,
    positive: tuple[Sequence[tuple[int, int]], Sequence[float]] = ((), ()),
    negative: tuple[Sequence[tuple[int, int]], Sequence[float]] = ((), ()),
    fractional: bool = False,
    packed: bool = False,
    created: bool = True,
) -> bytes:
    """A Histogram: `buckets` are classic ones, (bound, cumulative count). Of each side: spans, and the counts
    (`fractional`) or deltas. `zero` is (threshold, count)."""
    out = (double(4, count) if fractional else whole(1, int(count))) + double(2, total)
    for bound, cumulative in buckets:
        counted = double(4, cumulative) if fractional else whole(1, int(cumulative))
        exemplar = field(3, field(1, pair("trace_id", "x")) + double(2, 0.5))
        out += field(3, counted + double(2, bound) + exemplar)
    if schema is not None:
        out += signed(5, schema)
    if zero is not None:
        out += double(6, zero[0]) + (double(8, zero[1]) if fractional else whole(7, int(zero[1])))
    for number_of_spans, (spans, values) in ((9, negative), (12, positive)):
        out += b"".join(field(number_of_spans, signed(1, offset) + whole(2, length)) for offset, length in spans)
        at = number_of_spans + (2 if fractional else 1)
        each = [struct.pack("<d", v) if fractional else zigzag(int(v)) for v in values]
        if packed and each:
            out += field(at, b"".join(each))
        else:
            out += b"".join(varint(at << 3 | (1 if fractional else 0)) + one for one in each)
    return out + (field(15, whole(1, 1_700_000_000)) if created else b"")


def family(name: Text, kind: int | None, *metrics: bytes, help_: Text | None = None, unit: Text | None = None) -> bytes:
    """A MetricFamily after its length."""
    out = text(1, name) + (b"" if help_ is None else text(2, help_)) + (b"" if kind is None else whole(3, kind))
    out += b"".join(field(4, one) for one in metrics) + (b"" if unit is None else text(5, unit))
    return varint(len(out)) + out


def gauge(name: Text, value: float, labels: Iterable[tuple[Text, Text]] = (), **more: Text) -> bytes:
    """A family of one gauge."""
    return family(name, GAUGE, metric(GAUGE, number(value), labels), **more)
