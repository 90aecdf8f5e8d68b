"""Classic histograms: all at once agrees with one at a time, and the shapes that real data has."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rulepush.errors import EvaluationError
from rulepush.promql import EngineOptions
from rulepush.promql.functions.buckets import ForcedBuckets, bucket_quantile, fractions, quantiles
from tests.promql.fake_querier import instant, labels, load, values
from tests.promql.scripting import failures

counts = st.one_of(
    st.integers(0, 20).map(float),
    st.floats(0, 100),
    st.sampled_from((math.nan, math.inf, 0.1 + 0.2, 0.3, 1e15, 1e15 + 0.125)),
)
bounds = st.one_of(st.integers(-5, 5).map(float), st.sampled_from((0.1, 0.25, 2.5)))
levels = st.one_of(st.floats(-0.2, 1.2), st.sampled_from((0.0, 0.5, 1.0, math.nan)))


@st.composite
def histogram(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Upper bounds, ascending and distinct, nearly always with +Inf; cumulative counts, nearly always monotonic."""
    uppers = sorted(draw(st.sets(bounds, max_size=6)))
    if draw(st.integers(0, 9)) or not uppers:
        uppers.append(math.inf)
    own = [draw(counts) for _ in uppers]
    if draw(st.booleans()) and not any(c != c for c in own):
        own.sort()
    return uppers, own


def bucket_fraction(lower: float, upper: float, bounds: list[float], counts: list[float]) -> float:
    """The share of observations between `lower` and `upper`, one histogram at a time (Prometheus promql/quantile.go,
    `BucketFraction`); bounds ascending and distinct, NaN without a +Inf bucket."""
    total = counts[-1]
    if bounds[-1] != math.inf or total == 0:
        return math.nan
    if lower >= upper:
        return 0.0
    lower_rank, upper_rank = rank_of(lower, bounds, counts), rank_of(upper, bounds, counts)
    return (min(upper_rank, total) - min(lower_rank, total)) / total


def rank_of(value: float, bounds: list[float], counts: list[float]) -> float:
    """How many observations are below `value`, linear within its bucket; infinite when it is above all buckets."""
    rank = 0.0
    start = 0.0 if bounds[0] > 0 else -math.inf
    for bound, count in zip(bounds, counts, strict=True):
        if start >= value:
            return rank
        if start < value < bound:
            if start == -math.inf:
                return count  # a bucket of infinite width cannot be interpolated
            return rank + (count - rank) * (value - start) / (bound - start)
        rank, start = count, bound
    return math.inf


def same(a: float, b: float) -> bool:
    if a != a or b != b:
        return a != a and b != b
    return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1e-9)


def table(rows: list[tuple[list[float], list[float]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    width = max(len(b) for b, _ in rows)
    uppers, own = np.full((len(rows), width), math.inf), np.full((len(rows), width), 3.0)
    for i, (b, c) in enumerate(rows):
        uppers[i, : len(b)], own[i, : len(c)] = b, c
    return uppers, own, np.array([len(b) for b, _ in rows])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(histogram(), levels), min_size=1, max_size=5))
@example([(([0.0, math.inf], [0.0, 5e-324]), 0.0)])  # below the smallest normal number, all is noise
def test_quantiles_of_many_agree_with_one_at_a_time(rows: list[tuple[tuple[list[float], list[float]], float]]) -> None:
    rows = rows * 4  # few are done one at a time
    q = np.array([level for _, level in rows])
    found, forced = quantiles(q, *table([h for h, _ in rows]))
    expected = [bucket_quantile(level, *h) for h, level in rows]
    for i, (value, _) in enumerate(expected):
        assert same(float(found[i]), value), rows[i]
    assert forced == [(i, fix) for i, (_, fix) in enumerate(expected) if fix is not None]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(histogram(), st.floats(-6, 6), st.floats(-6, 6)), min_size=1, max_size=5))
def test_fractions_of_many_agree_with_one_at_a_time(
    rows: list[tuple[tuple[list[float], list[float]], float, float]],
) -> None:
    lower, upper = np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    found = fractions(lower, upper, *table([r[0] for r in rows]))
    for i, (h, low, high) in enumerate(rows):
        if all(math.isfinite(c) for c in h[1]):
            assert same(float(found[i]), bucket_fraction(low, high, *h)), rows[i]


