"""Duration expressions: `[5m * 2]`, `offset -step()`."""

from __future__ import annotations

import pytest

from rulepush.errors import EvaluationError, ParseError
from rulepush.promql import Engine, parse_expr
from rulepush.promql.syntax import ast
from tests.promql.fake_querier import instant, labels, load, steps, values
from tests.promql.scripting import failures

# m is its own time in seconds.
COUNTING = load((labels("m"), " ".join(map(str, range(1000)))), step=1000)


def offset_ms(text: str) -> int:
    """The offset of the first selector."""
    node = parse_expr(text).root
    while not isinstance(node, ast.VectorSelector):
        node = ast.children(node)[0]
    return node.offset_ms


@pytest.mark.parametrize(
    ("text", "canonical", "span"),
    [
        ("m[5m*2]", "m[5m * 2]", 600_000),
        ("m[60*30]", "m[60 * 30]", 1_800_000),
        ("m[1800+0s]", "m[1800 + 0s]", 1_800_000),
        ("m[-5m+35m]", "m[-5m + 35m]", 1_800_000),
        ("m[24m+((1.5*2m)+2m)]", "m[24m + ((1.5 * 2m) + 2m)]", 1_740_000),
        ("m[30m1s-30m1s % 1m]", "m[30m1s - 30m1s % 1m]", 1_800_000),
        ("m[(5m)]", "m[5m]", 300_000),
        ("m[+5m]", "m[5m]", 300_000),
        ("m[--5m]", "m[5m]", 300_000),
        ("m[2^3^2]", "m[2 ^ 3 ^ 2]", 512_000),
        ("m[-2^2+10]", "m[-2 ^ 2 + 10]", 6_000),
        ("m[(-2)^2]", "m[(-2) ^ 2]", 4_000),
        ("m[10-2-3]", "m[10 - 2 - 3]", 5_000),
        ("m[-2*-3]", "m[-2 * -3]", 6_000),
        ("m[1s/3]", "m[1s / 3]", 333),
        ("m[min_of(5m, 1h)]", "m[min_of(5m, 1h)]", 300_000),
        ("m[MAX_OF((5m),min_of(1,2)+1h)]", "m[max_of(5m, min_of(1, 2) + 1h)]", 3_601_000),
        ("m[max(5m, 1)]", "m[max_of(5m, 1)]", 300_000),
        ("m[range()+1m]", "m[range() + 1m]", 60_000),
        ("m[ - step ( ) + 5 ]", "m[-step() + 5]", 5_000),
    ],
)
def test_ranges(text: str, canonical: str, span: int) -> None:
    root = parse_expr(text).root
    assert isinstance(root, ast.MatrixSelector)
    assert (str(root), root.range_ms) == (canonical, span)
    again = parse_expr(canonical).root
    assert isinstance(again, ast.MatrixSelector)
    assert (str(again), again.range_ms) == (canonical, span)


@pytest.mark.parametrize(
    ("text", "canonical", "offset"),
    [
        ("m offset 100 + 2", "m offset 1m40s + 2", 100_000),
        ("m offset -1m*2", "m offset -1m * 2", -60_000),
        ("m offset 2 ^ 2", "m offset 2s ^ 2", 2_000),
        ("m offset (100 + 2)", "m offset (100 + 2)", 102_000),
        ("m offset (-2 ^ 2)", "m offset (-2 ^ 2)", -4_000),
        ("m offset ((-2) ^ 2)", "m offset ((-2) ^ 2)", 4_000),
        ("m offset -(1m + 2)", "m offset -(1m + 2)", -62_000),
        ("m offset +(1m + 2)", "m offset +(1m + 2)", 62_000),
        ("m offset +(1m + 2) + 3", "m offset +(1m + 2) + 3", 62_000),
        ("m offset +(1m) + 3", "m offset 1m + 3", 60_000),
        ("m offset (1m + 2) smoothed + 3", "m smoothed offset +(1m + 2) + 3", 62_000),
        ("m offset -(1m)", "m offset -1m", -60_000),
        ("m offset -(1m)+8", "m offset -1m + 8", -60_000),
        ("m offset min_of(1, 2)+8", "m offset min_of(1, 2) + 8", 1_000),
        ("m offset -max_of(1, 2)^0", "m offset -max_of(1, 2) ^ 0", -2_000),
        # A parenthesis alone does not end it, in Prometheus' grammar.
        ("m offset (1m)+8", "m offset (1m + 8)", 68_000),
        ("m offset (1m) > 8", "m offset 1m > 8", 60_000),
        ("m offset - -1m", "m offset 1m", 60_000),
        ("m offset (1m-1m)", "m offset (1m - 1m)", 0),
        ("m offset (1m*2) @ 5", "m @ 5.000 offset +(1m * 2)", 120_000),
    ],
)
def test_offsets_and_where_they_end(text: str, canonical: str, offset: int) -> None:
    assert (str(parse_expr(text)), offset_ms(text)) == (canonical, offset)
    assert (str(parse_expr(canonical)), offset_ms(canonical)) == (canonical, offset)


