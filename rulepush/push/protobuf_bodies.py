"""A pushed protobuf body as metric families: what Go's and Java's clients send by default.

Source: prometheus/pushgateway handler/push.go, which takes every family that can be decoded; the last one of a name
counts. What is wrong inside of it is found by the consistency check. Unlike there, a family without a name in UTF-8 or
of an unknown type is refused: Pushgateway takes it, and no longer exposes what others push.
"""

from __future__ import annotations

import math
from typing import Any, Final

from rulepush.errors import ProtobufError, PushError
from rulepush.exposition.families import FamilyType, Metric, MetricFamily, ParsedFamilies
from rulepush.exposition.protobuf.delimited import each_family, read_metric
from rulepush.exposition.protobuf.native import is_native, native_histogram
from rulepush.gotext.goquote import go_quote
from rulepush.histogram.errors import HistogramError
from rulepush.model.floats import format_float_g
from rulepush.model.labels import is_valid_utf8_name

_TYPES: Final = (
    FamilyType.COUNTER,
    FamilyType.GAUGE,
    FamilyType.SUMMARY,
    FamilyType.UNTYPED,
    FamilyType.HISTOGRAM,
    FamilyType.GAUGE_HISTOGRAM,
)


def parse_push_protobuf(body: bytes) -> ParsedFamilies:
    """Parse a body of MetricFamily messages, each after its length. Raises PushError 400 in Pushgateway's words."""
    found: dict[str, Any] = {}
    try:
        for message in each_family(body):
            name = _text(message.name)
            if not name and not message.metric:
                continue
            if not is_valid_utf8_name(name):
                raise PushError(400, f"invalid metric name {go_quote(name)}")
            if not 0 <= message.type < len(_TYPES):
                raise PushError(400, f"unknown metric type {message.type} of metric {go_quote(name)}")
            found[name] = (message, [read_metric(raw) for raw in message.metric])
        families = {name: _family(name, message, metrics) for name, (message, metrics) in found.items()}
    except ProtobufError as e:
        raise PushError(400, str(e)) from None
    timestamps = any(metric.HasField("timestamp_ms") for _, metrics in found.values() for metric in metrics)
    return ParsedFamilies(families, timestamps)


def _family(name: str, message: Any, metrics: list[Any]) -> MetricFamily:
    kind = _TYPES[message.type]
    return MetricFamily(
        name, kind, message.help.decode("utf-8", "replace"), tuple(_metric(name, kind, metric) for metric in metrics)
    )


def _metric(name: str, kind: FamilyType, metric: Any) -> Metric:
    pairs = tuple(sorted((_text(label.name), _text(label.value)) for label in metric.label))
    field = "histogram" if kind.has_buckets else kind.value.lower()
    if not metric.HasField(field):
        return Metric(pairs, 0.0, foreign=message_text(metric, without="label"))
    value = getattr(metric, field)
    if not kind.compound:
        return Metric(pairs, value.value)
    if kind is FamilyType.SUMMARY:
        quantiles = tuple((q.quantile, q.value) for q in value.quantile)
        return Metric(pairs, value.sample_sum, float(value.sample_count), quantiles)
    buckets = tuple((b.upper_bound, b.cumulative_count_float or float(b.cumulative_count)) for b in value.bucket)
    try:
        native = native_histogram(value, gauge=kind is FamilyType.GAUGE_HISTOGRAM) if is_native(value) else None
    except (ProtobufError, HistogramError) as e:  # Pushgateway keeps what no scrape of it can read
        raise PushError(400, f"histogram {go_quote(name)}: {e}") from None
    return Metric(pairs, value.sample_sum, value.sample_count_float or float(value.sample_count), buckets, native)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def message_text(message: Any, without: str = "") -> str:
    """A message on one line, as Go's prototext prints it: fields as they are declared, with one blank between them."""
    fields = sorted(message.ListFields(), key=lambda field: field[0].index)
    return " ".join(
        f"{descriptor.name}:{_value_text(one)}"
        for descriptor, value in fields
        if descriptor.name != without
        for one in (value if _is_repeated(value) else (value,))
    )


def _is_repeated(value: Any) -> bool:
    return not isinstance(value, bytes | float | int) and not hasattr(value, "ListFields")


def _value_text(value: Any) -> str:
    if isinstance(value, bytes):
        return go_quote(_text(value))
    if isinstance(value, float):
        return format_float_g(value).replace("+Inf", "inf").replace("-Inf", "-inf") if not math.isnan(value) else "nan"
    return str(value) if isinstance(value, int) else "{" + message_text(value) + "}"
