"""`/alerts`: what is wrong now, by severity, with filters that a link keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.model.labels import Labels
from rulepush.rules.alert import Alert
from rulepush.rules.groups import RuleGroups
from rulepush.site.alert_views import AlertsFilter, AlertSources, SilencePlace, alerting_rules_now, alerts_view
from rulepush.site.frame import Frame
from rulepush.site.language import message
from rulepush.site.strip import STRIP_MS, AlertChange

SentAs = Callable[[Alert], Mapping[str, Labels]]
"""The labels by which each Alertmanager, by its address, knows an alert; called in a thread."""
RecentChanges = Callable[[int], Awaitable[Mapping[Labels, Sequence[AlertChange]]]]
"""What became of alerts since a time (ms), by their labels."""


class AlertsPage:
    """`groups` are the rules in force; `sent_as` and `changes` are None where there is nothing of the kind."""

    def __init__(
        self, frame: Frame, groups: RuleGroups, sent_as: SentAs | None = None, changes: RecentChanges | None = None
    ):
        self._frame = frame
        self._groups = groups
        self._sent_as = sent_as
        self._changes = changes

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/alerts", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page."""
        now = self._frame.clock.now()
        wanted = alerts_filter(request)
        changes = await self._changes(now - STRIP_MS) if self._changes is not None else None
        rules, sources = alerting_rules_now(self._groups.all()), AlertSources(self._places, changes)
        view = await asyncio.to_thread(alerts_view, rules, wanted, sources, now)
        return await self._frame.page(
            request, "alerts.html", message("Alerts"), "/alerts", view=view, wanted=wanted, strip_ms=STRIP_MS
        )

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
