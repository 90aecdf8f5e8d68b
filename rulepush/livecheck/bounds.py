"""Which values an expression can have at all: interval arithmetic over PromQL trees."""

from __future__ import annotations

import math
import re
from typing import Final

from rulepush.livecheck.seen import LiveData
from rulepush.livecheck.trees import metric_of
from rulepush.promql.syntax import ast

Bounds = tuple[float, float]
"""(lowest, highest), both inclusive."""

ANY: Final = (-math.inf, math.inf)
NOT_NEGATIVE: Final = (0.0, math.inf)
RATIO: Final = (0.0, 1.0)

# Micrometer's names say "percent" and "usage", its values are ratios.
_RATIOS: Final = re.compile(
    r"up|(system|process)_cpu_usage|jvm_gc_overhead(_percent)?|jvm_memory_usage_after_gc(_percent)?"
)
_ONE: Final = frozenset(("absent", "absent_over_time", "present_over_time"))
_NOT_NEGATIVE: Final = frozenset(
    ("rate", "irate", "increase", "changes", "resets", "count_over_time", "stddev_over_time", "stdvar_over_time", "abs")
)
_KEEPS_BOUNDS: Final = frozenset(
    ("avg_over_time", "min_over_time", "max_over_time", "last_over_time", "sort", "sort_desc", "vector", "scalar")
)
_SAME_AGGREGATES: Final = frozenset(("avg", "min", "max", "topk", "bottomk", "limitk", "limit_ratio"))


def bounds(node: ast.Node, seen: LiveData) -> Bounds:
    """The values that the elements of `node` can have. Wider where unknown."""
    match node:
        case ast.Number(value):
            return ANY if math.isnan(value) else (value, value)
        case ast.Paren(expr) | ast.Subquery(expr):
            return bounds(expr, seen)
        case ast.Unary(op, expr):
            low, high = bounds(expr, seen)
            return (low, high) if op == "+" else (-high, -low)
        case ast.VectorSelector():
            return _of_metric(metric_of(node) or "", seen)
        case ast.MatrixSelector(selector):
            return bounds(selector, seen)
        case ast.Call(name, args):
            return _of_call(name, args, seen)
        case ast.Aggregate(op, expr):
            return _of_aggregate(op, bounds(expr, seen))
        case ast.Binary():
            return _of_binary(node, seen)
        case _:
            return ANY


def _of_metric(metric: str, seen: LiveData) -> Bounds:
    if _RATIOS.fullmatch(metric):
        return RATIO
    return NOT_NEGATIVE if seen.type_of(metric) == "counter" else ANY


def _of_call(name: str, args: tuple[ast.Node, ...], seen: LiveData) -> Bounds:
    if name in _ONE:
        return (1.0, 1.0)
    if name in _NOT_NEGATIVE:
        return NOT_NEGATIVE
    if name in _KEEPS_BOUNDS and args:
        return bounds(args[0], seen)
    return ANY


def _of_aggregate(op: str, inner: Bounds) -> Bounds:
    if op == "count":
        return (1.0, math.inf)
    if op == "group":
        return (1.0, 1.0)
    if op in ("stddev", "stdvar"):
        return NOT_NEGATIVE
    if op in _SAME_AGGREGATES:
        return inner
    if op == "sum":
        return (inner[0] if inner[0] >= 0 else -math.inf, inner[1] if inner[1] <= 0 else math.inf)
    return ANY


def _of_binary(node: ast.Binary, seen: LiveData) -> Bounds:
    left, right = bounds(node.lhs, seen), bounds(node.rhs, seen)
    if node.op in ast.COMPARISONS:
        return RATIO if node.return_bool else left
    match node.op:
        case "and" | "unless":
            return left
        case "or":
            return (min(left[0], right[0]), max(left[1], right[1]))
        case "+":
            return (left[0] + right[0], left[1] + right[1])
        case "-":
            return (left[0] - right[1], left[1] - right[0])
        case "*":
            corners = [a * b for a in left for b in right]
            return ANY if any(math.isnan(c) for c in corners) and min(left[0], right[0]) < 0 else _hull(corners)
        case "/":
            if right[0] == right[1] and right[0] > 0 and math.isfinite(right[0]):
                return (left[0] / right[0], left[1] / right[0])
            return NOT_NEGATIVE if left[0] >= 0 and right[0] >= 0 else ANY
        case _:
            return ANY


def _hull(corners: list[float]) -> Bounds:
    """Of products; 0 * Inf is a bound of 0 and of Inf here, both sides being >= 0."""
    known = [0.0 if math.isnan(c) else c for c in corners]
    high = math.inf if any(math.isnan(c) or c == math.inf for c in corners) else max(known)
    return (min(known), high)
