"""The two arrays of a side, and the spans and deltas of wire formats."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from rulepush.histogram.buckets import NO_BUCKETS, Buckets, span_indexes
from rulepush.histogram.errors import InvalidHistogram
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.iteration import all_buckets
from rulepush.histogram.schema import (
    CUSTOM_SCHEMA,
    exponential_bound,
    exponential_bounds,
    is_known_schema,
    is_valid_schema,
)


def test_spans_give_the_indexes_of_their_buckets() -> None:
    buckets = Buckets.from_spans([(-2, 2), (0, 1), (3, 2), (1, 0)], [1, 2, 3, 4, 5])
    assert buckets.indexes.tolist() == [-2, -1, 0, 4, 5]
    assert buckets.spans() == [(-2, 3), (3, 2)]


def test_deltas_of_integer_histograms_add_up_and_back() -> None:
    buckets = Buckets.from_deltas([(0, 2), (1, 2)], [1, 1, -1, 0])  # model/histogram/histogram_test.go
    assert buckets.counts.tolist() == [1, 2, 1, 1]
    assert buckets.deltas() == [1, 1, -1, 0]


def test_histograms_of_one_layout_share_its_indexes() -> None:
    first, second = Buckets.from_spans([(0, 3)], [1, 2, 3]), Buckets.from_spans(((0, 3),), [4, 5, 6])
    assert first.indexes is second.indexes
    with pytest.raises(ValueError, match="read-only"):
        first.indexes[0] = 7
    with pytest.raises(ValueError, match="read-only"):
        first.counts[0] = 7


def test_a_layout_of_very_many_buckets_is_not_kept() -> None:
    spans = ((7, 1025),)
    assert span_indexes(spans) is not span_indexes(spans)
    assert span_indexes(((0, 0),) * 1025) is not span_indexes(((0, 0),) * 1025)
    assert span_indexes(((7, 1024),)) is span_indexes(((7, 1024),))
    h = FloatHistogram(positive=Buckets.from_spans(spans, [1.0] * 1025))
    assert all_buckets(h)[-1].upper == math.inf
    wide = FloatHistogram(CUSTOM_SCHEMA, positive=Buckets.at(0, [1.0]), custom_values=tuple(map(float, range(2000))))
    assert [(b.lower, b.upper) for b in all_buckets(wide)] == [(-math.inf, 0)]


@pytest.mark.parametrize(
    ("spans", "counts", "message"),
    [
        ([(0, 2)], [1.0], "spans need 2 buckets, have 1 buckets"),
        ([(0, 1), (-1, 1)], [1.0, 1.0], "span number 2 with offset -1"),
        ([(0, 1 << 31)], [1.0], "more than any histogram can have"),
        ([(0, 1 << 20), (1, 1)], [1.0], "more than any histogram can have"),
        ([(0, -1)], [], "more than any histogram can have"),
    ],
)
def test_spans_that_do_not_fit_are_refused(spans: list[tuple[int, int]], counts: list[float], message: str) -> None:
    with pytest.raises(InvalidHistogram, match=message):
        Buckets.from_spans(spans, counts)


def test_compaction_fills_short_gaps_and_cuts_long_ones() -> None:
    buckets = Buckets.at(0, [0, 1, 0, 2, 0, 0, 3, 0, 0, 0, 4, 0])
    assert buckets.compacted().indexes.tolist() == [1, 3, 6, 10]
    filled = buckets.compacted(2)
    assert (filled.indexes.tolist(), filled.counts.tolist()) == ([1, 2, 3, 4, 5, 6, 10], [1, 0, 2, 0, 0, 3, 4])
    assert Buckets.at(3, [0, 0]).compacted() is NO_BUCKETS
    same = Buckets.at(3, [1, math.nan])
    assert same.compacted() is same


def test_bounds_are_those_of_the_schema() -> None:
    assert [exponential_bound(i, 0) for i in (-1, 0, 1, 2)] == [0.5, 1, 2, 4]
    assert [exponential_bound(i, -2) for i in (-1, 0, 1)] == [1 / 16, 1, 16]
    assert exponential_bound(1, 1) == 1.414213562373095  # as Prometheus has it, not the nearest float to sqrt(2)
    # The bucket of +-Inf follows the one that ends with the greatest float.
    for schema, last in ((-4, 64), (0, 1024), (8, 1024 * 256)):
        assert exponential_bound(last, schema) == sys.float_info.max
        assert exponential_bound(last + 1, schema) == math.inf
    assert exponential_bound(-2000, 0) == 0


@pytest.mark.parametrize("schema", range(-4, 9))
def test_bounds_of_many_are_those_of_each(schema: int) -> None:
    per = max(1, 2**schema)
    last = int(1024 * 2.0**schema)
    indexes = np.array([-1100 * per, -7 * per, -3, -1, 0, 1, 2, 5 * per, last - 1, last, last + 1, last + 90])
    assert exponential_bounds(indexes, schema).tolist() == [exponential_bound(i, schema) for i in indexes.tolist()]


def test_schemas() -> None:
    assert [s for s in range(-60, 60) if is_valid_schema(s)] == [-53, *range(-4, 9)]
    assert [s for s in range(-60, 60) if is_known_schema(s)] == [-53, *range(-9, 53)]
    with pytest.raises(ValueError, match="reduce it to 8 or less"):
        exponential_bound(0, 9)
