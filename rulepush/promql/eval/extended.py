"""Where the modifiers `anchored` and `smoothed` may stand, and how far they look. Source: promql/engine.go."""

from __future__ import annotations

from collections.abc import Mapping

from rulepush.promql.functions.registry import Function, RangeFunction, RangeKernel
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.ast import Extended


def reach(selector: ast.VectorSelector, delta: int) -> tuple[int, int]:
    """How far before and after its range the samples of a range selector are read, in ms, with that look-back delta."""
    match selector.extended:
        case None:
            return 0, 0
        case Extended.ANCHORED:
            return delta, 0
        case Extended.SMOOTHED:
            return delta, delta


def kernel_of(function: RangeFunction, extended: Extended | None) -> RangeKernel | None:
    """What computes `function` of such a range; None when nothing does."""
    match extended:
        case None:
            return function.kernel
        case Extended.ANCHORED:
            return function.anchored
        case Extended.SMOOTHED:
            return function.smoothed


def misuse(node: ast.Node, functions: Mapping[str, Function]) -> str | None:
    """What is wrong with the first modifier in a call that does not take it; None when all is well. Prometheus notices
    it in the evaluation."""
    if isinstance(node, ast.Call):
        for arg in map(ast.unwrap, node.args):
            extended = arg.selector.extended if isinstance(arg, ast.MatrixSelector) else None
            if extended is not None and not _takes(functions[node.name], extended):
                able = ", ".join(sorted(name for name, function in functions.items() if _takes(function, extended)))
                return f"{extended.value} modifier can only be used with: {able} - not with {node.name}"
    return next(filter(None, (misuse(child, functions) for child in ast.children(node))), None)


def _takes(function: Function, extended: Extended) -> bool:
    return isinstance(function, RangeFunction) and kernel_of(function, extended) is not None
