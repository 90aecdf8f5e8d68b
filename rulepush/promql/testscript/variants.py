"""Equivalent forms of a query, which Prometheus' own runner also evaluates for each instant case."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rulepush.promql.functions.time import CALENDAR
from rulepush.promql.syntax import ast

# Calls whose result changes with the evaluation time even when their arguments do not.
_UNSAFE: Final = frozenset((*CALENDAR, "predict_linear", "time", "timestamp", "start", "end", "step", "range"))


def pinned_variants(root: ast.Node, ts: int) -> list[tuple[str, int]]:
    """(expression, evaluation time) pairs with the answer that `root` has at `ts`: every selector outside of
    subqueries, and every subquery, gets `@ ts`, unless it has an @ already."""
    if _varies(root):
        return []
    text = str(_pinned(root, ts))
    times = (-1000, 0, 1000) if ts == 0 else (-10 * ts, 0, ts // 5, ts, 10 * ts)
    return [(text, at) for at in times]


def _varies(node: ast.Node) -> bool:
    if isinstance(node, ast.Call) and node.name in _UNSAFE:
        return True
    if isinstance(node, ast.Subquery):
        return False if node.at is not None else _varies(node.expr)
    return any(_varies(child) for child in ast.children(node))


def _pinned(node: ast.Node, ts: int) -> ast.Node:
    at = ts
    match node:
        case ast.VectorSelector() | ast.Subquery():
            return replace(node, at=node.at if isinstance(node.at, int) else at)
        case ast.MatrixSelector(selector):
            pinned = replace(selector, at=selector.at if isinstance(selector.at, int) else at)
            return replace(node, selector=pinned)
        case ast.Paren(expr) | ast.Unary(_, expr):
            return replace(node, expr=_pinned(expr, ts))
        case ast.Binary(_, lhs, rhs):
            return replace(node, lhs=_pinned(lhs, ts), rhs=_pinned(rhs, ts))
        case ast.Aggregate(_, expr, param):
            return replace(node, expr=_pinned(expr, ts), param=None if param is None else _pinned(param, ts))
        case ast.Call("info", args):
            return replace(node, args=(_pinned(args[0], ts), *args[1:]))  # the second one is not a selector of data
        case ast.Call(_, args):
            return replace(node, args=tuple(_pinned(arg, ts) for arg in args))
        case _:
            return node
