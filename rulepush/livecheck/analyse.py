"""The whole analysis: all checks over all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rulepush.livecheck import expressions, firing, joins
from rulepush.livecheck.alertmanagers import AlertmanagerAnswer, alertmanagers_failed
from rulepush.livecheck.finding import Finding, FindingKind, Level
from rulepush.livecheck.names import MISSING, Recorded, check_names
from rulepush.livecheck.rules import LiveRule
from rulepush.livecheck.seen import LiveData
from rulepush.livecheck.trees import metric_of, metrics_of, rewrite
from rulepush.model.labels import METRIC_NAME
from rulepush.model.matcher import Matcher
from rulepush.promql import Query
from rulepush.promql.syntax import ast

Check = Callable[[LiveRule, LiveData], Iterable[Finding]]

# Checks of expressions; names are checked before, what would fire after.
CHECKS: Final[tuple[Check, ...]] = (
    expressions.inverted,
    joins.joins,
    expressions.rate_on_gauge,
    expressions.delta_on_counter,
    expressions.histogram_quantile,
    expressions.histogram_compared,
    expressions.division_by_negative,
    expressions.per_pool,
    expressions.absent_never,
    expressions.comparisons,
)


@dataclass(frozen=True, slots=True)
class RuleReport:
    """A rule and what was found about it. `needs_more`: one scrape is not enough to know whether it fires. `foreign`:
    the rule pack that it is of, when that is for none of the targets."""

    rule: LiveRule
    findings: tuple[Finding, ...]
    needs_more: bool = False
    foreign: str = ""

    @property
    def level(self) -> Level | None:
        """The worst of its findings, None when there are none."""
        return next((level for level in Level if any(f.level is level for f in self.findings)), None)


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What an engine says of the rules that it evaluates. `error`: why it could not be asked; nothing is known of the
    rules then."""

    name: str
    url: str
    rules: tuple[RuleReport, ...]
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether it answers, and no rule has a problem."""
        return not self.error and all(r.level is not Level.PROBLEM for r in self.rules)


@dataclass(frozen=True, slots=True)
class LiveReport:
    """The whole report. `rules` is empty when no target answered: then rules cannot be checked. `alertmanagers` is None
    where there is no configuration that could name them. `packs`: the rule packs that were chosen by what the targets
    look like; None when the rules were given. `notes`: what else is worth knowing, a sentence each. `engines`: what the
    datasources say of their rules."""

    seen: LiveData
    rules: tuple[RuleReport, ...]
    alertmanagers: tuple[AlertmanagerAnswer, ...] | None = None
    packs: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    engines: tuple[EngineReport, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every target answered, every Alertmanager can take alerts, and no rule has a problem."""
        if self.seen.any_trouble or alertmanagers_failed(self.alertmanagers or ()):
            return False
        return all(e.ok for e in self.engines) and all(r.level is not Level.PROBLEM for r in self.rules)

    def count(self, level: Level) -> int:
        """The rules whose worst finding is of this level."""
        return sum(r.level is level for r in self.rules)


def analyse(
    rules: Sequence[LiveRule], seen: LiveData, alertmanagers: tuple[AlertmanagerAnswer, ...] | None = None
) -> LiveReport:
    """Check every rule against what was scraped. Recorded series are added to `seen.head`."""
    if seen.nothing:
        return LiveReport(seen, (), alertmanagers)
    recorded = {rule.name: metrics_of(rule.query.root) for rule in rules if not rule.alert}
    judged = [rule if seen.labels_known else _without_target_labels(rule, seen) for rule in rules]
    firing.record(judged, seen)
    reports = []
    for rule, meant in zip(rules, judged, strict=True):
        findings = tuple(dict.fromkeys(_findings(rule, meant, seen, recorded)))
        needs_more = len(seen.times) < 2 and rule.alert and firing.reads_history(rule)
        reports.append(RuleReport(rule, findings, needs_more))
    return LiveReport(seen, tuple(reports), alertmanagers)


def _findings(rule: LiveRule, judged: LiveRule, seen: LiveData, recorded: Recorded) -> Iterator[Finding]:
    for finding in check_names(rule, seen, recorded):
        if rule.optional and finding.kind in MISSING:
            yield replace(finding, level=Level.NOTE)
        elif rule.optional and finding.kind is FindingKind.NEVER_COUNTED and finding.level is Level.PROBLEM:
            yield replace(finding, level=Level.NEVER, suggestion="")
        else:
            yield finding
    for check in CHECKS:
        yield from check(judged, seen)
    yield from firing.fires(judged, seen)


def _without_target_labels(rule: LiveRule, seen: LiveData) -> LiveRule:
    """The rule without the matchers on labels that only a configuration could add: here they would match nothing."""

    def change(selector: ast.VectorSelector) -> ast.VectorSelector:
        metric = metric_of(selector)
        if metric is None or not seen.series(metric):
            return selector
        own = {METRIC_NAME, *seen.label_names(metric)} - {"job", "instance"}
        kept = tuple(m for m in selector.matchers if m.name in own or _would_hold(m))
        return replace(selector, matchers=kept)

    root = rewrite(rule.query.root, change)
    return replace(rule, query=Query(root.text, root))


def _would_hold(matcher: Matcher) -> bool:
    """Whether the matcher is satisfied by a series without the label, so that it can stay."""
    return matcher.matches_empty and matcher.name not in ("job", "instance")
