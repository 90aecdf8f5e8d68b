"""A parsed query, and what it will read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from rulepush.errors import ParseError
from rulepush.model.matcher import Matcher
from rulepush.promql.functions import FUNCTIONS
from rulepush.promql.functions.extended import misuse, reach
from rulepush.promql.functions.info import info_selector
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.durations import depends_on_query, resolve
from rulepush.promql.syntax.parse import parse
from rulepush.promql.syntax.signature import ValueType

DEFAULT_LOOKBACK_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class SelectorUse:
    """One selector of a query and how far back it reads.

    `lookback_ms`  how far before the evaluation time its oldest sample may lie: the ranges, subquery ranges and
                   offsets around it, and the look-back delta for an instant selector. With `since_ms`, before that.
    `ranged`       whether it is a range selector
    `function`     the innermost call that reads it, None when there is none
    `since_ms`     the fixed time of an @ modifier, moved by the offsets at it and inside it
    """

    matchers: tuple[Matcher, ...]
    lookback_ms: int
    ranged: bool
    function: str | None
    since_ms: int | None


class Query:
    """Immutable. Compile once, evaluate often: what the engine derives from it hangs on its nodes' identity."""

    __slots__ = ("__dict__", "root", "text")

    def __init__(self, text: str, root: ast.Node):
        self.text = text
        self.root = root

    @cached_property
    def value_type(self) -> ValueType:
        """What it evaluates to."""
        return self.root.type

    def selectors(self, lookback_delta_ms: int = DEFAULT_LOOKBACK_MS) -> tuple[SelectorUse, ...]:
        """Everything it reads, in source order; as an instant query, unless it was `resolved` for a range."""
        return tuple(_uses(self.root, 0, None, None, lookback_delta_ms))

    def resolved(self, step_ms: int, range_ms: int) -> Query:
        """The query with the durations that it has at that step, over that range; both are 0 in an instant query, which
        a rule is. The same object when none depends on them. Raises EvaluationError for one that is not positive."""
        return Query(self.text, resolve(self.root, step_ms, range_ms)) if self.depends_on_query else self

    @cached_property
    def misuse(self) -> str | None:
        """Why it cannot be evaluated although it parses: a function that does not take `anchored` or `smoothed`."""
        return misuse(self.root, FUNCTIONS)

    @cached_property
    def depends_on_query(self) -> bool:
        """Whether some duration is computed from step() or range()."""
        return depends_on_query(self.root)

    @cached_property
    def canonical(self) -> str:
        """Prometheus' canonical form."""
        return self.root.text

    def __str__(self) -> str:
        return self.canonical

    def __repr__(self) -> str:
        return f"Query({self.text!r})"


def parse_expr(text: str) -> Query:
    """A type-checked query, every function of which is known. Raises ParseError."""
    return Query(text, parse(text, FUNCTIONS))


def parse_selector(text: str, *, loose: bool = False) -> tuple[Matcher, ...]:
    """The matchers of a series selector, as `match[]` takes it. Where it is `loose`, it may select all series. Raises
    ParseError."""
    root = parse(text, FUNCTIONS, loose=loose)
    if not isinstance(root, ast.VectorSelector) or root.text != ast.VectorSelector(root.name, root.matchers).text:
        raise ParseError(f"expected a series selector, got {text!r}")
    return root.matchers


def _uses(node: ast.Node, back: int, since: int | None, function: str | None, delta: int) -> Iterator[SelectorUse]:
    """`back`: what the surrounding subqueries add; `since`: the @ of the innermost that has one, see `_moved`."""
    match node:
        case ast.VectorSelector():
            ahead = delta if node.extended is ast.Extended.SMOOTHED else 0
            yield _use(node, node.at, back, since, function, delta, node.offset_ms, False, ahead)
        case ast.MatrixSelector(selector, span):
            before, ahead = reach(selector, delta)
            yield _use(selector, selector.at, back, since, function, span + before, selector.offset_ms, True, ahead)
        case ast.Subquery(expr, span, _, offset, at):
            if isinstance(at, int):
                back, since = 0, at
            back, since = _moved(back, since, offset)
            yield from _uses(expr, back + span, since, function, delta)
        case ast.Call(name, args):
            if name != "info":
                for arg in args:
                    yield from _uses(arg, back, since, name, delta)
                return
            yield from _uses(args[0], back, since, name, delta)  # the second argument selects labels, not data
            reads = info_selector(node)
            if isinstance(reads.at, int):
                back, since = 0, reads.at
            back, since = _moved(back, since, reads.offset_ms)
            yield SelectorUse(reads.matchers, max(0, back + delta), False, name, since)
        case _:
            for child in ast.children(node):
                yield from _uses(child, back, since, function, delta)


def _use(
    selector: ast.VectorSelector,
    at: int | ast.At | None,
    back: int,
    since: int | None,
    function: str | None,
    span: int,
    offset: int,
    ranged: bool,
    ahead: int,
) -> SelectorUse:
    if isinstance(at, int):
        back, since = 0, at
    back, since = _moved(back, since, offset)
    lookback = back + span
    if ahead and since is not None:  # what is kept around a fixed time reaches as far to both sides
        lookback = max(lookback, ahead)
    return SelectorUse(selector.matchers, max(0, lookback), ranged, function, since)


def _moved(back: int, since: int | None, offset: int) -> tuple[int, int | None]:
    """What an offset does: it moves a fixed time, or looks further back from one that is not. Were a negative one taken
    from the look-back of a fixed time, nothing after that time would be kept."""
    return (back + offset, None) if since is None else (back, since - offset)
