"""Literals of scripts and rule tests. Cases after Prometheus promql/parser/parse_test.go (TestHistogramTestExpression,
TestParseHistogramSeries)."""

from __future__ import annotations

from itertools import islice

import pytest

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.errors import InvalidHistogram
from rulepush.histogram.histogram import EMPTY, CounterResetHint, FloatHistogram
from rulepush.histogram.literal import parse_histogram, parse_histogram_item
from rulepush.histogram.text import format_histogram, histogram_literal

WHOLE = (
    "{{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 7] offset:-3 "
    "n_buckets:[4.1 5] n_offset:5 counter_reset_hint:gauge}}"
)


def test_every_key_in_any_order_and_case() -> None:
    expected = FloatHistogram(
        schema=1,
        count=3.1,
        sum=-0.3,
        zero_threshold=0.05,
        zero_count=7.1,
        positive=Buckets.at(-3, [5.1, 10, 7]),
        negative=Buckets.at(5, [4.1, 5]),
        counter_reset_hint=CounterResetHint.GAUGE,
    )
    assert parse_histogram(WHOLE) == expected
    turned = " ".join(reversed(WHOLE.strip("{}").replace("buckets:[5.1 10 7]", "BUCKETS:[5.1   10 7 ]").split(" ")))
    assert turned.startswith("counter_reset_hint")
    assert parse_histogram("{{counter_reset_hint:GAUGE Schema:1 sum:-3e-1 count:3.1}}").schema == 1


@pytest.mark.parametrize("text", ["{{}}", "{{ }}", "{{   }}"])
def test_an_empty_histogram(text: str) -> None:
    assert parse_histogram(text) == EMPTY


def test_numbers_as_promql_writes_them() -> None:
    h = parse_histogram("{{count:Inf sum:NaN z_bucket:0x10 z_bucket_w:.5 buckets:[1e2 -1 inf] }}")
    assert (h.count, h.zero_count, h.zero_threshold) == (float("inf"), 16, 0.5)
    assert h.sum != h.sum
    assert h.positive.counts.tolist() == [100, -1, float("inf")]


def test_custom_buckets() -> None:
    h = parse_histogram("{{schema:-53 sum:1 count:5 custom_values:[5 10] buckets:[1 4] offset:1}}")
    assert h.custom_values == (5, 10)
    assert h.positive.indexes.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{foo:1}}", "unexpected 'foo' in histogram description, expected histogram description key"),
        ("{{schema :1}}", "missing `:` for histogram descriptor 'schema'"),
        ("{{schema: 1}}", "schema is a whole number"),
        ("{{schema:1.5}}", "schema is a whole number"),
        ("{{schema:99}}", "no histogram has schema 99"),
        ("{{schema:1 schema:1}}", 'duplicate key "schema" in histogram'),
        ("{{buckets:[ 1]}}", "buckets is a number"),
        ("{{buckets:[]}}", "no number in buckets"),
        ("{{buckets:[1,2]}}", "unexpected ',2]}}' in buckets"),
        ("{{buckets:5}}", r"expected buckets:\[5 10 7\]"),
        ("{{ schema:1}}", "unexpected ' schema:1}}'"),
        ("{{sum:1count:2}}", "sum is a number"),
        ("{{sum:+1}}", "sum is a number"),
        ("{{sum:1x}}", "sum is a number"),
        ("{{z_bucket_w:-1}}", "z_bucket_w is a number of 0 or more"),
        ("{{counter_reset_hint:foo}}", "counter_reset_hint is one of unknown, reset, not_reset, gauge"),
        ("{{sum:1", "unexpected end of input"),
        ("{{sum:1}", "unexpected '}'"),
        ("{{sum:1}} 2", "unexpected ' 2' after the histogram"),
        ("sum:1", "expected a histogram like"),
        ("{{schema:-53 custom_values:[1] buckets:[1 2 3]}}", "buckets 0 to 2 do not fit 1 custom_values"),
        ("{{schema:-53 custom_values:[1] n_buckets:[1]}}", "must not have negative spans"),
        ("{{offset:9999999999 buckets:[1]}}", "offset is a whole number"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidHistogram, match=message):
        parse_histogram(text)


def test_repetition_adds_one_for_time_zero() -> None:
    run, end = parse_histogram_item("a {{sum:1}}x2 b", 2)
    assert (run.count, end) == (3, 13)
    assert [h.sum for h in run.cells()] == [1, 1, 1]


def test_a_step_is_added_or_subtracted() -> None:
    up, _ = parse_histogram_item("{{sum:1 count:1 buckets:[1]}}+{{sum:2 count:1 buckets:[0 1]}}x2")
    assert [format_histogram(h) for h in up.cells()] == [
        "{count:1, sum:1, (0.5,1]:1}",
        "{count:2, sum:3, (0.5,1]:1, (1,2]:1}",
        "{count:3, sum:5, (0.5,1]:1, (1,2]:2}",
    ]
    down, _ = parse_histogram_item("{{sum:9 count:3 buckets:[3]}}-{{sum:2 count:1 buckets:[1]}}x1")
    assert [format_histogram(h) for h in down.cells()] == ["{count:3, sum:9, (0.5,1]:3}", "{count:2, sum:7, (0.5,1]:2}"]


def test_a_huge_repetition_is_not_spelled_out() -> None:
    run, _ = parse_histogram_item("{{sum:1}}+{{sum:1}}x18446744073709551615")
    assert run.count == 1 << 64
    assert [h.sum for h in islice(run.cells(), 3)] == [1, 2, 3]


def test_the_hint_that_counts_is_the_one_of_the_last_literal() -> None:
    assert parse_histogram_item("{{counter_reset_hint:gauge}}")[0].hint_set
    assert not parse_histogram_item("{{counter_reset_hint:gauge}}+{{}}x1")[0].hint_set
    assert parse_histogram_item("{{}}+{{counter_reset_hint:unknown}}x1")[0].hint_set


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{}}+{{}}", "expected 'x'"),
        ("{{}}+1x2", r"expected '\+\{\{..\}\}x5'"),
        ("{{}}x18446744073709551616", "value out of range"),
        ("{{}}x" + "9" * 5000, "value out of range"),
        ("{{schema:1}}+{{schema:0}}x1", "cannot merge from schema 0 to 1"),
        ("{{schema:-53}}+{{schema:0}}x1", "mix of exponential and custom bucket schemas"),
    ],
)
def test_a_mistake_in_the_expansion_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidHistogram, match=message):
        parse_histogram_item(text)


def test_what_is_written_reads_back() -> None:
    for text in (WHOLE, "{{schema:-53 count:5 custom_values:[5 10] buckets:[1 0 4]}}", "{{}}"):
        assert parse_histogram(histogram_literal(parse_histogram(text))) == parse_histogram(text)
