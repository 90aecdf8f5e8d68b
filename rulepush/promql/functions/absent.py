"""absent() and absent_over_time(), and timestamp()."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np

from rulepush.model.index import LabelIndex
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.promql.functions.registry import CallContext, Function, VectorFunction
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.signature import MATRIX, VECTOR, Signature
from rulepush.promql.vectors.values import Vector, drop_names, empty_vector


def labels_of_absent(node: Any) -> Labels:
    """The labels of what is missing: those that the selector fixes with exactly one `=` matcher."""
    matchers: tuple[Matcher, ...] = ()
    match node:
        case ast.VectorSelector():
            matchers = node.matchers
        case ast.MatrixSelector():
            matchers = node.selector.matchers
    fixed: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in matchers:
        if matcher.name == METRIC_NAME:
            continue
        if matcher.op is MatchOp.EQUAL and matcher.name not in seen:
            fixed[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            fixed.pop(matcher.name, None)
    return Labels(fixed)


def _absent(ctx: CallContext, vector: Vector) -> Vector:
    """One row of 1 at the steps where the argument has no row."""
    missing = ~np.any(vector.present, axis=0, keepdims=True)
    return Vector(_index_of(labels_of_absent(ctx.args[0])), np.ones(missing.shape), missing)


@lru_cache(maxsize=1024)
def _index_of(labels: Labels) -> LabelIndex:
    """The same object each time, so that what is memoised on it is found again."""
    return LabelIndex((labels,))


def _timestamp(ctx: CallContext, vector: Vector) -> Vector:
    """The evaluation time, in seconds. Of a plain selector the engine itself answers when each sample was taken."""
    times = np.broadcast_to(ctx.steps / 1000.0, vector.values.shape)
    timed = Vector(vector.index, times, vector.present, vector.drop_name, vector.order)
    return drop_names(timed, ctx.delayed_name_removal)


def _start_timestamp(ctx: CallContext, vector: Vector) -> Vector:
    """Nothing: of a plain selector the engine itself answers, and nothing else has start timestamps."""
    return empty_vector(len(ctx.steps))


ABSENT: Final[dict[str, Function]] = {
    "absent": VectorFunction("absent", Signature((VECTOR,)), _absent),
    "absent_over_time": VectorFunction("absent_over_time", Signature((MATRIX,)), _absent),
    "start_timestamp": VectorFunction("start_timestamp", Signature((VECTOR,), experimental=True), _start_timestamp),
    "timestamp": VectorFunction("timestamp", Signature((VECTOR,)), _timestamp),
}
