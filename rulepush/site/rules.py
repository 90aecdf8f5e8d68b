"""`/rules`: every group with its rules, and how their last evaluation went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.model.labels import Labels
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.groups import RuleGroups
from rulepush.site.frame import Frame
from rulepush.site.language import message


@dataclass(frozen=True, slots=True)
class ShownRule:
    """One rule; `last_evaluation` in ms, None before the first."""

    name: str
    expr: str
    alerting: bool
    health: str
    error: str
    labels: Labels
    for_ms: int
    last_evaluation: int | None
    evaluation_s: float


@dataclass(frozen=True, slots=True)
class ShownRuleGroup:
    """A group with its rules, in order."""

    name: str
    file: str
    interval_ms: int
    rules: Sequence[ShownRule]


class RulesPage:
    """`groups` are the rules in force."""

    def __init__(self, frame: Frame, groups: RuleGroups):
        self._frame = frame
        self._groups = groups

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/rules", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page."""
        groups = [_group(group) for group in self._groups.all()]
        return await self._frame.page(request, "rules.html", message("Rules"), "/rules", groups=groups)


def _group(group: EvaluationGroup) -> ShownRuleGroup:
    return ShownRuleGroup(group.name, group.file, group.interval_ms, [_rule(rule) for rule in group.rules])


def _rule(rule: Rule) -> ShownRule:
    spec, status = rule.spec, rule.status
    return ShownRule(
        name=spec.name,
        expr=str(spec.query),
        alerting=isinstance(rule, AlertingRule),
        health=status.health.value,
        error=status.last_error,
        labels=Labels(spec.labels),
        for_ms=rule.spec.for_ms if isinstance(rule, AlertingRule) else 0,
        last_evaluation=status.last_evaluation,
        evaluation_s=status.evaluation_seconds,
    )