def test_forced_monotonicity_tells_where_and_how_much() -> None:
    value, forced = bucket_quantile(0.5, [0.1, 1, 10, 100, 1000, math.inf], [2, 1, 5, 4, 9, 8])
    assert forced == ForcedBuckets(1, math.inf, 1)
    assert same(value, 8.5)  # counts 2 2 5 5 9 9: rank 4.5 in the bucket from 1 to 10


def test_noise_of_floating_point_is_fixed_silently() -> None:
    _, forced = bucket_quantile(0.5, [1, 2, math.inf], [10, 10 * (1 - 1e-13), 10])
    assert forced is None


def test_buckets_that_are_missing_at_some_steps() -> None:
    assert not failures(
        """
        load 1m
          h_bucket{le="1"}    1 1 1
          h_bucket{le="2"}    3 _ _
          h_bucket{le="4"}    4 4 stale
          h_bucket{le="+Inf"} 4 4 4

        eval range from 0 to 2m step 1m histogram_quantile(0.5, last_over_time(h_bucket[1m]))
          {} 1.5 2 1

        eval range from 0 to 2m step 1m histogram_quantiles(last_over_time(h_bucket[1m]), "q", 0.5, 1)
          {q="0.5"} 1.5 2 1
          {q="1.0"} 4 4 1

        eval range from 0 to 2m step 1m histogram_fraction(0, 2, last_over_time(h_bucket[1m]))
          {} 0.75 0.5 0.25
        """
    )


def test_equal_bounds_spelled_differently_are_one_bucket() -> None:
    assert not failures(
        """
        load 1m
          h_bucket{le="1"}    1
          h_bucket{le="1.0"}  1
          h_bucket{le="2"}    4
          h_bucket{le="+Inf"} 4

        eval instant at 0 histogram_quantile(0.75, h_bucket)
          expect no_warn
          {} 1.5
        """
    )


def test_notes_say_what_is_wrong_with_buckets() -> None:
    assert not failures(
        """
        load 1m
          h_bucket{a="x", le="1"}    2
          h_bucket{a="x", le="2"}    1
          h_bucket{a="x", le="+Inf"} 4
          h_bucket{a="y", le="one"}  4
          h_bucket{a="z", le="1"}    4

        eval instant at 0 histogram_quantile(0.5, h_bucket)
          expect info regex: monotonicity .*#histogram_quantile\\) for metric name "h_bucket", from buckets 2 to 2, with a max diff of 1, over [13] samples from .*Z to .*Z \\(1:25\\)
          expect warn msg: PromQL warning: bucket label "le" is missing or has a malformed value of "one" for metric name "h_bucket" (1:25)
          {a="x"} 1
          {a="z"} NaN
        """  # noqa: E501
    )


@pytest.mark.parametrize("delayed", [False, True])
def test_notes_name_the_metric_where_its_name_is_removed_late(delayed: bool) -> None:
    querier = load((labels("b", le="one"), "4"), (labels("c", le="1"), "2"), (labels("c", le="+Inf"), "1"))
    options = EngineOptions(delayed_name_removal=delayed)
    (bad,) = instant("histogram_quantile(0.5, b)", 0, querier, options).annotations.warnings
    (forced,) = instant("histogram_quantile(0.5, c)", 0, querier, options).annotations.infos
    assert [' for metric name "b" (1:25)' in bad, ' for metric name "c", from' in forced] == [delayed, delayed]
    assert bad.startswith('PromQL warning: bucket label "le" is missing or has a malformed value of "one"')


def test_quantiles_take_the_place_of_a_label_that_is_there() -> None:
    """Prometheus sets it (promql/engine.go, getOrCreateLblsWithQuantile); what is the same then is an error."""
    querier = load(*((labels("b", i=i, le=le), "1") for i in "xy" for le in ("1", "+Inf")))
    assert values('histogram_quantiles(b{i="x"}, "i", 0.5, 1)', 0, querier) == {'{i="0.5"}': 0.5, '{i="1.0"}': 1.0}
    with pytest.raises(EvaluationError, match="vector cannot contain metrics with the same labelset"):
        values('histogram_quantiles(b, "i", 0.5)', 0, querier)
