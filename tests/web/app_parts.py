"""The web side of a rulepush with jobs that were scraped and rules that were evaluated, all of it fake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from starlette.routing import BaseRoute

from rulepush.config.sections import ScrapeConfig
from rulepush.datasource.status import DatasourceStatus
from rulepush.delivery import DeliveryStatus, HeartbeatStatus
from rulepush.discovery.groups import Environment
from rulepush.discovery.reporter import DiscoveryReporter, FailingDiscovery
from rulepush.discovery.static import StaticConfig
from rulepush.errors import RulepushError
from rulepush.exposition import FamilyMetadata
from rulepush.history.history import AlertHistory
from rulepush.history.store import SCHEMA
from rulepush.model.labels import EMPTY_LABELS
from rulepush.model.schedule import TickGrid
from rulepush.peers.peers import Peers
from rulepush.push.groups import PushedGroups
from rulepush.relabel.relabel import Action, RelabelConfig
from rulepush.scrape.bodies import TargetBodies
from rulepush.scrape.sharding import ScrapeSharding
from rulepush.service.scraping import Jobs
from rulepush.site.alerts import SentAs
from rulepush.site.backtest_place import RecordedPlace
from rulepush.site.datasource_views import ShownDatasources
from rulepush.site.facts import MemoryPart, ReloadState, ServiceFacts, StorageState
from rulepush.site.routes import SiteParts, site_routes
from rulepush.site.trouble import Trouble
from rulepush.storage.database import Database
from rulepush.storage.demand_history import DemandHistory
from rulepush.telemetry import Telemetry, single
from rulepush.web.cors import CorsOrigins
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.external_url import ExternalURL
from rulepush.web.notifications import Notice
from rulepush.web.past import PastSamples
from rulepush.web.routes import WebParts, web_routes
from rulepush.web.status import Status
from tests.fakes import FakeClock
from tests.rules.world import T0, World

BODY = """# HELP queue_size Jobs that wait.
# TYPE queue_size gauge
queue_size{q="a<b>"} 7
# TYPE other_total counter
other_total 3
"""
RULES = """
groups:
- name: queues
  rules:
  - {record: queues, expr: sum(queue_size), labels: {team: x}}
  - alert: QueueLong
    expr: queue_size > 5
    for: 30m
    labels: {severity: page}
    annotations: {summary: "{{ $labels.q }} is <long>"}
  - {alert: Down, expr: up == 0}
  - {alert: Never, expr: queue_size > 1e9}
  - {alert: Broken, expr: queue_size / on() up}
