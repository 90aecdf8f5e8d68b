"""The syntax tree of PromQL: small immutable nodes, compared by identity.

Every node has `pos`, the offset of its first character in the query (annotations say where), `type`, and `text`, its
canonical form, which is what makes two sub-expressions of different rules the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Final

from rulepush.model.matcher import Matcher
from rulepush.promql.syntax.signature import ValueType

SET_OPERATORS: Final = frozenset(("and", "or", "unless"))
TRIMS: Final = frozenset(("</", ">/"))  # of native histograms: below, above
COMPARISONS: Final = frozenset(("==", "!=", "<", "<=", ">", ">="))
PARAMETRIC: Final = frozenset(("bottomk", "count_values", "limit_ratio", "limitk", "quantile", "topk"))
AGGREGATORS: Final = PARAMETRIC | {"avg", "count", "group", "max", "min", "stddev", "stdvar", "sum"}


class At(Enum):
    """The two symbolic times of the @ modifier."""

    START = "start()"
    END = "end()"


class Extended(Enum):
    """The modifiers that look beyond the range."""

    ANCHORED = "anchored"
    SMOOTHED = "smoothed"


class Card(Enum):
    """How many rows of each side may match; the value is Prometheus' name."""

    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"


@dataclass(frozen=True, eq=False)
class Node:
    """What all nodes share."""

    pos: int = field(kw_only=True, default=0)

    @property
    def type(self) -> ValueType:
        """The type of the value; a failing default for nodes that forget it."""
        raise NotImplementedError(type(self).__name__)

    @cached_property
    def text(self) -> str:
        """Prometheus' canonical form of this expression."""
        from rulepush.promql.syntax.printer import print_expr

        return print_expr(self)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False)
class Number(Node):
    value: float
    duration: bool = False  # written as `5m`

    @property
    def type(self) -> ValueType:
        return ValueType.SCALAR


@dataclass(frozen=True, eq=False)
class Str(Node):
    value: str

    @property
    def type(self) -> ValueType:
        return ValueType.STRING


@dataclass(frozen=True, eq=False)
class Paren(Node):
    expr: Node

    @property
    def type(self) -> ValueType:
        return self.expr.type


@dataclass(frozen=True, eq=False)
class Unary(Node):
    op: str  # "-" or "+"
    expr: Node

    @property
    def type(self) -> ValueType:
        return self.expr.type


@dataclass(frozen=True)
class Matching:
    """The matching of two vectors. Hashable: with the two label indexes it keys the memo of the match."""

    card: Card = Card.ONE_TO_ONE
    on: bool = False
    labels: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None


@dataclass(frozen=True, eq=False)
class Binary(Node):
    op: str
    lhs: Node
    rhs: Node
    matching: Matching | None = None  # set when both sides are vectors
    return_bool: bool = False

    @cached_property
    def type(self) -> ValueType:
        both_scalar = self.lhs.type is ValueType.SCALAR and self.rhs.type is ValueType.SCALAR
        return ValueType.SCALAR if both_scalar else ValueType.VECTOR


@dataclass(frozen=True, eq=False)
class Aggregate(Node):
    op: str
    expr: Node
    param: Node | None = None
    grouping: tuple[str, ...] = ()
    without: bool = False

    @property
    def type(self) -> ValueType:
        return ValueType.VECTOR


@dataclass(frozen=True, eq=False)
class Call(Node):
    name: str
    args: tuple[Node, ...]
    returns: ValueType = ValueType.VECTOR

    @property
    def type(self) -> ValueType:
        return self.returns


@dataclass(frozen=True, eq=False)
class DurationExpr(Node):
    """A duration that is computed: `5m * 2`, `-step()`. Operands are Numbers (seconds) and DurationExprs.

    `op` is an operator (a sign has no `lhs`), or one of step, range, min_of and max_of; `end` the offset after its last
    character; `wrapped` whether it stands in parentheses.
    """

    op: str
    lhs: Node | None
    rhs: Node | None
    end: int
    wrapped: bool = False

    @property
    def type(self) -> ValueType:
        return ValueType.SCALAR


@dataclass(frozen=True, eq=False)
class VectorSelector(Node):
    """`name` is the metric name when it is written as one; the matchers hold it too.

    `offset_expr` is what `offset_ms` was computed from, as are the `_expr` of the other nodes: `durations.resolve` puts
    in what they come to in a query of a given step.
    """

    name: str
    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at: int | At | None = None
    offset_expr: DurationExpr | None = None
    extended: Extended | None = None

    @property
    def type(self) -> ValueType:
        return ValueType.VECTOR


@dataclass(frozen=True, eq=False)
class MatrixSelector(Node):
    selector: VectorSelector
    range_ms: int
    range_expr: DurationExpr | None = None

    @property
    def type(self) -> ValueType:
        return ValueType.MATRIX


@dataclass(frozen=True, eq=False)
class Subquery(Node):
    expr: Node
    range_ms: int
    step_ms: int | None = None  # None: the default step of the engine
    offset_ms: int = 0
    at: int | At | None = None
    range_expr: DurationExpr | None = None
    step_expr: DurationExpr | None = None
    offset_expr: DurationExpr | None = None

    @property
    def type(self) -> ValueType:
        return ValueType.MATRIX


def unwrap(node: Node) -> Node:
    """The expression inside any parentheses."""
    while isinstance(node, Paren):
        node = node.expr
    return node


def children(node: Node) -> tuple[Node, ...]:
    """The direct sub-expressions, in source order."""
    match node:
        case Paren(expr) | Unary(_, expr) | Subquery(expr):
            return (expr,)
        case Binary(_, lhs, rhs):
            return (lhs, rhs)
        case Aggregate(_, expr, param):
            return (expr,) if param is None else (param, expr)
        case Call(_, args):
            return args
        case MatrixSelector(selector):
            return (selector,)
        case _:
            return ()
