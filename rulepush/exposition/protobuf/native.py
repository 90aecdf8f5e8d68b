"""Native histograms of io.prometheus.client.Histogram messages.

Source: prometheus model/textparse/protobufparse.go, whose words the errors have.
"""

from __future__ import annotations

from typing import Any

from rulepush.errors import ProtobufError
from rulepush.histogram.buckets import NO_BUCKETS, Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram


def is_native(message: Any) -> bool:
    """Whether a Histogram message has a native histogram. One without observations and with a zero threshold of 0 says
    so by a span of no length; else it is a classic one."""
    return bool(message.positive_span or message.negative_span or message.zero_threshold > 0 or message.zero_count > 0)


def is_fractional(message: Any) -> bool:
    """Whether the counts of a native histogram are fractional: where its own or that of the zero bucket is given as
    such, as in Prometheus."""
    return bool(message.sample_count_float > 0 or message.zero_count_float > 0)


def native_histogram(message: Any, *, gauge: bool) -> FloatHistogram:
    """The native histogram of a Histogram message, without empty buckets. Raises ProtobufError where it
    cannot be read, and HistogramError where it can, and is none."""
    fractional = is_fractional(message)
    return FloatHistogram(
        schema=message.schema,
        count=message.sample_count_float if fractional else float(message.sample_count),
        sum=message.sample_sum,
        zero_threshold=message.zero_threshold,
        zero_count=message.zero_count_float if fractional else float(message.zero_count),
        positive=_side("positive", message.positive_span, message.positive_count, message.positive_delta, fractional),
        negative=_side("negative", message.negative_span, message.negative_count, message.negative_delta, fractional),
        counter_reset_hint=CounterResetHint.GAUGE if gauge else CounterResetHint.UNKNOWN,
    ).compacted()


def _side(side: str, spans: Any, counts: Any, deltas: Any, fractional: bool) -> Buckets:
    if not (spans or counts or deltas):
        return NO_BUCKETS
    pairs = tuple([(span.offset, span.length) for span in spans])
    needed, given = sum([length for _, length in pairs]), len(counts if fractional else deltas)
    if needed != given:  # before anything is built: a span of a few bytes may claim 2^32 buckets
        raise ProtobufError(f"{side} side: spans require {needed} buckets, have {given}")
    return Buckets.from_spans(pairs, list(counts)) if fractional else Buckets.from_deltas(pairs, list(deltas))
