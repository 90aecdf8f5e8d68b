"""Sums, limits, resets and texts that are worth naming. Cases after Prometheus model/histogram/float_histogram_test.go
(TestFloatHistogramAdd, TestFloatHistogramDetectReset) and scrape/scrape_test.go (TestPickSchema); random ones are in
test_recorded_cases.py."""

from __future__ import annotations

import math

import pytest

from rulepush.histogram.adding import add, kahan_add, subtract
from rulepush.histogram.errors import BucketLimitError, HistogramError, IncompatibleSchemas, InvalidHistogram
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram, stale_histogram
from rulepush.histogram.literal import parse_histogram
from rulepush.histogram.resets import detect_reset
from rulepush.histogram.resolution import copy_to_schema, limit_buckets, limit_schema, schema_of_bucket_factor
from rulepush.histogram.statistics import histogram_fraction
from rulepush.histogram.text import histogram_json, histogram_literal
from rulepush.histogram.validate import validate_histogram

H = parse_histogram


def written(h: FloatHistogram) -> str:
    return histogram_literal(h.compacted())


def test_the_lower_schema_and_the_greater_zero_bucket_win() -> None:
    a = H("{{schema:1 count:6 sum:9 z_bucket:1 z_bucket_w:0.25 buckets:[1 2 2] offset:-1}}")
    b = H("{{schema:0 count:7 sum:1 z_bucket:1 z_bucket_w:0.1 buckets:[1 2 3] offset:-2}}")
    total = "{{count:13 sum:10 z_bucket:3 z_bucket_w:0.25 offset:-1 buckets:[2 6 2]}}"
    # b's bucket (0.125,0.25] is in the zero bucket now.
    assert written(add(a, b).histogram) == written(add(b, a).histogram) == total


def test_a_zero_bucket_that_ends_inside_a_filled_bucket_grows_to_its_end() -> None:
    a = H("{{count:5 buckets:[5]}}")  # (0.5,1]
    b = H("{{count:1 z_bucket:1 z_bucket_w:0.7}}")
    assert written(add(a, b).histogram) == "{{count:6 z_bucket:6 z_bucket_w:1}}"


def test_a_threshold_of_nan_ends_too() -> None:
    a, b = FloatHistogram(zero_threshold=math.nan, zero_count=1.0), H("{{z_bucket:2 z_bucket_w:1}}")
    assert add(a, b).histogram.zero_count == add(b, a).histogram.zero_count == 3
    assert kahan_add(a, b).total.zero_count == 3


def test_custom_buckets_are_brought_to_the_common_bounds() -> None:
    a = H("{{schema:-53 count:10 custom_values:[1 2 5] buckets:[1 2 3 4]}}")
    b = H("{{schema:-53 count:6 custom_values:[1 5 9] buckets:[1 1 1 3]}}")
    total = add(a, b)
    assert written(total.histogram) == "{{schema:-53 count:16 custom_values:[1 5] buckets:[2 6 8]}}"
    assert total.bounds_reconciled
    assert not add(a, a).bounds_reconciled
    none = add(a, H("{{schema:-53 count:1 custom_values:[7] buckets:[1]}}"))
    assert written(none.histogram) == "{{schema:-53 count:11 custom_values:[] buckets:[11]}}"


@pytest.mark.parametrize(
    ("mine", "its", "hint", "collision"),
    [
        ("reset", "reset", CounterResetHint.RESET, False),
        ("gauge", "reset", CounterResetHint.GAUGE, False),
        ("not_reset", "gauge", CounterResetHint.GAUGE, False),
        ("unknown", "reset", CounterResetHint.UNKNOWN, False),
        ("not_reset", "unknown", CounterResetHint.UNKNOWN, False),
        ("reset", "not_reset", CounterResetHint.UNKNOWN, True),
        ("not_reset", "reset", CounterResetHint.UNKNOWN, True),
    ],
)
def test_counter_reset_hints_of_a_sum(mine: str, its: str, hint: CounterResetHint, collision: bool) -> None:
    a, b = H(f"{{{{counter_reset_hint:{mine}}}}}"), H(f"{{{{counter_reset_hint:{its}}}}}")
    for got in (add(a, b), subtract(a, b)):
        assert (got.histogram.counter_reset_hint, got.counter_reset_collision) == (hint, collision)
    step = kahan_add(a, b)
    assert (step.total.counter_reset_hint, step.counter_reset_collision) == (hint, collision)


def test_exponential_and_custom_buckets_do_not_mix() -> None:
    a, b = H("{{schema:-53}}"), H("{{}}")
    for combine in (add, subtract, kahan_add):
        with pytest.raises(IncompatibleSchemas, match="mix of exponential and custom bucket schemas"):
            combine(a, b)


