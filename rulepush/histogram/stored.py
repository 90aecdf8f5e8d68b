"""The counter reset hint of a histogram in storage. Source: Prometheus tsdb/chunkenc/float_histogram.go
(AppendFloatHistogram, appendable) and histogram_meta.go (counterResetHint): what is read back has the hint that its
place in a chunk gives it, not the one it was written with."""

from __future__ import annotations

from dataclasses import replace

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.resets import detect_reset


def as_stored(h: FloatHistogram, previous: FloatHistogram | None) -> FloatHistogram:
    """`h` as it is kept after `previous` of the same series: with its `stored_hint`, and with the arrays of `previous`
    that say the same, which may be all: most histograms stay as they are from one scrape to the next."""
    hint = stored_hint(h, previous)
    if previous is None:
        return h.with_hint(hint)
    positive, negative = _sharing(h.positive, previous.positive), _sharing(h.negative, previous.negative)
    if positive is previous.positive and negative is previous.negative:
        shared = replace(h, positive=positive, negative=negative, counter_reset_hint=hint)
        return previous if shared == previous else shared
    if positive is h.positive and negative is h.negative:
        return h.with_hint(hint)
    return replace(h, positive=positive, negative=negative, counter_reset_hint=hint)


def _sharing(mine: Buckets, before: Buckets) -> Buckets:
    if not mine.same_layout(before):
        return mine
    if mine.counts.tobytes() == before.counts.tobytes():  # to the bit: a count of -0 or NaN is what it was
        return before
    return mine if mine.indexes is before.indexes else Buckets(before.indexes, mine.counts)


def stored_hint(h: FloatHistogram, previous: FloatHistogram | None) -> CounterResetHint:
    """The hint of `h` when it is read after it was stored after `previous`; None: after nothing, a float or the end of
    the series. A reset begins a chunk, and of the first histogram of a chunk nothing is known: the one before it may be
    gone."""
    if h.counter_reset_hint is CounterResetHint.GAUGE:
        return CounterResetHint.GAUGE
    if previous is None or previous.counter_reset_hint is CounterResetHint.GAUGE:
        return CounterResetHint.UNKNOWN
    if h.counter_reset_hint is CounterResetHint.RESET or h.count < previous.count:
        return CounterResetHint.UNKNOWN
    if h.schema != previous.schema or h.zero_threshold != previous.zero_threshold:
        return CounterResetHint.UNKNOWN
    if h.custom_values != previous.custom_values or detect_reset(h.with_hint(CounterResetHint.UNKNOWN), previous):
        return CounterResetHint.UNKNOWN
    return CounterResetHint.NOT_RESET
