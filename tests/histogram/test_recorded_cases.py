"""Every operation answers what Prometheus 3.14's own code answered, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rulepush.histogram.adding import Combined, add, kahan_add, subtract
from rulepush.histogram.errors import HistogramError
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.iteration import all_buckets, all_buckets_reversed, bucket_arrays
from rulepush.histogram.resets import detect_reset
from rulepush.histogram.resolution import reduce_resolution
from rulepush.histogram.statistics import histogram_fraction, histogram_quantile, histogram_variance
from rulepush.histogram.text import format_bucket, format_histogram, histogram_literal
from rulepush.histogram.trim import trim_above, trim_below
from rulepush.histogram.validate import validate_histogram
from tests.histogram.recorded_cases import (
    RecordedCase,
    read_float,
    read_histogram,
    recorded,
    same_histogram,
    same_number,
)


def check(case: RecordedCase, got: FloatHistogram) -> None:
    assert same_histogram(got, case.histogram), f"{case.given}: got {got}, not {case.histogram}"


@pytest.mark.parametrize("operation", ["add", "sub"])
def test_sums_and_differences(operation: str) -> None:
    for case in recorded(operation):
        combine = add if operation == "add" else subtract
        if "error" in case.answer:
            with pytest.raises(HistogramError, match=case.answer["error"]):
                combine(*case.given)
            continue
        got: Combined = combine(*case.given)
        check(case, got.histogram)
        assert got.counter_reset_collision == case.answer["collision"]
        assert got.bounds_reconciled == case.answer["reconciled"]


def test_kahan_sums_with_their_compensations() -> None:
    for case in recorded("kahan"):
        total, rest, collision, reconciled = case.given[0], None, False, False
        for other in case.given[1:]:
            step = kahan_add(total, other, rest)
            total, rest = step.total, step.rest
            collision |= step.counter_reset_collision
            reconciled |= step.bounds_reconciled
        check(case, total)
        assert rest is not None
        assert same_histogram(rest, read_histogram(case.answer["rest"])), case.given
        assert (collision, reconciled) == (case.answer["collision"], case.answer["reconciled"])


def test_scaling() -> None:
    for case in recorded("mul"):
        check(case, case.given[0].multiplied(case.x))
    for case in recorded("div"):
        check(case, case.given[0].divided(case.x))


def test_trimming() -> None:
    for case in recorded("above"):
        check(case, trim_above(case.given[0], case.x))
    for case in recorded("below"):
        check(case, trim_below(case.given[0], case.x))


def test_less_resolution() -> None:
    for case in recorded("reduce"):
        if "error" in case.answer:
            with pytest.raises(HistogramError, match=case.answer["error"]):
                reduce_resolution(case.given[0], case.answer["n"])
        else:
            check(case, reduce_resolution(case.given[0], case.answer["n"]))


def test_compaction() -> None:
    for case in recorded("compact"):
        h, most = case.given[0], case.answer["n"]
        check(case, replace(h, positive=h.positive.compacted(most), negative=h.negative.compacted(most)))


def test_counter_resets() -> None:
    for case in recorded("reset"):
        assert detect_reset(*case.given) == case.answer["flag"], case.given


def test_equality() -> None:
    assert {case.answer["flag"] for case in recorded("equals")} == {True, False}
    for case in recorded("equals"):
        assert case.given[0].equals(case.given[1]) == case.answer["flag"], case.given


def test_quantiles() -> None:
    for case in recorded("quantile"):
        value, note = histogram_quantile(case.x, case.given[0])
        assert same_number(value, read_float(case.answer["value"])), (case.given, case.x, value)
        assert (f"[{note.name}]" if note else "[]") == case.answer["notes"]


def test_fractions() -> None:
    for case in recorded("fraction"):
        value, with_nan = histogram_fraction(case.x, read_float(case.answer["y"]), case.given[0])
        assert same_number(value, read_float(case.answer["value"])), (case.given, case.x, case.answer["y"], value)
        assert with_nan == case.answer["flag"]


def test_variances() -> None:
    for case in recorded("variance"):
        value = histogram_variance(case.given[0])
        assert same_number(value, read_float(case.answer["value"])), (case.given, value)


def test_texts() -> None:
    for case in recorded("string"):
        assert format_histogram(case.given[0]) == case.answer["text"]
    for case in recorded("literal"):
        assert histogram_literal(case.given[0]) == case.answer["text"]


def test_buckets_in_order() -> None:
    for case in recorded("buckets"):
        h = case.given[0]
        buckets = all_buckets(h)
        assert "".join(f"{format_bucket(bucket)};" for bucket in buckets) == case.answer["text"]
        assert all_buckets_reversed(h) == buckets[::-1]
        lower, upper, count = (array.tolist() for array in bucket_arrays(h))
        assert list(zip(lower, upper, count, strict=True)) == [(b.lower, b.upper, b.count) for b in buckets]


def test_validation() -> None:
    assert {"error" in case.answer for case in recorded("validate")} == {True, False}
    for case in recorded("validate"):
        if "error" not in case.answer:
            validate_histogram(case.given[0])
            continue
        with pytest.raises(HistogramError) as refused:
            validate_histogram(case.given[0])
        assert str(refused.value) == case.answer["error"]
