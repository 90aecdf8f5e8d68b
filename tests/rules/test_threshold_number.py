"""The number that an expression compares with, and another in its place."""

from __future__ import annotations

import pytest

from rulepush.errors import ParseError
from rulepush.promql import parse_expr
from rulepush.rules.threshold_number import threshold_number


@pytest.mark.parametrize(
    ("expr", "number", "replaced"),
    [
        ("a > 5", "5", "a > 90"),
        ("a > 5.0 # the limit", "5.0", "a > 90 # the limit"),
        ("5 < a", "5", "90 < a"),
        ("a > -5 and b < (80 / 100)", "-5", "a > 90 and b < (80 / 100)"),
        ("a > 80 / 100 or b", "80 / 100", "a > 90 or b"),
        ("a > on (x) b and c < 0.5", "0.5", "a > on (x) b and c < 90"),
        ("0 < a < 5", "0", "90 < a < 5"),
        ("sum(a) by (x)\n  > 1e3\n  unless on () off > 1", "1e3", "sum(a) by (x)\n  > 90\n  unless on () off > 1"),
        ('a{x="ü > 7"} > 7', "7", 'a{x="ü > 7"} > 90'),
        ("count(up == 0) > 3", "3", "count(up == 0) > 90"),
    ],
)
def test_the_number_is_replaced_and_all_else_stays_as_written(expr: str, number: str, replaced: str) -> None:
    found = threshold_number(parse_expr(expr))
    assert found is not None
    assert found.text == number
    assert found.replaced("90").text == replaced


@pytest.mark.parametrize("expr", ["a", "a > b", "a > bool 5", "sum(a > 5)", "absent(a)"])
def test_without_a_comparison_with_a_number_there_is_none(expr: str) -> None:
    assert threshold_number(parse_expr(expr)) is None


def test_a_computed_number_stays_one_operand() -> None:
    found = threshold_number(parse_expr("a > 5 * 2 and b"))
    assert found is not None
    assert found.replaced("80 / 100").text == "a > (80 / 100) and b"
    assert found.replaced("-1.5").text == "a > -1.5 and b"


@pytest.mark.parametrize("bad", ["", "x", "1) or (2", "1 or 2", "vector(1)", "'a'", "80%", "time()", "9" * 5000 + "x"])
def test_what_is_no_number_is_refused(bad: str) -> None:
    found = threshold_number(parse_expr("a > 5"))
    assert found is not None
    with pytest.raises(ParseError):
        found.replaced(bad)
