"""Protobuf bodies as scrapes read them. tests/e2e/test_protobuf_vs_prometheus.py compares with a real Prometheus."""

from __future__ import annotations

import math

import pytest

from rulepush.errors import ProtobufError
from rulepush.exposition import FamilyMetadata, Format, parse_body, readable_body
from rulepush.exposition.entries import CLASSIC_ONLY, HistogramScraping
from rulepush.exposition.protobuf.translate import translated
from rulepush.exposition.translated import TranslatedBody
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.schema import CUSTOM_SCHEMA
from tests import delimited_families as wire

GOOD = wire.gauge("good", 1)
NATIVE = HistogramScraping(native=True)
BOTH = HistogramScraping(native=True, classic_too=True)


def series(body: bytes, scraping: HistogramScraping = CLASSIC_ONLY) -> list[tuple[str, float, int | None]]:
    done = translated(body, scraping)
    assert done.error == ""
    return of(done)


def of(done: TranslatedBody) -> list[tuple[str, float, int | None]]:
    found = parse_body(done.text, Format.PROTOBUF).samples
    return [(",".join(f"{n}={v}" for n, v in s.pairs), s.value, s.ts) for s in found]


def test_counters_gauges_and_untyped_give_their_values() -> None:
    body = wire.family("c", wire.COUNTER, wire.metric(wire.COUNTER, wire.number(1e16), [("b", "1"), ("a", "2")]))
    body += wire.gauge("g", -math.inf) + wire.family("u", wire.UNTYPED, wire.metric(wire.UNTYPED, wire.number(0.1)))
    assert series(body) == [
        ("__name__=c,b=1,a=2", 1e16, None),
        ("__name__=g", -math.inf, None),
        ("__name__=u", 0.1, None),
    ]
    assert math.isnan(series(wire.gauge("g", math.nan))[0][1])


def test_a_summary_gives_count_sum_and_quantiles_in_this_order() -> None:
    value = wire.summary(3, 2.5, [(0.5, 1.0), (1.0, 2.0), (1e-5, 3.0)])
    assert series(wire.family("s", wire.SUMMARY, wire.metric(wire.SUMMARY, value, [("a", "b")], ts=7))) == [
        ("__name__=s_count,a=b", 3.0, 7),
        ("__name__=s_sum,a=b", 2.5, 7),
        ("__name__=s,a=b,quantile=0.5", 1.0, 7),
        ("__name__=s,a=b,quantile=1.0", 2.0, 7),
        ("__name__=s,a=b,quantile=1e-05", 3.0, 7),
    ]


def test_a_summary_without_quantiles_gives_count_and_sum() -> None:
    body = wire.family("s", wire.SUMMARY, wire.metric(wire.SUMMARY, wire.summary(3, 2.5)))
    assert [name for name, _, _ in series(body)] == ["__name__=s_count", "__name__=s_sum"]


def test_a_classic_histogram_gets_a_last_bucket_when_it_has_none() -> None:
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, wire.histogram(4, 2.5, [(1, 2), (2.5, 3)])))
    assert series(body) == [
        ("__name__=h_count", 4.0, None),
        ("__name__=h_sum", 2.5, None),
        ("__name__=h_bucket,le=1.0", 2.0, None),
        ("__name__=h_bucket,le=2.5", 3.0, None),
        ("__name__=h_bucket,le=+Inf", 4.0, None),
    ]


def test_what_follows_the_last_bucket_is_left_out() -> None:
    value = wire.histogram(4, 2.5, [(math.inf, 3), (5, 4)])
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value))
    assert series(body)[2:] == [("__name__=h_bucket,le=+Inf", 3.0, None)]


def test_fractional_counts_of_a_gauge_histogram_come_first() -> None:
    value = wire.histogram(4.5, 2.5, [(1, 2.5)], fractional=True)
    body = wire.family("h", wire.GAUGE_HISTOGRAM, wire.metric(wire.GAUGE_HISTOGRAM, value))
    assert [v for _, v, _ in series(body)] == [4.5, 2.5, 2.5, 4.5]
    assert parse_body(readable_body(body, Format.PROTOBUF), Format.PROTOBUF).metadata["h"].type == "gaugehistogram"


def test_metadata_comes_with_its_unit() -> None:
    body = wire.gauge("a", 1, help_="of\n\\a", unit="seconds") + wire.gauge("b c", 1, help_="")
    found = parse_body(translated(body).text, Format.PROTOBUF).metadata
    assert found == {"a": FamilyMetadata("gauge", "of\n\\a", "seconds"), "b c": FamilyMetadata("gauge", "")}


def test_names_and_values_of_any_text() -> None:
    labels = [("x y", 'a"\\\n,}'), ("é", "b")]
    found = series(wire.gauge("name with blanks", 1, labels))
    assert found == [('__name__=name with blanks,x y=a"\\\n,},é=b', 1.0, None)]


