"""The counter reset hint of a histogram in storage. Source: Prometheus tsdb/chunkenc/float_histogram.go
(AppendFloatHistogram, appendable) and histogram_meta.go (counterResetHint): what is read back has the hint that its
place in a chunk gives it, not the one it was written with."""

from __future__ import annotations

from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.resets import detect_reset


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
