"""All pages of the service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from rulepush.clock import Clock
from rulepush.delivery import DeliveryStatus, HeartbeatStatus, ReceiverKind
from rulepush.discovery.reporter import FailingDiscovery
from rulepush.history.history import AlertHistory
from rulepush.model.labels import Labels
from rulepush.peers.peers import Peers
from rulepush.rules.alert import Alert
from rulepush.rules.groups import RuleGroups
from rulepush.scrape.bodies import TargetBodies
from rulepush.scrape.pool import ScrapePool
from rulepush.site.alert import AlertLinks, AlertPage
from rulepush.site.alerts import AlertsPage, SentAs
from rulepush.site.assets import asset_route
from rulepush.site.backtest import BacktestPage
from rulepush.site.backtest_place import RecordedPlace
from rulepush.site.bookmarks import bookmark_routes
from rulepush.site.datasource_views import NO_DATASOURCES, ShownDatasources
from rulepush.site.delivery import DeliveryPage
from rulepush.site.discovery import DiscoveryPage
from rulepush.site.facts import ServiceFacts
from rulepush.site.frame import Frame
from rulepush.site.pushed import PushedGroupsPage, PushedSource
from rulepush.site.query import QueryPage
from rulepush.site.rule import RulePage
from rulepush.site.rules import RulesPage
from rulepush.site.status import StatusPages
from rulepush.site.targets import TargetsPage
from rulepush.site.trouble import Trouble
from rulepush.storage.head import Head
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.explain import RuleExplainer
from rulepush.web.external_url import ExternalURL
from rulepush.web.history import last_transitions
from rulepush.web.status import Status


def _nothing() -> tuple[()]:
    return ()


def _not_recorded() -> None:
    return None


@dataclass(frozen=True, slots=True)
class SiteParts:
    """The objects behind the pages. `facts()` is what the status page shows; `troubles()` is what is wrong now;
    `deliveries()` are the receivers of alerts and samples; `heartbeats()` are those configured;
    `failing_discoveries()` are the discoveries that fail now, `awaited_discoveries()` what those wait for that have
    given no list yet; `pushed()` gives the pushed groups, None where the
    receiver is not enabled; `bodies` is None where those of targets are not kept; `sent_as` gives the labels of an
    alert by the URL of each Alertmanager that it is sent to; `recorded()` is what a backtest reads, None where nothing
    is recorded; `datasources` are the engines that evaluate rules elsewhere; `peers` have other alerts and rules."""

    evaluator: QueryEvaluator
    groups: RuleGroups
    jobs: Iterable[ScrapePool]
    clock: Clock
    status: Callable[[], Status]
    facts: Callable[[], ServiceFacts]
    head: Head
    flags: Mapping[str, str]
    external_url: ExternalURL
    history: AlertHistory
    troubles: Callable[[], Iterable[Trouble]] = _nothing
    deliveries: Callable[[], Iterable[DeliveryStatus]] = _nothing
    heartbeats: Callable[[], Iterable[HeartbeatStatus]] = _nothing
    failing_discoveries: Callable[[], Mapping[str, FailingDiscovery]] = dict
    awaited_discoveries: Callable[[], Mapping[str, str]] = dict
    pushed: PushedSource | None = None
    bodies: TargetBodies | None = None
    sent_as: SentAs | None = None
    recorded: Callable[[], RecordedPlace | None] = _not_recorded
    datasources: ShownDatasources = NO_DATASOURCES
    peers: Peers | None = None


def site_routes(parts: SiteParts) -> list[BaseRoute]:
    """The pages, the style sheet and the script. To be mounted where the prefix of the routes leads."""
    frame = Frame(parts.clock, parts.external_url.prefix, parts.troubles)
    query = QueryPage(frame, parts.evaluator, lambda: [one.name for one in parts.datasources.statuses()])

    explainer = RuleExplainer(parts.evaluator, parts.groups, parts.jobs, parts.clock, last_transitions(parts.history))

    def alertmanager_urls() -> list[str]:
        return [one.name for one in parts.deliveries() if one.kind is ReceiverKind.ALERTMANAGER]

    public_url = parts.external_url.global_url

    def known_as(alert: Alert) -> dict[str, Labels]:
        sent = {} if parts.sent_as is None else parts.sent_as(alert)
        return {public_url(url): labels for url, labels in sent.items()}

    async def enter(_: Request) -> Response:
        return RedirectResponse(f"{frame.prefix}/alerts", 302)

    return [
        Route("/", enter, methods=["GET"]),
        asset_route(),
        *AlertsPage(frame, parts.groups, parts.history, known_as, parts.peers).routes(),
        *AlertPage(
            frame,
            parts.groups,
            parts.history,
            parts.evaluator,
            explainer,
            alertmanager_urls,
            parts.sent_as,
            public_url,
            parts.datasources,
            parts.peers,
        ).routes(),
        *RulePage(
            frame, parts.groups, parts.history, parts.evaluator, explainer, parts.datasources, parts.peers
        ).routes(),
        *RulesPage(frame, parts.groups, datasources=parts.datasources, peers=parts.peers).routes(),
        *TargetsPage(frame, parts.jobs, parts.bodies).routes(),
        *DiscoveryPage(frame, parts.jobs, parts.failing_discoveries, parts.awaited_discoveries).routes(),
        *AlertLinks(frame.prefix, query.show).routes(),
        *query.routes(),
        *BacktestPage(frame, parts.groups, parts.evaluator, parts.recorded).routes(),
        *DeliveryPage(frame, parts.deliveries, parts.status, parts.heartbeats, parts.datasources.statuses).routes(),
        *PushedGroupsPage(frame, parts.pushed).routes(),
        *StatusPages(frame, parts.status, parts.facts, parts.flags, parts.head).routes(),
        *bookmark_routes(frame.prefix),
    ]
