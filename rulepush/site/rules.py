"""`/rules`: every group with its rules: how their last evaluations went, and what is kept for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.model.labels import Labels
from rulepush.model.matcher import selector_text
from rulepush.peers.peers import Peers
from rulepush.rules.alert import AlertState
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.groups import RuleGroups
from rulepush.rules.health import RuleEvaluation
from rulepush.rules.specs import AlertingSpec, RuleGroup, RuleSpec
from rulepush.site.datasource_views import NO_DATASOURCES, EvaluatedOn, ShownDatasources
from rulepush.site.elsewhere import rules_elsewhere
from rulepush.site.frame import Frame
from rulepush.site.language import message

MAX_UNFOLDED: Final = (
    60  # rules: with more of them groups are folded at first, and details are left to the rules' pages
)


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
    """A group with the rules that are shown of its `count`. `evaluation_ms` is how long its last evaluation took,
    `where` is None for one that is evaluated in memory."""

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
    where: EvaluatedOn | None = None


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

    def takes(self, rule: RuleState, group: RuleGroup) -> bool:
        """Whether the rule is shown."""
        if self.health not in ("", rule.health) or self.type not in ("", _type(rule.spec)):
            return False
        if self.state not in ("", rule.state):
            return False
        words, spec = self.text.lower().split(), rule.spec
        text = f"{spec.name} {spec.query} {Labels(spec.labels)} {group.name} {group.file}".lower() if words else ""
        return all(word in text for word in words)


@dataclass(frozen=True, slots=True)
class RulesView:
    """The groups that have a rule to show, with `shown` of `count` rules; `health` counts all rules by their health.
    Without `is_detailed` there are so many that their evaluations and selectors are left out."""

    groups: Sequence[RuleGroupView]
    count: int
    shown: int
    health: Mapping[str, int]
    wanted: RulesWanted
    is_detailed: bool


class RulesPage:
    """`groups` are the rules in force, `lookback_delta_ms()` is how far back an instant selector reads; `peers` have
    other rules."""

    def __init__(
        self,
        frame: Frame,
        groups: RuleGroups,
        lookback_delta_ms: Callable[[], int] = lambda: 300_000,
        datasources: ShownDatasources = NO_DATASOURCES,
        peers: Peers | None = None,
    ):
        self._datasources = datasources
        self._frame = frame
        self._groups = groups
        self._lookback_delta_ms = lookback_delta_ms
        self._peers = peers

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/rules", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page, filtered by its parameters."""
        # What changes is copied here; all else takes longer, and is done beside the event loop.
        everything, delta = self._groups.all(), self._lookback_delta_ms()
        groups, wanted = (
            group_states(everything, self._datasources.of(everything)),
            RulesWanted.of(request.query_params),
        )
        view = await asyncio.to_thread(rules_view, groups, wanted, delta)
        elsewhere = await rules_elsewhere(self._peers, wanted.text, wanted.health, wanted.state, wanted.type)
        return await self._frame.page(request, "rules.html", message("Rules"), "/rules", view=view, elsewhere=elsewhere)


