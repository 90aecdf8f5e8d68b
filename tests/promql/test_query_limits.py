"""Queries are not trusted: nothing that one contains may take unbounded time or memory."""

from __future__ import annotations

import pytest

from rulepush.errors import EvaluationError, ParseError, QueryLimitError
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.promql import Engine, EngineOptions, parse_expr
from rulepush.promql.syntax.ast import Card, Matching
from rulepush.promql.vectors.grouping import group
from rulepush.promql.vectors.matching import relevant
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head


@pytest.mark.parametrize("opening", ["{", "(", "-(", "sum(", "a["])
def test_deep_nesting_is_refused_without_reading_the_whole_text(opening: str) -> None:
    text = opening * 1_000_000  # quadratic, as it was, this took hours
    with pytest.raises(ParseError, match="nested deeper than 200 levels"):
        parse_expr(text)


def test_an_expression_has_a_bounded_number_of_tokens() -> None:
    with pytest.raises(ParseError, match="more than 200,000 tokens"):
        parse_expr(f"sum by ({','.join(f'l{i}' for i in range(110_000))}) (up)")
    parse_expr(f"sum by ({','.join(f'l{i}' for i in range(20_000))}) (up)")


def test_labels_that_no_series_has_make_no_difference_to_a_group() -> None:
    index = LabelIndex([Labels.of(a="1", b="x"), Labels.of(a="1", b="y"), Labels.of(a="2")])
    many = tuple(f"l{i}" for i in range(20_000))
    grouped = group(index, (*many, "a"), without=False)
    assert grouped.codes.tolist() == [0, 0, 1]
    assert list(grouped.index.labels) == [Labels.of(a="1"), Labels.of(a="2")]


@pytest.mark.parametrize("replacement", ["$1$1", "$1" * 4000])
def test_nested_label_replace_cannot_make_values_without_end(replacement: str) -> None:
    head = Head(Demand.keep_all(60_000))
    head.append(Labels.of(__name__="m", x="ab"), 0, 1.0)
    expr = "m"
    for _ in range(30):
        expr = f'label_replace({expr}, "x", "{replacement}", "x", "(.*)")'
    with pytest.raises(EvaluationError, match=r"label values made by label_replace\(\) are too long"):
        Engine(EngineOptions(), lambda: 0.0).instant(parse_expr(expr), 0, head.querier())


def test_a_label_joined_too_often_is_refused() -> None:
    head = Head(Demand.keep_all(60_000))
    head.append(Labels.of(__name__="m", x="a" * 1000), 0, 1.0)
    sources = ", ".join(['"x"'] * 17_000)
    with pytest.raises(EvaluationError, match=r"label values made by label_join\(\) are too long"):
        Engine(EngineOptions(), lambda: 0.0).instant(
            parse_expr(f'label_join(m, "y", "", {sources})'), 0, head.querier()
        )


@pytest.mark.parametrize(
    "text", ["x * on (%s) y", "x * ignoring (%s) y", "x * on (k) group_left (%s) y", "x or on (%s) y"]
)
def test_labels_that_no_series_has_make_no_difference_to_a_match(text: str) -> None:
    head = Head(Demand.keep_all(60_000))
    for name, k, v in (("x", "1", "a"), ("x", "2", "a"), ("y", "1", "b"), ("y", "3", "b")):
        head.append(Labels.of(__name__=name, k=k, v=v), 0, 2.0)
    few = "v" if "ignoring" in text or "group_left" in text else "k"
    many = ", ".join((*(f"l{i}" for i in range(100)), few, few))
    answers = [
        [(s.labels, s.value) for s in Engine().instant(parse_expr(text % names), 0, head.querier()).samples()]
        for names in (few, many)
    ]
    assert answers[0] == answers[1] != []


def test_a_match_looks_only_at_labels_that_some_series_has() -> None:
    left, right = LabelIndex([Labels.of(a="1")]), LabelIndex([Labels.of(b="1")])
    many = tuple(f"l{i}" for i in range(50_000))
    matching = Matching(Card.MANY_TO_ONE, True, (*many, "b", "a"), (*many, "b"))
    assert relevant(matching, left, right) == Matching(Card.MANY_TO_ONE, True, ("b", "a"), ("b",))


def test_sorting_looks_only_at_labels_that_some_series_has() -> None:
    head = Head(Demand.keep_all(60_000))
    for i in range(300):
        head.append(Labels.of(__name__="m", k=str(i)), 0, 1.0)
    names = ", ".join(f'"l{i}"' for i in range(20_000))
    found = Engine().instant(parse_expr(f'sort_by_label_desc(m, {names}, "k")'), 0, head.querier()).samples()
    assert [s.labels.get("k") for s in found] == [str(i) for i in reversed(range(300))]


@pytest.mark.parametrize(
    "expr",
    [
        'label_replace(m, "y", "$1$1", "x", "(.*)")',
        'label_join(m, "y", ",", "x", "x")',
        'sort_by_label(m, "x")',
        'sort_by_label_desc(m, "x")',
    ],
)
def test_work_on_labels_ends_when_the_time_is_over(expr: str) -> None:
    head = Head(Demand.keep_all(60_000))
    for i in range(200):
        head.append(Labels.of(__name__="m", x=f"a{i}"), 0, 1.0)
    asked = 0

    def clock() -> float:  # one second passes each time it is read
        nonlocal asked
        asked += 1
        return float(asked)

    with pytest.raises(QueryLimitError, match="query timed out"):
        Engine(EngineOptions(timeout_ms=50_000), clock).instant(parse_expr(expr), 0, head.querier())
    assert asked < 60


def test_numbers_of_thousands_of_digits_can_be_sorted() -> None:
    head = Head(Demand.keep_all(60_000))
    for x in ("9" * 5000, "8" * 5000, "0" * 5000 + "7"):
        head.append(Labels.of(__name__="m", x=x), 0, 1.0)
    result = Engine(EngineOptions(), lambda: 0.0).instant(parse_expr('sort_by_label(m, "x")'), 0, head.querier())
    assert [s.labels.get("x")[-1] for s in result.samples()] == ["7", "8", "9"]
