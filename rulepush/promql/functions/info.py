"""info(): its signature, and what it reads beside its argument. `eval/info.py` evaluates it, for it selects series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from rulepush.model.labels import METRIC_NAME
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.promql.functions.registry import CallContext, Function, VectorFunction
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.signature import VECTOR, Signature
from rulepush.promql.vectors.values import Vector

_TARGET_INFO: Final = Matcher(METRIC_NAME, MatchOp.EQUAL, "target_info")
_ANY_INFO: Final = Matcher(METRIC_NAME, MatchOp.REGEX, ".+_info")


@dataclass(frozen=True, slots=True)
class InfoSelector:
    """The info series of one call.

    `names`      which metrics are info metrics: target_info, or what the second argument says of `__name__`
    `data`       the other matchers of the second argument
    `at`, `offset_ms`  the time at which they are read, a step at a time: that of the first selector of the first
                 argument. Its own offset and those of the subqueries around it add up, as far as the innermost @.
    """

    names: tuple[Matcher, ...]
    data: tuple[Matcher, ...]
    at: int | ast.At | None
    offset_ms: int

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """All matchers."""
        return (*self.names, *self.data)


def info_selector(call: ast.Call) -> InfoSelector:
    """What a call of info() reads. Source: Prometheus promql/info.go, infoSelectTimestampAndOffset and
    effectiveInfoNameMatchers."""
    selector = call.args[1] if len(call.args) > 1 else None
    given = selector.matchers if isinstance(selector, ast.VectorSelector) else ()
    data = tuple(m for m in given if m.name != METRIC_NAME)
    at, offset = _reference(call.args[0]) or (None, 0)
    return InfoSelector(_names(tuple(m for m in given if m.name == METRIC_NAME)), data, at, offset)


def _names(given: tuple[Matcher, ...]) -> tuple[Matcher, ...]:
    if not given:
        return (_TARGET_INFO,)
    if not any(m.op in (MatchOp.EQUAL, MatchOp.REGEX) for m in given):
        return (*given, _ANY_INFO)
    return given


def _reference(node: ast.Node) -> tuple[int | ast.At | None, int] | None:
    """(@, offset) of the first selector under `node`, None when there is none."""
    if isinstance(node, ast.VectorSelector):
        return node.at, node.offset_ms
    for child in ast.children(node):
        found = _reference(child)
        if found is not None:
            at, offset = found
            if at is None and isinstance(node, ast.Subquery):
                return node.at, offset + node.offset_ms
            return found
    return None


def _info(ctx: CallContext, *args: Any) -> Vector:
    raise NotImplementedError("info() is evaluated by the engine")


INFO: Final[dict[str, Function]] = {
    "info": VectorFunction("info", Signature((VECTOR, VECTOR), variadic=1, experimental=True), _info),
}
