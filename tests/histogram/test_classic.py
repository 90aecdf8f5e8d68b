"""Custom buckets from classic histograms. Cases after Prometheus util/convertnhcb/convertnhcb_test.go and
model/histogram/convert_test.go."""

from __future__ import annotations

import math

import pytest

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.classic import classic_buckets, custom_histogram
from rulepush.histogram.errors import HistogramError, InvalidHistogram
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.schema import CUSTOM_SCHEMA

INF = math.inf


def test_cumulative_counts_become_those_of_each_bucket() -> None:
    h = custom_histogram([(1.0, 10), (5.0, 30), (INF, 35)], 35, 123.5)
    assert h == FloatHistogram(
        schema=CUSTOM_SCHEMA,
        count=35,
        sum=123.5,
        positive=Buckets.at(0, [10, 20, 5]),
        custom_values=(1.0, 5.0),
    )


def test_the_order_of_buckets_and_a_second_one_of_a_bound_do_not_matter() -> None:
    assert custom_histogram([(INF, 3), (2.0, 2), (1.0, 1), (2.0, 9)]) == custom_histogram(
        [(1.0, 1), (2.0, 2), (INF, 3)], 3
    )


def test_a_missing_inf_bucket_has_what_the_count_leaves() -> None:
    assert custom_histogram([(1.0, 10)], 12).positive.counts.tolist() == [10, 2]
    assert custom_histogram([], 7).positive.counts.tolist() == [7]
    assert custom_histogram([(1.0, 4)]).count == 4


def test_whole_counts_keep_short_gaps_and_fractions_do_not() -> None:
    whole = custom_histogram([(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 2), (INF, 2)])
    assert whole.positive.indexes.tolist() == [0, 1, 2, 3]
    part = custom_histogram([(1.0, 1.5), (2.0, 1.5), (3.0, 1.5), (4.0, 2), (INF, 2)])
    assert part.positive.indexes.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("buckets", "count", "message"),
    [
        ([(1.0, -1)], None, "bucket count must be non-negative: le=1, count=-1"),
        ([(math.nan, 1)], None, "bucket boundary must not be NaN"),
        ([(1.0, 1)], -1, "count must be non-negative: count=-1"),
        ([(1.0, 5), (2.0, 4)], None, "count is not cumulative: 4 < 5"),
        ([(2.0, 4), (1.0, 5)], None, "count is not cumulative: 4 < 5"),
        ([(INF, 5)], 6, r"count mismatch: count=6 != le=\+Inf count=5"),
    ],
)
def test_what_contradicts_itself_is_refused(
    buckets: list[tuple[float, float]], count: float | None, message: str
) -> None:
    with pytest.raises(InvalidHistogram, match=message):
        custom_histogram(buckets, count)


def test_back_to_cumulative_counts() -> None:
    buckets = [(1.0, 0.0), (2.0, 3.0), (3.0, 3.0), (INF, 5.0)]
    assert classic_buckets(custom_histogram(buckets)) == buckets
    with pytest.raises(HistogramError, match="not a NHCB"):
        classic_buckets(FloatHistogram())
    with pytest.raises(InvalidHistogram, match="too few"):
        classic_buckets(FloatHistogram(CUSTOM_SCHEMA, positive=Buckets.at(0, [1, 2])))
