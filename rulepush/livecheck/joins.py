"""Checks that the two sides of an operator match: `a / b` whose labels differ is always empty, without an error."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from rulepush.errors import EvaluationError
from rulepush.livecheck.finding import Finding, FindingKind, problem
from rulepush.livecheck.rules import LiveRule
from rulepush.livecheck.seen import LiveData
from rulepush.livecheck.trees import walk
from rulepush.model.labels import METRIC_NAME, Labels, quote_label_value
from rulepush.promql import Engine, Query, ValueType
from rulepush.promql.syntax import ast

_SHOWN = 3
_MADE_UP = frozenset(("absent", "absent_over_time"))  # their labels come from matchers, not from series


def joins(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """Operators between vectors that both have elements, none of which match. `or` and `unless` need no match.

    Comparisons are left out of both sides: what they filter changes from hour to hour, labels do not.
    """
    for node, _ in walk(rule.query.root):
        if not isinstance(node, ast.Binary) or node.matching is None or node.op in ("or", "unless"):
            continue
        matching = node.matching
        if matching.fill_left is not None or matching.fill_right is not None:
            continue
        if any(isinstance(inner, ast.Call) and inner.name in _MADE_UP for inner, _ in walk(node)):
            continue
        left, right = (_elements(_unfiltered(side), seen) for side in (node.lhs, node.rhs))
        if left and right and not _keys(left, matching) & _keys(right, matching):
            yield _no_match(node, matching, left, right)


def _elements(node: ast.Node, seen: LiveData) -> list[Labels]:
    try:
        samples = Engine().instant(Query(node.text, node), seen.now, seen.head.querier()).samples()
    except EvaluationError:  # reported where the whole rule is evaluated
        return []
    return [sample.labels for sample in samples]


def _keys(elements: Sequence[Labels], matching: ast.Matching) -> set[Labels]:
    """The matching labels of each element."""
    named = set(matching.labels)
    if matching.on:
        return {Labels(p for p in labels if p[0] in named) for labels in elements}
    return {Labels(p for p in labels if p[0] not in named and p[0] != METRIC_NAME) for labels in elements}


@dataclass(frozen=True, slots=True)
class SideDifference:
    """How the labels of two sides differ.

    `differ`  the compared labels that no value is common to, with the values of the left and of the right side
    `shared`  the other compared labels, sorted
    """

    differ: Mapping[str, tuple[frozenset[str], frozenset[str]]]
    shared: tuple[str, ...]

    @property
    def text(self) -> str:
        """`job is "a" on the left and missing on the right`, "" when no single label tells the sides apart."""
        return "; ".join(
            f"{name} is {shown_values(left)} on the left and {shown_values(right)} on the right"
            for name, (left, right) in self.differ.items()
        )


def side_difference(matching: ast.Matching, left: Sequence[Labels], right: Sequence[Labels]) -> SideDifference:
    """The labels that keep the elements of two sides apart."""
    names = {name for labels in chain(left, right) for name, _ in labels} - {METRIC_NAME}
    compared = sorted(names & set(matching.labels) if matching.on else names - set(matching.labels))
    values = {name: (_values(left, name), _values(right, name)) for name in compared}
    differ = {name: sides for name, sides in values.items() if not sides[0] & sides[1]}
    return SideDifference(differ, tuple(name for name in compared if name not in differ))


def match_suggestion(matching: ast.Matching, difference: SideDifference) -> str:
    """What to match on instead, "" when the sides have no label in common."""
    shared, differ = difference.shared, difference.differ
    if not shared or not differ:
        return ""
    suggestion = f"Match on what both have: on ({', '.join(shared)})"
    return suggestion + ("." if matching.on else f", or ignoring ({', '.join(sorted([*matching.labels, *differ]))}).")


def _no_match(node: ast.Binary, matching: ast.Matching, left: Sequence[Labels], right: Sequence[Labels]) -> Finding:
    difference = side_difference(matching, left, right)
    detail = difference.text or "no element has the labels of another"
    return problem(
        FindingKind.NO_MATCH,
        f"the sides of `{node.op}` never meet, so it gives nothing: {detail}",
        match_suggestion(matching, difference),
    )


def _values(elements: Sequence[Labels], name: str) -> frozenset[str]:
    return frozenset(labels.get(name) for labels in elements)


def shown_values(values: frozenset[str]) -> str:
    """Label values of one side in a sentence: `"a" or "b"`, `missing`."""
    some = " or ".join(quote_label_value(value) if value else "missing" for value in sorted(values)[:_SHOWN])
    return some + (" or others" if len(values) > _SHOWN else "")


def _unfiltered(node: ast.Node) -> ast.Node:
    """The expression without its conditions: of a comparison and of `and` the left side."""
    match node:
        case ast.Binary(op, lhs, rhs) if op in ast.COMPARISONS and not node.return_bool:
            return _unfiltered(rhs if lhs.type is ValueType.SCALAR else lhs)
        case ast.Binary("and" | "unless", lhs, _):
            return _unfiltered(lhs)
        case ast.Binary(_, lhs, rhs):
            return dataclasses.replace(node, lhs=_unfiltered(lhs), rhs=_unfiltered(rhs))
        case ast.Paren(expr) | ast.Unary(_, expr) | ast.Subquery(expr):
            return dataclasses.replace(node, expr=_unfiltered(expr))
        case ast.Aggregate(_, expr, _):
            return dataclasses.replace(node, expr=_unfiltered(expr))
        case ast.Call(_, args):
            return dataclasses.replace(node, args=tuple(_unfiltered(arg) for arg in args))
        case _:
            return node
