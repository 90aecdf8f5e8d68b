"""Binary operators: arithmetic, comparison and sets, of scalars and vectors. After Prometheus' promql/engine.go."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from rulepush.errors import EvaluationError
from rulepush.histogram.boxes import box_mask
from rulepush.model.arrays import Bools, Floats
from rulepush.model.columns import RowNumbers
from rulepush.model.index import EMPTY_INDEX
from rulepush.model.labels import Labels
from rulepush.promql.eval.evaluation import Evaluation
from rulepush.promql.eval.operators import ARITHMETIC, COMPARISON
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.ast import Card, Matching
from rulepush.promql.syntax.printer import labels_text
from rulepush.promql.vectors.distinct import merge_duplicates
from rulepush.promql.vectors.matching import (
    MatchedRows,
    MatchGroups,
    concatenated,
    group_rows,
    match_labels,
    pair_rows,
    relevant,
    subset,
)
from rulepush.promql.vectors.native import histograms_in
from rulepush.promql.vectors.values import Scalar, Vector, drop_names, with_present, with_values

_EXPLICIT: Final = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
_UNIQUE: Final = "multiple matches for labels: grouping labels must ensure unique matches"


def scalar_binary(op: str, lhs: Scalar, rhs: Scalar) -> Scalar:
    """Both sides scalars; a comparison answers 0 or 1."""
    if op in ARITHMETIC:
        return Scalar(ARITHMETIC[op](lhs.values, rhs.values))
    return Scalar(COMPARISON[op](lhs.values, rhs.values).astype(np.float64))


def vector_scalar(node: ast.Binary, vector: Vector, scalar: Floats, swapped: bool, ev: Evaluation) -> Vector:
    """A vector and a scalar[T]; `swapped` when the scalar is on the left. A filter keeps the vector's values."""
    values = vector.values
    left, right = (scalar, values) if swapped else (values, scalar)
    if ev.boxes and histograms_in(vector, ev.boxes) is not None:
        return _histograms_scalar(node, vector, left, right, ev)
    if (compare := COMPARISON.get(node.op)) is not None:
        holds = compare(left, right)
        if not node.return_bool:
            return with_present(vector, vector.present & holds)
        result = with_values(vector, holds.astype(np.float64))
    elif (compute := ARITHMETIC.get(node.op)) is not None:
        result = with_values(vector, compute(left, right))
    else:
        return _histograms_scalar(node, vector, left, right, ev)
    delayed = ev.options.delayed_name_removal
    result = drop_names(result, delayed)
    return result if delayed else merge_duplicates(result)


def _histograms_scalar(node: ast.Binary, vector: Vector, left: Floats, right: Floats, ev: Evaluation) -> Vector:
    """`vector_scalar` where there may be histograms, or where the operator is for nothing else. `left` and `right` are
    the operands, one of them the scalar."""
    from rulepush.promql.eval.histogram_operators import with_histograms

    shape = vector.values.shape
    found = with_histograms(node, np.broadcast_to(left, shape), np.broadcast_to(right, shape), vector.present, ev)
    if node.op in COMPARISON and not node.return_bool:
        return with_present(vector, found.kept)
    present = found.known if node.return_bool else found.kept
    result = Vector(vector.index, found.values, present, vector.drop_name, vector.order)
    if node.op in ast.TRIMS:
        return result
    delayed = ev.options.delayed_name_removal
    result = drop_names(result, delayed)
    return result if delayed else merge_duplicates(result)


def vector_binary(node: ast.Binary, lhs: Vector, rhs: Vector, ev: Evaluation) -> Vector:
    """Two vectors. Raises EvaluationError with Prometheus' text where the matching is ambiguous."""
    matching = node.matching
    assert matching is not None
    matching = relevant(matching, lhs.index, rhs.index)
    if node.op in ast.SET_OPERATORS:
        result = _set_operation(node.op, lhs, rhs, matching)
    elif matching.card is Card.ONE_TO_MANY:
        result = _matched(node, matching, rhs, lhs, ev)
    else:
        result = _matched(node, matching, lhs, rhs, ev)
    delayed = ev.options.delayed_name_removal
    if node.return_bool:
        result = drop_names(result, delayed)
    # Results with equal labels at different steps are one series, whenever names are removed: rows of one match group
    # that take turns, or a sample that is a match at one step and filled at another.
    return result if delayed and result.values.shape[1] == 1 else merge_duplicates(result)


# Sets.


