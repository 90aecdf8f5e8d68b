"""Which rules an alert depends on, and what they read that no rule writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rulepush.backtest.episodes import RulePlace
from rulepush.errors import ParseError
from rulepush.model.labels import ALERT_NAME, Labels
from rulepush.model.matcher import Matchers, exact_metric_name, may_name
from rulepush.promql import Query, SelectorUse, parse_expr
from rulepush.promql.query import DEFAULT_LOOKBACK_MS
from rulepush.promql.syntax import ast
from rulepush.rules.group import ALERT_SERIES
from rulepush.rules.specs import AlertingSpec, RuleGroup, RuleSpec
from rulepush.template import template_queries

_READS_CLOCK: Final = frozenset(
    (
        "time",
        "timestamp",
        "minute",
        "hour",
        "day_of_week",
        "day_of_month",
        "day_of_year",
        "days_in_month",
        "month",
        "year",
    )
)


@dataclass(frozen=True, slots=True)
class InvolvedRules:
    """The alerting rule of an episode and all that it depends on.

    `groups`      the groups of these rules in the order of their evaluation, with these rules alone
    `selectors`   what they read that none of them writes
    `lookback_ms` how far before an evaluation a sample may lie that decides it, through recorded series
    `ranges_ms`   the same without the look-back of selectors that take the newest sample
    `reads_clock` whether the result depends on the time itself, by time() for instance
    `subqueries`  the steps (ms) of subqueries, 0 for the default; they are taken at multiples of it
    """

    groups: tuple[RuleGroup, ...]
    selectors: tuple[Matchers, ...]
    lookback_ms: int
    ranges_ms: int
    reads_clock: bool
    subqueries: frozenset[int] = frozenset()

    @property
    def files(self) -> tuple[str, ...]:
        """The rule files, each once."""
        return tuple(dict.fromkeys(group.file for group in self.groups))

    def reads(self, labels: Labels) -> bool:
        """Whether any of the rules reads this series."""
        return any(all(m.matches_labels(labels) for m in s) for s in self.selectors)


def involved_rules(groups: Sequence[RuleGroup], place: RulePlace) -> InvolvedRules:
    """What the rule at `place` depends on. Raises ValueError when there is no such alerting rule."""
    return _Search(groups).of(place)


class _Search:
    def __init__(self, groups: Sequence[RuleGroup]):
        self._groups = sorted(groups, key=lambda g: g.key)
        self._rules = [(group, rule) for group in self._groups for rule in group.rules]
        self._found: dict[int, RuleSpec] = {}
        self._selectors: dict[Matchers, None] = {}
        self._reads_clock = False
        self._subqueries: set[int] = set()

    def of(self, place: RulePlace) -> InvolvedRules:
        start = next((g.rules[place.index] for g in self._groups if g.key == (place.file, place.group)), None)
        if not isinstance(start, AlertingSpec):
            raise ValueError(f"{place.file}: group {place.group!r} has no alerting rule {place.name!r}")
        lookback_ms, ranges_ms = self._visit(start, frozenset())
        kept = []
        for group in self._groups:
            rules = tuple(rule for rule in group.rules if id(rule) in self._found)
            if rules:
                kept.append(replace(group, rules=rules))
        return InvolvedRules(
            groups=tuple(kept),
            selectors=tuple(self._selectors),
            lookback_ms=lookback_ms,
            ranges_ms=ranges_ms,
            reads_clock=self._reads_clock,
            subqueries=frozenset(self._subqueries),
        )

    def _visit(self, rule: RuleSpec, above: frozenset[int]) -> tuple[int, int]:
        """Note a rule and what it depends on; its look-back and its ranges in ms."""
        self._found[id(rule)] = rule
        longest = ranges = 0
        for query in _queries(rule):
            for node in _nodes(query.root):
                if isinstance(node, ast.Subquery):
                    self._subqueries.add(node.step_ms or 0)
                self._reads_clock = self._reads_clock or (isinstance(node, ast.Call) and node.name in _READS_CLOCK)
            for use in query.selectors():
                lookback, spans = self._visit_use(use, above | {id(rule)})
                longest = max(longest, use.lookback_ms + lookback)
                ranges = max(ranges, use.lookback_ms - (0 if use.ranged else DEFAULT_LOOKBACK_MS) + spans)
        return longest, ranges

    def _visit_use(self, use: SelectorUse, above: frozenset[int]) -> tuple[int, int]:
        writers = [(g, r) for g, r in self._rules if _writes(r, use.matchers)]
        if not writers or exact_metric_name(use.matchers) is None:
            self._selectors.setdefault(use.matchers)
        # A rule that reads what it writes itself has no end.
        below = [self._visit(rule, above) for _, rule in writers if id(rule) not in above]
        return max((lookback for lookback, _ in below), default=0), max((spans for _, spans in below), default=0)


def _queries(rule: RuleSpec) -> Iterator[Query]:
    yield rule.query
    if isinstance(rule, AlertingSpec):
        for _, text in (*rule.labels, *rule.annotations):
            for literal in template_queries(text).literals:
                try:
                    yield parse_expr(literal)
                except ParseError:
                    continue


def _writes(rule: RuleSpec, matchers: Matchers) -> bool:
    """Whether a selector may read what the rule writes."""
    if not isinstance(rule, AlertingSpec):
        return may_name(matchers, rule.name)
    names = any(may_name(matchers, name) for name in ALERT_SERIES)
    return names and all(m.matches(rule.name) for m in matchers if m.name == ALERT_NAME)


def _nodes(node: ast.Node) -> Iterator[ast.Node]:
    yield node
    for child in ast.children(node):
        yield from _nodes(child)


def without_conflict(series: Iterable[Labels], alert: Labels) -> list[Labels]:
    """The series that have no label with another value than the alert has: the others belong to other alerts, as long
    as the expression keeps the label. Who leaves them out must see that the alert stays the same."""
    theirs = {name: value for name, value in alert if name != ALERT_NAME}
    return [labels for labels in series if all(theirs.get(name, value) == value for name, value in labels)]
