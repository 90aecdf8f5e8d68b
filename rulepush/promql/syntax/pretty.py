"""The form of an expression for people: what is longer than a line is broken up, as Prometheus' format_query does.

Source: promql/parser/prettier.go. A node whose canonical form fits into 100 bytes stays on its line; a longer one puts
its parts on lines of their own, one level further in.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Final

from rulepush.promql.syntax import ast
from rulepush.promql.syntax.printer import aggregation_head, binary_operator, subquery_suffix

_LINE: Final = 100
_INDENT: Final = "  "


@singledispatch
def pretty(node: ast.Node, level: int = 0) -> str:
    """`node` as the lines of an expression, `level` levels in."""
    return _INDENT * level + node.text


@pretty.register
def _(node: ast.Aggregate, level: int = 0) -> str:
    if _fits(node):
        return _INDENT * level + node.text
    param = "" if node.param is None else pretty(node.param, level + 1) + ",\n"
    return _enclosed(aggregation_head(node), param + pretty(node.expr, level + 1), level)


@pretty.register
def _(node: ast.Binary, level: int = 0) -> str:
    if _fits(node):
        return _INDENT * level + node.text
    operator = _INDENT * level + binary_operator(node)
    return f"{pretty(node.lhs, level + 1)}\n{operator}\n{pretty(node.rhs, level + 1)}"


@pretty.register
def _(node: ast.Call, level: int = 0) -> str:
    if _fits(node):
        return _INDENT * level + node.text
    return _enclosed(node.name, ",\n".join(pretty(arg, level + 1) for arg in node.args), level)


@pretty.register
def _(node: ast.Paren, level: int = 0) -> str:
    if _fits(node):
        return _INDENT * level + node.text
    return _enclosed("", pretty(node.expr, level + 1), level)


@pretty.register
def _(node: ast.Subquery, level: int = 0) -> str:
    if _fits(node):
        return node.text  # Prometheus leaves the indentation out here
    return pretty(node.expr, level) + subquery_suffix(node)


@pretty.register
def _(node: ast.Unary, level: int = 0) -> str:
    return _INDENT * level + node.op + pretty(node.expr, level).strip()


def _enclosed(head: str, inside: str, level: int) -> str:
    indent = _INDENT * level
    return f"{indent}{head}(\n{inside}\n{indent})"


def _fits(node: ast.Node) -> bool:
    return len(node.text.encode()) <= _LINE
