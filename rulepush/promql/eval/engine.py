"""The evaluator: a dispatch over the tree, each node a handful of numpy calls over all series and steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, assert_never

import numpy as np

from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.histogram.boxes import Boxes
from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.promql.eval.aggregations import aggregate
from rulepush.promql.eval.binary import scalar_binary, vector_binary, vector_scalar
from rulepush.promql.eval.evaluation import (
    UNSHARED,
    ComputedHistograms,
    EngineOptions,
    Evaluation,
    EvaluationLimits,
    QuerySamples,
    SharedResults,
)
from rulepush.promql.eval.info import enrich
from rulepush.promql.eval.range_call import call_kernel
from rulepush.promql.eval.result import QueryResult
from rulepush.promql.eval.selectors import samples_of, select_matrix, select_vector, select_windows, window_bounds
from rulepush.promql.functions import FUNCTIONS
from rulepush.promql.functions.extended import kernel_of
from rulepush.promql.functions.registry import InstantFunction, RangeFunction, VectorFunction
from rulepush.promql.query import Query
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.annotations import AnnotationSet
from rulepush.promql.vectors.distinct import apply_drops, distinct_matrix, merge_duplicates, reject_duplicates
from rulepush.promql.vectors.native import floats_of
from rulepush.promql.vectors.values import (
    Matrix,
    Scalar,
    String,
    Value,
    ValueType,
    Vector,
    drop_names,
    empty_vector,
    with_values,
)
from rulepush.promql.vectors.windows import RangeWindow, WindowColumns
from rulepush.storage.selection import Querier


class Engine:
    """Evaluates queries. Has no state but its options, so one engine serves everybody.

    `monotonic`, seconds, is only read to keep `timeout_ms`; without it there is no time limit.
    """

    def __init__(self, options: EngineOptions | None = None, monotonic: Callable[[], float] | None = None):
        self.options = options or EngineOptions()
        self._monotonic = monotonic if self.options.timeout_ms > 0 else None

    def instant(
        self,
        query: Query,
        ts: int,
        querier: Querier,
        shared: SharedResults | None = None,
        samples: QuerySamples | None = None,
        starts: Querier | None = None,
    ) -> QueryResult:
        """The value at `ts` (ms). What is read is counted in `samples`. `starts` has the start timestamps (ms) of
        samples, at their times, where they are to be used. Raises EvaluationError."""
        return self._run(query.resolved(0, 0), _one_step(ts), 0, querier, shared, samples, starts)

    def range(
        self,
        query: Query,
        start: int,
        end: int,
        step: int,
        querier: Querier,
        samples: QuerySamples | None = None,
        starts: Querier | None = None,
    ) -> QueryResult:
        """The values at start, start + step, ... up to end (ms). `samples` and `starts` as in `instant`. Raises
        EvaluationError."""
        if query.value_type not in (ValueType.VECTOR, ValueType.SCALAR):
            kind = query.value_type.described
            raise EvaluationError(f'invalid expression type "{kind}" for range query, must be Scalar or instant Vector')
        if step <= 0:
            raise EvaluationError("zero or negative query resolution step widths are not accepted")
        if end < start:
            raise EvaluationError("end timestamp must not be before start time")
        if (end - start) // step > self.options.max_steps:
            raise QueryLimitError(
                f"exceeded maximum resolution of {self.options.max_steps:,} points per timeseries."
                " Try decreasing the query resolution (?step=XX)"
            )
        steps = np.arange(start, end + 1, step, dtype=np.int64)
        return self._run(query.resolved(step, end - start), steps, step, querier, None, samples, starts, (start, end))

    def _run(
        self,
        query: Query,
        steps: Ints,
        interval: int,
        querier: Querier,
        shared: SharedResults | None,
        samples: QuerySamples | None,
        starts: Querier | None,
        bounds: tuple[int, int] | None = None,
    ) -> QueryResult:
        if query.misuse is not None:
            raise EvaluationError(query.misuse)
        options, clock, root = self.options, self._monotonic, query.root
        deadline = clock() + options.timeout_ms / 1000 if clock is not None else math.inf
        notes = AnnotationSet(options.type_and_unit_labels)
        limits = EvaluationLimits(options.max_samples, deadline, clock)
        is_range = interval > 0
        boxes = ComputedHistograms() if shared is None else shared.boxes
        boxes.limits = limits
        ev = Evaluation(
            steps, interval, bounds, querier, options, limits, notes, is_range, shared, samples, boxes, root, starts
        )
        with np.errstate(all="ignore"):
            try:
                value = evaluate(root, ev)
            except RecursionError:
                raise QueryLimitError("the expression is nested too deeply") from None
            if isinstance(value, Vector):
                value = apply_drops(value)
            elif isinstance(value, Matrix):
                value = _drop_matrix(value)
        if samples is not None:
            samples.held = limits.taken
        return QueryResult(value, steps, is_range, query.text, notes, boxes or None)


@lru_cache(maxsize=8)
def _one_step(ts: int) -> Ints:
    """The steps of an instant query: all rules of a group ask for the same ones."""
    steps = np.array((ts,), np.int64)
    steps.flags.writeable = False
    return steps


@dataclass(frozen=True, slots=True)
class Context:
    """What a VectorFunction may use beside its arguments: registry.CallContext."""

    node: ast.Call
    args: tuple[ast.Node, ...]
    ev: Evaluation

    @property
    def steps(self) -> Ints:
        return self.ev.steps

    @property
    def is_range(self) -> bool:
        return self.ev.is_range

    @property
    def start(self) -> int:
        return self.ev.first

    @property
    def end(self) -> int:
        return self.ev.last

    @property
    def interval(self) -> int:
        return self.ev.interval

    @property
    def notes(self) -> AnnotationSet:
        return self.ev.notes

    @property
    def boxes(self) -> Boxes:
        return self.ev.boxes

    @property
    def delayed_name_removal(self) -> bool:
        return self.ev.options.delayed_name_removal

    def check_time(self) -> None:
        self.ev.limits.check_time()


def evaluate(node: ast.Node, ev: Evaluation) -> Value:
    """The value of `node` at the steps of `ev`; found in `ev.shared` where another rule has asked for it already."""
    shared, known = ev.shared, ev.known
    if shared is None or known is None:
        return _EVALUATE[type(node)](node, ev)
    if isinstance(node, UNSHARED) if shared.worth is None else node.text not in shared.worth:
        return _EVALUATE[type(node)](node, ev)
    found = known.get(node.text)
    if found is not None:
        value, notes, origin = found
        if notes:
            ev.notes.merge(notes, node.pos - origin.pos)
        return value
    said = len(ev.notes)
    value = _EVALUATE[type(node)](node, ev)
    known[node.text] = value, ev.notes.since(said), node
    return value


def _vector(node: ast.Node, ev: Evaluation) -> Vector:
    value = evaluate(node, ev)
    assert isinstance(value, Vector)  # the parser has checked the types
    return value


def _scalar(node: ast.Node, ev: Evaluation) -> Floats:
    value = evaluate(node, ev)
    assert isinstance(value, Scalar)
    return value.values


def _number(node: ast.Number, ev: Evaluation) -> Value:
    return _once(node) if len(ev.steps) == 1 else Scalar(np.full(len(ev.steps), node.value))


@lru_cache(maxsize=4_096)
def _once(node: ast.Number) -> Scalar:
    """A number at one step."""
    return Scalar(np.array((node.value,)))


def _string(node: ast.Str, ev: Evaluation) -> Value:
    return String(node.value)


def _paren(node: ast.Paren, ev: Evaluation) -> Value:
    return evaluate(node.expr, ev)


def _unary(node: ast.Unary, ev: Evaluation) -> Value:
    value = evaluate(node.expr, ev)
    if node.op == "+":
        return value
    if isinstance(value, Scalar):
        return Scalar(-value.values)
    assert isinstance(value, Vector)
    if ev.boxes:
        from rulepush.promql.eval.histogram_operators import negated  # a process without histograms never loads it

        values = negated(value, ev.boxes)
    else:
        values = -value.values
    return _named(with_values(value, values), True, ev)


def _binary(node: ast.Binary, ev: Evaluation) -> Value:
    lhs, rhs = evaluate(node.lhs, ev), evaluate(node.rhs, ev)
    # Not `match`, which asks all of its cases in turn: rules consist of these.
    if isinstance(lhs, Vector):
        if isinstance(rhs, Scalar):
            return vector_scalar(node, lhs, rhs.values, False, ev)
        if isinstance(rhs, Vector):
            return vector_binary(node, lhs, rhs, ev)
    elif isinstance(lhs, Scalar):
        if isinstance(rhs, Vector):
            return vector_scalar(node, rhs, lhs.values, True, ev)
        if isinstance(rhs, Scalar):
            return scalar_binary(node.op, lhs, rhs)
    raise EvaluationError("binary expression must contain only scalar and instant vector types")


def _aggregate(node: ast.Aggregate, ev: Evaluation) -> Value:
    param = None if node.param is None else evaluate(node.param, ev)
    return aggregate(node, param, _vector(node.expr, ev), ev.notes, ev.boxes)


def _vector_selector(node: ast.VectorSelector, ev: Evaluation) -> Value:
    return select_vector(node, ev)


def _matrix_selector(node: ast.MatrixSelector, ev: Evaluation) -> Value:
    return select_matrix(node, ev)


def _subquery(node: ast.Subquery, ev: Evaluation) -> Value:
    inner = None if ev.samples is None else QuerySamples()
    columns = subquery(node, ev, inner)
    if ev.samples is not None and inner is not None:
        ev.samples.per_step[-1] += inner.total
    start, end, ts = window_bounds(node, ev)[0]
    w = columns.window(start, end, ts)
    return Matrix(w.index, w.times, w.values, w.counts, columns.drop_name)


def _call(node: ast.Call, ev: Evaluation) -> Value:
    if node.name == "info":
        return enrich(node, _vector(node.args[0], ev), ev)
    function = FUNCTIONS[node.name]
    if isinstance(function, RangeFunction):
        return _range_call(node, function, ev)
    if isinstance(function, InstantFunction):
        return _instant_call(node, function, ev)
    if isinstance(function, VectorFunction):
        return _vector_call(node, function, ev)
    assert_never(function)


def _instant_call(node: ast.Call, function: InstantFunction, ev: Evaluation) -> Vector:
    vector = _vector(node.args[0], ev)
    if ev.boxes:
        vector = floats_of(vector, ev.boxes)
    scalars = [_scalar(arg, ev) for arg in node.args[1:]]
    return _named(with_values(vector, function.kernel(vector.values, *scalars)), function.drop_name, ev)


def _vector_call(node: ast.Call, function: VectorFunction, ev: Evaluation) -> Value:
    bare = tuple(ast.unwrap(arg) for arg in node.args)
    if node.name == "timestamp" and isinstance(bare[0], ast.VectorSelector):
        return _named(select_vector(bare[0], ev, timestamps=True), True, ev)
    if node.name == "start_timestamp":
        if not isinstance(bare[0], ast.VectorSelector):
            evaluate(bare[0], ev)  # for what it has to say
        if ev.starts is None or not isinstance(bare[0], ast.VectorSelector):
            return empty_vector(len(ev.steps))
        from rulepush.promql.eval.start_timestamps import start_timestamps

        return _named(start_timestamps(bare[0], ev), True, ev)
    args: list[Value | str] = []
    for arg in bare:
        if arg.type is ValueType.MATRIX:
            args.append(_presence(arg, ev))
            continue
        value = evaluate(arg, ev)
        args.append(value.text if isinstance(value, String) else value)
    result = function.call(Context(node, bare, ev), *args)
    return _checked(result, ev) if isinstance(result, Vector) else result


def _range_call(node: ast.Call, function: RangeFunction, ev: Evaluation) -> Vector:
    """The kernel, once for each step."""
    args, at = node.args, function.range_arg
    scalars = [_scalar(arg, ev) for i, arg in enumerate(args) if i != at] if len(args) > 1 else []
    ranged = ast.unwrap(args[at])
    starts = ev.starts
    columns, windows = _windows(ranged, ev, apart=starts is None)
    kernel = kernel_of(function, ranged.selector.extended if isinstance(ranged, ast.MatrixSelector) else None)
    assert kernel is not None  # Query.misuse has reported it
    ev.limits.take(len(columns.index) * len(ev.steps))
    values, present = call_kernel(node, function, kernel, columns, windows, scalars, ev)
    if starts is not None and isinstance(ranged, ast.MatrixSelector):
        from rulepush.promql.eval.start_timestamps import with_start_timestamps

        values, present = with_start_timestamps(node, ranged, columns, values, present, ev)
    vector = Vector(columns.index, values, present, columns.drop_name)
    if not function.drop_name:
        return vector
    if ev.options.delayed_name_removal:
        return drop_names(vector, True)
    return reject_duplicates(drop_names(vector, False))


def _presence(arg: ast.Node, ev: Evaluation) -> Vector:
    """present_over_time of a range vector: all that absent_over_time needs to know."""
    columns, windows = _windows(arg, ev)
    present: Bools = np.array([window.counts > 0 for window in windows], np.bool_)
    present = present.reshape(len(ev.steps), len(columns.index)).T
    return Vector(columns.index, np.ones(present.shape), present, columns.drop_name)


def _windows(node: ast.Node, ev: Evaluation, *, apart: bool = False) -> tuple[WindowColumns, Iterator[RangeWindow]]:
    assert isinstance(node, ast.MatrixSelector | ast.Subquery)
    windows: Iterator[RangeWindow]
    if isinstance(node, ast.MatrixSelector):
        columns, windows = select_windows(node, ev, apart=apart and ev.samples is None)
    else:
        columns = subquery(node, ev)
        if ev.boxes:
            from rulepush.promql.eval.histogram_hints import without_reset_hints

            columns.values = without_reset_hints(columns.values, ev.boxes)
        windows = (columns.window(*bounds) for bounds in window_bounds(node, ev))
    if ev.samples is not None:
        ev.samples.per_step += [samples_of(columns.window(*bounds), ev) for bounds in window_bounds(node, ev)]
    return columns, windows


def subquery(node: ast.Subquery, ev: Evaluation, samples: QuerySamples | None = None) -> WindowColumns:
    """The values of the inner expression at all the steps that the outer steps need: multiples of the subquery's own
    step, after the start of the first range (exclusive), up to the end of the last. Prometheus counts what it reads
    (`samples`) only where the subquery is the whole query."""
    step = node.step_ms or ev.options.default_step_ms
    bounds = window_bounds(node, ev)
    if not bounds:
        return WindowColumns.of_steps(empty_vector(0), np.zeros(0, np.int64))
    start = bounds[0][0] // step * step + step
    inner = ev.within(start, bounds[-1][1], step, samples)
    if not len(inner.steps):
        return WindowColumns.of_steps(empty_vector(0), inner.steps)
    value = evaluate(node.expr, inner)
    assert isinstance(value, Vector)
    ev.limits.take(value.values.size)
    return WindowColumns.of_steps(value, inner.steps)


def _named(vector: Vector, drop_name: bool, ev: Evaluation) -> Vector:
    """The result of an elementwise function: without its names, each series once."""
    if not drop_name:
        return vector
    return _checked(drop_names(vector, ev.options.delayed_name_removal), ev)


def _checked(vector: Vector, ev: Evaluation) -> Vector:
    return vector if ev.options.delayed_name_removal else merge_duplicates(vector)


def _drop_matrix(matrix: Matrix) -> Matrix:
    """The end of an instant query for a subquery: names that were marked go."""
    steps = np.ones((len(matrix.index), 1), np.bool_)
    shape = apply_drops(Vector(matrix.index, np.zeros(steps.shape), steps, matrix.drop_name)).index
    distinct_matrix(shape, matrix.counts > 0)
    return replace(matrix, index=shape, drop_name=None)


_EVALUATE: Final[dict[type[ast.Node], Callable[[Any, Evaluation], Value]]] = {
    ast.Aggregate: _aggregate,
    ast.Binary: _binary,
    ast.Call: _call,
    ast.MatrixSelector: _matrix_selector,
    ast.Number: _number,
    ast.Paren: _paren,
    ast.Str: _string,
    ast.Subquery: _subquery,
    ast.Unary: _unary,
    ast.VectorSelector: _vector_selector,
}