@pytest.mark.parametrize(("ts", "found"), [(0, None), (5, 5), (-5, 0)])
def test_a_timestamp_of_zero_is_none(ts: int, found: int | None) -> None:
    body = wire.family("a", wire.GAUGE, wire.metric(wire.GAUGE, wire.number(1), ts=ts))
    assert series(body) == [("__name__=a", 1.0, found)]


def test_a_family_without_metrics_is_skipped_whatever_its_name() -> None:
    assert series(wire.family("", wire.GAUGE) + wire.gauge("a", 1)) == [("__name__=a", 1.0, None)]


NATIVE_VALUE = wire.histogram(
    8, 2.5, [(1, 2)], schema=3, zero=(0.001, 1), positive=([(-2, 2), (1, 1)], [1, 0, 2]), negative=([(0, 1)], [2])
)
EXPECTED = FloatHistogram(
    schema=3,
    count=8,
    sum=2.5,
    zero_threshold=0.001,
    zero_count=1,
    positive=Buckets.from_spans([(-2, 2), (1, 1)], [1, 1, 3]),
    negative=Buckets.from_spans([(0, 1)], [2]),
)


def test_a_native_histogram_is_classic_unless_it_is_asked_for() -> None:
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, NATIVE_VALUE, [("a", "b")]))
    assert [n for n, _, _ in series(body)] == [
        f"__name__=h_{part}" for part in ("count,a=b", "sum,a=b", "bucket,a=b,le=1.0", "bucket,a=b,le=+Inf")
    ]
    assert translated(body).histograms == {}


def test_a_native_histogram_takes_the_place_of_its_classic_series() -> None:
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, NATIVE_VALUE, [("a", "b")], ts=9))
    done = translated(GOOD + body, NATIVE)
    assert of(done) == [("__name__=good", 1.0, None), ("__name__=h,a=b", 0.0, 9)]
    assert done.histograms == {1: EXPECTED}


def test_both_when_classic_ones_are_always_scraped() -> None:
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, NATIVE_VALUE))
    assert translated(body, BOTH).histograms == {0: EXPECTED}
    assert [n for n, _, _ in series(body, BOTH)] == ["__name__=h", *(n for n, _, _ in series(body))]
    without_buckets = wire.histogram(1, 1, schema=0, positive=([(0, 1)], [1]))
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, without_buckets))
    assert [n for n, _, _ in series(body, BOTH)] == ["__name__=h"]


@pytest.mark.parametrize("packed", [False, True])
def test_fractional_native_histograms(packed: bool) -> None:
    value = wire.histogram(
        2.75,
        1,
        schema=-1,
        zero=(0.5, 0.25),
        positive=([(0, 3)], [1.5, 0, 1.0]),
        fractional=True,
        packed=packed,
    )
    body = wire.family("h", wire.GAUGE_HISTOGRAM, wire.metric(wire.GAUGE_HISTOGRAM, value))
    (histogram,) = translated(body, NATIVE).histograms.values()
    assert histogram == FloatHistogram(
        schema=-1,
        count=2.75,
        sum=1,
        zero_threshold=0.5,
        zero_count=0.25,
        positive=Buckets.from_spans([(0, 1), (1, 1)], [1.5, 1.0]),  # empty buckets are left out
        counter_reset_hint=CounterResetHint.GAUGE,
    )


def test_a_span_of_no_length_makes_an_empty_histogram_native() -> None:
    value = wire.histogram(0, 0, schema=3, zero=(0, 0), positive=([(0, 0)], []))
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value))
    assert translated(body, NATIVE).histograms == {0: FloatHistogram(schema=3)}
    value = wire.histogram(0, 0, schema=3, zero=(0, 0))
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value))
    assert translated(body, NATIVE).histograms == {}


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (GOOD[:-1], "unexpected EOF"),
        (GOOD[:1], "unexpected EOF"),
        (b"\x80", "unexpected EOF"),
        (b"\xff" * 11, "proto: variable length integer overflow"),
        (b"\x03\xff\xff\xff", "proto: cannot parse invalid wire-format data"),
        (wire.family("a", wire.GAUGE, b"\xff"), "proto: cannot parse invalid wire-format data"),
        (wire.gauge("", 1), "invalid metric name: "),
        (wire.gauge(b"a\xff", 1), "invalid metric name: a\ufffd"),
        (wire.gauge("a", 1, help_=b"\xff"), 'invalid help for metric "a": \ufffd'),
        (wire.family("a", 9, wire.metric(wire.GAUGE, wire.number(1))), 'unknown metric type for metric "a": 9'),
        (wire.gauge("a", 1, [("", "x")]), "invalid label name: "),
        (wire.gauge("a", 1, [(b"x\xff", "x")]), "invalid label name: x\ufffd"),
        (wire.gauge("a", 1, [("x", b"\xff")]), "invalid label value: \ufffd"),
        (
            wire.family(
                "h",
                wire.HISTOGRAM,
                wire.metric(wire.HISTOGRAM, wire.histogram(1, 1, schema=0, positive=([(0, 1 << 31)], [1]))),
            ),
            'histogram "h": positive side: spans require 2147483648 buckets, have 1',
        ),
    ],
)
def test_a_wrong_body_says_what_is_wrong_after_what_was_right(bad: bytes, error: str) -> None:
    done = translated(GOOD + bad, NATIVE)
    assert done.error == error
    assert of(done)[0] == ("__name__=good", 1.0, None)