def _set_operation(op: str, lhs: Vector, rhs: Vector, matching: Matching) -> Vector:
    groups = group_rows(lhs.index, rhs.index, matching.on, matching.labels)
    if op == "or":
        free = rhs.present & ~_reached(groups.left, groups.count, lhs.present)[groups.right]
        drop = None
        if lhs.drop_name is not None or rhs.drop_name is not None:
            drop = np.concatenate((_drops(lhs), _drops(rhs)))
        return Vector(
            concatenated(lhs.index, rhs.index),
            np.concatenate((lhs.values, rhs.values)),
            np.concatenate((lhs.present, free)),
            drop,
        )
    if not groups.twice:
        partner = groups.row[groups.left]
        reached = rhs.present[partner] & (partner >= 0)[:, None] if len(rhs.index) else np.zeros_like(lhs.present)
    else:
        reached = _reached(groups.right, groups.count, rhs.present)[groups.left]
    return with_present(lhs, lhs.present & (reached if op == "and" else ~reached))


def _reached(codes: RowNumbers, count: int, present: Bools) -> Bools:
    """bool[count, T]: the groups that have a row that is present."""
    steps = present.shape[1]
    if steps == 1:
        reached = np.zeros((count, 1), np.bool_)
        reached[codes[present[:, 0]]] = True
        return reached
    counts = np.zeros((count, steps), np.int64)
    np.add.at(counts, codes, present)
    return counts > 0


def _drops(vector: Vector) -> Bools:
    return np.zeros(len(vector.index), np.bool_) if vector.drop_name is None else vector.drop_name


# Arithmetic and comparison.


def _matched(node: ast.Binary, matching: Matching, many: Vector, one: Vector, ev: Evaluation) -> Vector:
    """`many` is the left side unless the cardinality is one-to-many, whose sides come swapped."""
    groups = group_rows(many.index, one.index, matching.on, matching.labels)
    if groups.twice:
        if matching.fill_left is None and matching.fill_right is None:
            # Where one side is empty nothing can match, and Prometheus does not check the other side at all.
            one = with_present(one, one.present & many.present.any(axis=0))
        alive: Bools = np.logical_or.reduce(one.present, axis=1)
        if not alive.all():
            one = _only(one, alive)
            groups = group_rows(many.index, one.index, matching.on, matching.labels)
        if groups.twice:
            _reject_twins(groups, matching, one)
            return _step_by_step(node, matching, many, one, ev)
    match = pair_rows(many.index, one.index, groups, matching, node.op in ARITHMETIC)
    left, here = _gather(many, match.many, match.many_all)
    right, there = _gather(one, match.one, match.one_all)
    if matching.fill_left is not None or matching.fill_right is not None:
        left, right, present = _filled(matching, match, groups, many, one, left, right, here, there)
    else:
        present = here & there
    if matching.card is Card.ONE_TO_MANY:
        left, right = right, left
    return _combined(node, matching, match, many, left, right, present, ev)


def _combined(
    node: ast.Binary,
    matching: Matching,
    match: MatchedRows,
    many: Vector,
    left: Floats,
    right: Floats,
    present: Bools,
    ev: Evaluation,
) -> Vector:
    """The operator over the pairs. A comparison keeps the value of the left side of the expression."""
    compute = ARITHMETIC.get(node.op)
    dropped: Bools | None = None
    if many.drop_name is not None and len(many.index) and compute is None:
        dropped = many.drop_name[match.many] & (match.many >= 0)
    found = None
    # The group has met a histogram somewhere, which says nothing of these two.
    if node.op in ast.TRIMS or (ev.boxes and any(np.count_nonzero(box_mask(side)) for side in (left, right))):
        from rulepush.promql.eval.histogram_operators import with_histograms

        found = with_histograms(node, left, right, present, ev)
        present = found.known
    clash = match.clash
    if clash is not None and matching.card is Card.ONE_TO_ONE:  # an error even if the comparison leaves none of them
        _reject_clashes(clash, present, _EXPLICIT)
        clash = None
    if found is not None:
        values = found.values
        if not node.return_bool:
            present = found.kept
    elif compute is not None:
        values = compute(left, right)
    else:
        holds = COMPARISON[node.op](left, right)
        if node.return_bool:
            values = holds.astype(np.float64)
        else:
            values, present = left, present & holds
    if clash is not None:
        _reject_clashes(clash, present, _UNIQUE)
    return Vector(match.index, values, present, dropped)