def test_subqueries() -> None:
    root = parse_expr("m[1h*2:step()+30s] offset (1m*2)").root
    assert isinstance(root, ast.Subquery)
    assert (root.range_ms, root.step_ms, root.offset_ms) == (7_200_000, 30_000, 120_000)
    assert str(root) == "m[1h * 2:step() + 30s] offset (1m * 2)"
    assert str(parse_expr("m[step():step()]")) == "m[step():step()]"
    assert str(parse_expr("m[range():]")) == "m[range():]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m[5m-10m]", "1:3: parse error: duration must be greater than 0"),
        ("m[-5m]", "1:3: parse error: duration must be greater than 0"),
        ("m[1ms/2]", "1:3: parse error: duration must be greater than 0"),
        ("m[1h:5m-5m]", "1:6: parse error: duration must be greater than 0"),
        ("m[1h:-5m]", "1:6: parse error: duration must be greater than 0"),
        ("m[5m/0]", "1:5: parse error: division by zero"),
        ("m[5m%0]", "1:5: parse error: modulo by zero"),
        ("m[5m/(1-1)]", "1:3: parse error: division by zero"),
        ("m offset (1m/0)", "1:13: parse error: division by zero"),
        ("m[10^100]", "1:3: parse error: duration is out of range"),
        ("m[10^1000]", "1:3: parse error: duration is out of range"),
        ("m[1e30]", "1:3: parse error: duration out of range"),
        ("m[5m+]", '1:6: parse error: unexpected "]" in subquery or range selector, '
         "expected number, duration, step(), or range()"),
        ("m[step]", "1:3: parse error: unexpected <step> in subquery or range selector, "
         "expected number, duration, step(), or range()"),
        ("m[a:b]", '1:3: parse error: unexpected identifier "a" in subquery or range selector, '
         "expected number, duration, step(), or range()"),
        ("m[min_of(1)]", '1:11: parse error: unexpected ")" in subquery or range selector, expected ","'),
        ("m[(5m]", "1:6: parse error: unexpected right bracket ']'"),
        ("m offset step", "1:10: parse error: unexpected <step> in offset, "
         "expected number, duration, step(), or range()"),
        ("m offset (1m-1m) offset 1m", "1:1: parse error: offset may not be set multiple times"),
        ("m offset step() [5m]", "1:17: parse error: no offset modifiers allowed before range"),
        ("m @ (5 * 2)", '1:5: parse error: unexpected "(" in @, expected timestamp'),
        ("foo + bar[" + "(" * 300 + "1" + ")" * 300 + "]",
         "1:209: parse error: the expression is nested deeper than 200 levels"),
        ("m[" + "1+" * 300 + "1]", "1:399: parse error: the expression is nested deeper than 200 levels"),
    ],
)  # fmt: skip
def test_errors_say_where(text: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_expr(text)
    assert str(caught.value) == message


def test_step_and_range_are_those_of_the_query() -> None:
    assert steps("count_over_time(m[step()+1])", 50_000, 60_000, 5000, COUNTING) == {
        "{}": [(50_000, 6.0), (55_000, 6.0), (60_000, 6.0)]
    }
    assert steps("count_over_time(m[range()*2])", 50_000, 60_000, 5000, COUNTING)["{}"][0] == (50_000, 20.0)
    assert steps("m offset step()", 50_000, 60_000, 5000, COUNTING) == {
        "m": [(50_000, 45.0), (55_000, 50.0), (60_000, 55.0)]
    }
    assert steps("m offset -(step() * 2) + 1", 50_000, 50_000, 5000, COUNTING) == {"{}": [(50_000, 61.0)]}


def test_inside_a_subquery_they_are_those_of_the_whole_query() -> None:
    text = "max_over_time(count_over_time(m[step()])[1m:20s])"
    assert steps(text, 200_000, 210_000, 5000, COUNTING)["{}"][0] == (200_000, 5.0)


def test_in_an_instant_query_they_are_zero() -> None:
    assert values("m offset step()", 50_000, COUNTING) == {"m": 50.0}
    assert values("count_over_time(m[max_of(range(), 4s)])", 50_000, COUNTING) == {"{}": 4.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sum_over_time(m[step()])", "16:22: duration must be greater than 0"),
        ("sum_over_time(m[1h:-range()])", "19:27: duration must be greater than 0"),
        ("m offset (1m / step())", "division by zero"),
        ("m offset (1m % range())", "modulo by zero"),
    ],
)
def test_what_has_no_value_in_this_query_fails_when_it_runs(text: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        instant(text, 50_000, COUNTING)
    assert str(caught.value) == message
    assert Engine().range(parse_expr(text.replace("-range", "range")), 50_000, 60_000, 5000, COUNTING)


def test_what_is_kept_is_what_the_expressions_come_to() -> None:
    def lookbacks(text: str) -> list[int]:
        return [use.lookback_ms for use in parse_expr(text).selectors()]

    assert lookbacks("rate(m[5m*2]) + rate(n[1m] offset (1h+2m))") == [600_000, 3_780_000]
    assert lookbacks("max_over_time(m[1h*2:1m])") == [7_500_000]
    query = parse_expr("rate(m[step()+1m])")
    assert [use.lookback_ms for use in query.resolved(30_000, 0).selectors()] == [90_000]
    assert query.resolved(30_000, 0).canonical == query.canonical
    constant = parse_expr("rate(m[5m*2])")
    assert constant.resolved(30_000, 0) is constant


def test_every_kind_of_node_hands_the_step_on() -> None:
    assert not failures(
        """
        load 1s
          m 0+1x100

        eval range from 50s to 60s step 5s -(topk(1 + 0 * scalar(m offset step()), m offset step()) + 1)
          {} -46 -51 -56

        eval range from 50s to 60s step 5s sum_over_time(m[step():step()])
          {} 50 55 60

        eval range from 50s to 60s step 5s max_over_time((m offset step())[step():1s] offset step())
          {} 40 45 50
        """
    )
