"""The tree of an expression, each sub-expression with its value now and the reasons for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.explain.comparisons import Comparison, compared, threshold_text
from rulepush.explain.elements import ANY_LABELS, Bounds, Focus, chosen, present_rows, values_at
from rulepush.explain.partners import side_reasons
from rulepush.explain.reasons import Reason, ReasonKind, because
from rulepush.explain.selectors import ReadTime, selector_reasons
from rulepush.explain.surroundings import Surroundings
from rulepush.explain.tree import ExplainedNode, ValueRow
from rulepush.histogram.boxes import Boxes
from rulepush.histogram.text import format_histogram
from rulepush.model.durations import format_duration
from rulepush.model.labels import Labels
from rulepush.promql import Query, SharedResults
from rulepush.promql.eval.evaluation import TIMED_OUT
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.printer import aggregation_head, binary_operator
from rulepush.promql.vectors.native import floats_of
from rulepush.promql.vectors.values import Matrix, Scalar, String, Value, Vector
from rulepush.rules.context import QueryEngine
from rulepush.storage.selection import Querier, Selection

MAX_NODES: Final = 500  # of an expression; the rest is left out
MAX_DEPTH: Final = 100  # parts within parts
LITERAL: Final = "literal"  # the kind of numbers and texts, which stand in the head of the node above
_NEED_TWO: Final = frozenset(
    ("rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear", "double_exponential_smoothing")
)


@dataclass(slots=True)
class EvaluatedNode:
    """A node of the tree with what it was made of. `parts` are all direct sub-expressions, numbers too; `at` is when it
    was evaluated (ms), `value` None where that failed; `boxes` are the native histograms among its values."""

    node: ast.Node
    at: int
    explained: ExplainedNode
    value: Value | None = None
    parts: list[EvaluatedNode] = field(default_factory=list)
    comparison: Comparison | None = None
    boxes: Boxes | None = None

    @property
    def floats(self) -> Value | None:
        """The value without its native histograms, which comparisons with a number leave out."""
        if self.boxes is None or not isinstance(self.value, Vector):
            return self.value
        return floats_of(self.value, self.boxes)


def _value_row(labels: Labels, value: float, boxes: Boxes | None) -> ValueRow:
    histogram = None if boxes is None else boxes.unbox(value)
    return ValueRow(labels, value) if histogram is None else ValueRow(labels, math.nan, format_histogram(histogram))


@dataclass(slots=True)
class TreeBuilder:
    """Evaluates an expression and all its parts at their times, each once. Raises QueryLimitError when the time is
    over."""

    engine: QueryEngine
    querier: Querier
    lookback_ms: int
    around: Surroundings
    bounds: Bounds = field(default_factory=Bounds)
    focus: Focus = ANY_LABELS
    default_step_ms: int = 60_000
    _shared: SharedResults = field(default_factory=SharedResults)
    _made: int = 0

    def build(self, node: ast.Node, ts: int, depth: int = 0) -> EvaluatedNode:
        """The tree at `ts` (ms), without what stands deeper than MAX_DEPTH."""
        node = ast.unwrap(node)
        self._made += 1
        within = self._time_within(node, ts)
        parts = [
            self._literal(child, ts)
            if isinstance(child, ast.Number | ast.Str) or self._made >= MAX_NODES or depth >= MAX_DEPTH
            else self.build(child, within, depth + 1)
            for child in _parts(node)
        ]
        shown = tuple(p.explained for p in parts if p.explained.kind != LITERAL)
        made = EvaluatedNode(node, ts, ExplainedNode(node.text, head(node), _kind(node), parts=shown), parts=parts)
        if any(part.error for part in shown):
            made.explained = replace(made.explained, error="a part of it cannot be evaluated")
            return made
        made.value, made.boxes, error = self._value(node, ts)
        made.explained = replace(made.explained, error=error)
        if made.value is not None:
            self._describe(made, made.value)
        return made

    def _literal(self, node: ast.Node, ts: int) -> EvaluatedNode:
        """A number or a text; also an expression for which there is no room."""
        value, boxes, _ = self._value(node, ts)
        return EvaluatedNode(node, ts, ExplainedNode(node.text, node.text, LITERAL), value, boxes=boxes)

    def _value(self, node: ast.Node, ts: int) -> tuple[Value | None, Boxes | None, str]:
        try:
            found = self.engine.instant(Query(node.text, node), ts, self.querier, self._shared)
            return found.value, found.boxes, ""
        except QueryLimitError as e:
            if str(e) == TIMED_OUT:
                raise
            return None, None, str(e)
        except (EvaluationError, LookupError) as e:
            return None, None, str(e)

    def _time_within(self, node: ast.Node, ts: int) -> int:
        """When the parts of a node are evaluated: those of a subquery at its last step."""
        if not isinstance(node, ast.Subquery):
            return ts
        step = node.step_ms or self.default_step_ms
        end = (node.at if isinstance(node.at, int) else ts) - node.offset_ms
        return end // step * step

    def _describe(self, made: EvaluatedNode, value: Value) -> None:
        explained = made.explained
        match value:
            case Scalar(numbers):
                reasons = tuple(_scalar_reasons(made))
                made.explained = replace(explained, value=float(numbers[0]), reasons=reasons)
            case String():
                pass
            case Matrix(_, _, _, counts):
                series, samples = int(np.count_nonzero(counts)), int(counts.sum())
                reasons = tuple(self._selector(made))
                made.explained = replace(explained, series=series, samples=samples, reasons=reasons)
            case Vector():
                rows = self._rows(value, made.boxes)
                made.explained = replace(explained, series=len(present_rows(value)), rows=rows)
                self._explain_vector(made, value)

    def _rows(self, vector: Vector, boxes: Boxes | None) -> tuple[ValueRow, ...]:
        rows = present_rows(vector)
        if vector.order is not None:
            rows = vector.order[vector.present[vector.order, 0]]
        shown = chosen(vector.index, rows, self.focus, self.bounds.rows)
        numbers = values_at(vector)
        return tuple(_value_row(labels, float(numbers[row]), boxes) for row, labels in shown)

    def _explain_vector(self, made: EvaluatedNode, vector: Vector) -> None:
        reasons: list[Reason] = []
        match made.node:
            case ast.VectorSelector():
                reasons += self._selector(made)
            case ast.Call():
                reasons += _call_reasons(made)
            case ast.Binary(op):
                left, right = (part.value for part in made.parts)
                if isinstance(left, Vector) and isinstance(right, Vector):
                    reasons += side_reasons(made.node, left, right, self.focus)
                if op in ast.COMPARISONS and left is not None and right is not None:
                    left, right = (part.floats for part in made.parts)
                    assert left is not None
                    assert right is not None
                    reasons += self._compare(made, compared(made.node, left, right))
                elif op in ("/", "%"):
                    reasons += _nan_reasons(vector if made.boxes is None else floats_of(vector, made.boxes))
            case _:
                pass
        made.explained = replace(made.explained, reasons=tuple(reasons))

    def _compare(self, made: EvaluatedNode, comparison: Comparison | None) -> Iterator[Reason]:
        if comparison is None or not len(comparison.rows):
            return
        assert isinstance(made.node, ast.Binary)
        made.comparison = comparison
        missed = tuple(comparison.missed(self.focus, self.bounds.missed))
        made.explained = replace(made.explained, dropped=len(comparison.dropped), missed=missed)
        yield from comparison.reasons(threshold_text(made.node, comparison))

    def _selector(self, made: EvaluatedNode) -> Iterator[Reason]:
        """Why an instant or a range selector has no series."""
        found = self.selection(made)
        if found is not None:
            yield from selector_reasons(*found, self.around)

    def selection(self, made: EvaluatedNode) -> tuple[ast.VectorSelector, Selection, ReadTime] | None:
        """What is kept of the series of a selector, and when it reads; None for any other node."""
        match made.node:
            case ast.MatrixSelector(node, span):
                pass
            case ast.VectorSelector() as node:
                span = self.lookback_ms
            case _:
                return None
        at = (node.at if isinstance(node.at, int) else made.at) - node.offset_ms
        read = ReadTime(at - span, at)
        return node, self.querier.select(node.matchers, read.first + 1, read.at), read


def head(node: ast.Node) -> str:
    """What a node adds to its parts: its operator with a number beside it, its aggregation, its function; all of a
    selector."""
    match node:
        case ast.Binary(_, lhs, rhs):
            left, right = (f"{side.text}" if isinstance(ast.unwrap(side), ast.Number) else "" for side in (lhs, rhs))
            return " ".join(part for part in (left, binary_operator(node), right) if part)
        case ast.Aggregate(_, _, param):
            text = aggregation_head(node).strip()
            literal = isinstance(param, ast.Number | ast.Str)
            return f"{text}({param.text})" if literal and param is not None else text
        case ast.Call(name, args):
            literals = [arg.text for arg in args if isinstance(arg, ast.Number | ast.Str)]
            return f"{name}({', '.join(literals)})"
        case ast.Unary(op):
            return op
        case ast.Subquery(expr):
            return node.text.removeprefix(expr.text)
        case _:
            return node.text


def _parts(node: ast.Node) -> tuple[ast.Node, ...]:
    """The parts that are explained. A selector inside a range is the range itself; info() reads labels with its second
    argument, not data."""
    if isinstance(node, ast.MatrixSelector):
        return ()
    if isinstance(node, ast.Call) and node.name == "info":
        return node.args[:1]
    return tuple(ast.unwrap(child) for child in ast.children(node))


def _kind(node: ast.Node) -> str:
    match node:
        case ast.VectorSelector():
            return "selector"
        case ast.MatrixSelector():
            return "range"
        case ast.Subquery():
            return "subquery"
        case ast.Binary(op) if op in ast.COMPARISONS:
            return "comparison"
        case ast.Binary(op) if op in ast.SET_OPERATORS:
            return "set"
        case ast.Binary() | ast.Unary():
            return "arithmetic"
        case ast.Aggregate():
            return "aggregation"
        case ast.Call():
            return "function"
        case _:
            return LITERAL


def _call_reasons(made: EvaluatedNode) -> Iterator[Reason]:
    node, explained = made.node, made.explained
    assert isinstance(node, ast.Call)
    if node.name in ("absent", "absent_over_time") and explained.is_empty and explained.parts:
        yield because(ReasonKind.ABSENT_FALSE, function=node.name, count=explained.parts[0].series)
    if node.name not in _NEED_TWO:
        return
    for part in made.parts:
        if isinstance(part.value, Matrix) and isinstance(part.node, ast.MatrixSelector):
            counts = part.value.counts
            few, total = int(np.count_nonzero(counts == 1)), int(np.count_nonzero(counts))
            if few:
                span = format_duration(part.node.range_ms)
                yield because(
                    ReasonKind.TOO_FEW_SAMPLES,
                    "A range should hold at least two scrapes; a series that has just begun needs one more.",
                    count=few,
                    total=total,
                    range=span,
                    function=node.name,
                )


def _scalar_reasons(made: EvaluatedNode) -> Iterator[Reason]:
    if isinstance(made.node, ast.Call) and made.node.name == "scalar" and isinstance(made.parts[0].value, Vector):
        count = len(present_rows(made.parts[0].value))
        if count != 1:
            yield because(ReasonKind.SCALAR_NAN, count=count)


def _nan_reasons(found: Vector) -> Iterator[Reason]:
    rows = present_rows(found)
    nan = int(np.count_nonzero(np.isnan(values_at(found)[rows])))
    if nan:
        yield because(ReasonKind.DIVIDED_BY_ZERO, count=nan, total=len(rows))
