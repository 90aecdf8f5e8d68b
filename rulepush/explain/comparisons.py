"""What a comparison dropped, and by how much each element missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from rulepush.explain.elements import MAX_SEARCHED, Focus, Rows, chosen, present, values_at
from rulepush.explain.reasons import Reason, ReasonKind, because, number
from rulepush.explain.tree import MissedRow
from rulepush.model.arrays import Floats
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.promql.eval.operators import COMPARISON
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.matching import group_rows, relevant
from rulepush.promql.vectors.values import Scalar, Value, Vector

FLIPPED: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The elements that were compared: `rows` of `index`, with value and threshold.

    `op` has the element on its left, also where the expression has the number there.
    """

    op: str
    index: LabelIndex
    rows: Rows
    values: Floats
    thresholds: Floats

    @property
    def dropped(self) -> Rows:
        """The positions in `rows` of what was dropped, nearest to the threshold first."""
        with np.errstate(all="ignore"):
            out = np.flatnonzero(~COMPARISON[self.op](self.values, self.thresholds))
            distance = np.abs(self.values[out] - self.thresholds[out])
        distance[self.values[out] == self.thresholds[out]] = 0.0  # two infinities
        found: Rows = out[np.argsort(distance, kind="stable")]  # NaN comes last
        return found

    def missed(self, focus: Focus, count: int) -> list[MissedRow]:
        """At most `count` of the dropped elements, nearest first."""
        dropped = self.dropped
        place = {int(row): int(at) for at, row in zip(dropped, self.rows[dropped], strict=True)}
        found = chosen(self.index, self.rows[dropped], focus, count)
        return [self._row(place[row], labels) for row, labels in found]

    def missed_by(self, focus: Focus) -> MissedRow | None:
        """The nearest of the dropped elements that are meant; None when there is none."""
        dropped = self.dropped[:MAX_SEARCHED]
        pairs = zip(dropped.tolist(), self.index.some(self.rows[dropped]), strict=True)
        return next((self._row(at, labels) for at, labels in pairs if focus.means(labels)), None)

    def reasons(self, what: str) -> Iterator[Reason]:
        """What was dropped, in a sentence. `what` is the threshold: a number, or an expression."""
        dropped = self.dropped
        if not len(dropped):
            return
        yield because(ReasonKind.DROPPED, op=self.op, threshold=what, dropped=len(dropped), count=len(self.rows))
        nan = int(np.count_nonzero(np.isnan(self.values) | np.isnan(self.thresholds)))
        if nan and self.op != "!=":
            yield because(ReasonKind.NAN, count=nan, total=len(self.rows))

    def _row(self, at: int, labels: Labels) -> MissedRow:
        return MissedRow(labels, float(self.values[at]), self.op, float(self.thresholds[at]))


def compared(node: ast.Binary, left: Value, right: Value) -> Comparison | None:
    """What a filtering comparison compared; None where it filters nothing (`bool`, two scalars)."""
    if node.return_bool:
        return None
    match left, right:
        case Vector(), Scalar():
            return _with_number(node.op, left, float(right.values[0]))
        case Scalar(), Vector():
            return _with_number(FLIPPED[node.op], right, float(left.values[0]))
        case Vector(), Vector():
            return _with_vector(node, left, right)
        case _:
            return None


def threshold_text(node: ast.Binary, comparison: Comparison) -> str:
    """The threshold in a sentence: its number where all elements have the same, else the expression."""
    side = node.lhs if node.rhs.type is not node.type else node.rhs
    bare = ast.unwrap(side)
    if isinstance(bare, ast.Number):
        return bare.text
    first = comparison.thresholds[0]
    if (comparison.thresholds == first).all():
        return number(float(first))
    return f"({side.text})" if len(side.text) <= 60 else "the right side"


def _with_number(op: str, vector: Vector, threshold: float) -> Comparison:
    rows = np.flatnonzero(present(vector))
    return Comparison(op, vector.index, rows, values_at(vector)[rows], np.full(len(rows), threshold))


def _with_vector(node: ast.Binary, left: Vector, right: Vector) -> Comparison | None:
    pairs = matched_pairs(node, left, right)
    if pairs is None:
        return None
    many, many_rows, one, one_rows = pairs
    values, thresholds = values_at(many)[many_rows], values_at(one)[one_rows]
    op = node.op
    if many is not left:  # the elements of the result are those of the many side, its values those of the left
        op = FLIPPED[op]
    return Comparison(op, many.index, many_rows, values, thresholds)


def matched_pairs(node: ast.Binary, left: Vector, right: Vector) -> tuple[Vector, Rows, Vector, Rows] | None:
    """(many side, rows, one side, rows): the pairs that meet, the many side being the left one unless group_right says
    otherwise. None where fill modifiers make up partners."""
    assert node.matching is not None
    if node.matching.fill_left is not None or node.matching.fill_right is not None:
        return None
    matching = relevant(node.matching, left.index, right.index)
    many, one = (right, left) if matching.card is ast.Card.ONE_TO_MANY else (left, right)
    groups = group_rows(many.index, one.index, matching.on, matching.labels)
    row_of = np.full(groups.count, -1, np.intp)
    there = np.flatnonzero(present(one))
    row_of[groups.right[there]] = there
    here = np.flatnonzero(present(many))
    partner = row_of[groups.left[here]]
    met = partner >= 0
    return many, here[met], one, partner[met]
