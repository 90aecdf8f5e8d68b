"""Duration expressions: what `[5m * 2]` and `offset step()` come to. Source: Prometheus promql/durations.go."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from rulepush.errors import EvaluationError
from rulepush.promql.syntax import ast

_MAX_SECONDS: Final = (1 << 63) / 1e9  # Go's Duration counts nanoseconds in an int64


def milliseconds(expr: ast.DurationExpr, step_ms: int, range_ms: int, *, positive: bool) -> int:
    """The value of `expr` in a query of that step and range (both 0 in an instant query), cut to whole milliseconds.
    `positive`: a range or a step, not an offset. Raises EvaluationError."""
    seconds = _seconds(expr, step_ms / 1000, range_ms / 1000)
    where = f"{expr.pos}:{expr.end}"
    if positive and seconds <= 0:
        raise EvaluationError(f"{where}: duration must be greater than 0")
    if not abs(seconds) < _MAX_SECONDS:
        raise EvaluationError(f"{where}: duration is out of range")
    ms = int(seconds * 1000)
    if positive and ms == 0:  # Prometheus lets it pass, and then finds no sample
        raise EvaluationError(f"{where}: duration must be greater than 0")
    return ms


def _seconds(node: ast.Node | None, step: float, span: float) -> float:
    if node is None:
        return 0.0
    if isinstance(node, ast.Number):
        return node.value
    assert isinstance(node, ast.DurationExpr)
    lhs, rhs = _seconds(node.lhs, step, span), _seconds(node.rhs, step, span)
    match node.op:
        case "step":
            return step
        case "range":
            return span
        case "min_of":
            return min(lhs, rhs)
        case "max_of":
            return max(lhs, rhs)
        case "+":
            return lhs + rhs
        case "-":
            return lhs - rhs if node.lhs is not None else -rhs
        case "*":
            return lhs * rhs
        case "/":
            if rhs == 0:
                raise EvaluationError("division by zero")
            return lhs / rhs
        case "%":
            if rhs == 0:
                raise EvaluationError("modulo by zero")
            return math.fmod(lhs, rhs) if math.isfinite(lhs) else math.nan
        case "^":
            try:
                return math.pow(lhs, rhs)
            except (OverflowError, ValueError):  # Go says Inf or NaN, which is no duration either
                return math.nan
        case _:
            raise NotImplementedError(node.op)


def varies(node: ast.Node | None) -> bool:
    """Whether a duration depends on the step or the range of the query."""
    if not isinstance(node, ast.DurationExpr):
        return False
    return node.op in ("step", "range") or varies(node.lhs) or varies(node.rhs)


def depends_on_query(node: ast.Node) -> bool:
    """Whether any duration of a tree depends on the step or the range of the query."""
    match node:
        case ast.VectorSelector():
            own = varies(node.offset_expr)
        case ast.MatrixSelector():
            own = varies(node.range_expr)
        case ast.Subquery():
            own = varies(node.range_expr) or varies(node.step_expr) or varies(node.offset_expr)
        case _:
            own = False
    return own or any(depends_on_query(child) for child in ast.children(node))


def resolve(node: ast.Node, step_ms: int, range_ms: int) -> ast.Node:
    """The tree with the durations that its expressions have in a query of that step and range. Raises
    EvaluationError."""

    def ms(expr: ast.DurationExpr | None, known: int, *, positive: bool = True) -> int:
        return known if expr is None else milliseconds(expr, step_ms, range_ms, positive=positive)

    def inside(node: ast.Node) -> ast.Node:
        return resolve(node, step_ms, range_ms)

    match node:
        case ast.VectorSelector():
            return _with_offset(node, ms(node.offset_expr, node.offset_ms, positive=False))
        case ast.MatrixSelector(selector, span):
            offset = ms(selector.offset_expr, selector.offset_ms, positive=False)
            return replace(node, selector=_with_offset(selector, offset), range_ms=ms(node.range_expr, span))
        case ast.Subquery(expr, span, step, offset):
            return replace(
                node,
                expr=inside(expr),
                range_ms=ms(node.range_expr, span),
                step_ms=step if step is None else ms(node.step_expr, step),
                offset_ms=ms(node.offset_expr, offset, positive=False),
            )
        case ast.Paren(expr) | ast.Unary(_, expr):
            return replace(node, expr=inside(expr))
        case ast.Binary(_, lhs, rhs):
            return replace(node, lhs=inside(lhs), rhs=inside(rhs))
        case ast.Aggregate(_, expr, param):
            return replace(node, expr=inside(expr), param=None if param is None else inside(param))
        case ast.Call(_, args):
            return replace(node, args=tuple(map(inside, args)))
        case _:
            return node


def _with_offset(selector: ast.VectorSelector, offset_ms: int) -> ast.VectorSelector:
    return selector if selector.offset_ms == offset_ms else replace(selector, offset_ms=offset_ms)
