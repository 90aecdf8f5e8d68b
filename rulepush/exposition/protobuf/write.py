"""Metric families as delimited messages, as prometheus/common expfmt/encode.go (TypeProtoDelim) writes them.

A native histogram without any bucket or observation gets a span of no length, as client_golang gives it, for a reader
takes it for a classic one otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final

from rulepush.exposition.families import Metric as FamilyMetric
from rulepush.exposition.families import MetricFamily
from rulepush.exposition.protobuf.messages import VALUE_FIELDS, MetricFamilyMessage, MetricMessage
from rulepush.exposition.protobuf.native import is_native
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.classic import cumulative_buckets
from rulepush.histogram.histogram import FloatHistogram

_MAX_COUNT: Final = 1 << 63


class MetricType(IntEnum):
    """MetricFamily.type."""

    COUNTER = 0
    GAUGE = 1
    SUMMARY = 2
    UNTYPED = 3
    HISTOGRAM = 4
    GAUGE_HISTOGRAM = 5


def family_message(family: MetricFamily) -> bytes:
    """A family after its length, with classic and native histograms. Counts are fractional only where one is."""
    kind = MetricType[family.type.name]
    metrics = []
    for metric in family.metrics:
        if kind is MetricType.SUMMARY:
            metrics.append(_summary_metric(metric))
        elif not family.type.has_buckets:
            metrics.append(number_metric(kind, metric.pairs, metric.value))
        else:
            metrics.append(_histogram_metric(metric))
    return delimited_family(family.name, kind, metrics, family.help)


def _summary_metric(metric: FamilyMetric) -> bytes:
    message = _metric(metric.pairs, None)
    message.summary.sample_count = int(metric.count) if 0 <= metric.count < _MAX_COUNT else 0
    message.summary.sample_sum = metric.value
    for quantile, value in metric.parts:
        message.summary.quantile.add(quantile=quantile, value=value)
    return bytes(message.SerializeToString())


def _histogram_metric(metric: FamilyMetric) -> bytes:
    native = metric.native
    counts = [metric.count, *(cumulative for _, cumulative in metric.parts)]
    if native is not None:
        counts += [native.zero_count, *native.positive.counts.tolist(), *native.negative.counts.tolist()]
    integer = all(0 <= count < _MAX_COUNT and float(count).is_integer() for count in counts)
    message = _metric(metric.pairs, None)
    _write_totals(message.histogram, metric.count, metric.value, integer)
    _write_buckets(message.histogram, [(le, count) for le, count in metric.parts if le != math.inf], integer)
    if native is not None:
        _write_native(message.histogram, native, integer)
    return bytes(message.SerializeToString())


def number_metric(kind: MetricType, labels: Iterable[tuple[str, str]], value: float, ts: int | None = None) -> bytes:
    """A Metric of a counter, a gauge or an untyped family; `ts` in ms."""
    message = _metric(labels, ts)
    getattr(message, VALUE_FIELDS[kind]).value = value
    return bytes(message.SerializeToString())


def histogram_metric(labels: Iterable[tuple[str, str]], histogram: FloatHistogram, ts: int | None = None) -> bytes:
    """A Metric of a (gauge) histogram family: a native histogram, or a classic one where it has custom buckets. The
    counts are fractional."""
    message = _metric(labels, ts)
    _write_totals(message.histogram, histogram.count, histogram.sum, integer=False)
    if histogram.uses_custom_buckets:
        _write_buckets(message.histogram, cumulative_buckets(histogram)[:-1], integer=False)
    else:
        _write_native(message.histogram, histogram, integer=False)
    return bytes(message.SerializeToString())


def delimited_family(
    name: str, kind: MetricType, metrics: Iterable[bytes], help_text: str = "", unit: str = ""
) -> bytes:
    """A family after its length."""
    family = MetricFamilyMessage(name=name.encode(), type=int(kind), metric=metrics)
    if help_text:
        family.help = help_text.encode()
    if unit:
        family.unit = unit.encode()
    raw = bytes(family.SerializeToString())
    return _varint(len(raw)) + raw


def _metric(labels: Iterable[tuple[str, str]], ts: int | None) -> Any:
    message = MetricMessage()
    for name, value in labels:
        message.label.add(name=name.encode(), value=value.encode())
    if ts is not None:
        message.timestamp_ms = ts
    return message


def _write_totals(out: Any, count: float, total: float, integer: bool) -> None:
    out.sample_sum = total
    if integer:
        out.sample_count = int(count)
    else:
        out.sample_count_float = count


def _write_buckets(out: Any, buckets: Iterable[tuple[float, float]], integer: bool) -> None:
    for bound, cumulative in buckets:
        bucket = out.bucket.add(upper_bound=bound)
        if integer:
            bucket.cumulative_count = int(cumulative)
        else:
            bucket.cumulative_count_float = cumulative


def _write_native(out: Any, histogram: FloatHistogram, integer: bool) -> None:
    out.schema = histogram.schema
    out.zero_threshold = histogram.zero_threshold
    if integer:
        out.zero_count = int(histogram.zero_count)
    else:
        out.zero_count_float = histogram.zero_count
    _write_side(out.negative_span, out.negative_delta if integer else out.negative_count, histogram.negative, integer)
    _write_side(out.positive_span, out.positive_delta if integer else out.positive_count, histogram.positive, integer)
    if not is_native(out):
        out.positive_span.add(offset=0, length=0)


def _write_side(spans: Any, counts: Any, side: Buckets, integer: bool) -> None:
    for span in side.spans():
        spans.add(offset=span.offset, length=span.length)
    counts.extend(side.deltas() if integer else side.counts.tolist())


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
