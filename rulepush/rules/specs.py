"""What a rule file says, checked and frozen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from rulepush.errors import ParseError
from rulepush.model.labels import METRIC_NAME
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.promql import Query, ValueType, parse_expr
from rulepush.promql.query import DEFAULT_LOOKBACK_MS, SelectorUse
from rulepush.storage.demand import ManualDemand
from rulepush.template import UNKNOWN_NUMBER, UNKNOWN_TEXT, template_queries

# A time up to a few evaluations in the past may be asked of the API.
_ALERTS_LOOKBACK_MS: Final = 5 * 60 * 1000

Pairs = tuple[tuple[str, str], ...]
"""Names and texts, sorted by name. Not `Labels`: an empty text is kept, it removes a label of the result."""


@dataclass(frozen=True, slots=True)
class RuleId:
    """By what a rule is found again, within its group, after a reload or a restart."""

    name: str
    expr: str
    labels: Pairs

    @property
    def loose(self) -> tuple[str, Pairs]:
        """What Prometheus goes by: the expression may have changed."""
        return (self.name, self.labels)


@dataclass(frozen=True, slots=True)
class RecordingSpec:
    """A recording rule. `labels` are those of the group and of the rule, which win."""

    name: str
    query: Query
    labels: Pairs = ()
    line: int = 0

    @property
    def id(self) -> RuleId:
        return RuleId(self.name, str(self.query), self.labels)


@dataclass(frozen=True, slots=True)
class AlertingSpec:
    """An alerting rule. `labels` are those of the group and of the rule, which win. Texts are templates."""

    name: str
    query: Query
    for_ms: int = 0
    keep_firing_ms: int = 0
    labels: Pairs = ()
    annotations: Pairs = ()
    line: int = 0

    @property
    def id(self) -> RuleId:
        return RuleId(self.name, str(self.query), self.labels)


RuleSpec = AlertingSpec | RecordingSpec


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated in order, at the same times.

    `interval_ms` 0 and `query_offset_ms` None stand for the global settings; `limit` 0 for none. `labels` are already
    part of the labels of every rule. `datasource` names the one that the rules are evaluated on; "": in memory.
    """

    name: str
    file: str
    rules: tuple[RuleSpec, ...] = ()
    interval_ms: int = 0
    limit: int = 0
    query_offset_ms: int | None = None
    labels: Pairs = ()
    line: int = 0
    datasource: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """(file, name): unique, and the order in which groups are shown."""
        return (self.file, self.name)


def result_fault(query: Query) -> str:
    """Why every evaluation of a rule with this expression fails; "" where its result can be one of a rule.

    Prometheus loads such a rule and finds this when it is evaluated (rules/manager.go, EngineQueryFunc).
    """
    if query.value_type in (ValueType.VECTOR, ValueType.SCALAR):
        return ""
    return f"rule result is not a vector or scalar but a {query.value_type.described}"


def demanded(
    groups: Iterable[RuleGroup], query_offset_ms: int = 0, lookback_delta_ms: int = DEFAULT_LOOKBACK_MS
) -> list[ManualDemand]:
    """Every selector that the rules and the queries of their templates read in memory, and ALERTS for the API.

    Raises nothing: a literal query that does not parse fails when its template is expanded, as in Prometheus.
    """
    wants: list[ManualDemand] = []
    alerts = False
    for group in groups:
        offset = query_offset_ms if group.query_offset_ms is None else group.query_offset_ms
        for rule in group.rules:
            alerts = alerts or isinstance(rule, AlertingSpec)
            if group.datasource:
                continue
            uses = list(rule.query.selectors(lookback_delta_ms))
            if isinstance(rule, AlertingSpec):
                uses += (
                    use for _, text in (*rule.labels, *rule.annotations) for use in read_by(text, lookback_delta_ms)[0]
                )
            wants.extend(ManualDemand(u.matchers, u.lookback_ms + offset, u.since_ms) for u in uses)
    if alerts:
        wants.append(ManualDemand((Matcher(METRIC_NAME, MatchOp.EQUAL, "ALERTS"),), _ALERTS_LOOKBACK_MS))
    return wants


def read_by(text: str, lookback_delta_ms: int = DEFAULT_LOOKBACK_MS) -> tuple[list[SelectorUse], list[str]]:
    """What the queries of a label or annotation read: the selectors, and the queries of which it is not known.

    What `printf` puts into a label's value is known only when the template is executed: all values are needed then.
    """
    queries = template_queries(text)
    uses: list[SelectorUse] = []
    unknown = list(queries.computed)
    for literal in queries.literals:
        try:
            uses += parse_expr(literal).selectors(lookback_delta_ms)
        except ParseError:
            continue  # fails when it is executed, as in Prometheus
    for pattern in queries.patterns:
        try:
            found = parse_expr(pattern).selectors(lookback_delta_ms)
        except ParseError:
            found = ()
        wide = [replace(u, matchers=tuple(m for m in u.matchers if not _is_open(m))) for u in found]
        if found and all(u.lookback_ms < UNKNOWN_NUMBER and u.since_ms is None and _is_named(u) for u in wide):
            uses += wide
        else:
            unknown.append(pattern.replace(UNKNOWN_TEXT, "...").replace(str(UNKNOWN_NUMBER), "..."))
    return uses, unknown


def _is_open(matcher: Matcher) -> bool:
    """Whether its value is known only when a template is executed."""
    return UNKNOWN_TEXT in matcher.value or str(UNKNOWN_NUMBER) in matcher.value


def _is_named(use: SelectorUse) -> bool:
    """Whether something is known of the metric."""
    return any(m.name == METRIC_NAME for m in use.matchers)


def duplicate_rules(groups: Iterable[RuleGroup]) -> list[tuple[str, Pairs]]:
    """(name, labels) of the rules that are there more than once, sorted: they overwrite each other's results."""
    own: list[tuple[str, Pairs]] = [(rule.name, rule.labels) for group in groups for rule in group.rules]
    return sorted(key for key, count in Counter(own).items() if count > 1)