def test_scaling_below_zero_makes_a_gauge_and_by_zero_removes_the_buckets() -> None:
    h = H("{{count:2 sum:4 z_bucket:1 buckets:[1]}}")
    assert h.negated().counter_reset_hint is CounterResetHint.GAUGE
    assert h.divided(-2.0) == h.multiplied(-0.5)
    gone = h.divided(0.0)
    assert (gone.count, gone.zero_count, gone.bucket_count) == (math.inf, math.inf, 0)
    assert gone.has_overflow()
    assert not h.has_overflow()


def test_operands_are_left_as_they_are() -> None:
    a, b = H("{{schema:1 buckets:[1 2]}}"), H("{{buckets:[1 2] z_bucket_w:1}}")
    before = (histogram_literal(a), histogram_literal(b))
    for combine in (add, subtract, kahan_add):
        combine(a, b)
    a.multiplied(2).compacted()
    assert (histogram_literal(a), histogram_literal(b)) == before


@pytest.mark.parametrize(
    ("before", "after", "reset"),
    [
        ("{{count:3 buckets:[1 2]}}", "{{count:4 buckets:[1 3]}}", False),
        ("{{count:3 buckets:[1 2]}}", "{{count:4 buckets:[0 4]}}", True),
        ("{{count:3 buckets:[1 2]}}", "{{count:4 buckets:[4] offset:1}}", True),
        ("{{count:2 buckets:[0 2]}}", "{{count:4 buckets:[4] offset:1}}", False),
        ("{{count:3 buckets:[1 2]}}", "{{count:3}}", True),
        ("{{count:3 sum:9 buckets:[3]}}", "{{count:3 sum:1 buckets:[3]}}", False),
        ("{{count:3 z_bucket:3}}", "{{count:4 z_bucket:2 buckets:[2]}}", True),
        ("{{schema:1 count:3 buckets:[1 1 1]}}", "{{count:3 buckets:[1 2]}}", False),
        ("{{count:3 buckets:[1 2]}}", "{{schema:1 count:9 buckets:[3 3 3]}}", True),
        ("{{count:3 z_bucket_w:1}}", "{{count:3 z_bucket_w:0.5}}", True),
        ("{{count:3 z_bucket_w:0.5 buckets:[3]}}", "{{count:3 z_bucket:3 z_bucket_w:1}}", False),
        ("{{count:3 z_bucket_w:0.5 buckets:[3]}}", "{{count:3 z_bucket:3 z_bucket_w:0.7}}", True),
        ("{{count:3 z_bucket_w:0.5 buckets:[3]}}", "{{count:9 z_bucket:3 z_bucket_w:0.7 buckets:[3]}}", True),
        ("{{}}", "{{schema:-53}}", True),
        (
            "{{schema:-53 count:3 custom_values:[1 2] buckets:[1 2]}}",
            "{{schema:-53 count:3 custom_values:[2] buckets:[3]}}",
            False,
        ),
        (
            "{{schema:-53 count:3 custom_values:[1 2] buckets:[1 2]}}",
            "{{schema:-53 count:3 custom_values:[2] buckets:[2 1]}}",
            True,
        ),
        ("{{count:3 buckets:[1 2]}}", "{{count:1 counter_reset_hint:gauge}}", True),
        ("{{count:3}}", "{{count:1 counter_reset_hint:not_reset}}", False),
        ("{{count:3}}", "{{count:4 counter_reset_hint:reset}}", True),
    ],
)
def test_a_counter_reset_shows_in_what_became_less(before: str, after: str, reset: bool) -> None:
    assert detect_reset(H(after), H(before)) is reset


def test_the_bucket_limit_takes_resolution_away_until_they_fit() -> None:
    h = H("{{schema:2 count:8 buckets:[1 1 1 1 1 1 1 1] offset:1}}")
    assert limit_buckets(h, 8) is h
    assert limit_buckets(h, 0) is h
    assert written(limit_buckets(h, 7)) == "{{schema:1 count:8 offset:1 buckets:[2 2 2 2]}}"
    assert written(limit_buckets(h, 2)) == "{{count:8 offset:1 buckets:[4 4]}}"
    wide = H("{{count:2 n_buckets:[1] buckets:[1]}}")
    with pytest.raises(BucketLimitError, match="histogram bucket limit exceeded"):
        limit_buckets(wide, 1)
    with pytest.raises(BucketLimitError, match="histogram bucket limit exceeded"):
        limit_buckets(H("{{schema:-4 buckets:[1 1] offset:1}}"), 1)  # which schema -5 would merge
    with pytest.raises(BucketLimitError, match="histogram bucket limit exceeded"):
        limit_buckets(H("{{schema:-53 custom_values:[1] buckets:[1 1]}}"), 1)


