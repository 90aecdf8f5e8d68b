"""What a comparison dropped, and by how much."""

from __future__ import annotations

import math

import pytest

from rulepush.explain import MissedRow, ReasonKind
from rulepush.model.labels import Labels
from tests.explain.explaining import explained, messages, node, of_kind, world


def heap(*values: float) -> list[tuple[str, dict[str, str], float]]:
    return [("heap", {"instance": f"i{i}"}, value) for i, value in enumerate(values)]


def test_the_nearest_comes_first_with_its_distance_from_the_threshold() -> None:
    found = explained(world("heap > 0.85", *heap(0.5, 0.72, 0.1)))
    assert [(m.labels.get("instance"), m.text) for m in found.tree.missed] == [
        ("i1", "0.72 is 0.13 under 0.85 (15.3 %)"),
        ("i0", "0.5 is 0.35 under 0.85 (41.2 %)"),
        ("i2", "0.1 is 0.75 under 0.85 (88.2 %)"),
    ]
    assert messages(found.summary) == [
        "> 0.85 drops 3 of 3",
        'the nearest: {instance="i1"}: 0.72 is 0.13 under 0.85 (15.3 %)',
    ]


def test_what_passed_is_not_among_the_dropped() -> None:
    found = explained(world("heap > 0.85", *heap(0.9, 0.2)))
    assert (found.tree.series, found.tree.dropped) == (1, 1)
    assert [m.labels.get("instance") for m in found.tree.missed] == ["i1"]
    assert [(r.labels.get("instance"), r.value) for r in found.tree.rows] == [("i0", 0.9)]


def test_a_large_value_is_written_out() -> None:
    found = explained(world("heap > 1e9", *heap(279172874.24)))
    assert [r.text for r in node(found, "heap").rows] == ["279172874"]


def test_all_parts_have_their_values() -> None:
    found = explained(world("sum by (instance) (heap) * 100 > 200", *heap(1, 1.5)))
    assert [(n.head, n.series) for n in found.tree.walk()] == [
        ("> 200", 0),
        ("* 100", 2),
        ("sum by (instance)", 2),
        ("heap", 2),
    ]
    assert sorted(r.value for r in node(found, "* 100").rows) == [100, 150]


@pytest.mark.parametrize(
    ("op", "value", "threshold", "text"),
    [
        (">", 3.0, 5.0, "3 is 2 under 5 (40.0 %)"),
        ("<", 7.0, 5.0, "7 is 2 over 5 (40.0 %)"),
        ("==", 7.0, 5.0, "7 is 2 away from 5 (40.0 %)"),
        (">", 5.0, 5.0, "5 is the threshold itself, and `>` excludes it"),
        ("!=", 5.0, 5.0, "5 is the threshold itself, and `!=` excludes it"),
        (">", -1.0, 0.0, "-1 is 1 under 0"),
        (">", math.nan, 5.0, "NaN, compared with 5"),
        (">", 3.0, math.inf, "3 is +Inf under +Inf"),
        (">", 4.0, 5_000_000.0, "4 is 4999996 under 5000000 (100.0 %)"),
    ],
)
def test_words_of_a_miss(op: str, value: float, threshold: float, text: str) -> None:
    assert MissedRow(Labels(), value, op, threshold).text == text


def test_a_number_on_the_left_reads_from_the_element() -> None:
    found = explained(world("0.85 < heap", *heap(0.5)))
    assert found.tree.missed[0].text == "0.5 is 0.35 under 0.85 (41.2 %)"
    assert found.tree.head == "0.85 <"


def test_the_threshold_may_be_a_series_of_its_own() -> None:
    samples = [*heap(3, 9), ("limit", {"instance": "i0"}, 5.0), ("limit", {"instance": "i1"}, 10.0)]
    found = explained(world("heap > limit", *samples))
    assert [m.text for m in found.tree.missed] == ["9 is 1 under 10 (10.0 %)", "3 is 2 under 5 (40.0 %)"]
    assert messages(found.tree.reasons) == ["> (limit) drops 2 of 2"]


def test_with_group_right_the_value_of_the_left_side_is_the_threshold_of_the_many() -> None:
    samples = [("limit", {"instance": "i0"}, 5.0), ("used", {"instance": "i0", "id": "x"}, 4.0)]
    found = explained(world("limit < on (instance) group_right () used", *samples))
    assert [(m.labels.get("id"), m.text) for m in found.tree.missed] == [("x", "4 is 1 under 5 (20.0 %)")]


def test_a_comparison_with_bool_drops_nothing() -> None:
    found = explained(world("heap > bool 0.85", *heap(0.5)))
    assert (found.tree.series, found.tree.dropped, found.tree.missed) == (1, 0, ())


def test_no_comparison_with_nan_holds() -> None:
    found = explained(world("heap / heap > 1", *heap(0)))
    assert of_kind(found.tree.reasons, ReasonKind.NAN).message == "1 of 1 values are NaN: no comparison with NaN holds"
    nan = of_kind(node(found, "/").reasons, ReasonKind.DIVIDED_BY_ZERO)
    assert nan.message == "1 of 1 results are NaN: 0 / 0, or an operand is NaN"


def test_what_is_listed_is_bounded_and_counted() -> None:
    found = explained(world("heap > 1e9", *heap(*range(100))))
    assert (found.tree.dropped, len(found.tree.missed)) == (100, 5)
    assert [m.value for m in found.tree.missed] == [99, 98, 97, 96, 95]
    selector = node(found, "heap")
    assert (selector.series, len(selector.rows)) == (100, 5)


def test_only_the_elements_that_are_asked_about_are_listed() -> None:
    found = explained(world("heap > 1e9", *heap(*range(100))), focus={"instance": "i7"})
    assert [m.value for m in found.tree.missed] == [7]
    assert [r.value for r in node(found, "heap").rows] == [7]
    assert node(found, "heap").series == 100


def test_a_scalar_comparison_is_a_value() -> None:
    found = explained(world("vector(1) and on () vector(2 > bool 3)"))
    assert [n.value for n in found.tree.walk() if n.head == "2 > bool 3"] == [0.0]


def test_an_element_without_the_label_that_is_asked_about_may_be_meant() -> None:
    samples = [("heap", {"job": "a", "instance": f"i{i}"}, float(i)) for i in range(5)]
    found = explained(world("sum by (job) (heap) > 100", *samples), focus={"instance": "i3"})
    assert [m.value for m in found.tree.missed] == [10]
    assert [r.value for r in node(found, "heap").rows] == [3]