def _gather(side: Vector, rows: RowNumbers, all_rows: bool) -> tuple[Floats, Bools]:
    if all_rows:
        return side.values, side.present
    if not len(side.index):  # only filled samples
        shape = (len(rows), side.values.shape[1])
        return np.zeros(shape), np.zeros(shape, np.bool_)
    return side.values[rows], side.present[rows]


def _only(vector: Vector, keep: Bools) -> Vector:
    drop = None if vector.drop_name is None else vector.drop_name[keep]
    return Vector(subset(vector.index, keep), vector.values[keep], vector.present[keep], drop)


def _filled(
    matching: Matching,
    match: MatchedRows,
    groups: MatchGroups,
    many: Vector,
    one: Vector,
    left: Floats,
    right: Floats,
    here: Bools,
    there: Bools,
) -> tuple[Floats, Floats, Bools]:
    """The operands with their fills: a pair with -1 exists while its row is present and its group has no other."""
    no_left, no_right = (match.many < 0)[:, None], (match.one < 0)[:, None]
    many_there = _reached(groups.left, groups.count, many.present)[match.groups]
    one_there = _reached(groups.right, groups.count, one.present)[match.groups]
    if matching.fill_left is not None:
        left = np.where(no_left, matching.fill_left, left)
    if matching.fill_right is not None:
        right = np.where(no_right, matching.fill_right, right)
    present = np.where(no_left, there & ~many_there, np.where(no_right, here & ~one_there, here & there))
    return left, right, present


def _reject_clashes(clash: RowNumbers, present: Bools, message: str) -> None:
    """Two results of one match group at one step (one-to-one), or two with the same labels (group_left)."""
    counts = np.zeros((int(clash.max()) + 1, present.shape[1]), np.int64)
    np.add.at(counts, clash, present)
    if (counts > 1).any():
        raise EvaluationError(message)


def _reject_twins(groups: MatchGroups, matching: Matching, one: Vector) -> None:
    """Two rows of the one side in one match group, both present at one step."""
    counts = np.zeros((groups.count, one.present.shape[1]), np.int64)
    np.add.at(counts, groups.right, one.present)
    bad = np.argwhere(counts.T > 1)
    if not len(bad):
        return
    step = int(bad[0, 0])
    here = np.flatnonzero(one.present[:, step])
    seen: dict[int, int] = {}
    for row in here.tolist():
        code = int(groups.right[row])
        if code in seen:
            raise EvaluationError(_twins_message(one.index.row(row), one.index.row(seen[code]), matching))
        seen[code] = row


def _twins_message(labels: Labels, twin: Labels, matching: Matching) -> str:
    side = "left" if matching.card is Card.ONE_TO_MANY else "right"
    group = labels_text(match_labels(labels, matching.on, matching.labels))
    first, second = sorted((labels_text(labels), labels_text(twin)))  # the same text whatever the order of the rows
    return (
        f"found duplicate series for the match group {group} on the {side} hand-side of the operation: "
        f"[{first}, {second}];many-to-many matching not allowed: "
        "matching labels must be unique on one side"
    )


def _step_by_step(node: ast.Binary, matching: Matching, many: Vector, one: Vector, ev: Evaluation) -> Vector:
    """Series of the one side take turns in a match group over the steps of a range query: each step by itself."""
    steps = many.values.shape[1]
    parts = []
    for i in range(steps):
        at = slice(i, i + 1)
        left = replace(many, values=many.values[:, at], present=many.present[:, at])
        right = replace(one, values=one.values[:, at], present=one.present[:, at])
        parts.append(_matched(node, matching, left, right, ev))
    return stack_steps(parts)


def stack_steps(parts: list[Vector]) -> Vector:
    """One vector over T steps from T vectors of one step; rows with equal labels are one series."""
    steps = len(parts)
    index = EMPTY_INDEX
    for part in parts:
        index = part.index if index is EMPTY_INDEX else concatenated(index, part.index)
    n = len(index)
    values, present, drop = np.zeros((n, steps)), np.zeros((n, steps), np.bool_), np.zeros(n, np.bool_)
    at = 0
    for i, part in enumerate(parts):
        rows = slice(at, at + len(part.index))
        at = rows.stop
        values[rows, i], present[rows, i] = part.values[:, 0], part.present[:, 0]
        drop[rows] = _drops(part)
    return merge_duplicates(Vector(index, values, present, drop if drop.any() else None))
