"""The explanation of one rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rulepush.explain.alerts import AlertExplainer, of_interest
from rulepush.explain.elements import ANY_LABELS, Bounds, Focus
from rulepush.explain.nodes import TreeBuilder
from rulepush.explain.reasons import Reason, ReasonKind, because, number
from rulepush.explain.rule_facts import RuleFacts
from rulepush.explain.surroundings import Surroundings
from rulepush.explain.tree import ExplainedNode, Explanation
from rulepush.livecheck import expressions
from rulepush.livecheck.analyse import Check
from rulepush.livecheck.finding import Level
from rulepush.model.labels import METRIC_NAME
from rulepush.promql.query import DEFAULT_LOOKBACK_MS
from rulepush.rules.context import QueryEngine
from rulepush.rules.specs import result_fault
from rulepush.storage.selection import Querier

# What `check live` finds from names and types alone; what it computes from values, the tree shows.
CHECKS: Final[tuple[Check, ...]] = (
    expressions.inverted,
    expressions.rate_on_gauge,
    expressions.delta_on_counter,
    expressions.histogram_quantile,
    expressions.histogram_compared,
    expressions.per_pool,
    expressions.absent_never,
    expressions.comparisons,
)
DEFAULT_BOUNDS: Final = Bounds()


def explain(
    facts: RuleFacts,
    engine: QueryEngine,
    querier: Querier,
    ts: int,
    around: Surroundings,
    *,
    focus: Focus = ANY_LABELS,
    bounds: Bounds = DEFAULT_BOUNDS,
    lookback_ms: int = DEFAULT_LOOKBACK_MS,
) -> Explanation:
    """Explain a rule at `ts` (ms). Its expression is evaluated as the rule does, `query_offset` earlier; every value is
    bounded by the limits of `engine`. Raises QueryLimitError when its time is over."""
    builder = TreeBuilder(engine, querier, lookback_ms, around, bounds, focus)
    query = facts.query.resolved(0, 0)
    root = builder.build(query.root, ts - facts.query_offset_ms)
    chosen, count = of_interest(facts, focus, bounds.alerts)
    explainer = AlertExplainer(facts, root, builder, ts)
    return Explanation(
        name=facts.name,
        alerting=facts.alerting,
        group=facts.group,
        file=facts.file,
        line=facts.spec.line,
        expr=str(facts.query),
        ts=ts,
        state=facts.state,
        health=facts.health,
        last_error=facts.last_error,
        for_ms=facts.for_ms,
        keep_firing_ms=facts.keep_firing_ms,
        interval_ms=facts.interval_ms,
        last_ts=facts.last_ts,
        next_ts=None if facts.last_ts is None else facts.evaluation_at(ts, ts),
        summary=tuple(_summary(root.explained, result_fault(query))),
        findings=tuple(_findings(facts, around)),
        alerts=tuple(map(explainer.explain, chosen)),
        alert_count=count,
        tree=root.explained,
    )


def _summary(root: ExplainedNode, fault: str) -> Iterator[Reason]:
    """`fault`: why no result of it can be one of a rule."""
    if fault:
        yield because(ReasonKind.FAILS, expr=root.expr, error=fault)
    elif root.error:
        failed = next(node for node in root.walk() if node.error and not any(part.error for part in node.parts))
        yield because(ReasonKind.FAILS, expr=failed.expr, error=failed.error)
    elif root.value is not None:
        yield because(ReasonKind.VALUE, value=number(root.value))
        yield from root.reasons
    elif root.series:
        yield because(ReasonKind.RESULT, count=root.series)
    else:
        yield from dict.fromkeys(_cause(root))


def _cause(node: ExplainedNode) -> Iterator[Reason]:
    """Why a node is empty: its own reasons, or those of the part that is empty."""
    empty = [part for part in node.parts if part.is_empty]
    if node.kind == "set" and node.head.split()[0] == "or":
        for part in empty:
            yield from _cause(part)
        return
    if node.missed:
        yield from node.reasons
        first = node.missed[0]
        labels = first.labels.without((METRIC_NAME,))
        yield because(ReasonKind.NEAREST, labels=labels, missed=first.reason)
        return
    sides = [r for r in node.reasons if r.kind in (ReasonKind.LEFT_EMPTY, ReasonKind.RIGHT_EMPTY)]
    if len(sides) == len(empty) > 0:
        for side, part in zip(sides, empty, strict=True):
            yield side
            yield from _cause(part)
    elif node.reasons:
        yield from node.reasons
    elif empty:
        yield from _cause(empty[0])


def _findings(facts: RuleFacts, around: Surroundings) -> Iterator[Reason]:
    seen = around.seen
    if seen is None or not seen.answers or seen.nothing:
        return
    rule = facts.live_rule
    for check in CHECKS:
        for finding in check(rule, seen):
            if finding.level is Level.PROBLEM:
                yield because(ReasonKind.FOUND, finding.suggestion, message=finding.message, finding=finding.kind.value)
