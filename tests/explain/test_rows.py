"""The tree laid flat, for pages."""

from __future__ import annotations

from dataclasses import replace

from rulepush.explain import Surroundings
from rulepush.explain.rows import MAX_INDENT, tree_rows
from rulepush.explain.text import explanation_text
from rulepush.explain.wire import explanation_json, explanation_of
from tests.explain.explaining import NODE_A, around_body, explained, world
from tests.rules.world import T0

SAMPLES = [("heap", {"instance": f"i{i}"}, float(i)) for i in range(9)]


def test_parts_follow_the_part_that_they_belong_to() -> None:
    found = explained(world("sum by (instance) (heap) > 5 and on () (heap < 3 or heap)", *SAMPLES))
    assert [(row.depth, row.head) for row in tree_rows(found)] == [
        (0, "and on ()"),
        (1, "> 5"),
        (2, "sum by (instance)"),
        (3, "heap"),
        (1, "or"),
        (2, "< 3"),
        (3, "heap"),
        (2, "heap"),
    ]


def test_a_comparison_has_what_passed_and_what_missed() -> None:
    (top, selector) = tree_rows(explained(world("heap > 6", *SAMPLES)))
    assert (top.series, top.compared, len(top.rows), top.more) == (2, 9, 2, 0)
    assert ([m.value for m in top.missed], top.more_missed) == ([6, 5, 4, 3, 2], 2)
    assert (selector.series, selector.compared, len(selector.rows), selector.more) == (9, None, 5, 4)


def test_the_cause_is_marked_and_its_reason_is_not_repeated() -> None:
    found = explained(world("heep > 1"), around=around_body(b"heap 1\n"))
    (top, selector) = tree_rows(found)
    assert (top.is_cause, selector.is_cause) == (False, True)
    assert found.summary
    assert selector.reasons == ()


def test_an_error_stands_where_it_happens() -> None:
    rows = tree_rows(explained(world("sum(heap / on () heap)", *SAMPLES)))
    assert [row.is_cause for row in rows] == [False, True, False, False]
    assert rows[0].error == ""
    assert rows[1].error.startswith("found duplicate series")


def test_an_expression_that_is_nested_deeply_is_cut_and_still_explained() -> None:
    found = explained(world("abs(" * 150 + "heap" + ")" * 150 + " > 100", *SAMPLES))
    assert found.tree.dropped == 9
    rows = tree_rows(found)
    assert len(rows) == 101
    assert max(row.indent for row in rows) == MAX_INDENT
    assert explanation_of(explanation_json(found)) == found


def test_an_expression_with_many_parts_is_cut() -> None:
    parts = [f"(heap > {i})" for i in range(512)]
    while len(parts) > 1:  # in pairs, for what is nested too deeply is refused
        parts = [f"({a} or {b})" for a, b in zip(parts[::2], parts[1::2], strict=True)]
    found = explained(world(parts[0], *SAMPLES))
    assert found.tree.series == 8
    assert 400 < len(tree_rows(found)) <= 500


def test_a_part_with_elements_is_no_cause_although_it_has_the_same_reason() -> None:
    down = replace(NODE_A, down_since=T0, error="connection refused")
    made = world(
        "heap > 1 and heep > 1", ("heap", {"job": "app", "instance": "a:1"}, 3.0), ("heap", {"job": "db"}, 3.0)
    )
    made.put(10, None, "heap", job="app", instance="a:1")
    found = explained(made, 20, Surroundings((down,)))
    causes = [(row.head, row.series) for row in tree_rows(found) if row.is_cause]
    assert causes == [("and", 0), ("heep", 0)]
    text = explanation_text(found)
    assert text.count("<- this is why") == 2
    assert text.count("is down since") == 1
