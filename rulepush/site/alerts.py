"""`/alerts`: every alerting rule with its alerts, what fires first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.model.labels import Labels
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.groups import RuleGroups
from rulepush.site.frame import Frame
from rulepush.site.language import message

_ORDER = {AlertState.FIRING: 0, AlertState.PENDING: 1, AlertState.INACTIVE: 2}


@dataclass(frozen=True, slots=True)
class ShownAlert:
    """One pending or firing alert; times in ms."""

    labels: Labels
    annotations: Mapping[str, str]
    state: str
    active_at: int
    value: float
    held_since: int | None


@dataclass(frozen=True, slots=True)
class ShownAlertingRule:
    """A rule, with its alerts."""

    file: str
    group: str
    name: str
    expr: str
    state: str
    for_ms: int
    labels: Labels
    error: str
    alerts: Sequence[ShownAlert]


class AlertsPage:
    """`groups` are the rules in force."""

    def __init__(self, frame: Frame, groups: RuleGroups):
        self._frame = frame
        self._groups = groups

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/alerts", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page."""
        rules = shown_alerting_rules(self._groups.all())
        counts = Counter(rule.state for rule in rules)
        return await self._frame.page(
            request,
            "alerts.html",
            message("Alerts"),
            "/alerts",
            active=[rule for rule in rules if rule.alerts],
            inactive=[rule for rule in rules if not rule.alerts],
            counts={state.value: counts[state.value] for state in _ORDER},
            failing=sum(bool(rule.error) for rule in rules),
        )


def shown_alerting_rules(groups: Iterable[EvaluationGroup]) -> list[ShownAlertingRule]:
    """The alerting rules of these groups, those that fire first."""
    rules = [(group, rule) for group in groups for rule in group.alerting_rules]
    rules.sort(key=lambda pair: _ORDER[pair[1].state])
    return [_rule(group, rule) for group, rule in rules]


def _rule(group: EvaluationGroup, rule: AlertingRule) -> ShownAlertingRule:
    spec = rule.spec
    return ShownAlertingRule(
        group.file,
        group.name,
        spec.name,
        str(spec.query),
        rule.state.value,
        spec.for_ms,
        Labels(spec.labels),
        rule.status.last_error,
        [_alert(alert) for alert in rule.alerts],
    )


def _alert(alert: Alert) -> ShownAlert:
    return ShownAlert(
        alert.labels, dict(alert.annotations), alert.state.value, alert.active_at, alert.value, alert.held_since
    )
