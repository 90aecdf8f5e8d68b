"""The syntax tree of an expression as `/api/v1/parse_query` gives it.

Source: prometheus web/api/v1/translate_ast.go, with what 3.14 added (durations that are computed, fill values).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from rulepush.model.floats import format_float
from rulepush.model.labels import is_legacy_metric_name
from rulepush.model.matcher import Matcher
from rulepush.promql.functions import FUNCTIONS
from rulepush.promql.syntax import ast

TreeJson = dict[str, Any]


@singledispatch
def tree_json(node: ast.Node) -> TreeJson:
    """The node and all below it. Raises NotImplementedError for a node that is not handled."""
    raise NotImplementedError(type(node).__name__)


@tree_json.register
def _(node: ast.Number) -> TreeJson:
    return {"type": "numberLiteral", "val": format_float(node.value)}


@tree_json.register
def _(node: ast.Str) -> TreeJson:
    return {"type": "stringLiteral", "val": node.value}


@tree_json.register
def _(node: ast.Paren) -> TreeJson:
    return {"type": "parenExpr", "expr": tree_json(node.expr)}


@tree_json.register
def _(node: ast.Unary) -> TreeJson:
    return {"type": "unaryExpr", "op": node.op, "expr": tree_json(node.expr)}


@tree_json.register
def _(node: ast.Binary) -> TreeJson:
    return {
        "type": "binaryExpr",
        "op": node.op,
        "lhs": tree_json(node.lhs),
        "rhs": tree_json(node.rhs),
        "matching": None if node.matching is None else _matching(node.matching),
        "bool": node.return_bool,
    }


def _matching(matching: ast.Matching) -> TreeJson:
    return {
        "card": matching.card.value,
        "labels": list(matching.labels),
        "on": matching.on,
        "include": list(matching.include),
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    }


@tree_json.register
def _(node: ast.Aggregate) -> TreeJson:
    return {
        "type": "aggregation",
        "op": node.op,
        "expr": tree_json(node.expr),
        "param": None if node.param is None else tree_json(node.param),
        "grouping": list(node.grouping),
        "without": node.without,
    }


@tree_json.register
def _(node: ast.Call) -> TreeJson:
    signature = FUNCTIONS[node.name].signature
    return {
        "type": "call",
        "func": {
            "name": node.name,
            "argTypes": [one.value for one in signature.arg_types],
            "variadic": signature.variadic,
            "returnType": signature.returns.value,
        },
        "args": [tree_json(arg) for arg in node.args],
    }


@tree_json.register
def _(node: ast.VectorSelector) -> TreeJson:
    return {"type": "vectorSelector", **_selector(node)}


@tree_json.register
def _(node: ast.MatrixSelector) -> TreeJson:
    return {"type": "matrixSelector", **_selector(node.selector), **_duration("range", node.range_ms, node.range_expr)}


@tree_json.register
def _(node: ast.Subquery) -> TreeJson:
    return {
        "type": "subquery",
        "expr": tree_json(node.expr),
        **_duration("range", node.range_ms, node.range_expr),
        **_duration("offset", node.offset_ms, node.offset_expr),
        **_duration("step", node.step_ms or 0, node.step_expr),
        **_at(node.at),
    }


@tree_json.register
def _(node: ast.DurationExpr) -> TreeJson:
    return {
        "type": "durationExpr",
        "op": node.op,
        "lhs": _operand(node.lhs),
        "rhs": _operand(node.rhs),
        "wrapped": node.wrapped,
    }


def _operand(node: ast.Node | None) -> TreeJson | None:
    if isinstance(node, ast.Number):
        return {**tree_json(node), "duration": node.duration}
    return None if node is None else tree_json(node)


def _selector(node: ast.VectorSelector) -> TreeJson:
    # A name that can only stand in the braces is a matcher as any other there, and usually the first one.
    before_braces = not node.name or is_legacy_metric_name(node.name)
    return {
        "name": node.name if before_braces else "",
        **_duration("offset", node.offset_ms, node.offset_expr),
        "matchers": _matchers(node.matchers if before_braces else (*node.matchers[-1:], *node.matchers[:-1])),
        **_at(node.at),
        "anchored": node.extended is ast.Extended.ANCHORED,
        "smoothed": node.extended is ast.Extended.SMOOTHED,
    }


def _matchers(matchers: Sequence[Matcher]) -> list[TreeJson]:
    return [{"name": m.name, "value": m.value, "type": m.op.value} for m in matchers]


def _duration(key: str, ms: int, expr: ast.DurationExpr | None) -> TreeJson:
    """One that is computed has no length before it is known for which query."""
    return {key: ms if expr is None else 0, f"{key}Expr": None if expr is None else tree_json(expr)}


def _at(at: int | ast.At | None) -> TreeJson:
    symbolic = isinstance(at, ast.At)
    return {
        "timestamp": None if symbolic else at,
        "startOrEnd": at.value.removesuffix("()") if isinstance(at, ast.At) else None,
    }
