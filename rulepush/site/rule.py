"""`/rules/<group>/<name>`: a rule, how its evaluations go, its alerts, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.history.history import AlertHistory
from rulepush.history.rows import HistoryFilter
from rulepush.history.spans import state_spans
from rulepush.model.labels import Labels
from rulepush.model.matcher import selector_text
from rulepush.peers.peers import Peers
from rulepush.promql.syntax.pretty import pretty
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.groups import RuleGroups
from rulepush.rules.health import RuleEvaluation
from rulepush.rules.specs import AlertingSpec
from rulepush.rules.transition import RuleRef, Transition
from rulepush.site.alert import STRIP_MS, shown_change
from rulepush.site.alert_charts import AlertCharts, AlertSubject, ValueChart
from rulepush.site.charts import DrawnStrip, drawn_strip
from rulepush.site.datasource_views import NO_DATASOURCES, EvaluatedOn, ShownDatasources
from rulepush.site.elsewhere import rule_places
from rulepush.site.explained import ExplainedView, explained_rule
from rulepush.site.frame import Frame
from rulepush.site.language import message
from rulepush.site.links import rule_names
from rulepush.site.ranges import RANGES, offered_ranges, refresh_seconds
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.explain import RuleExplainer, RunningRule

MAX_RULE_CHANGES: Final = 100
MAX_ALERTS: Final = 50
_STRIP_ROWS: Final = 5_000


@dataclass(frozen=True, slots=True)
class ReadSelector:
    """A selector of the expression, and for how long (ms) its samples are kept for this rule."""

    text: str
    lookback_ms: int


@dataclass(frozen=True, slots=True)
class ListedAlert:
    """An alert of the rule; `since` (ms) is when it became what it is."""

    labels: Labels
    state: str
    since: int
    value: float
    is_held: bool
    strip: DrawnStrip


@dataclass(frozen=True, slots=True)
class DescribedRule:
    """A rule in force, the `number`th of its name in its group. `state` is that of its worst alert; "" for a recording
    rule, and where it cannot be evaluated, for nothing is known then. `evaluations` are the last ones, the newest
    first. `where` is None for one that is evaluated in memory; what is elsewhere is not `explained`."""

    name: str
    anchor: str
    is_alerting: bool
    state: str
    health: str
    error: str
    expr: str
    lines: str
    file: str
    line: int
    labels: Labels
    annotations: Sequence[tuple[str, str]]
    for_ms: int
    keep_firing_ms: int
    interval_ms: int
    evaluations: Sequence[RuleEvaluation]
    selectors: Sequence[ReadSelector]
    alerts: Sequence[ListedAlert]
    alert_count: int
    charts: Sequence[ValueChart]
    explained: ExplainedView | None
    number: int = 1
    where: EvaluatedOn | None = None


class RulePage:
    """`groups` are the rules in force; `peers` have others."""

    def __init__(
        self,
        frame: Frame,
        groups: RuleGroups,
        history: AlertHistory,
        evaluator: QueryEvaluator,
        explainer: RuleExplainer,
        datasources: ShownDatasources = NO_DATASOURCES,
        peers: Peers | None = None,
    ):
        self._datasources = datasources
        self._frame = frame
        self._groups = groups
        self._history = history
        self._evaluator = evaluator
        self._charts = AlertCharts(evaluator)
        self._explainer = explainer
        self._peers = peers

    def routes(self) -> list[Route]:
        """The route of the page. Group and name are taken from the path as it was sent: they may contain a slash."""
        return [Route("/rules/{path:path}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """Every rule of this name in the group: there may be one a severity. 404 where nothing is known of it."""
        group_name, name = _named(request)
        file = request.query_params.get("file", "")
        span = request.query_params.get("range", "")
        span = span if span in RANGES else "15m"
        wanted = HistoryFilter(file=file, group=group_name, rule=name, limit=MAX_RULE_CHANGES)
        answer = await self._history.find(wanted)
        found = [
            (group, rule)
            for group in self._groups.all()
            if group.name == group_name and (not file or group.file == file)
            for rule in group.rules
            if rule.spec.name == name
        ]
        now = self._frame.clock.now()
        recent = await self._history.find(
            HistoryFilter(start=now - STRIP_MS, file=file, group=group_name, rule=name, limit=_STRIP_ROWS)
        )
        by_alert: dict[tuple[RuleRef, Labels], list[Transition]] = {}
        for one in recent.found:
            by_alert.setdefault((one.rule, one.labels), []).append(one)
        rules = []
        all_charts = await self._charts_of(found, now - RANGES[span], now)
        for i, ((group, rule), charts) in enumerate(zip(found, all_charts, strict=True)):
            where = self._datasources.of_one(group)
            explained = await explained_rule(self._explainer, RunningRule(group, rule)) if where is None else None
            described = _described(group, rule, f"rule-{i + 1}", by_alert, charts, explained, now)
            rules.append(replace(described, number=_number(found[: i + 1]), where=where))
        places = () if rules else await rule_places(self._peers, group_name, name)
        is_known = bool(rules or answer.found or places)
        return await self._frame.page(
            request,
            "rule.html",
            name if is_known else message("No such rule"),
            "/rules",
            200 if is_known else 404,
            name=name,
            group=group_name,
            file=file,
            rules=rules,
            places=places,
            changes=[shown_change(one) for one in answer.found],
            is_cut=answer.is_cut,
            ranges=offered_ranges(await self._evaluator.recorded_since(), now),
            range=span,
            refresh=refresh_seconds(RANGES[span]),
        )

    async def _charts_of(
        self, found: Sequence[tuple[EvaluationGroup, Rule]], start: int, end: int
    ) -> list[list[ValueChart]]:
        """The charts of each rule. Engines elsewhere are asked side by side: one that hangs delays the page once."""

        async def of_one(group: EvaluationGroup, rule: Rule) -> list[ValueChart]:
            if not isinstance(rule, AlertingRule):
                return []
            source = self._datasources.source(group.spec.datasource)
            return await self._charts.charts(AlertSubject(rule.spec, None, source), start, end)

        if all(group.spec.datasource for group, _ in found):
            return list(await asyncio.gather(*(of_one(*one) for one in found)))
        return [await of_one(*one) for one in found]


def _number(found: Sequence[tuple[EvaluationGroup, Rule]]) -> int:
    """Which of the alerting rules of its group the last one is."""
    group = found[-1][0]
    return sum(isinstance(rule, AlertingRule) for other, rule in found if other is group)


def _named(request: Request) -> tuple[str, str]:
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return rule_names(raw.partition(b"?")[0].decode("ascii", "replace"))


def _described(
    group: EvaluationGroup,
    rule: Rule,
    anchor: str,
    by_alert: dict[tuple[RuleRef, Labels], list[Transition]],
    charts: Sequence[ValueChart],
    explained: ExplainedView | None,
    now: int,
) -> DescribedRule:
    spec, status = rule.spec, rule.status
    alerts = rule.alerts if isinstance(rule, AlertingRule) else []
    ref = RuleRef(group.file, group.name, spec.name)
    alerts.sort(key=lambda alert: (alert.state is not AlertState.FIRING, -_since(alert)))
    alerting = spec if isinstance(spec, AlertingSpec) else None
    return DescribedRule(
        name=spec.name,
        anchor=anchor,
        is_alerting=alerting is not None,
        state=rule.state.value if isinstance(rule, AlertingRule) and not status.last_error else "",
        health=status.health.value,
        error=status.last_error,
        expr=str(spec.query),
        lines=pretty(spec.query.root),
        file=group.file,
        line=spec.line,
        labels=Labels(spec.labels),
        annotations=alerting.annotations if alerting is not None else (),
        for_ms=alerting.for_ms if alerting is not None else 0,
        keep_firing_ms=alerting.keep_firing_ms if alerting is not None else 0,
        interval_ms=group.interval_ms,
        evaluations=list(status.recent)[::-1],
        selectors=_selectors(rule),
        alerts=[_listed(alert, by_alert.get((ref, alert.labels), []), now) for alert in alerts[:MAX_ALERTS]],
        alert_count=len(alerts),
        charts=charts,
        explained=explained,
    )


def _since(alert: Alert) -> int:
    return alert.fired_at if alert.fired_at is not None else alert.active_at


def _listed(alert: Alert, changes: Sequence[Transition], now: int) -> ListedAlert:
    start = now - STRIP_MS
    strip = drawn_strip(state_spans(changes, alert, start, now), start, now)
    return ListedAlert(alert.labels, alert.state.value, _since(alert), alert.value, alert.held_since is not None, strip)


def _selectors(rule: Rule) -> list[ReadSelector]:
    """Each selector once, with the longest time that it is read back."""
    longest: dict[str, int] = {}
    for use in rule.spec.query.selectors():
        text = selector_text(use.matchers)
        longest[text] = max(longest.get(text, 0), use.lookback_ms)
    return [ReadSelector(text, lookback_ms) for text, lookback_ms in longest.items()]
