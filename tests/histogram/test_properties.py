"""Laws of the arithmetic, over histograms of whole counts, where no addition rounds."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from rulepush.histogram.adding import KahanStep, add, kahan_add, subtract
from rulepush.histogram.buckets import NO_BUCKETS, Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.iteration import all_buckets
from rulepush.histogram.literal import parse_histogram
from rulepush.histogram.resets import detect_reset, detect_resets
from rulepush.histogram.resolution import reduce_resolution, with_zero_bucket
from rulepush.histogram.schema import CUSTOM_SCHEMA
from rulepush.histogram.statistics import histogram_fraction, histogram_quantile
from rulepush.histogram.summing import kahan_sum_of_histograms
from rulepush.histogram.text import histogram_literal
from rulepush.histogram.trim import trim_above, trim_below
from rulepush.histogram.validate import validate_histogram
from tests.histogram.recorded_cases import same_histogram

whole = st.integers(0, 1 << 40).map(float)


@st.composite
def sides(draw: st.DrawFn, least: int = -40, most: int = 40) -> Buckets:
    found = draw(st.dictionaries(st.integers(least, most), whole, max_size=8))
    return Buckets.of(np.array(sorted(found), np.int64), np.array([found[i] for i in sorted(found)], np.float64))


@st.composite
def exponential(draw: st.DrawFn, *, zero: bool = True) -> FloatHistogram:
    # 1 is a bound in every schema; a threshold that is not one in the lower schema of a sum lets buckets overlap.
    threshold = draw(st.sampled_from([0.0, 1.0])) if zero else 0.0
    positive, negative = draw(sides(1 if threshold else -40)), draw(sides(1 if threshold else -40))
    zero_count = draw(whole) if zero else 0.0
    return FloatHistogram(
        schema=draw(st.integers(-4, 8)),
        count=zero_count + float(positive.counts.sum() + negative.counts.sum()),
        sum=draw(st.integers(-1000, 1000).map(float)),
        zero_threshold=threshold,
        zero_count=zero_count,
        positive=positive,
        negative=negative,
    )


@st.composite
def custom(draw: st.DrawFn) -> FloatHistogram:
    bounds = tuple(sorted(draw(st.sets(st.sampled_from([-2.0, 0.0, 0.5, 1.0, 2.0, 5.0, 9.0])))))
    positive = draw(sides(0, len(bounds)))
    return FloatHistogram(
        CUSTOM_SCHEMA, count=float(positive.counts.sum()), sum=1.0, positive=positive, custom_values=bounds
    )


WINDOW = [
    (3.0, 1.0, 1.0),
    (4.0, 2.0, 1.0),
    (4.0, 1.0, 2.0),
    (5.0, 1.0, 3.0),
    (5.0, 2.0, 2.0),
    (9.0, 3.0, 5.0),
    (8.0, 3.0, 5.0),
]
pairs = st.one_of(st.tuples(exponential(), exponential()), st.tuples(custom(), custom()))


def observed(h: FloatHistogram) -> float:
    return h.zero_count + float(h.positive.counts.sum() + h.negative.counts.sum())


@given(pairs)
def test_addition_commutes_and_loses_no_observation(pair: tuple[FloatHistogram, FloatHistogram]) -> None:
    a, b = pair
    total = add(a, b).histogram
    assert total.compacted().equals(add(b, a).histogram.compacted())
    assert observed(total) == observed(a) + observed(b) == total.count
    validate_histogram(total, integer=True)


@given(pairs)
def test_what_is_added_can_be_taken_away(pair: tuple[FloatHistogram, FloatHistogram]) -> None:
    a, b = pair
    total = add(a, b).histogram
    back = subtract(total, b).histogram.compacted()
    # In the resolution, the zero bucket and the bounds of the sum, which `a` is brought to by adding nothing.
    nothing = subtract(total, total).histogram
    assert back.equals(add(nothing, a).histogram.compacted())


@given(exponential(zero=False), exponential(zero=False), st.integers(-4, 8))
def test_resolution_may_be_reduced_before_or_after_adding(a: FloatHistogram, b: FloatHistogram, schema: int) -> None:
    def reduced(h: FloatHistogram) -> FloatHistogram:
        return reduce_resolution(h, schema) if schema < h.schema else h

    assert reduced(add(a, b).histogram).compacted().equals(reduced(add(reduced(a), reduced(b)).histogram).compacted())


@given(exponential(), st.integers(1, 12))
def test_reduced_buckets_end_where_finer_ones_do(h: FloatHistogram, levels: int) -> None:
    h = replace(h, zero_count=0.0, zero_threshold=0.0)
    target = max(-4, h.schema - levels)
    if target == h.schema:
        return
    coarse = all_buckets(reduce_resolution(h, target))
    for bucket in all_buckets(h):
        assert any(wide.lower <= bucket.lower and bucket.upper <= wide.upper for wide in coarse)
    assert math.fsum(b.count for b in coarse) == observed(h)


@given(st.lists(exponential(), min_size=2, max_size=5))
def test_a_kahan_sum_of_whole_numbers_is_the_plain_one(items: list[FloatHistogram]) -> None:
    plain, step = items[0], None
    for item in items[1:]:
        plain = add(plain, item).histogram
        step = kahan_add(items[0], item) if step is None else kahan_add(step.total, item, step.rest)
    assert isinstance(step, KahanStep)
    assert step.result().equals(plain.compacted())


@st.composite
def alike(draw: st.DrawFn) -> list[FloatHistogram]:
    """Five to nine with counts of any size, of one schema or of few, often of one layout."""
    counts = st.floats(-1e17, 1e17) | st.sampled_from([0.0, 0.1, 1e16, -1e16, 1.0, math.inf])
    schemas = draw(st.lists(st.integers(0, 3), min_size=1, max_size=2))
    indexes = np.array(sorted(draw(st.sets(st.integers(-9, 9), min_size=1, max_size=6))), np.int64)
    found = []
    for _ in range(draw(st.integers(5, 9))):
        layout = indexes if draw(st.booleans()) else indexes[: draw(st.integers(0, len(indexes)))].copy()
        values = [draw(counts) for _ in range(len(layout) + 3)]
        buckets = Buckets.of(layout, np.array(values[3:]))
        positive = draw(st.booleans())
        hint = draw(st.sampled_from(CounterResetHint))
        threshold = draw(st.sampled_from([0.0, 0.0, 0.0, 1.0]))
        found.append(
            FloatHistogram(
                draw(st.sampled_from(schemas)),
                values[0],
                values[1],
                threshold,
                abs(values[2]),
                positive=buckets if positive else NO_BUCKETS,
                negative=NO_BUCKETS if positive else buckets,
                counter_reset_hint=hint,
            )
        )
    return found


@given(alike())
def test_many_at_once_are_the_kahan_sum_of_one_after_the_other(items: list[FloatHistogram]) -> None:
    step = kahan_add(items[0], items[1])
    flags = [step[2:]]
    for item in items[2:]:
        step = kahan_add(step.total, item, step.rest)
        flags.append(step[2:])
    many = kahan_sum_of_histograms(items)
    assert many[2:] == (any(flag[0] for flag in flags), any(flag[1] for flag in flags))
    assert same_histogram(many.result(), step.result())
    assert many.rest.counter_reset_hint is step.rest.counter_reset_hint


@given(alike(), st.booleans())
def test_resets_of_many_are_those_of_each_pair(items: list[FloatHistogram], rising: bool) -> None:
    if rising:
        items = sorted(items, key=lambda h: (h.count, h.positive.counts.tolist()))
    assert detect_resets(items) == [detect_reset(h, before) for before, h in pairwise(items)]
    assert detect_resets(items[:1]) == []


def test_buckets_inside_the_zero_bucket_are_not_taken_for_others() -> None:
    window = [
        FloatHistogram(count=9.0 + i, zero_threshold=1.0, positive=Buckets.at(0, [9.0 - i, 2.0])) for i in range(6)
    ]
    assert kahan_sum_of_histograms(window).result().positive.counts.tolist() == [9, 12]
    assert detect_resets(window) == [False] * 5


def test_resets_of_a_window_of_one_layout() -> None:
    window = [FloatHistogram(count=c, zero_count=z, positive=Buckets.at(1, [p, 1.0])) for c, z, p in WINDOW]
    assert detect_resets(window) == [False, True, False, True, False, True]
    assert detect_resets([*window, window[-1].with_hint(CounterResetHint.RESET)])[-1]


def test_a_kahan_sum_keeps_what_a_plain_one_rounds_away() -> None:
    big, small = (FloatHistogram(count=v, sum=v, positive=Buckets.at(0, [v])) for v in (1e16, 1.0))
    step = kahan_add(big, small)
    for _ in range(9):
        step = kahan_add(step.total, small, step.rest)
    result = step.result()
    assert (result.count, result.sum, result.positive.counts.tolist()) == (1e16 + 10, 1e16 + 10, [1e16 + 10])
    assert add(add(big, small).histogram, small).histogram.count == 1e16


def test_a_kahan_sum_in_a_lower_schema_keeps_the_compensations_of_merged_buckets() -> None:
    first = FloatHistogram(schema=1, positive=Buckets.at(1, [1.0, 1e16]))
    step = kahan_add(first, FloatHistogram(schema=1, positive=Buckets.at(2, [1.0])))
    assert step.rest.positive.counts.tolist() == [0, 1]
    step = kahan_add(step.total, FloatHistogram(schema=0), step.rest)
    assert (step.total.positive.counts.tolist(), step.rest.positive.counts.tolist()) == ([1e16], [2])
    # And those that merging the other one leaves.
    other = FloatHistogram(schema=1, positive=Buckets.at(1, [1e16, 1.0]))
    step = kahan_add(step.total, other, step.rest)
    assert step.result().positive.counts.tolist() == [2e16 + 4]
    assert step.rest.positive.counts.tolist() == [3]


def test_a_greater_zero_bucket_keeps_buckets_of_which_only_the_compensation_is_left() -> None:
    step = kahan_add(*(FloatHistogram(positive=Buckets.at(3, [v])) for v in (1e16, 1.0)))
    step = kahan_add(step.total, FloatHistogram(positive=Buckets.at(3, [-1e16])), step.rest)
    assert (step.total.positive.counts.tolist(), step.rest.positive.counts.tolist()) == ([0], [1])
    step = kahan_add(step.total, FloatHistogram(zero_threshold=1.0), step.rest)
    assert step.result() == FloatHistogram(zero_threshold=1.0, positive=Buckets.at(3, [1.0]))


@given(pairs)
def test_growth_is_no_reset_and_the_way_back_is_one(pair: tuple[FloatHistogram, FloatHistogram]) -> None:
    a, b = pair
    total = add(a, b).histogram
    if not total.uses_custom_buckets:
        total = total.compacted()
    assert not detect_reset(total, a)
    if observed(b):
        assert detect_reset(a, total)
    assert detect_reset(total.with_hint(CounterResetHint.RESET), a)
    assert not detect_reset(a.with_hint(CounterResetHint.NOT_RESET), total)


@given(exponential(), st.sampled_from([0.001, 0.5, 1.0, 3.3, 1000.0]))
def test_a_greater_zero_bucket_takes_in_whole_buckets(h: FloatHistogram, more: float) -> None:
    wide, _ = with_zero_bucket(h, h.zero_threshold + more)
    assert wide.zero_threshold >= h.zero_threshold + more
    assert observed(wide) == observed(h)
    for bucket in (*all_buckets(replace(wide, zero_count=0.0)),):
        assert min(abs(bucket.lower), abs(bucket.upper)) >= wide.zero_threshold


@settings(max_examples=50)
@given(st.one_of(exponential(), custom()), st.floats(0.01, 0.99))
def test_quantiles_rise_and_lie_within_a_bucket(h: FloatHistogram, q: float) -> None:
    value, note = histogram_quantile(q, h)
    if not h.count:
        assert value != value
        return
    assert note is None
    assert histogram_quantile(q / 2, h)[0] <= value <= histogram_quantile((q + 1) / 2, h)[0]
    assert any(b.count and min(b.lower, 0) <= value <= max(b.upper, 0) for b in all_buckets(h))


@given(exponential(), st.floats(-50, 50), st.floats(-50, 50))
def test_fractions_of_two_halves_are_the_whole(h: FloatHistogram, low: float, high: float) -> None:
    if not h.count:
        return
    low, high = min(low, high), max(low, high)
    parts = [histogram_fraction(*bounds, h)[0] for bounds in ((-math.inf, low), (low, high), (high, math.inf))]
    assert math.isclose(sum(parts), 1, abs_tol=1e-9)
    assert all(-1e-12 <= part <= 1 + 1e-12 for part in parts)


@given(exponential(), st.floats(-50, 50))
def test_two_trims_share_the_observations(h: FloatHistogram, limit: float) -> None:
    above, below = trim_above(h, limit), trim_below(h, limit)
    assert math.isclose(observed(above) + observed(below), observed(h), rel_tol=1e-9)


@given(st.one_of(exponential(), custom()))
def test_a_literal_reads_back_as_it_was_compacted(h: FloatHistogram) -> None:
    assert parse_histogram(histogram_literal(h)).compacted().equals(h.compacted())
