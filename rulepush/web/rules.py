"""`/api/v1/rules` and `/api/v1/alerts`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.rules.api import InvalidParameter, RulesFilter, alerts_json, rules_json
from rulepush.rules.groups import RuleGroups
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.params import Params


class RulesApi:
    """The rules in force and their alerts."""

    def __init__(self, groups: RuleGroups):
        self._groups = groups

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        return [
            Route("/rules", self.rules, methods=["GET"]),
            Route("/alerts", self.alerts, methods=["GET"]),
        ]

    async def rules(self, request: Request) -> Response:
        """All groups, or those that the parameters select."""
        params = await Params.of(request)
        try:
            wanted = RulesFilter.of(
                type=params.text("type"),
                rule_names=params.texts("rule_name[]"),
                rule_groups=params.texts("rule_group[]"),
                files=params.texts("file[]"),
                exclude_alerts=params.text("exclude_alerts"),
                matchers=params.matchers(),
                group_limit=params.text("group_limit"),
                group_next_token=params.text("group_next_token"),
            )
            return success(rules_json(self._groups.all(), wanted))
        except InvalidParameter as e:
            raise ApiError(ErrorType.BAD_DATA, str(e)) from None

    async def alerts(self, _: Request) -> Response:
        """Pending and firing alerts."""
        return success(alerts_json(self._groups.active_alerts()))
