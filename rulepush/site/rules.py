"""`/rules`: every group with its rules: how their last evaluations went, and what is kept for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.model.labels import Labels
from rulepush.model.matcher import selector_text
from rulepush.rules.alert import AlertState
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.groups import RuleGroups
from rulepush.rules.health import RuleEvaluation
from rulepush.site.frame import Frame
from rulepush.site.language import message

MAX_UNFOLDED: Final = 60  # rules: with more of them groups are folded at first


@dataclass(frozen=True, slots=True)
class KeptSelectorView:
    """A selector of a rule, and for how long its samples are kept for this rule (ms)."""

    text: str
    lookback_ms: int


@dataclass(frozen=True, slots=True)
class RuleView:
    """One rule. `type` is `alerting` or `recording`, `state` that of its worst alert ("" for a recording rule);
    `last_evaluation` in ms, None before the first; `recent` are the last evaluations, the newest first."""

    name: str
    type: str
    anchor: str
    expr: str
    labels: Labels
    for_ms: int
    keep_firing_ms: int
    state: str
    firing: int
    pending: int
    health: str
    error: str
    last_evaluation: int | None
    evaluation_ms: float
    recent: Sequence[RuleEvaluation]
    kept: Sequence[KeptSelectorView]


@dataclass(frozen=True, slots=True)
class RuleGroupView:
    """A group with the rules that are shown of its `count`. `evaluation_ms` is how long its last evaluation took."""

    name: str
    file: str
    anchor: str
    interval_ms: int
    limit: int
    missed: int
    last_evaluation: int | None
    evaluation_ms: float
    count: int
    failing: int
    firing: int
    pending: int
    rules: Sequence[RuleView]
    is_open: bool


@dataclass(frozen=True, slots=True)
class RulesWanted:
    """The filter of the page, each part empty where it filters nothing. `text` is looked for in name, expression,
    labels, group and file; `state` and `health` have Prometheus' names."""

    text: str = ""
    health: str = ""
    state: str = ""
    type: str = ""
    fold: str = ""  # "all", "none", or as it fits

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> RulesWanted:
        """From the parameters of the page; those of Prometheus' page (`search`, `ruleHealthFilter`) mean the same.
        Unknown values filter nothing."""

        def one(name: str, known: Iterable[str]) -> str:
            value = parameters.get(name, "").strip().lower()
            return value if value in known else ""

        health = one("health", ("ok", "err", "unknown"))
        return cls(
            (parameters.get("q", "") or parameters.get("search", "")).strip(),
            health or ("err" if parameters.get("ruleHealthFilter", "").strip().lower() == "err" else ""),
            one("state", ("firing", "pending", "inactive")),
            one("type", ("alerting", "recording")),
            one("fold", ("all", "none")),
        )

    @property
    def filters(self) -> bool:
        return self != RulesWanted(fold=self.fold)

    def takes(self, rule: RuleView, group: EvaluationGroup) -> bool:
        """Whether the rule is shown."""
        if self.health not in ("", rule.health) or self.type not in ("", rule.type):
            return False
        if self.state not in ("", rule.state):
            return False
        words = self.text.lower().split()
        text = f"{rule.name} {rule.expr} {rule.labels} {group.name} {group.file}".lower() if words else ""
        return all(word in text for word in words)


@dataclass(frozen=True, slots=True)
class RulesView:
    """The groups that have a rule to show, with `shown` of `count` rules; `health` counts all rules by their health."""

    groups: Sequence[RuleGroupView]
    count: int
    shown: int
    health: Mapping[str, int]
    wanted: RulesWanted


class RulesPage:
    """`groups` are the rules in force, `lookback_delta_ms()` is how far back an instant selector reads."""

    def __init__(self, frame: Frame, groups: RuleGroups, lookback_delta_ms: Callable[[], int] = lambda: 300_000):
        self._frame = frame
        self._groups = groups
        self._lookback_delta_ms = lookback_delta_ms

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/rules", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page, filtered by its parameters."""
        view = rules_view(self._groups.all(), RulesWanted.of(request.query_params), self._lookback_delta_ms())
        return await self._frame.page(request, "rules.html", message("Rules"), "/rules", view=view)