"""
DROP = RelabelConfig(action=Action.DROP, source_labels=("__address__",), regex="gone:1")


FACTS = ServiceFacts(
    version="1.2.3",
    python="3.11.2",
    hostname="box",
    directory="/srv",
    listen_address="127.0.0.1:9095",
    external_url="http://outside.example",
    started_at=T0 - 3_600_000,
    resident_bytes=60 << 20,
    memory=(MemoryPart("samples", 3 << 20), MemoryPart("labels", 5_000)),
    series=1_234,
    samples=56_789,
    samples_scraped=1_000_000,
    samples_kept=25_000,
    scrapes_skipped=0,
    targets=2,
    rule_groups=1,
    rules=5,
    queries=7,
    query_failures=1,
    retention_ms=0,
    overload="",
    time_jumps=0,
    reload=ReloadState("/etc/rulepush/prometheus.yml", T0),
    storage=StorageState(),
)


def job(name: str, *addresses: str, **settings: object) -> ScrapeConfig:
    found = (StaticConfig(addresses, EMPTY_LABELS),)
    return ScrapeConfig(name, 10_000, 5_000, sd_configs=found, **settings)  # type: ignore[arg-type]


def answer(request: httpx.Request) -> httpx.Response:
    if request.url.host == "down":
        raise httpx.ConnectError("connection refused", request=request)
    return httpx.Response(200, text=BODY, headers={"Content-Type": "text/plain"})


@dataclass
class Parts:
    """A scraped and evaluated world; `routes` are those of a running rulepush."""

    prefix: str = ""
    route_prefix: str = ""
    lifecycle: bool = False
    reload_error: str = ""
    rules: str = RULES
    jobs_wanted: Sequence[ScrapeConfig] = (
        job("app", "app:1", "gone:1", relabel_configs=(DROP,)),
        job("dead", "down:1"),
    )
    sharding: ScrapeSharding | None = None
    calls: list[str] = field(default_factory=list)
    ready: bool = True
    troubles: Sequence[Trouble] = ()
    deliveries: Sequence[DeliveryStatus] = ()
    heartbeats: Sequence[HeartbeatStatus] = ()
    facts: ServiceFacts = FACTS
    pushed: PushedGroups | None = None
    bodies: TargetBodies | None = None
    failing_discoveries: Mapping[str, FailingDiscovery] = field(default_factory=dict)
    awaited_discoveries: Mapping[str, str] = field(default_factory=dict)
    sent_as: SentAs | None = None
    recorded: RecordedPlace | None = None
    past: PastSamples | None = None
    notices: Sequence[Notice] = ()
    datasources: Sequence[DatasourceStatus] = ()
    peers: Peers | None = None

    def __post_init__(self) -> None:
        self.clock = FakeClock(T0)
        self.history = AlertHistory(Database(None, SCHEMA, any_thread=True), self.clock)
        self.world = World(self.rules, context={"record": self.history.record})
        self.telemetry = Telemetry()
        self.telemetry.counter("rulepush_things", "Things.", single(lambda: 3))
        env = Environment(self.clock, DiscoveryReporter())

        def client(_: object) -> httpx.AsyncClient:
            return httpx.AsyncClient(transport=httpx.MockTransport(answer))

        self.jobs = Jobs(self.world.head, TickGrid("test"), env, client, self.bodies, self.sharding)
        self.status = Status(
            "scrape_configs: <secret>\n", T0, True, T0, 0, "by demand", ("http://am:9093/api/v2/alerts",)
        )
        asyncio.run(self._scrape())
        self.world.tick(self.clock.now() - T0)
        demands = DemandHistory(self.world.head.demand, 0)
        self.evaluator = QueryEvaluator(
            lambda: self.world.engine, self.world.head, demands, self.clock, past=lambda: self.past
        )

    async def _scrape(self) -> None:
        running = asyncio.create_task(self.jobs.run())
        await asyncio.sleep(0)
        await self.jobs.sync(self.jobs_wanted)
        await self.clock.advance(15)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await self.jobs.aclose()

    async def _reload(self) -> None:
        self.calls.append("reload")
        if self.reload_error:
            raise RulepushError(self.reload_error)

    def _pushed(self) -> Callable[[], PushedGroups]:
        groups = self.pushed
        assert groups is not None
        return lambda: groups

    def routes(self) -> list[BaseRoute]:
        return web_routes(self.web_parts())

    def web_parts(self, cors: CorsOrigins | None = None) -> WebParts:
        reload: Callable[[], Awaitable[None]] = self._reload
        external_url = ExternalURL(f"http://outside.example{self.prefix}", 9095, self.route_prefix)
        site = SiteParts(
            evaluator=self.evaluator,
            groups=self.world.groups,
            jobs=self.jobs,
            clock=self.clock,
            status=lambda: self.status,
            flags={"web.enable-lifecycle": "true"},
            history=self.history,
            external_url=external_url,
            troubles=lambda: self.troubles,
            facts=lambda: self.facts,
            head=self.world.head,
            deliveries=lambda: self.deliveries,
            heartbeats=lambda: self.heartbeats,
            failing_discoveries=lambda: self.failing_discoveries,
            awaited_discoveries=lambda: self.awaited_discoveries,
            pushed=self._pushed() if self.pushed is not None else None,
            bodies=self.bodies,
            sent_as=self.sent_as,
            recorded=lambda: self.recorded,
            datasources=ShownDatasources(lambda: self.datasources),
            peers=self.peers,
        )
        return WebParts(
            evaluator=self.evaluator,
            head=self.world.head,
            groups=self.world.groups,
            jobs=self.jobs,
            metadata=lambda: {"pushed_total": FamilyMetadata("counter", "Pushed.", "")},
            clock=self.clock,
            telemetry=self.telemetry,
            status=lambda: self.status,
            flags={"web.enable-lifecycle": "true"},
            ready=lambda: self.ready,
            reload=reload,
            stop=lambda: self.calls.append("stop"),
            enable_lifecycle=self.lifecycle,
            history=self.history,
            external_url=external_url,
            pages=site_routes(site),
            notices=lambda: self.notices,
            cors=cors or CorsOrigins(),
        )
