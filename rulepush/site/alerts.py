"""`/alerts`: what is wrong now, by severity, with filters that a link keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.history.history import AlertHistory
from rulepush.history.rows import HistoryAnswer, HistoryFilter
from rulepush.model.labels import Labels
from rulepush.peers.peers import Peers
from rulepush.rules.alert import Alert
from rulepush.rules.groups import RuleGroups
from rulepush.rules.transition import Transition
from rulepush.site.alert_views import (
    STRIP_LENGTH_MS,
    AlertingRuleNow,
    AlertsFilter,
    AlertSources,
    AlertsView,
    SilencePlace,
    alerting_rules_now,
    alerts_view,
)
from rulepush.site.elsewhere import alerts_elsewhere
from rulepush.site.frame import Frame
from rulepush.site.language import message

SentAs = Callable[[Alert], Mapping[str, Labels]]
"""The labels by which each Alertmanager, by its address, knows an alert; called in a thread."""
MAX_TOLD: Final = 500  # changes of all alerts, the newest, for the strips


class AlertsPage:
    """`groups` are the rules in force; `sent_as` is None where alerts are not sent; `peers` have others."""

    def __init__(
        self,
        frame: Frame,
        groups: RuleGroups,
        history: AlertHistory,
        sent_as: SentAs | None = None,
        peers: Peers | None = None,
    ):
        self._frame = frame
        self._groups = groups
        self._sent_as = sent_as
        self._history = history
        self._peers = peers

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/alerts", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page."""
        now = self._frame.clock.now()
        wanted = alerts_filter(request)
        told = await self._history.find(HistoryFilter(start=now - STRIP_LENGTH_MS, limit=MAX_TOLD))
        rules = alerting_rules_now(self._groups.all())
        view = await asyncio.to_thread(self._view, rules, wanted, told, now)
        return await self._frame.page(
            request,
            "alerts.html",
            message("Alerts"),
            "/alerts",
            view=view,
            wanted=wanted,
            strip_ms=STRIP_LENGTH_MS,
            elsewhere=await alerts_elsewhere(self._peers, wanted),
        )

    def _view(
        self, rules: Sequence[AlertingRuleNow], wanted: AlertsFilter, told: HistoryAnswer, now: int
    ) -> AlertsView:
        changes: dict[Labels, list[Transition]] = {}
        for one in told.found:
            changes.setdefault(one.labels, []).append(one)
        since = told.found[-1].ts if told.is_cut else 0
        return alerts_view(rules, wanted, AlertSources(self._places, changes, since), now)

    def _places(self, alert: Alert) -> Sequence[SilencePlace]:
        if self._sent_as is None:
            return ()
        return [SilencePlace(address, labels) for address, labels in self._sent_as(alert).items()]


def alerts_filter(request: Request) -> AlertsFilter:
    """The filters of a request."""
    asked = request.query_params
    return AlertsFilter(
        state=asked.get("state", ""),
        severity=asked.get("severity", ""),
        job=asked.get("job", ""),
        alertname=asked.get("alertname", ""),
        text=asked.get("q", ""),
    )