def rules_view(groups: Iterable[EvaluationGroup], wanted: RulesWanted, lookback_delta_ms: int) -> RulesView:
    """What the page shows of these groups."""
    views, health, anchors = [], dict.fromkeys(("ok", "err", "unknown"), 0), _Anchors()
    for group in groups:
        anchor = anchors.of(group.name)
        rules = [_rule(rule, anchors.of(f"{group.name}.{rule.spec.name}"), lookback_delta_ms) for rule in group.rules]
        for rule in rules:
            health[rule.health] += 1
        shown = [rule for rule in rules if wanted.takes(rule, group)]
        if shown or not (rules or wanted.filters):
            views.append(_group(group, anchor, rules, shown))
    count, shown_count = sum(health.values()), sum(len(view.rules) for view in views)
    is_open = wanted.fold == "none" or (wanted.fold != "all" and (shown_count <= MAX_UNFOLDED or len(views) == 1))
    return RulesView([replace(v, is_open=is_open or v.is_open) for v in views], count, shown_count, health, wanted)


class _Anchors:
    """The places of a page that a link may name: after what stands there, and numbered where that is there twice."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def of(self, name: str) -> str:
        anchor = quote(name, safe="")
        self._taken[anchor] += 1
        return anchor if self._taken[anchor] == 1 else f"{anchor}~{self._taken[anchor]}"


def _group(group: EvaluationGroup, anchor: str, rules: Sequence[RuleView], shown: Sequence[RuleView]) -> RuleGroupView:
    failing = sum(rule.health == "err" for rule in rules)
    return RuleGroupView(
        name=group.name,
        file=group.file,
        anchor=anchor,
        interval_ms=group.interval_ms,
        limit=group.limit,
        missed=group.counters.iterations_missed,
        last_evaluation=group.last_evaluation,
        evaluation_ms=group.evaluation_seconds * 1000,
        count=len(rules),
        failing=failing,
        firing=sum(rule.firing for rule in rules),
        pending=sum(rule.pending for rule in rules),
        rules=shown,
        is_open=bool(failing),  # what fails is never folded away
    )


def _rule(rule: Rule, anchor: str, lookback_delta_ms: int) -> RuleView:
    spec, status = rule.spec, rule.status
    alerts = rule.alerts if isinstance(rule, AlertingRule) else []
    firing = sum(alert.state is AlertState.FIRING for alert in alerts)
    return RuleView(
        name=spec.name,
        type="alerting" if isinstance(rule, AlertingRule) else "recording",
        anchor=anchor,
        expr=str(spec.query),
        labels=Labels(spec.labels),
        for_ms=rule.spec.for_ms if isinstance(rule, AlertingRule) else 0,
        keep_firing_ms=rule.spec.keep_firing_ms if isinstance(rule, AlertingRule) else 0,
        state=rule.state.value if isinstance(rule, AlertingRule) else "",
        firing=firing,
        pending=len(alerts) - firing,
        health=status.health.value,
        error=status.last_error,
        last_evaluation=status.last_evaluation,
        evaluation_ms=status.evaluation_seconds * 1000,
        recent=tuple(reversed(status.recent)),
        kept=_kept(rule, lookback_delta_ms),
    )


def _kept(rule: Rule, lookback_delta_ms: int) -> list[KeptSelectorView]:
    """Each selector once, with the longest time that the rule needs of it."""
    longest: dict[str, int] = {}
    for use in rule.spec.query.selectors(lookback_delta_ms):
        text = selector_text(use.matchers)
        longest[text] = max(longest.get(text, 0), use.lookback_ms)
    return [KeptSelectorView(text, lookback_ms) for text, lookback_ms in longest.items()]
