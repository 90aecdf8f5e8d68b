"""Native histograms in remote write, in and out. tests/e2e/test_remote_write_histograms.py asks a real Prometheus."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rulepush.config.sections import RemoteWriteMessage
from rulepush.errors import RemoteWriteError
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram, stale_histogram
from rulepush.histogram.sample import HistogramSample
from rulepush.histogram.schema import CUSTOM_SCHEMA
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.remote.apply import RemoteWriteReceiver
from rulepush.remote.encode import SentSample, SentSeries, request_v2, write_request
from rulepush.remote.messages import RequestV2, WriteRequest
from rulepush.remote.receiver import WriteLimits, decode
from rulepush.remote.sender import RemoteWriteSender
from rulepush.remote.snappy import compress
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.fakes import FakeClock
from tests.remote.sending import CONFIG, FakeReceiver, T, run

T0 = 1_700_000_000_000
V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
LABELS = Labels.of(__name__="h", job="j")
INTEGER = {
    "count_int": 9,
    "sum": 2.5,
    "schema": 3,
    "zero_threshold": 0.001,
    "zero_count_int": 1,
    "positive_deltas": [1, 0, 2],
    "negative_deltas": [3],
}
EXPECTED = FloatHistogram(
    schema=3,
    count=9,
    sum=2.5,
    zero_threshold=0.001,
    zero_count=1,
    positive=Buckets.from_spans([(-2, 2), (1, 1)], [1, 1, 3]),
    negative=Buckets.from_spans([(0, 1)], [3]),
)
FRACTIONAL = replace(
    EXPECTED,
    count=6.5,
    zero_count=0.5,
    positive=Buckets.from_spans([(-2, 2), (1, 1)], [1.5, 1, 0.5]),
    counter_reset_hint=CounterResetHint.GAUGE,
)
CUSTOM = FloatHistogram(
    schema=CUSTOM_SCHEMA, count=3, sum=1, positive=Buckets.from_spans([(0, 2)], [1, 2]), custom_values=(0.5, 1.0)
)


def fill(series: Any, ts: int = T0, **fields: Any) -> None:
    message = series.histograms.add(timestamp=ts, **{**INTEGER, **fields})
    message.positive_spans.add(offset=-2, length=2)
    message.positive_spans.add(offset=1, length=1)
    message.negative_spans.add(offset=0, length=1)


def v1(*times: int, **fields: Any) -> bytes:
    request = WriteRequest()
    series = request.timeseries.add()
    for name, value in LABELS:
        series.labels.add(name=name, value=value)
    for ts in times:
        fill(series, ts, **fields)
    return compress(request.SerializeToString())


def v2(*times: int, **fields: Any) -> bytes:
    request = RequestV2(symbols=["", "__name__", "h", "job", "j"])
    series = request.timeseries.add(labels_refs=[1, 2, 3, 4])
    for ts in times:
        fill(series, ts, **fields)
    return compress(request.SerializeToString())


@pytest.mark.parametrize(("body", "content_type"), [(v1(T0), ""), (v2(T0), V2)])
def test_integer_histograms_are_read(body: bytes, content_type: str) -> None:
    batch = decode(body, content_type, "snappy", WriteLimits())
    (sample,) = batch.samples
    assert isinstance(sample, HistogramSample)
    assert (sample.labels, sample.ts, sample.histogram) == (LABELS, T0, EXPECTED)
    assert batch.histograms == 1


def test_a_count_of_zero_that_is_a_float_makes_a_float_histogram() -> None:
    nothing = {"count_int": 0, "count_float": 0.0, "zero_count_int": 5, "sum": 0.0}
    batch = decode(v1(T0, **nothing, positive_counts=[0, 0, 0], negative_counts=[0]), "", "snappy", WriteLimits())
    (sample,) = batch.samples
    assert isinstance(sample, HistogramSample)
    assert (sample.histogram.count, sample.histogram.zero_count) == (0, 0)


@pytest.mark.parametrize("histogram", [EXPECTED, FRACTIONAL, CUSTOM, FloatHistogram(), stale_histogram()], ids=repr)
def test_what_is_sent_is_what_is_read(histogram: FloatHistogram) -> None:
    series = SentSeries(LABELS)
    sent = [SentSample(series, T0, 0.0, histogram), SentSample(series, T0 + 1, 7.0)]
    for body, content_type in ((write_request(sent), ""), (request_v2(sent, {}), V2)):
        got, after = decode(body, content_type, "snappy", WriteLimits()).samples
        assert isinstance(got, HistogramSample)
        assert got.histogram == histogram
        assert (got.ts, after) == (T0, Sample(LABELS, T0 + 1, 7.0))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"positive_deltas": [1]}, "spans need 3 buckets, have 1 buckets"),
        ({"positive_deltas": [1, -2, 0]}, "bucket number 2 has observation count of -1"),
        ({"count_int": 3}, "observations found in buckets"),
        ({"schema": 77}, "schema"),
    ],
)
def test_a_histogram_that_contradicts_itself(fields: dict[str, Any], error: str) -> None:
    """It refuses a request of 1.0; of 2.0, it alone is left out."""
    with pytest.raises(RemoteWriteError, match=error) as refused:
        decode(v1(T0, **fields), "", "snappy", WriteLimits())
    assert refused.value.status == 400
    batch = decode(v2(T0, **fields), V2, "snappy", WriteLimits())
    assert batch.samples == ()
    (reason,) = batch.rejected
    assert error in reason
    assert reason.endswith('for series {__name__="h", job="j"}')
    assert batch.rejected_samples == 1


def test_histograms_count_for_the_limit_of_samples() -> None:
    with pytest.raises(RemoteWriteError, match="more than 2 samples"):
        decode(v1(T0, T0 + 1, T0 + 2), "", "snappy", WriteLimits(max_samples=2))


def receiver(window: int = 0) -> tuple[RemoteWriteReceiver, Head]:
    head = Head(Demand.keep_all(3_600_000))
    return RemoteWriteReceiver(head, WriteLimits(), out_of_order_window_ms=lambda: window), head


def kept(head: Head) -> list[tuple[int, FloatHistogram | None]]:
    s = head.select([], 0, 1 << 62)
    assert s.boxes is not None
    row = zip(s.times[0, : s.counts[0]].tolist(), s.values[0, : s.counts[0]].tolist(), strict=True)
    return [(ts, s.boxes.unbox(value)) for ts, value in row]


def test_accepted_histograms_go_into_memory_and_are_counted() -> None:
    to, head = receiver()
    answer = to.apply(to.decode(v2(T0, T0 + 1), V2, "snappy"), T0)
    assert answer.status == 204
    assert answer.headers["X-Prometheus-Remote-Write-Histograms-Written"] == "2"
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "0"
    assert [ts for ts, h in kept(head) if h is not None and h.equals(EXPECTED)] == [T0, T0 + 1]


def test_the_same_histogram_again_is_accepted_another_one_is_not() -> None:
    to, _ = receiver()
    assert to.apply(to.decode(v1(T0), "", "snappy"), T0).status == 204
    assert to.apply(to.decode(v1(T0), "", "snappy"), T0).status == 204
    answer = to.apply(to.decode(v1(T0, sum=3.0), "", "snappy"), T0)
    assert (answer.status, answer.text) == (400, "duplicate sample for timestamp")
    answer = to.apply(to.decode(v1(T0 - 1), "", "snappy"), T0)
    assert (answer.status, answer.text) == (400, "out of order sample")


def test_a_late_histogram_is_put_where_its_time_belongs() -> None:
    to, head = receiver(window=60_000)
    for ts in (T0, T0 - 1000):
        assert to.apply(to.decode(v1(ts), "", "snappy"), T0).status == 204
    assert [ts for ts, _ in kept(head)] == [T0 - 1000, T0]


@pytest.mark.parametrize("protocol", RemoteWriteMessage)
@pytest.mark.parametrize("wanted", [True, False])
def test_histograms_are_sent_where_that_is_configured(protocol: RemoteWriteMessage, wanted: bool) -> None:
    to = FakeReceiver()

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([HistogramSample(LABELS, T, 0.0, FRACTIONAL), Sample(Labels.of(__name__="a"), T, 1.0)])
        await clock.advance(6)

    run(test, to, replace(CONFIG, protobuf_message=protocol, send_native_histograms=wanted))
    histograms = [s.histogram for s in to.samples if isinstance(s, HistogramSample)]
    assert histograms == ([FRACTIONAL] if wanted else [])
    assert [s.value for s in to.samples if not isinstance(s, HistogramSample)] == [1.0]