def test_the_bucket_factor_is_a_limit_of_the_schema() -> None:
    factors = {65536: -4, 256: -3, 4: -1, 2: 0, 1.5: 0, 1.1: 2, 1.01: 6, 1.005: 7, 1.002: 8, 1: 8, 0: 8, 1e300: -4}
    assert {factor: schema_of_bucket_factor(factor) for factor in factors} == factors
    h = H("{{schema:3 count:2 buckets:[1 1]}}")
    assert limit_schema(h, 1).schema == 1
    assert limit_schema(h, 3) is h
    custom = H("{{schema:-53 count:1 buckets:[1]}}")
    assert limit_schema(custom, -4) is custom
    assert limit_schema(FloatHistogram(schema=20), 8).schema == 8


def test_a_copy_in_a_lower_schema_forgets_the_hint() -> None:
    h = H("{{schema:1 count:2 buckets:[1 1] counter_reset_hint:reset}}")
    assert copy_to_schema(h, 1) is h
    assert copy_to_schema(h, 0) == H("{{count:2 buckets:[1 1]}}")
    for schema in (2, -53):
        with pytest.raises(HistogramError, match="cannot reduce resolution"):
            copy_to_schema(h, schema)
    with pytest.raises(HistogramError, match="when there are custom buckets"):
        copy_to_schema(H("{{schema:-53}}"), 0)


def test_equality_looks_at_bits_and_at_the_hint_only_in_the_operator_of_python() -> None:
    h = H("{{count:2 sum:NaN buckets:[1 1]}}")
    assert h.equals(H("{{count:2 sum:NaN buckets:[1 1]}}"))
    assert not h.equals(stale_histogram())
    assert h.equals(h.with_hint(CounterResetHint.GAUGE))
    assert h != h.with_hint(CounterResetHint.GAUGE)
    assert not H("{{z_bucket:0}}").equals(H("{{z_bucket:-0.0}}"))
    assert not H("{{buckets:[1]}}").equals(H("{{buckets:[1 0]}}"))
    assert (h == "{{}}") is False


def test_the_stale_marker_is_a_sum() -> None:
    assert stale_histogram().is_stale
    assert not H("{{sum:NaN}}").is_stale


def test_json_of_the_api() -> None:
    h = H("{{count:12 sum:1e-7 z_bucket:2 z_bucket_w:0.25 buckets:[1 0 2] n_buckets:[3 4]}}")
    assert histogram_json(h) == {
        "count": "12",
        "sum": "1e-07",
        "buckets": [
            [1, "-2", "-1", "4"],
            [1, "-1", "-0.5", "3"],
            [3, "-0.25", "0.25", "2"],
            [0, "0.5", "1", "1"],
            [0, "2", "4", "2"],
        ],
    }
    assert histogram_json(H("{{schema:-53 count:2 custom_values:[5] buckets:[1 1]}}"))["buckets"] == [
        [3, "-Inf", "5", "1"],
        [0, "5", "+Inf", "1"],
    ]
    assert histogram_json(H("{{buckets:[0]}}")) == {"count": "0", "sum": "0"}


def test_buckets_too_far_apart_to_be_written_are_refused() -> None:
    h = add(H("{{buckets:[1]}}"), H("{{buckets:[1] offset:2000000000}}")).histogram
    with pytest.raises(HistogramError, match="buckets 0 and 2000000000 are too far apart"):
        histogram_literal(h)


def test_counts_of_integer_histograms_must_add_up() -> None:
    validate_histogram(H("{{count:3 z_bucket:1 buckets:[2]}}"), integer=True)
    validate_histogram(H("{{count:4 sum:NaN z_bucket:1 buckets:[2]}}"), integer=True)
    with pytest.raises(InvalidHistogram, match=r"3 observations found in buckets, but the Count field is 4: .* equal"):
        validate_histogram(H("{{count:4 z_bucket:1 buckets:[2]}}"), integer=True)
    with pytest.raises(InvalidHistogram, match=r"3 observations found in buckets, but the Count field is 2: .* least"):
        validate_histogram(H("{{count:2 sum:NaN z_bucket:1 buckets:[2]}}"), integer=True)
    validate_histogram(H("{{count:4 z_bucket:1 buckets:[2]}}"))


def test_ends_of_custom_buckets() -> None:
    below_zero = H("{{schema:-53 count:4 custom_values:[-3 -1] buckets:[1 3]}}")
    assert histogram_fraction(-5, math.inf, below_zero) == (0.75, False)  # all of a bucket from -Inf is below -5
    with pytest.raises(InvalidHistogram, match=r"last \+Inf bound must not be explicitly defined"):
        validate_histogram(H("{{schema:-53 custom_values:[1 Inf]}}"))
    assert not len(H("{{n_buckets:[1]}}").divided(0.0).negative)
