"""Checks of what a rule computes from the series it selects. Each is one function of a rule and LiveData."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rulepush.errors import EvaluationError
from rulepush.livecheck.bounds import Bounds, bounds
from rulepush.livecheck.finding import Finding, FindingKind, problem
from rulepush.livecheck.rules import LiveRule
from rulepush.livecheck.seen import LiveData
from rulepush.livecheck.trees import bare_selector, conjuncts, metric_of, selectors, walk
from rulepush.model.labels import BUCKET, Labels
from rulepush.model.matcher import MatchOp
from rulepush.model.sample import Sample
from rulepush.nacos import knowledge
from rulepush.promql import Engine, Query, ValueType
from rulepush.promql.syntax import ast

_FOR_COUNTERS: Final = frozenset(("rate", "irate", "increase"))
_OF_HISTOGRAMS: Final = frozenset(("rate", "increase", "irate", "delta", "idelta", "sum_over_time", "avg_over_time"))
_FOR_GAUGES: Final = frozenset(("delta", "idelta", "deriv", "predict_linear"))
_ERRORS: Final = re.compile(r"(?i)exception|error|fail|reject|timeout|denied|drop|unhealth")
_YOUNG_POOLS: Final = re.compile(r".*(Eden|Survivor).*")


def rate_on_gauge(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """rate(), irate() and increase() of a gauge: every decrease looks like a restart."""
    for name, metric, selector in _ranged_calls(rule, _FOR_COUNTERS):
        if seen.type_of(metric) == "gauge":
            yield problem(
                FindingKind.RATE_ON_GAUGE,
                f"{name}() is for counters, and {metric} is a gauge: each time it goes down counts as a restart from 0",
                f"Use delta({selector}[...]), or {selector} - min_over_time({selector}[...]) for what mostly grows.",
            )


def delta_on_counter(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """delta() and its like of a counter: every restart is a big negative step."""
    for name, metric, _ in _ranged_calls(rule, _FOR_GAUGES):
        if seen.type_of(metric) == "counter":
            instead = "rate" if name == "deriv" else "increase"
            yield problem(
                FindingKind.DELTA_ON_COUNTER,
                f"{name}() is for gauges, and {metric} is a counter: a restart looks like a huge drop",
                f"Use {instead}().",
            )


def _ranged_calls(rule: LiveRule, names: frozenset[str]) -> Iterator[tuple[str, str, ast.VectorSelector]]:
    for node, _ in walk(rule.query.root):
        if isinstance(node, ast.Call) and node.name in names and node.args:
            first = ast.unwrap(node.args[0])
            if isinstance(first, ast.MatrixSelector) and (metric := metric_of(first.selector)):
                yield node.name, metric, first.selector


def histogram_quantile(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """A quantile needs buckets or native histograms, and the `le` of buckets must be kept by the aggregation."""
    for node, _ in walk(rule.query.root):
        if not (isinstance(node, ast.Call) and node.name == "histogram_quantile" and len(node.args) == 2):
            continue
        buckets = node.args[1]
        for inner, _ in walk(buckets):
            if (
                isinstance(inner, ast.Aggregate)
                and _reads_buckets(inner)
                and inner.without == (BUCKET in inner.grouping)
            ):
                keyword = "without" if inner.without else "by"
                yield problem(
                    FindingKind.BUCKETS_LOST,
                    f"histogram_quantile() needs the label le, and {inner.op} {keyword} ({', '.join(inner.grouping)}) "
                    "removes it",
                    "Leave le out of the `without` list." if inner.without else "Add le to the `by` list.",
                )
        read = [(metric_of(s) or "", seen.matching(s.matchers)) for s, _ in selectors(buckets)]
        if _reads_buckets(buckets) or any(BUCKET in labels for _, found in read for labels in found):
            continue
        for metric, found in read:
            if found and not seen.may_be_native(metric):
                yield problem(
                    FindingKind.NO_BUCKETS,
                    f"histogram_quantile() needs buckets, and {metric} has none",
                    f"Use {metric}_bucket." if seen.series(f"{metric}_bucket") else "",
                )


def histogram_compared(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """A native histogram compared with a number leaves nothing."""
    for node, _ in walk(rule.query.root):
        if not (isinstance(node, ast.Binary) and node.op in ast.COMPARISONS):
            continue
        for side, other in ((node.lhs, node.rhs), (node.rhs, node.lhs)):
            metric = _histogram_of(side, seen)
            if metric is not None and other.type is ValueType.SCALAR:
                yield problem(
                    FindingKind.HISTOGRAM_COMPARED,
                    f"it compares native histograms of {metric} with a number, which leaves nothing",
                    f"Compare histogram_quantile(0.9, {side}), histogram_count({side}) or histogram_avg({side}).",
                )


def _histogram_of(node: ast.Node, seen: LiveData) -> str | None:
    """The metric of an expression that is native histograms: a selector, or a sum, average or rate of one."""
    node = ast.unwrap(node)
    if isinstance(node, ast.Aggregate) and node.op in ("sum", "avg"):
        return _histogram_of(node.expr, seen)
    if isinstance(node, ast.Call) and node.name in _OF_HISTOGRAMS and node.args:
        first = ast.unwrap(node.args[0])
        node = first.selector if isinstance(first, ast.MatrixSelector) else first
    metric = metric_of(node) if isinstance(node, ast.VectorSelector) else None
    return metric if metric is not None and seen.is_native(metric) else None


def _reads_buckets(node: ast.Node) -> bool:
    """Whether the expression reads buckets: the other side of a join has no `le` to lose."""
    return any((metric_of(selector) or "").endswith("_bucket") for selector, _ in selectors(node))


def division_by_negative(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """A divisor of -1 (Micrometer's "no limit", Nacos' "nothing pushed") makes a ratio that exceeds no threshold."""
    for node, _ in walk(rule.query.root):
        if not (isinstance(node, ast.Binary) and node.op == "/" and node.rhs.type is ValueType.VECTOR):
            continue
        negative = [s for s in _values(node.rhs, seen) if s.value < 0]
        if negative:
            example = negative[0]
            yield problem(
                FindingKind.DIVISION_BY_NEGATIVE,
                f"it divides by {len(negative)} series that are negative, such as {_named(node.rhs, example.labels)} = "
                f"{example.value:g}, which means {'no limit' if _is_pools(node.rhs) else 'no value yet'}: those ratios "
                "are negative and never exceed a threshold",
                f"Divide by ({node.rhs} > 0)"
                + (", and sum the pools of a heap before you divide." if _is_pools(node.rhs) else "."),
            )


def _is_pools(divisor: ast.Node) -> bool:
    return any(metric_of(selector) == "jvm_memory_max_bytes" for selector, _ in selectors(divisor))


def per_pool(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """used / max for each pool on its own: Eden fills up before every collection, Survivor may be full by design."""
    for node, _ in walk(rule.query.root):
        if not (isinstance(node, ast.Binary) and node.op == "/"):
            continue
        used = bare_selector(node.lhs)
        if used is None or metric_of(used) != "jvm_memory_used_bytes":
            continue
        young = sorted(
            {labels.get("id") for labels in seen.matching(used.matchers) if _YOUNG_POOLS.fullmatch(labels.get("id"))}
        )
        if young:
            yield problem(
                FindingKind.PER_POOL,
                f"it compares each memory pool on its own, {' and '.join(young)} too, which may well be full",
                'Sum the pools first: sum without (area, id) (...{area="heap"}) / sum without (area, id) (... > 0); or '
                'leave them out: id!~".*(Eden|Survivor).*".',
            )


def absent_never(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """absent() of a series that always exists, or whose result can match nothing."""
    for node, above in walk(rule.query.root):
        if not (isinstance(node, ast.Call) and node.name in ("absent", "absent_over_time") and node.args):
            continue
        if _always_there(node.args[0]):
            yield problem(FindingKind.ABSENT_NEVER, f"{node} can never be true: its argument always has a value")
        selector = bare_selector(node.args[0])
        if isinstance(node.args[0], ast.MatrixSelector):
            selector = node.args[0].selector
        carried = {m.name for m in selector.matchers if m.op is MatchOp.EQUAL} if selector else set()
        for parent, _ in above:
            if isinstance(parent, ast.Binary) and parent.matching and parent.matching.on and parent.op != "or":
                lost = sorted(set(parent.matching.labels) - carried)
                if lost:
                    yield problem(
                        FindingKind.ABSENT_NEVER,
                        f"the result of {node} has only the labels of its = matchers, so `on ({', '.join(lost)})` "
                        "can match nothing",
                        "Leave out the join.",
                    )


def _always_there(node: ast.Node) -> bool:
    node = ast.unwrap(node)
    match node:
        case ast.Call("vector"):
            return True
        case ast.Binary("or", lhs, rhs):
            return _always_there(lhs) or _always_there(rhs)
        case _:
            return False


def comparisons(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """Comparisons that no value can satisfy, and conditions that every value satisfies."""
    top = {id(node) for node in conjuncts(rule.query.root)}
    for node, _ in walk(rule.query.root):
        if not isinstance(node, ast.Binary) or node.op not in ast.COMPARISONS or node.return_bool:
            continue
        left, right = bounds(node.lhs, seen), bounds(node.rhs, seen)
        if right[0] != right[1]:
            continue  # not with a constant
        limits = f"{node.lhs} is {_described(left)}"
        if _never(node.op, left, right[0]):
            hint = "This metric is a ratio: 80 % is 0.8." if left == (0.0, 1.0) and right[0] > 1 else ""
            yield problem(FindingKind.NEVER_TRUE, f"{node} can never be true: {limits}", hint)
        elif rule.alert and id(node) in top and _always(node.op, left, right[0]) and left[0] != left[1]:
            yield problem(FindingKind.ALWAYS_TRUE, f"{node} is always true: {limits}")


def inverted(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """An alert on the healthy state."""
    if not rule.alert:
        return
    parts = list(conjuncts(rule.query.root))
    for node in parts:
        if not (isinstance(node, ast.Binary) and isinstance(ast.unwrap(node.rhs), ast.Number)):
            continue
        limit = bounds(node.rhs, seen)[0]
        counter = next((s for s, _ in selectors(node.lhs) if _counts_errors(metric_of(s) or "", seen)), None)
        is_zero = (node.op, limit) in (("==", 0.0), ("<=", 0.0), ("<", 1.0))
        if counter is not None and is_zero:
            yield problem(
                FindingKind.INVERTED,
                f"it is inverted: {node} holds while there are no errors, and ends with the first one",
                f"Use increase({counter}[5m]) > 0{_also_the_first(counter)}.",
            )
        bare = bare_selector(node.lhs)
        alive = (node.op, limit) in (("==", 1.0), (">", 0.0), (">=", 1.0), ("!=", 0.0))
        if bare is not None and metric_of(bare) == "up" and alive and ast.unwrap(rule.query.root) is node:
            yield problem(
                FindingKind.INVERTED, f"it is inverted: {node} holds while the target answers", "Use up == 0."
            )


def _also_the_first(counter: ast.VectorSelector) -> str:
    """The second condition that increase() needs for a series that its first event creates."""
    lazy = knowledge.find(knowledge.LAZY, metric_of(counter) or "")
    return f" or ({counter} unless {counter} offset 5m)" if lazy else ""


def _counts_errors(metric: str, seen: LiveData) -> bool:
    counter = seen.type_of(metric) == "counter" or metric.endswith("_total")
    return counter and bool(_ERRORS.search(metric))


def _never(op: str, left: Bounds, limit: float) -> bool:
    low, high = left
    match op:
        case ">":
            return high <= limit
        case ">=":
            return high < limit
        case "<":
            return low >= limit
        case "<=":
            return low > limit
        case "==":
            return not low <= limit <= high
        case _:
            return low == high == limit


def _always(op: str, left: Bounds, limit: float) -> bool:
    opposite = {">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="}
    return _never(opposite[op], left, limit)


def _described(values: Bounds) -> str:
    low, high = values
    if low == high:
        return f"always {low:g}"
    if high == float("inf"):
        return f"never below {low:g}"
    return f"never above {high:g}" if low == float("-inf") else f"between {low:g} and {high:g}"


def _named(node: ast.Node, labels: Labels) -> str:
    """An element of a vector, with the metric's name where the expression is nothing but a selector."""
    bare = bare_selector(node)
    metric = metric_of(bare) if bare else None
    return str(labels.with_({"__name__": metric})) if metric else str(labels)


def _values(node: ast.Node, seen: LiveData) -> list[Sample]:
    """The values of an expression at the last scrape; none where it cannot be evaluated."""
    try:
        return Engine().instant(Query(node.text, node), seen.now, seen.head.querier()).samples()
    except EvaluationError:
        return []
