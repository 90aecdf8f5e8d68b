"""The parser: its trees by their canonical form, its errors by their text and place."""

from __future__ import annotations

import math

import pytest
import yaml

from rulepush.errors import ParseError
from rulepush.promql import parse_expr
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.values import ValueType
from tests.needs import shared
from tests.promql.fake_querier import labels, load, values


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1_000", "1000"),
        ("0x1F_FF", "8191"),
        ("017", "15"),
        ("-1", "-1"),
        ("--1", "1"),
        ("+Inf", "+Inf"),
        ("5m", "5m"),
        ("foo > 1h30m", "foo > 1h30m"),
        ("-1 ^ 2", "-1 ^ 2"),
        ("2 ^ 3 ^ 2", "2 ^ 3 ^ 2"),
        ("foo{}", "foo"),
        ("{'foo', b=\"1\", a='2',}", 'foo{a="2",b="1"}'),
        ('{"foo.bar", "a.b"="c"}', '{"foo.bar","a.b"="c"}'),
        ("foo{a=`x\\y`}", 'foo{a="x\\\\y"}'),
        ("foo @ -1", "foo @ -1.000"),
        ("foo@start() offset -5m", "foo @ start() offset -5m"),
        ("foo[300] offset 300", "foo[5m] offset 5m"),
        ("foo[1d:] @ 10", "foo[1d:] @ 10.000"),
        ("SUM(foo) BY (a,b,)", "sum by (a, b) (foo)"),
        ("sum without() (foo)", "sum without () (foo)"),
        ('sum by ("a.b", on) (foo)', 'sum by ("a.b", on) (foo)'),
        ("topk(3, foo)", "topk(3, foo)"),
        ("a + on(x) group_left(y,z) b", "a + on (x) group_left (y, z) b"),
        ("a + on() group_right b", "a + on () group_right () b"),
        ("a == bool ignoring(x) b", "a == bool ignoring (x) b"),
        ("a + fill(0) b", "a + fill (0) b"),
        ("a + on(x) fill_right(-Inf) fill_left(2) b", "a + on (x) fill_left (2) fill_right (-Inf) b"),
        ("fill + fill(0) fill", "fill + fill (0) fill"),
        ("a or b and c unless d", "a or b and c unless d"),
        ("rate(foo[5m])  # why\n/ bar", "rate(foo[5m]) / bar"),
        ("sum", "sum"),
        ("offset offset 5m", "offset offset 5m"),
        ("foo[5m] anchored", "foo[5m] anchored"),
        ("foo anchored[5m]", "foo[5m] anchored"),
        ("foo[5m]offset 1m SMOOTHED @ 5", "foo[5m] smoothed @ 5.000 offset 1m"),
        ("foo offset 5m smoothed smoothed", "foo smoothed offset 5m"),
        ("foo smoothed[5m:1m] offset 1m", "foo smoothed[5m:1m] offset 1m"),
        ("smoothed smoothed + anchored", "smoothed smoothed + anchored"),
        (":foo:bar", ":foo:bar"),
        ("time() atan2 2", "time() atan2 2"),
        ('"a\\"b\\u00e9\\x41"', '"a\\"béA"'),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    query = parse_expr(text)
    assert str(query) == canonical
    assert str(parse_expr(canonical)) == canonical


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("a + b * c", "+(a,*(b,c))"),
        ("a * b + c", "+(*(a,b),c)"),
        ("a - b - c", "-(-(a,b),c)"),
        ("a ^ b ^ c", "^(a,^(b,c))"),
        ("-a ^ b", "neg(^(a,b))"),
        ("-a * b", "*(neg(a),b)"),
        ("a == b + c and d or e", "or(and(==(a,+(b,c)),d),e)"),
        ("a or b unless c", "or(a,unless(b,c))"),
        ("a % b atan2 c", "atan2(%(a,b),c)"),
        ("a < b < c", "<(<(a,b),c)"),
    ],
)
def test_precedence(text: str, shape: str) -> None:
    def draw(node: ast.Node) -> str:
        match node:
            case ast.Binary(op, lhs, rhs):
                return f"{op}({draw(lhs)},{draw(rhs)})"
            case ast.Unary(_, expr):
                return f"neg({draw(expr)})"
            case _:
                return str(node)

    assert draw(parse_expr(text).root) == shape


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown position: parse error: no expression found in input"),
        (" \n# c", "1:1: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("(1", "1:3: parse error: unclosed left parenthesis"),
        ("1)", "1:2: parse error: unexpected right parenthesis ')'"),
        ("foo{a=", "1:7: parse error: unexpected end of input inside braces"),
        ("2.5.", '1:1: parse error: bad number or duration syntax: "2.5."'),
        ("foo[5mm]", '1:5: parse error: bad number or duration syntax: "5mm"'),
        ("1 and 1", '1:3: parse error: set operator "and" not allowed in binary scalar expression'),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("foo + bool bar", "1:5: parse error: bool modifier can only be used on comparison operators"),
        ("foo and on(a) group_left b", '1:5: parse error: no grouping allowed for "and" operation'),
        ("foo + on(a) group_left(a) b", '1:5: parse error: label "a" must not occur in ON and GROUP clause at once'),
        ("foo + on(a) 1", "1:5: parse error: vector matching only allowed between instant vectors"),
        ("foo + fill(1) 1", "1:5: parse error: filling in missing series only allowed between instant vectors"),
        ("foo and fill(1) b", "1:5: parse error: filling in missing series not allowed for set operators"),
        ("foo[5m] + 1", "1:1: parse error: binary expression must contain only scalar and instant vector types"),
        ('-"a"', '1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, '
         'got "string"'),
        ("1 offset 1m", "1:1: parse error: offset modifier must be preceded by an instant vector selector or range "
         "vector selector or a subquery"),
        ("foo offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        ("foo @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("foo @ NaN", "1:7: parse error: timestamp out of bounds for @ modifier: nan"),
        ("(foo)[5m]", "1:6: parse error: ranges only allowed for vector selectors"),
        ("foo offset 1m [5m]", "1:15: parse error: no offset modifiers allowed before range"),
        ("time()[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ('{a=~".*"}', "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ('foo{__name__="bar"}', '1:1: parse error: metric name must not be set twice: "foo" or "bar"'),
        ("rate(foo)", '1:6: parse error: expected type range vector in call to function "rate", got instant vector'),
        ("abs()", '1:1: parse error: expected 1 argument(s) in call to "abs", got 0'),
        ("round(a, 1, 2)", '1:1: parse error: expected at most 2 argument(s) in call to "round", got 3'),
        ("nope(foo)", '1:1: parse error: unknown function with name "nope"'),
        ("sum(foo[5m])", "1:5: parse error: expected type instant vector in aggregation expression, got range vector"),
        ("topk(foo)",
         "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        ("abs(foo,)", "1:9: parse error: trailing commas not allowed in function call args"),
        ("foo\n  bar", '2:3: parse error: unexpected identifier "bar"'),
        ("foo ! bar", "1:5: parse error: unexpected character after '!': ' '"),
        ("1 + foo[5m:] anchored", "1:5: parse error: anchored modifier is not supported for subqueries"),
        ("(foo) smoothed", "1:1: parse error: smoothed modifier not implemented"),
        ("foo[5m] anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
        ("foo smoothed offset 1m [5m]", "1:24: parse error: no offset modifiers allowed before range"),
        ("foo[0]", "1:5: parse error: duration must be greater than 0"),
        ("sum by (NaN) (a)", '1:9: parse error: unexpected number "NaN" in grouping opts, expected label'),
        ("a + on(b) group_left (Inf * c)",
         '1:23: parse error: unexpected number "Inf" in grouping opts, expected label'),
        ("sum by (a @) (b)", '1:11: parse error: unexpected <op:@> in grouping opts, expected "," or ")"'),
        ('a + on("") b', '1:8: parse error: invalid label name for grouping: ""'),
    ],
)  # fmt: skip
def test_errors_say_what_and_where(text: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_expr(text)
    assert str(caught.value) == message


def test_holt_winters_names_its_successor() -> None:
    with pytest.raises(ParseError, match="double_exponential_smoothing"):
        parse_expr("holt_winters(foo[5m], 0.1, 0.2)")


def test_a_bad_pattern_is_an_error_at_its_place() -> None:
    with pytest.raises(ParseError, match=r"^1:8: parse error: invalid regular expression"):
        parse_expr('foo{a=~"("}')


def test_a_label_to_group_by_may_have_a_colon() -> None:
    aggregate = parse_expr("sum by (a:b, c) (x)").root
    assert isinstance(aggregate, ast.Aggregate)
    assert aggregate.grouping == ("a:b", "c")


def test_depth_is_limited() -> None:
    with pytest.raises(ParseError, match="nested deeper"):
        parse_expr("(" * 1000 + "1" + ")" * 1000)
    with pytest.raises(ParseError, match="nested deeper"):
        parse_expr("abs(" * 190 + "foo" + ")" * 190)
    with pytest.raises(ParseError, match="nested deeper"):
        parse_expr("+".join(["1"] * 1000))
    long = parse_expr(" or ".join(["a"] * 150))
    assert long.value_type is ValueType.VECTOR
    assert values(long.text, 0, load((labels("a"), "1"))) == {"a": 1.0}


def test_not_a_number_literal() -> None:
    root = parse_expr("NaN").root
    assert isinstance(root, ast.Number)
    assert math.isnan(root.value)


def test_positions_count_lines_and_bytes() -> None:
    with pytest.raises(ParseError, match=r"^2:10: "):
        parse_expr('foo +\n{a="é"} )')


def test_real_rules_keep_their_meaning_when_printed() -> None:
    found = 0
    for path in sorted(shared("conformance/real_rules").glob("*.yml")):
        for test in yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["tests"]:
            for case in test.get("promql_expr_test", []):
                canonical = str(parse_expr(case["expr"]))
                assert str(parse_expr(canonical)) == canonical
                found += 1
    assert found > 100
