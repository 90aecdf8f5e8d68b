"""An Explanation as rows for a page: the tree laid flat, so that a template needs no recursion. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rulepush.explain.reasons import Reason, ReasonKind
from rulepush.explain.tree import ExplainedNode, Explanation, MissedRow, ValueRow

MAX_INDENT: Final = 8  # on a phone there is no room for more


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One part of the expression.

    `depth`      how deep it stands, from 0; `indent` the same, at most MAX_INDENT
    `head`       what it adds to its parts, a selector itself; `expr` its whole text
    `is_cause`   whether it holds a reason of the summary
    `series`     how many elements it has, None where `value` is what it has, or `error` says why it has nothing
    `compared`   of a comparison: how many elements it had to choose from, else None
    `rows`       some of the elements where they are worth showing: of selectors and comparisons
    `missed`     the nearest of those that it dropped
    `more`, `more_missed`  how many there are beyond those
    `reasons`    those that the summary does not have already
    """

    depth: int
    indent: int
    head: str
    expr: str
    kind: str
    is_cause: bool
    series: int | None
    value: float | None
    samples: int | None
    compared: int | None
    rows: tuple[ValueRow, ...]
    more: int
    missed: tuple[MissedRow, ...]
    more_missed: int
    reasons: tuple[Reason, ...]
    error: str


def tree_rows(found: Explanation) -> tuple[TreeRow, ...]:
    """The tree in the order of the text, each part after the one that it belongs to."""
    said = frozenset(reason.message for reason in found.summary)
    out: list[TreeRow] = []
    waiting = [(0, found.tree)]
    while waiting:
        depth, node = waiting.pop()
        out.append(_row(depth, node, said))
        waiting += [(depth + 1, part) for part in reversed(node.parts)]
    return tuple(out)


def _row(depth: int, node: ExplainedNode, said: frozenset[str]) -> TreeRow:
    is_comparison = node.kind == "comparison"
    rows = node.rows if is_comparison or not node.parts else ()  # between, the parts show the same elements
    # What a comparison dropped is told by its numbers.
    reasons = tuple(r for r in node.reasons if r.kind is not ReasonKind.DROPPED)
    fails_here = bool(node.error) and not any(part.error for part in node.parts)
    return TreeRow(
        depth=depth,
        indent=min(depth, MAX_INDENT),
        head=node.head,
        expr=node.expr,
        kind=node.kind,
        is_cause=fails_here or (node.is_empty and any(r.message in said for r in node.reasons)),
        series=node.series,
        value=node.value,
        samples=node.samples,
        compared=node.series + node.dropped if is_comparison and node.series is not None else None,
        rows=rows,
        more=max(0, (node.series or 0) - len(rows)) if rows else 0,
        missed=node.missed,
        more_missed=max(0, node.dropped - len(node.missed)) if node.missed else 0,
        reasons=tuple(r for r in reasons if r.message not in said),
        error=node.error if fails_here else "",
    )
