"""Which elements of two sides found no partner, and the labels that kept them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from rulepush.explain.comparisons import matched_pairs
from rulepush.explain.elements import Focus, Rows, labels_of, present, present_rows
from rulepush.explain.reasons import Reason, ReasonKind, because
from rulepush.livecheck.joins import SideDifference, match_suggestion, shown_values, side_difference
from rulepush.model.arrays import Bools
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.printer import binary_operator
from rulepush.promql.vectors.matching import group_rows, relevant
from rulepush.promql.vectors.values import Vector

_MISSING: Final = frozenset(("",))
_NEAREST_OF: Final = 200  # elements of the other side that are compared for the nearest one


def side_reasons(node: ast.Binary, left: Vector, right: Vector, focus: Focus) -> Iterator[Reason]:
    """Why elements of the two sides are not in the result although their values are no reason. Nothing for `or`, which
    keeps all of the left side, and where fill modifiers make up partners."""
    assert node.matching is not None
    op = binary_operator(node)
    if node.op == "or" or node.matching.fill_left is not None or node.matching.fill_right is not None:
        return
    if node.op == "unless":
        yield from _excluded(node, left, right)
        return
    lefts, rights = present_rows(left), present_rows(right)
    if not len(lefts):
        yield because(ReasonKind.LEFT_EMPTY, op=op)
    if not len(rights):
        yield because(ReasonKind.RIGHT_EMPTY, op=op)
    if not len(lefts) or not len(rights):
        return
    found = _without_partner(node, left, right)
    if found is None:
        return
    side, alone, others, other_rows, total = found
    if not len(alone):
        return
    lonely = [labels for labels in labels_of(side.index, alone) if focus.means(labels)]
    if not lonely:
        return
    theirs = labels_of(others.index, other_rows)
    is_left = side is left
    difference, suggestion = _difference(node.matching, lonely, theirs, is_left)
    yield because(
        ReasonKind.NO_PARTNER if is_left else ReasonKind.RIGHT_ALONE,
        suggestion if len(alone) == total else "",
        count=len(alone),
        total=total,
        op=op,
        difference=difference,
    )


def _without_partner(node: ast.Binary, left: Vector, right: Vector) -> tuple[Vector, Rows, Vector, Rows, int] | None:
    """(side, its rows without a partner, other side, its rows, how many the side has). The side is the many one: each
    of its elements would be one of the result."""
    if node.op == "and":
        assert node.matching is not None
        reached = _reached(node.matching, left, right)
        here = present(left)
        return left, np.flatnonzero(here & ~reached), right, present_rows(right), int(here.sum())
    pairs = matched_pairs(node, left, right)
    if pairs is None:
        return None
    many, met, one, _ = pairs
    rows = present_rows(many)
    return many, np.setdiff1d(rows, met, assume_unique=True), one, present_rows(one), len(rows)


def _excluded(node: ast.Binary, left: Vector, right: Vector) -> Iterator[Reason]:
    matching = node.matching
    assert matching is not None
    here = present(left)
    removed = int((here & _reached(matching, left, right)).sum())
    if removed:
        if matching.on:
            labels = ", ".join(matching.labels) or "labels (none are compared)"
        else:
            labels = "labels" + (f" (without {', '.join(matching.labels)})" if matching.labels else "")
        yield because(ReasonKind.EXCLUDED, count=removed, total=int(here.sum()), labels=labels)


def _reached(matching: ast.Matching, left: Vector, right: Vector) -> Bools:
    """bool[nL]: whether the right side has an element in the match group of each row."""
    matching = relevant(matching, left.index, right.index)
    groups = group_rows(left.index, right.index, matching.on, matching.labels)
    reached = np.zeros(groups.count, np.bool_)
    reached[groups.right[present(right)]] = True
    found: Bools = reached[groups.left]
    return found


def _difference(
    matching: ast.Matching, lonely: Sequence[Labels], others: Sequence[Labels], is_left: bool
) -> tuple[Reason, str]:
    """The labels that differ, and what to match on instead."""
    sides = (lonely, others) if is_left else (others, lonely)
    found = side_difference(matching, *sides)
    if found.differ:
        return _said(found), match_suggestion(matching, found)
    nearest = _nearest(matching, lonely[0], others)
    pair = ((lonely[0],), (nearest,)) if is_left else ((nearest,), (lonely[0],))
    odd = side_difference(matching, *pair)
    if not odd.differ:  # but in the metric name
        return because(ReasonKind.NO_LABELS), ""
    named = _named(matching, lonely[0])
    return because(ReasonKind.NEAREST_PARTNER, labels=named, difference=_said(odd)), ""


def _said(found: SideDifference) -> Reason:
    """As `SideDifference.text`, each label a reason of its own."""
    each = [_label_said(name, left, right) for name, (left, right) in found.differ.items()]
    said = each[-1]
    for first in reversed(each[:-1]):
        said = because(ReasonKind.ALSO, first=first, rest=said)
    return said


def _label_said(name: str, left: frozenset[str], right: frozenset[str]) -> Reason:
    if left == _MISSING:
        return because(ReasonKind.LEFT_MISSING, label=name, right=shown_values(right))
    if right == _MISSING:
        return because(ReasonKind.RIGHT_MISSING, label=name, left=shown_values(left))
    return because(ReasonKind.DIFFERS, label=name, left=shown_values(left), right=shown_values(right))


def _nearest(matching: ast.Matching, labels: Labels, others: Sequence[Labels]) -> Labels:
    """The element of the other side with the fewest labels that differ."""

    def differing(other: Labels) -> int:
        return len(side_difference(matching, (labels,), (other,)).differ)

    return min(others[:_NEAREST_OF], key=differing)


def _named(matching: ast.Matching, labels: Labels) -> str:
    """What of an element is compared."""
    names = labels.only(matching.labels) if matching.on else labels.without((*matching.labels, METRIC_NAME))
    return str(names)
