"""What an expression compares: the value and the threshold on either side of its comparisons.

`rate(errors[5m]) > 0.1 and on () up == 1` asks two questions; a page shows the value of each against its threshold, and
the end of an alert is explained by the one that is no longer true.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from rulepush.promql import Query, ValueType
from rulepush.promql.syntax import ast

_HOLDS: Final[dict[str, Callable[[float, float], bool]]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Threshold:
    """A comparison: `value op threshold`. `constant` is the threshold where it is a number, None where it is another
    expression.

    `decides` is whether the elements of `value` are those of the whole expression, so that their labels are the same.
    """

    value: Query
    op: str
    threshold: Query
    constant: float | None
    decides: bool

    def holds(self, value: float, threshold: float) -> bool:
        """Whether the comparison is true of these two."""
        return _HOLDS[self.op](value, threshold)

    def __str__(self) -> str:
        return f"{self.value} {self.op} {self.threshold}"


def thresholds(query: Query) -> tuple[Threshold, ...]:
    """The comparisons that decide whether `query` has elements, in source order. Those inside of aggregations and
    functions are not among them: `count(up == 0) > 3` compares the count."""
    return tuple(_thresholds(query.root, True))


def _thresholds(node: ast.Node, decides: bool) -> Iterator[Threshold]:
    node = ast.unwrap(node)
    if not isinstance(node, ast.Binary):
        return
    if node.op in ast.SET_OPERATORS:
        yield from _thresholds(node.lhs, decides)
        if node.op != "unless":
            yield from _thresholds(node.rhs, decides and node.op == "or")
        return
    if node.op not in ast.COMPARISONS or node.return_bool:
        return
    left, right, op = ast.unwrap(node.lhs), ast.unwrap(node.rhs), node.op
    if left.type is ValueType.SCALAR and right.type is not ValueType.SCALAR:  # `5 < m` keeps the elements of m
        left, right, op = right, left, _MIRRORED.get(op, op)
    inner = list(_thresholds(left, decides))
    if inner:  # `0 < m < 5`: each is a comparison of the innermost value
        yield from inner
        left = inner[-1].value.root
    yield Threshold(Query(left.text, left), op, Query(right.text, right), _constant(right), decides)


def constant_of(query: Query) -> float | None:
    """The number that an expression is without reading anything: `5`, `-1`, `80 / 100`; None where it is none."""
    return _constant(query.root)


def _constant(node: ast.Node) -> float | None:
    """The number that an expression without selectors is: `5`, `-1`, `80 / 100`, `2 ^ 20`."""
    match ast.unwrap(node):
        case ast.Number(value):
            return value
        case ast.Unary(op, expr):
            inner = _constant(expr)
            return None if inner is None else -inner if op == "-" else inner
        case ast.Binary(op, lhs, rhs) if op in ("+", "-", "*", "/", "^"):
            a, b = _constant(lhs), _constant(rhs)
            return None if a is None or b is None else _computed(op, a, b)
        case _:
            return None


def _computed(op: str, a: float, b: float) -> float | None:
    try:
        match op:
            case "+":
                found = a + b
            case "-":
                found = a - b
            case "*":
                found = a * b
            case "/":
                found = a / b
            case _:
                found = math.pow(a, b)
    except (ArithmeticError, ValueError):
        return None
    return found if math.isfinite(found) else None
