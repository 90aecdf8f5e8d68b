"""Why an element is no longer in the result: where on its way through the expression it is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from rulepush.explain.elements import MAX_SEARCHED, Focus, Rows, present_rows
from rulepush.explain.nodes import EvaluatedNode, TreeBuilder
from rulepush.explain.partners import side_reasons
from rulepush.explain.reasons import Reason, ReasonKind, because, time_text
from rulepush.explain.selectors import newest_of, source_missing
from rulepush.model.durations import format_duration
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.values import Matrix, Vector

_SIDE_KINDS: Final = frozenset(
    (ReasonKind.NO_PARTNER, ReasonKind.RIGHT_ALONE, ReasonKind.EXCLUDED, ReasonKind.RIGHT_EMPTY)
)


def is_there(made: EvaluatedNode, focus: Focus) -> bool | None:
    """Whether a node has an element that is meant; None when that is not known."""
    match made.value:
        case Vector() as vector:
            return _any_meant(vector.index, present_rows(vector), focus)
        case Matrix(index, _, _, counts):
            return _any_meant(index, np.flatnonzero(counts), focus)
        case _:
            return None


def _any_meant(index: LabelIndex, rows: Rows, focus: Focus) -> bool | None:
    if any(map(focus.means, index.some(rows[:MAX_SEARCHED]) if len(rows) else ())):
        return True
    return False if len(rows) <= MAX_SEARCHED else None


def why_gone(made: EvaluatedNode, focus: Focus, builder: TreeBuilder) -> list[Reason]:
    """The reasons why the node has no element that is meant; none where it has one, or where that cannot be told."""
    if is_there(made, focus) is not False:
        return []
    match made.node:
        case ast.VectorSelector() | ast.MatrixSelector():
            return list(_series_gone(made, focus, builder))
        case ast.Binary():
            return _lost_between(made, focus, builder)
        case _:
            own = list(made.explained.reasons)
            within = _within(made, focus)
            return own or next((found for part in _vectors(made) if (found := why_gone(part, within, builder))), [])


def _within(made: EvaluatedNode, focus: Focus) -> Focus:
    """What is asked of the parts of a node: all labels but one that the node itself makes."""
    match made.node:
        case ast.Call("label_replace" | "label_join", (_, ast.Str(name), *_)):
            own = name
        case ast.Aggregate("count_values", _, ast.Str(name)):
            own = name
        case _:
            return focus
    return Focus({label: value for label, value in focus.labels.items() if label != own})


def _lost_between(made: EvaluatedNode, focus: Focus, builder: TreeBuilder) -> list[Reason]:
    node = made.node
    assert isinstance(node, ast.Binary)
    if made.comparison is not None:
        missed = made.comparison.missed_by(focus)
        if missed is not None:
            return [because(ReasonKind.MISSED, labels=missed.labels, missed=missed.reason)]
    if node.op == "or":
        found = dict.fromkeys(one for part in made.parts for one in why_gone(part, focus, builder))
        # A side whose series never had these labels is no reason where the other side has one.
        told = [one for one in found if one.kind is not ReasonKind.SERIES_GONE]
        return told or list(found)
    carrying = _carrying(made)
    if carrying is None:
        return []
    lost_before = why_gone(carrying, focus, builder)
    if lost_before or is_there(carrying, focus) is None:
        return lost_before
    left, right = (part.value for part in made.parts)
    if not (isinstance(left, Vector) and isinstance(right, Vector)):
        return []
    reasons = [found for found in side_reasons(node, left, right, focus) if found.kind in _SIDE_KINDS]
    if node.op != "unless":  # what kept the partner away
        other = next(part for part in made.parts if part is not carrying)
        reasons += why_gone(other, _compared(node, focus), builder)
    return reasons


def _compared(node: ast.Binary, focus: Focus) -> Focus:
    """Of the labels of an element, those that its partner must have."""
    assert node.matching is not None
    named, on = node.matching.labels, node.matching.on
    return Focus({name: value for name, value in focus.labels.items() if (name in named) is on})


def _carrying(made: EvaluatedNode) -> EvaluatedNode | None:
    """The side whose elements are those of the result."""
    vectors = _vectors(made)
    if len(vectors) < 2:
        return vectors[0] if vectors else None
    assert isinstance(made.node, ast.Binary)
    assert made.node.matching is not None
    return vectors[1 if made.node.matching.card is ast.Card.ONE_TO_MANY else 0]


def _vectors(made: EvaluatedNode) -> list[EvaluatedNode]:
    return [part for part in made.parts if isinstance(part.value, Vector | Matrix)]


def _series_gone(made: EvaluatedNode, focus: Focus, builder: TreeBuilder) -> Iterator[Reason]:
    """Of the series that were meant: ended, without a new sample, or no longer kept; and their target."""
    found = builder.selection(made)
    assert found is not None
    node, selection, read = found
    _, newest, stale = newest_of(selection, read)
    meant = [i for i, labels in enumerate(_some(selection.index)) if focus.means(labels)]
    ended = [i for i in meant if stale[i]]
    old = [i for i in meant if not stale[i]]
    if ended:
        yield because(ReasonKind.ENDED, count=len(ended), time=time_text(max(int(newest[i]) for i in ended)))
    if old:
        yield because(ReasonKind.TOO_OLD, count=len(old), lookback=format_duration(read.at - read.first))
    source = Labels(focus.labels)
    if not focus.labels:
        yield from (found for found in made.explained.reasons if found.kind is not ReasonKind.ENDED)
        return
    missing = list(source_missing(source, node.matchers, builder.around))
    if not meant and not missing:
        yield because(ReasonKind.SERIES_GONE)
    yield from missing


def _some(index: LabelIndex) -> Sequence[Labels]:
    return index.some(np.arange(min(len(index), MAX_SEARCHED))) if len(index) else ()
