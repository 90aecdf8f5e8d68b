"""Operators where one side, or both, may be native histograms. Source: Prometheus promql/engine.go, vectorElemBinop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from rulepush.histogram.adding import Combined, add, subtract
from rulepush.histogram.boxes import Boxes, box_mask
from rulepush.histogram.errors import IncompatibleSchemas
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.trim import trim_above, trim_below
from rulepush.model.arrays import Bools, Floats
from rulepush.promql.eval.evaluation import Evaluation
from rulepush.promql.eval.operators import ARITHMETIC, COMPARISON
from rulepush.promql.syntax import ast
from rulepush.promql.vectors import histogram_notes as words
from rulepush.promql.vectors.values import Vector


@dataclass(frozen=True, slots=True, eq=False)
class Operated:
    """What an operator makes of pairs, all [n, T]. `known`: those that it could take; `kept`: those of them that a
    comparison without `bool` keeps (any other operator keeps all). `values`: results; of such a comparison, the values
    of the left side."""

    values: Floats
    known: Bools
    kept: Bools


def negated(vector: Vector, boxes: Boxes) -> Floats:
    """The values of `-vector`."""
    values = -vector.values
    mask = box_mask(vector.values)
    values[mask] = [boxes.box(h.negated()) for h in map(boxes.unbox, vector.values[mask].tolist()) if h is not None]
    return values


def with_histograms(node: ast.Binary, left: Floats, right: Floats, present: Bools, ev: Evaluation) -> Operated:
    """The operator over pairs [n, T], some of which may have histograms; a trim operator takes nothing else."""
    op, boxes = node.op, ev.boxes
    native = (box_mask(left) | box_mask(right)) & present
    if op in COMPARISON:
        holds = COMPARISON[op](left, right)
        values = holds.astype(np.float64) if node.return_bool else np.array(left)
    elif op in ARITHMETIC:
        holds = np.ones(present.shape, np.bool_)
        values = ARITHMETIC[op](left, right)
    else:
        native = present
        values, holds = np.zeros(present.shape), np.ones(present.shape, np.bool_)
    known = np.array(present)
    steps: dict[int, tuple[str, bool]] = {}  # what is said last at each step
    for row, step in np.argwhere(native).tolist():
        a, b = float(left[row, step]), float(right[row, step])
        found, said = _pair(node, a, b, boxes.unbox(a), boxes.unbox(b))
        if said is not None:
            steps[step] = said
        if found is None:
            known[row, step] = False
        elif isinstance(found, bool):
            holds[row, step] = found
            if node.return_bool:
                values[row, step] = float(found)
        else:
            values[row, step] = boxes.box(found)
        ev.limits.check_time()
    for text, is_warning in steps.values():
        (ev.notes.warn if is_warning else ev.notes.info)(text, node)
    return Operated(values, known, known & holds)


_Said = tuple[str, bool] | None


def _pair(
    node: ast.Binary, left: float, right: float, a: FloatHistogram | None, b: FloatHistogram | None
) -> tuple[FloatHistogram | bool | None, _Said]:
    """(the result, or whether a comparison holds; None when there is none, what is to be said)."""
    op = node.op
    if a is not None and b is not None:
        if op in ("==", "!="):
            return a.equals(b) is (op == "=="), None
        if op in _COMBINING:
            return _combined(op, a, b)
    elif a is not None:
        if op == "*":
            return a.multiplied(right).compacted(), None
        if op == "/":
            return a.divided(right).compacted(), None
        if op in _TRIMMING:
            return _TRIMMING[op](a, right), None
    elif b is not None and op == "*":
        return b.multiplied(left).compacted(), None
    return None, (words.incompatible_types(_kind(a), op, _kind(b)), False)


def _combined(op: str, a: FloatHistogram, b: FloatHistogram) -> tuple[FloatHistogram | None, _Said]:
    combine, operation = _COMBINING[op]
    try:
        found = combine(a, b)
    except IncompatibleSchemas:
        return None, (words.incompatible_buckets(op), True)
    result = found.histogram.compacted()
    if op == "-":
        result = result.with_hint(CounterResetHint.GAUGE)
    if found.counter_reset_collision:
        return None, (words.conflicting_resets(operation), True)
    return result, (words.reconciled_bounds(operation), False) if found.bounds_reconciled else None


def _kind(histogram: FloatHistogram | None) -> str:
    return "float" if histogram is None else "histogram"


_COMBINING: Final[dict[str, tuple[Callable[[FloatHistogram, FloatHistogram], Combined], str]]] = {
    "+": (add, words.ADDITION),
    "-": (subtract, words.SUBTRACTION),
}
_TRIMMING: Final[dict[str, Callable[[FloatHistogram, float], FloatHistogram]]] = {
    "</": trim_above,
    ">/": trim_below,
}
