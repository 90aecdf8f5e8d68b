"""What the backtest page is asked: which rule, what is changed of it, and the range. Pure.

The fields show the rule as it is tried. A threshold that was not changed since it was shown says nothing: the number of
an expression that was changed counts then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from rulepush.errors import ParseError
from rulepush.model.durations import format_duration, parse_duration
from rulepush.model.labels import ALERT_NAME
from rulepush.model.matcher import exact_metric_name
from rulepush.promql import Query, parse_expr
from rulepush.rules.specs import AlertingSpec, RecordingSpec, RuleGroup, RuleSpec, result_fault
from rulepush.rules.threshold_number import threshold_number
from rulepush.site.language import Message, message
from rulepush.site.query_results import QueryFault, query_fault

BACKTEST_RANGES: Final[Mapping[str, int]] = {
    "1h": 3_600_000,
    "6h": 21_600_000,
    "12h": 43_200_000,
    "24h": 86_400_000,
}
"""In ms."""
USUAL_RANGE: Final = "6h"
NEW_ALERT: Final = "NewAlert"  # the name of a rule that is written on the page
_MAX_NUMBER: Final = 100  # characters


@dataclass(frozen=True, slots=True)
class ChosenRule:
    """A rule in force: `group` is that of its file, with the interval that it has, `number` counts the rules of its
    name in the group from 1 on."""

    group: RuleGroup
    spec: AlertingSpec
    number: int = 1

    def version(self, spec: AlertingSpec) -> RuleGroup:
        """The group with `spec` in the place of the rule, and of the other rules only those that it reads: they are
        evaluated with it, as in the service. What other groups record is in the recording."""
        kept = read_of_group(self.group, spec)
        rules: list[RuleSpec] = []
        for rule in self.group.rules:
            if rule is self.spec:
                rules.append(spec)
            elif any(rule is one for one in kept):
                rules.append(rule)
        return replace(self.group, rules=tuple(rules))


def read_of_group(group: RuleGroup, spec: AlertingSpec) -> list[RecordingSpec]:
    """The recording rules of a group whose series an alert reads, through others too."""
    recording = [rule for rule in group.rules if isinstance(rule, RecordingSpec)]
    found: list[RecordingSpec] = []
    waiting: list[Query] = [spec.query]
    while waiting:
        names = {exact_metric_name(use.matchers) for use in waiting.pop().selectors()}
        for rule in recording:
            if (rule.name in names or None in names) and not any(rule is one for one in found):
                found.append(rule)
                waiting.append(rule.query)
    return found


@dataclass(frozen=True, slots=True)
class BacktestForm:
    """The texts of the fields, and what is wrong with them; `edited` is the rule to try, None where there is nothing to
    try yet, or something is wrong. `compared` is what the number of the threshold is compared with, "" where the
    expression has none. `same` is whether it is the rule as it is."""

    chosen: ChosenRule | None = None
    range: str = USUAL_RANGE
    expr: str = ""
    threshold: str = ""
    compared: str = ""
    for_text: str = ""
    keep_text: str = ""
    expr_fault: QueryFault | None = None
    faults: Mapping[str, Message] = field(default_factory=dict)
    edited: AlertingSpec | None = None

    @property
    def range_ms(self) -> int:
        return BACKTEST_RANGES[self.range]

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels that all alerts of the rule have alike."""
        rule = self.edited
        fixed = () if rule is None else (name for name, text in rule.labels if "{{" not in text)
        return (ALERT_NAME, *fixed)

    @property
    def same(self) -> bool:
        chosen, edited = self.chosen, self.edited
        return chosen is not None and edited is not None and not rule_changes(chosen.spec, edited)


def backtest_form(given: Mapping[str, str], chosen: ChosenRule | None) -> BacktestForm:
    """Read the parameters of an address. Parses: of long texts it takes some time."""
    faults: dict[str, Message] = {}
    span = given.get("range", "").strip() or USUAL_RANGE
    if span not in BACKTEST_RANGES:
        faults["range"] = message(
            "The range %(given)s is none of %(known)s", given=repr(span[:40]), known=", ".join(BACKTEST_RANGES)
        )
        span = USUAL_RANGE
    base = chosen.spec if chosen is not None else AlertingSpec(NEW_ALERT, _NOTHING)
    for_ms = _duration(given, "for", base.for_ms, faults)
    keep_ms = _duration(given, "keep_firing_for", base.keep_firing_ms, faults)
    expr = given.get("expr", "").strip() or (base.query.text.strip() if chosen is not None else "")
    form = BacktestForm(
        chosen,
        span,
        expr,
        for_text=_shown(given, "for", base.for_ms),
        keep_text=_shown(given, "keep_firing_for", base.keep_firing_ms),
        faults=faults,
    )
    if not expr:
        return form
    try:
        query = parse_expr(expr)
    except ParseError as e:
        return replace(form, expr_fault=query_fault(expr, e), threshold=given.get("threshold", ""))
    if why := result_fault(query):
        return replace(form, expr_fault=QueryFault(why))
    query = _with_threshold(query, given, faults)
    number = threshold_number(query)
    asked = given.get("threshold", "")
    form = replace(
        form,
        expr=query.text,
        threshold=asked if "threshold" in faults else number.text if number is not None else "",
        compared=f"{number.compared.value} {number.compared.op}" if number is not None else "",
    )
    if faults:
        return form
    return replace(form, edited=replace(base, query=query, for_ms=for_ms, keep_firing_ms=keep_ms))


def _with_threshold(query: Query, given: Mapping[str, str], faults: dict[str, Message]) -> Query:
    asked = given.get("threshold", "").strip()
    if not asked or asked == given.get("shown", "").strip():
        return query
    number = threshold_number(query)
    if number is None:
        faults["threshold"] = message("The expression compares nothing with a number")
        return query
    try:
        if len(asked) > _MAX_NUMBER:
            raise ParseError("too long")
        return number.replaced(asked)
    except ParseError:
        faults["threshold"] = message("%(given)s is not a number", given=repr(asked[:40]))
        return query


def _shown(given: Mapping[str, str], name: str, ms: int) -> str:
    text = given.get(name)
    return text.strip() if text is not None else format_duration(ms) if ms else ""


def _duration(given: Mapping[str, str], name: str, ms: int, faults: dict[str, Message]) -> int:
    """What is not given is that of the rule, and a field that is empty is 0."""
    text = given.get(name)
    if text is None:
        return ms
    try:
        return parse_duration(text.strip() or "0")
    except ValueError:
        faults[name] = message("%(given)s is not a duration such as 5m or 1h30m", given=repr(text.strip()[:40]))
        return ms


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A field of a rule, before and after."""

    name: str
    old: str
    new: str


def rule_changes(old: AlertingSpec, new: AlertingSpec) -> list[RuleChange]:
    """What differs in the fields that the page can change."""
    found = []
    if old.query.canonical != new.query.canonical:
        found.append(RuleChange("expr", old.query.text.strip(), new.query.text.strip()))
    if old.for_ms != new.for_ms:
        found.append(RuleChange("for", format_duration(old.for_ms), format_duration(new.for_ms)))
    if old.keep_firing_ms != new.keep_firing_ms:
        found.append(
            RuleChange("keep_firing_for", format_duration(old.keep_firing_ms), format_duration(new.keep_firing_ms))
        )
    return found


_NOTHING: Final = parse_expr("vector(0)")
