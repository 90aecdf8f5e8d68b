"""Small helpers over PromQL trees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from rulepush.model.labels import METRIC_NAME
from rulepush.model.matcher import MatchOp
from rulepush.promql.syntax import ast

Ancestors = tuple[tuple[ast.Node, int], ...]
"""The way from the root to a node: (parent, which of its children), the root first."""


def walk(node: ast.Node, above: Ancestors = ()) -> Iterator[tuple[ast.Node, Ancestors]]:
    """Every node with its ancestors, in source order."""
    yield node, above
    for i, child in enumerate(ast.children(node)):
        yield from walk(child, (*above, (node, i)))


def selectors(node: ast.Node) -> Iterator[tuple[ast.VectorSelector, Ancestors]]:
    """Every selector with its ancestors."""
    for found, above in walk(node):
        if isinstance(found, ast.VectorSelector):
            yield found, above


def metric_of(selector: ast.VectorSelector) -> str | None:
    """The metric name that a selector asks for; None when it asks by a pattern."""
    for matcher in selector.matchers:
        if matcher.name == METRIC_NAME and matcher.op is MatchOp.EQUAL:
            return matcher.value
    return selector.name or None


def metrics_of(node: ast.Node) -> frozenset[str]:
    """The metrics that an expression reads by name."""
    return frozenset(metric for selector, _ in selectors(node) if (metric := metric_of(selector)))


def conjuncts(node: ast.Node) -> Iterator[ast.Node]:
    """The conditions that must all hold: the sides of `and`, the left side of `unless`, through parentheses."""
    node = ast.unwrap(node)
    if isinstance(node, ast.Binary) and node.op == "and":
        yield from conjuncts(node.lhs)
        yield from conjuncts(node.rhs)
    elif isinstance(node, ast.Binary) and node.op == "unless":
        yield from conjuncts(node.lhs)
    else:
        yield node


def bare_selector(node: ast.Node) -> ast.VectorSelector | None:
    """The selector when the expression is only that."""
    node = ast.unwrap(node)
    return node if isinstance(node, ast.VectorSelector) else None


def rewrite(node: ast.Node, change: Callable[[ast.VectorSelector], ast.VectorSelector]) -> ast.Node:
    """The same tree with every selector replaced by what `change` makes of it."""
    match node:
        case ast.VectorSelector():
            return change(node)
        case ast.MatrixSelector(selector):
            return dataclasses.replace(node, selector=change(selector))
        case ast.Paren(expr) | ast.Unary(_, expr) | ast.Subquery(expr):
            return dataclasses.replace(node, expr=rewrite(expr, change))
        case ast.Binary(_, lhs, rhs):
            return dataclasses.replace(node, lhs=rewrite(lhs, change), rhs=rewrite(rhs, change))
        case ast.Aggregate(_, expr, param):
            changed = None if param is None else rewrite(param, change)
            return dataclasses.replace(node, expr=rewrite(expr, change), param=changed)
        case ast.Call(_, args):
            return dataclasses.replace(node, args=tuple(rewrite(arg, change) for arg in args))
        case _:
            return node
