"""Queries come from outside: nothing that one contains may take unbounded time or memory."""

from __future__ import annotations

import pytest

from rulepush.errors import EvaluationError, ParseError
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.promql import Engine, EngineOptions, parse_expr
from rulepush.promql.vectors.grouping import group
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
