"""`/api/v1/rules` and `/api/v1/alerts`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from os.path import abspath, normpath
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.peers.answer import ASKER_PARAMETER, OWN_SHARD, SHARD_PARAMETER, EvaluatorIdentity
from rulepush.peers.merge import PeersView, merged_alerts, merged_groups, peer_warnings, wanted_groups
from rulepush.peers.peers import Peers
from rulepush.rules.api import InvalidParameter, RulesFilter, alerts_json, rules_json
from rulepush.rules.groups import RuleGroups
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.params import Params


class RulesApi:
    """The rules in force and their alerts."""

    def __init__(
        self,
        groups: RuleGroups,
        config_file: str = "",
        identity: EvaluatorIdentity | None = None,
        peers: Peers | None = None,
    ):
        """`config_file` is the configuration's: rule files are written relative to its directory. `peers` have other
        groups; with the parameter `shard=own` they are left out, which is how they ask each other. `identity` is who
        answers then."""
        self._groups = groups
        self._identity = identity or EvaluatorIdentity.of_process()
        self._peers = peers
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
        if params.text(ASKER_PARAMETER) == self._identity.instance:
            return success({"groups": [], "evaluator": self._identity.as_json()})  # it is in its own list
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
            if _is_own(params):
                found = rules_json(self._groups.all(), wanted)
                return success({**found, "evaluator": self._identity.as_json()})
            if self._peers is None:
                return success(rules_json(self._groups.all(), wanted))
            return await asyncio.to_thread(_rules_of_all, await self._peers.view(), wanted)
        except InvalidParameter as e:
            raise ApiError(ErrorType.BAD_DATA, str(e)) from None

    def _files(self, names: Sequence[str]) -> list[str]:
        """A rule file is known by its absolute path, by its name as it is written in the configuration, and as
        Prometheus shows it, which starts with the directory of `--config.file` as that was given."""
        return [path for name in names for path in (name, normpath(self._directory / name), abspath(name))]

    async def alerts(self, request: Request) -> Response:
        """Pending and firing alerts."""
        if self._peers is None or _is_own(await Params.of(request)):
            return success(alerts_json(self._groups.active_alerts()))
        return await asyncio.to_thread(_alerts_of_all, await self._peers.view())


def _is_own(params: Params) -> bool:
    """Whether only what is evaluated here is asked for. Raises ApiError for another shard."""
    shard = params.text(SHARD_PARAMETER)
    if shard not in ("", OWN_SHARD):
        text = f'invalid parameter "{SHARD_PARAMETER}": there is "{OWN_SHARD}", for what is evaluated here'
        raise ApiError(ErrorType.BAD_DATA, text)
    return bool(shard)


def _rules_of_all(view: PeersView, wanted: RulesFilter) -> Response:
    return success(wanted_groups(merged_groups(view.evaluators), wanted), peer_warnings(view))


def _alerts_of_all(view: PeersView) -> Response:
    return success({"alerts": merged_alerts(merged_groups(view.evaluators))}, peer_warnings(view))
