"""All routes of the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from rulepush.clock import Clock
from rulepush.exposition import FamilyMetadata
from rulepush.history.history import AlertHistory
from rulepush.peers.answer import EvaluatorIdentity
from rulepush.peers.peers import Peers
from rulepush.rules.groups import RuleGroups
from rulepush.scrape.pool import ScrapePool
from rulepush.storage.head import Head
from rulepush.telemetry import Telemetry
from rulepush.web.absent import AbsentApi
from rulepush.web.compression import Compression
from rulepush.web.cors import CorsHeaders, CorsOrigins, CrossOriginReads
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.explain import ExplainApi, RuleExplainer
from rulepush.web.external_url import ExternalURL
from rulepush.web.federate import FederationApi
from rulepush.web.history import HistoryApi, last_transitions
from rulepush.web.lifecycle import LifecycleApi
from rulepush.web.notifications import Notice, NotificationsApi
from rulepush.web.query import POSTED_READS, QueryApi
from rulepush.web.rules import RulesApi
from rulepush.web.self_metrics import SelfMetricsApi
from rulepush.web.status import Status, StatusApi
from rulepush.web.targets import TargetsApi
from rulepush.web.tsdb_status import TsdbStatusApi


@dataclass(frozen=True, slots=True)
class WebParts:
    """The objects behind the routes. `metadata()` is the metadata of scraped, pushed and received metric families;
    `more` are the routes of optional receivers, `pages` those for people, `cors` the sites whose pages may read the
    API, `notices()` what is wrong with the server itself, `peers` evaluate other groups, and
    know this process by its `identity`."""

    evaluator: QueryEvaluator
    head: Head
    groups: RuleGroups
    jobs: Iterable[ScrapePool]
    metadata: Callable[[], Mapping[str, FamilyMetadata]]
    clock: Clock
    telemetry: Telemetry
    status: Callable[[], Status]
    flags: Mapping[str, str]
    ready: Callable[[], bool]
    reload: Callable[[], Awaitable[None]]
    stop: Callable[[], None]
    enable_lifecycle: bool
    external_url: ExternalURL
    history: AlertHistory
    more: Sequence[BaseRoute] = ()
    pages: Sequence[BaseRoute] = ()
    external_labels: Callable[[], Mapping[str, str]] = dict
    notices: Callable[[], Iterable[Notice]] = tuple
    cors: CorsOrigins = field(default_factory=CorsOrigins)
    identity: EvaluatorIdentity | None = None
    peers: Peers | None = None


def web_routes(parts: WebParts) -> list[BaseRoute]:
    """Optional receivers, the API, the lifecycle endpoints and the pages; all below the prefix, as in Prometheus."""
    status = StatusApi(parts.status, parts.flags, parts.clock)
    api = [
        *QueryApi(parts.evaluator, parts.clock).routes(),
        *HistoryApi(parts.history, parts.evaluator.in_thread).routes(),
        *RulesApi(parts.groups, parts.flags.get("config.file", ""), parts.identity, parts.peers).routes(),
        *ExplainApi(
            RuleExplainer(parts.evaluator, parts.groups, parts.jobs, parts.clock, last_transitions(parts.history)),
            parts.evaluator.asked_at,
        ).routes(),
        *TargetsApi(
            parts.jobs,
            parts.metadata,
            parts.external_url,
            lambda: parts.status().config_yaml,
            parts.evaluator.in_thread,
        ).routes(),
        *status.routes(),
        *TsdbStatusApi(parts.head, parts.evaluator.in_thread).routes(),
        *NotificationsApi(parts.notices, parts.clock, parts.ready).routes(),
        *SelfMetricsApi(parts.telemetry).routes(),
        *AbsentApi().routes(),
    ]
    lifecycle = LifecycleApi(parts.telemetry, parts.ready, parts.reload, parts.stop, parts.enable_lifecycle)
    routes: list[BaseRoute] = [
        *parts.more,
        Mount("/api/v1", routes=api, middleware=[Middleware(CorsHeaders, parts.cors), Middleware(Compression)]),
        *status.root_routes(),
        *FederationApi(parts.evaluator, parts.clock, parts.external_labels, parts.ready).routes(),
        *lifecycle.routes(),
        *parts.pages,
    ]
    prefix = parts.external_url.route_prefix
    if not prefix:
        return routes

    async def enter(_: Request) -> Response:
        return RedirectResponse(f"{prefix}/", 302)

    return [Route("/", enter), Route(prefix, enter), Mount(prefix, routes=routes)]


def cross_origin_reads(parts: WebParts) -> CrossOriginReads:
    """What the pages of other sites may POST to these routes."""
    return CrossOriginReads(parts.cors, (f"{parts.external_url.route_prefix}/api/v1{path}" for path in POSTED_READS))