def test_limits_of_native_histograms() -> None:
    value = wire.histogram(4, 2.5, schema=8, positive=([(0, 4)], [1, 0, 0, 0]))
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value))

    def limited(**limits: float) -> tuple[int, list[float]]:
        found = translated(body, HistogramScraping(native=True, **limits))  # type: ignore[arg-type]
        return found.histograms[0].schema, found.histograms[0].positive.counts.tolist()

    assert limited() == (8, [1, 1, 1, 1])
    assert limited(bucket_limit=3) == (7, [1, 2, 1])
    assert limited(bucket_limit=2) == (6, [1, 3])
    assert limited(min_bucket_factor=1.1) == (2, [1, 3])
    apart = wire.histogram(2, 2.5, schema=-4, positive=([(0, 1), (5, 1)], [1, 0]))
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, apart))
    assert "limit" in str(translated(body, HistogramScraping(native=True, bucket_limit=1)).faults[0])


def test_a_native_histogram_that_contradicts_itself_fails_the_body() -> None:
    value = wire.histogram(1, 2.5, schema=0, positive=([(0, 1)], [-1]))
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value))
    made = translated(body, NATIVE)
    assert "bucket number 1 has observation count of -1" in str(made.faults[0])
    assert (made.error, made.histograms, made.text) == ("", {}, b"# TYPE h histogram\nh 0\n")  # it may be dropped


def test_a_small_body_of_many_buckets_is_bounded() -> None:
    value = wire.whole(1, 5) + wire.field(3, b"") * 5_000
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value))
    assert translated(body, max_lines=1_000).error == "body size limit exceeded: too many series, or too long ones"
    huge = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, wire.field(3, b"") * (3 << 20)))
    assert translated(huge).error == "a metric of more than 4 MiB"


def test_a_wrong_body_is_not_readable() -> None:
    with pytest.raises(ProtobufError, match="unexpected EOF"):
        readable_body(GOOD[:-1], Format.PROTOBUF)


def test_classic_histograms_become_native_ones_with_custom_buckets() -> None:
    value = wire.histogram(4, 2.5, [(1, 2), (2.5, 3)])
    body = wire.family("h", wire.GAUGE_HISTOGRAM, wire.metric(wire.GAUGE_HISTOGRAM, value, [("a", "b")]))
    expected = FloatHistogram(
        schema=CUSTOM_SCHEMA,
        count=4,
        sum=2.5,
        positive=Buckets.from_spans([(0, 3)], [2, 1, 1]),
        custom_values=(1.0, 2.5),
        counter_reset_hint=CounterResetHint.GAUGE,
    )
    alone = HistogramScraping(native=True, to_custom_buckets=True)
    assert series(body, alone) == [("__name__=h,a=b", 0.0, None)]
    assert translated(body, alone).histograms == {0: expected}
    both = HistogramScraping(native=True, to_custom_buckets=True, classic_too=True)
    assert series(body, both) == [*series(body), ("__name__=h,a=b", 0.0, None)]
    # One that is native already is left as it is.
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, NATIVE_VALUE))
    assert translated(body, both).histograms == {0: EXPECTED}
    wrong = wire.histogram(4, 2.5, [(1, 2), (2.5, 1)])
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, wrong))
    assert "not cumulative" in translated(body, alone).error


def test_integer_counts_that_contradict_the_count_fail_the_scrape() -> None:
    def of_count(count: float, total: float, fractional: bool = False) -> TranslatedBody:
        value = wire.histogram(
            count, total, schema=0, zero=(0.1, 0), positive=([(0, 2)], [3, 0]), fractional=fractional
        )
        return translated(wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value)), NATIVE)

    found = "observations found in buckets, but the Count field is"
    assert str(of_count(7, 1).faults[0]).startswith(f"6 {found} 7: histogram's observation count should equal")
    assert str(of_count(5, math.nan).faults[0]).startswith(
        f"6 {found} 5: histogram's observation count should be at least"
    )
    assert of_count(6, 1).faults == of_count(7, math.nan).faults == of_count(7, 1, fractional=True).faults == {}


def test_integer_counts_beyond_the_precision_of_floats_are_not_compared() -> None:
    value = wire.histogram(2**53 + 3, 1, schema=0, positive=([(0, 3)], [2**53 + 1, -(2**53), 0]))
    assert translated(wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value)), NATIVE).faults == {}
