"""All pages of the service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from rulepush.clock import Clock
from rulepush.history.history import AlertHistory
from rulepush.rules.groups import RuleGroups
from rulepush.scrape.pool import ScrapePool
from rulepush.site.alert import AlertLinks, AlertPage
from rulepush.site.alerts import AlertsPage, RecentChanges, SentAs
from rulepush.site.assets import asset_route
from rulepush.site.delivery import DeliveryPage
from rulepush.site.frame import Frame
from rulepush.site.pushed import PushedGroupsPage, PushedSource
from rulepush.site.query import QueryPage
from rulepush.site.rule import RulePage
from rulepush.site.rules import RulesPage
from rulepush.site.status import StatusPage
from rulepush.site.targets import TargetsPage
from rulepush.site.trouble import AlertSending, SampleSending, Trouble
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.external_url import ExternalURL
from rulepush.web.status import Status


def _nothing() -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class SiteParts:
    """The objects behind the pages. `troubles()` is what is wrong now; `alertmanagers()` and `receivers()` are what
    alerts and samples are sent to; `pushed()` gives the pushed groups, None where the receiver is not enabled;
    `sent_as` and `changes` are those of AlertsPage."""

    evaluator: QueryEvaluator
    groups: RuleGroups
    jobs: Iterable[ScrapePool]
    clock: Clock
    status: Callable[[], Status]
    flags: Mapping[str, str]
    external_url: ExternalURL
    history: AlertHistory
    troubles: Callable[[], Iterable[Trouble]] = _nothing
    alertmanagers: Callable[[], Iterable[AlertSending]] = _nothing
    receivers: Callable[[], Iterable[SampleSending]] = _nothing
    pushed: PushedSource | None = None
    sent_as: SentAs | None = None
    changes: RecentChanges | None = None


def site_routes(parts: SiteParts) -> list[BaseRoute]:
    """The pages, the style sheet and the script. To be mounted where the prefix of the routes leads."""
    frame = Frame(parts.clock, parts.external_url.prefix, parts.troubles)
    query = QueryPage(frame, parts.evaluator)

    def alertmanager_urls() -> list[str]:
        return [one.url for one in parts.alertmanagers()]

    async def enter(_: Request) -> Response:
        return RedirectResponse(f"{frame.prefix}/alerts", 302)

    return [
        Route("/", enter, methods=["GET"]),
        asset_route(),
        *AlertsPage(frame, parts.groups, parts.sent_as, parts.changes).routes(),
        *AlertPage(frame, parts.groups, parts.history, parts.evaluator, alertmanager_urls).routes(),
        *RulePage(frame, parts.groups, parts.history, parts.evaluator).routes(),
        *RulesPage(frame, parts.groups).routes(),
        *TargetsPage(frame, parts.jobs).routes(),
        *AlertLinks(frame.prefix, query.show).routes(),
        *query.routes(),
        *DeliveryPage(frame, parts.alertmanagers, parts.receivers).routes(),
        *PushedGroupsPage(frame, parts.pushed).routes(),
        *StatusPage(frame, parts.status, parts.flags).routes(),
    ]