@dataclass(frozen=True, slots=True)
class RuleState:
    """A rule at one moment: what its evaluations change. `recent`: the oldest first."""

    spec: RuleSpec
    state: str
    firing: int
    pending: int
    health: str
    error: str
    last_evaluation: int | None
    evaluation_ms: float
    recent: tuple[RuleEvaluation, ...]


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group at one moment."""

    spec: RuleGroup
    interval_ms: int
    missed: int
    last_evaluation: int | None
    evaluation_ms: float
    rules: tuple[RuleState, ...]
    where: EvaluatedOn | None = None


def group_states(
    groups: Iterable[EvaluationGroup], where: Mapping[tuple[str, str], EvaluatedOn] = MappingProxyType({})
) -> list[GroupState]:
    """The groups as they are now; nothing of it changes any more. `where` has those evaluated elsewhere."""
    return [
        GroupState(
            group.spec,
            group.interval_ms,
            group.counters.iterations_missed,
            group.last_evaluation,
            group.evaluation_seconds * 1000,
            tuple(map(_state, group.rules)),
            where.get(group.spec.key),
        )
        for group in groups
    ]


def _state(rule: Rule) -> RuleState:
    status, state, firing, active = rule.status, "", 0, 0
    if isinstance(rule, AlertingRule):
        alerts = rule.alerts
        active, firing = len(alerts), sum(alert.state is AlertState.FIRING for alert in alerts)
        state = (AlertState.FIRING if firing else AlertState.PENDING if active else AlertState.INACTIVE).value
    return RuleState(
        rule.spec,
        state,
        firing,
        active - firing,
        status.health.value,
        status.last_error,
        status.last_evaluation,
        status.evaluation_seconds * 1000,
        tuple(status.recent),
    )


def rules_view(groups: Iterable[GroupState], wanted: RulesWanted, lookback_delta_ms: int) -> RulesView:
    """What the page shows of these groups. Pure."""
    health, anchors = dict.fromkeys(("ok", "err", "unknown"), 0), _Anchors()
    found: list[tuple[GroupState, str, list[tuple[RuleState, str]]]] = []
    for group in groups:
        anchor, shown = anchors.of(group.spec.name), []
        for rule in group.rules:
            health[rule.health] += 1
            place = anchors.of(f"{group.spec.name}.{rule.spec.name}")
            if wanted.takes(rule, group.spec):
                shown.append((rule, place))
        if shown or not (group.rules or wanted.filters):
            found.append((group, anchor, shown))
    count = sum(len(shown) for _, _, shown in found)
    detailed = count <= MAX_UNFOLDED
    is_open = wanted.fold == "none" or (wanted.fold != "all" and (detailed or len(found) == 1))
    views = [
        _group(group, anchor, [_rule(rule, place, lookback_delta_ms, detailed) for rule, place in shown], is_open)
        for group, anchor, shown in found
    ]
    return RulesView(views, sum(health.values()), count, health, wanted, detailed)


class _Anchors:
    """The places of a page that a link may name: after what stands there, and numbered where that is there twice."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def of(self, name: str) -> str:
        anchor = quote(name, safe="")
        self._taken[anchor] += 1
        return anchor if self._taken[anchor] == 1 else f"{anchor}~{self._taken[anchor]}"


def _group(group: GroupState, anchor: str, shown: Sequence[RuleView], is_open: bool) -> RuleGroupView:
    spec, failing = group.spec, sum(rule.health == "err" for rule in group.rules)
    return RuleGroupView(
        name=spec.name,
        file=spec.file,
        anchor=anchor,
        interval_ms=group.interval_ms,
        limit=spec.limit,
        missed=group.missed,
        last_evaluation=group.last_evaluation,
        evaluation_ms=group.evaluation_ms,
        count=len(group.rules),
        failing=failing,
        firing=sum(rule.firing for rule in group.rules),
        pending=sum(rule.pending for rule in group.rules),
        rules=shown,
        is_open=is_open or failing > 0,  # what fails is never folded away
        where=group.where,
    )


def _rule(rule: RuleState, anchor: str, lookback_delta_ms: int, detailed: bool) -> RuleView:
    spec = rule.spec
    return RuleView(
        name=spec.name,
        type=_type(spec),
        anchor=anchor,
        expr=str(spec.query),
        labels=Labels(spec.labels),
        for_ms=spec.for_ms if isinstance(spec, AlertingSpec) else 0,
        keep_firing_ms=spec.keep_firing_ms if isinstance(spec, AlertingSpec) else 0,
        state=rule.state,
        firing=rule.firing,
        pending=rule.pending,
        health=rule.health,
        error=rule.error,
        last_evaluation=rule.last_evaluation,
        evaluation_ms=rule.evaluation_ms,
        recent=rule.recent[::-1] if detailed else (),
        kept=_kept(spec, lookback_delta_ms) if detailed else (),
    )


def _type(spec: RuleSpec) -> str:
    return "alerting" if isinstance(spec, AlertingSpec) else "recording"


def _kept(spec: RuleSpec, lookback_delta_ms: int) -> list[KeptSelectorView]:
    """Each selector once, with the longest time that the rule needs of it."""
    longest: dict[str, int] = {}
    for use in spec.query.selectors(lookback_delta_ms):
        text = selector_text(use.matchers)
        longest[text] = max(longest.get(text, 0), use.lookback_ms)
    return [KeptSelectorView(text, lookback_ms) for text, lookback_ms in longest.items()]
