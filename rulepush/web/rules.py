"""`/api/v1/rules` and `/api/v1/alerts`."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import abspath, normpath
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.rules.api import InvalidParameter, RulesFilter, alerts_json, rules_json
from rulepush.rules.groups import RuleGroups
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.params import Params


class RulesApi:
    """The rules in force and their alerts."""

    def __init__(self, groups: RuleGroups, config_file: str = ""):
        """`config_file` is the configuration's: rule files are written relative to its directory."""
        self._groups = groups
        self._directory = Path(config_file).absolute().parent

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
                files=self._files(params.texts("file[]")),
                exclude_alerts=params.text("exclude_alerts"),
                matchers=params.matchers(),
                group_limit=params.text("group_limit"),
                group_next_token=params.text("group_next_token"),
            )
            return success(rules_json(self._groups.all(), wanted))
        except InvalidParameter as e:
            raise ApiError(ErrorType.BAD_DATA, str(e)) from None

    def _files(self, names: Sequence[str]) -> list[str]:
        """A rule file is known by its absolute path, by its name as it is written in the configuration, and as
        Prometheus shows it, which starts with the directory of `--config.file` as that was given."""
        return [path for name in names for path in (name, normpath(self._directory / name), abspath(name))]

    async def alerts(self, _: Request) -> Response:
        """Pending and firing alerts."""
        return success(alerts_json(self._groups.active_alerts()))
