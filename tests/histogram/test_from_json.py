"""Histograms out of the API's JSON: what it tells is rebuilt, what it does not tell is said."""

from __future__ import annotations

import pytest

from rulepush.histogram import CUSTOM_SCHEMA, Buckets, FloatHistogram, InvalidHistogram
from rulepush.histogram.from_json import CUSTOM_DOUBT, EITHER_DOUBT, histogram_from_json
from rulepush.histogram.text import format_histogram, histogram_json

SPREAD = Buckets.from_spans([(-9, 2), (3, 1), (10, 3)], [1.5, 2.0, 3.0, 4.0, 5.0, 6.0])


@pytest.mark.parametrize("schema", range(-4, 9))
def test_every_exponential_schema_is_known_by_the_width_of_its_buckets(schema: int) -> None:
    h = FloatHistogram(schema, 43.0, 7.25, 1e-128, 0.0 + 2, SPREAD, Buckets.at(-1, [1.0, 2.0]))
    assert histogram_from_json(histogram_json(h)) == (h, "")


@pytest.mark.parametrize("schema", range(1, 9))
def test_one_bucket_is_enough(schema: int) -> None:
    h = FloatHistogram(schema, 2.0, 7.25, positive=Buckets.at(-5, [2.0]))
    assert histogram_from_json(histogram_json(h)) == (h, "")


@pytest.mark.parametrize("schema", [-4, -1, 0, 3, 8])
def test_the_last_finite_bucket_and_the_one_after_it_keep_their_places(schema: int) -> None:
    last = 1024 >> -schema if schema < 0 else 1024 << schema
    h = FloatHistogram(schema, 6.0, 7.25, 0.5, 1.0, Buckets.at(last - 1, [1.0, 2.0, 2.0]))
    assert histogram_from_json(histogram_json(h)) == (h, "")


def test_a_bucket_that_reaches_into_the_zero_bucket_is_rebuilt_from_its_upper_bound() -> None:
    h = FloatHistogram(2, 7.0, 7.25, 1.1, 1.0, Buckets.at(1, [2.0, 4.0]))
    assert histogram_json(h)["buckets"][1][1] == "1.1"  # type: ignore[index]
    assert histogram_from_json(histogram_json(h)) == (h, "")


def test_where_only_that_bucket_is_filled_no_schema_is_certain() -> None:
    h = FloatHistogram(2, 3.0, 7.25, 1.9, 1.0, Buckets.at(4, [2.0]))
    with pytest.raises(InvalidHistogram, match="fit no schema, or more than one"):
        histogram_from_json(histogram_json(h))


def test_one_without_buckets_takes_no_resolution_from_others() -> None:
    found, doubt = histogram_from_json({"count": "0", "sum": "0"})
    assert (found, doubt) == (FloatHistogram(8), "")


@pytest.mark.parametrize("schema", [0, -2])
def test_bounds_that_are_powers_of_2_may_be_custom_ones(schema: int) -> None:
    h = FloatHistogram(schema, 2.0, 7.25, positive=Buckets.at(0, [1.0, 1.0]))
    assert histogram_from_json(histogram_json(h)) == (h, EITHER_DOUBT)


@pytest.mark.parametrize("filled", [Buckets.at(0, [1.0, 2.0]), Buckets.at(1, [3.0]), Buckets.at(2, [1.0, 4.0])])
def test_custom_buckets_show_the_same_text_and_a_doubt(filled: Buckets) -> None:
    h = FloatHistogram(CUSTOM_SCHEMA, 5.0, 7.25, positive=filled, custom_values=(0.1, 0.25, 1.0))
    found, doubt = histogram_from_json(histogram_json(h))
    assert found.schema == CUSTOM_SCHEMA
    assert format_histogram(found) == format_histogram(h)
    assert doubt == CUSTOM_DOUBT


def test_custom_buckets_from_zero_on_are_no_exponential_ones() -> None:
    h = FloatHistogram(CUSTOM_SCHEMA, 5.0, 7.25, positive=Buckets.at(1, [1.0, 4.0]), custom_values=(0.0, 1.0, 2.0))
    assert histogram_from_json(histogram_json(h)) == (h, CUSTOM_DOUBT)


def test_the_bounds_of_empty_custom_buckets_are_lost() -> None:
    gap = Buckets.from_spans([(0, 1), (2, 1)], [1.0, 1.0])
    h = FloatHistogram(CUSTOM_SCHEMA, 2.0, 7.25, positive=gap, custom_values=(0.1, 0.25, 0.5, 1.0, 2.0))
    found, _ = histogram_from_json(histogram_json(h))
    assert found.custom_values == (0.1, 0.5, 1.0)
    assert found.positive.indexes.tolist() == [0, 2]


@pytest.mark.parametrize(
    "rows",
    [
        [[0, "1", "3", "1"], [0, "2", "5", "1"]],
        [[0, "1", "1.3", "1"], [3, "-0.1", "0.1", "1"]],
        [[2, "1", "2", "1"], [1, "-2", "-1", "1"]],
    ],
)
def test_bounds_that_no_histogram_has_are_refused(rows: list[list[object]]) -> None:
    with pytest.raises(InvalidHistogram, match="its buckets"):
        histogram_from_json({"count": "2", "sum": "1", "buckets": rows})
