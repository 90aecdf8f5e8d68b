"""The composition root: builds the objects of a running rulepush, owns their tasks, puts a reload into effect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from functools import partial
from typing import Final

import httpx
from starlette.routing import BaseRoute

from rulepush import __version__
from rulepush.clock import Clock, SystemClock
from rulepush.config.sections import Config
from rulepush.discovery.groups import Environment
from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.errors import RulepushError
from rulepush.exposition import FamilyMetadata
from rulepush.http_client.build import build_client
from rulepush.http_client.config import HTTPClientConfig
from rulepush.model.durations import format_duration
from rulepush.model.labels import Labels
from rulepush.model.schedule import TickGrid
from rulepush.notifier.alertmanager_sets import AlertmanagerSets, relabel_chain
from rulepush.notifier.notifier import Notifier, SendSettings
from rulepush.notifier.store import SqliteUndelivered
from rulepush.promql import Engine, EngineOptions
from rulepush.rules.alert import RestorePolicy
from rulepush.rules.context import HoldPolicy, RuleContext
from rulepush.rules.groups import GroupDefaults, RuleGroups
from rulepush.rules.loop import RuleLoops
from rulepush.rules.state import SqliteAlertStates
from rulepush.service import own_metrics
from rulepush.service.clock_watch import ClockWatch
from rulepush.service.loaded_config import LoadedConfig, load_config_and_rules
from rulepush.service.options import ServiceOptions
from rulepush.service.outputs import Outputs, TeeAppender
from rulepush.service.receivers import PushReceiver, ReceivedMetadata, remote_write_receiver_routes
from rulepush.service.scraping import Jobs
from rulepush.service.state_directory import StateDirectory
from rulepush.service.warm_up import WarmUp
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.storage.journal import SampleJournal
from rulepush.telemetry import Telemetry
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.external_url import ExternalURL
from rulepush.web.routes import WebParts, web_routes
from rulepush.web.security import WebConfigReloader
from rulepush.web.server import WebServer, bind, build_app
from rulepush.web.status import Status

log = logging.getLogger("rulepush.main")

DRAIN_SECONDS: Final = 4.0
HOUSEKEEPING_SECONDS: Final = 60.0


class App:
    """One running rulepush. `run` serves until `stop`; `reload` may be called meanwhile."""

    def __init__(
        self, options: ServiceOptions, clock: Clock | None = None, transport: httpx.AsyncBaseTransport | None = None
    ):
        """Reads the configuration and takes the port. Raises ConfigError or RulepushError; nothing runs then.

        `transport` takes the place of the network, for targets and Alertmanagers, in tests.
        """
        self.options = options
        self.clock = clock or SystemClock()
        self._transport = transport
        self.started_at = self.clock.now()
        self.plan: LoadedConfig = load_config_and_rules(options.config_file, options.lookback_delta_ms)
        self._web_config = WebConfigReloader(options.web_config_file)
        self.state = StateDirectory(options.storage_path)
        self._listener = bind(options.listen_address)
        self.external_url = options.external_url or f"http://127.0.0.1:{self.port}"
        self.last_reload_ok, self.last_reload_at = True, self.started_at
        self.tally = DiscoveryReporter()
        self._env = Environment(self.clock, self.tally, f"rulepush/{__version__}")
        self.head = Head(self.plan.demand)
        self.demands = DemandHistory(self.plan.demand, self.started_at)
        self.journal = self._open_journal()
        self.engine = self._engine(self.plan.config)
        self.queries = QueryEvaluator(
            lambda: self.engine,
            self.head,
            self.demands,
            self.clock,
            options.query_concurrency,
            options.web_max_samples,
        )
        self.grid = TickGrid(_identity(self.plan.config))
        undelivered, sending = SqliteUndelivered(self.state.alerts), self._sending(self.plan.config)
        self.notifier = Notifier(self.clock, undelivered, sending, lambda: self.groups.active_alerts())
        self.alertmanagers = AlertmanagerSets(self.notifier, self._env, self._client)
        self.jobs = Jobs(self.head, self.grid, self._env, self._client)
        self.received = ReceivedMetadata()
        self.outputs = Outputs(self.clock, self._client, options.storage_path, self._metadata)
        self.samples = TeeAppender(self.head, self.outputs)
        store = SqliteAlertStates(self.state.alerts) if options.storage_path else None
        self.groups = RuleGroups(store)
        self.loops = RuleLoops(self.groups, self.clock, self.grid.next_tick, self._data_is_in)
        self.clock_watch = ClockWatch(self.clock, self._interrupted)
        self._warm_up = WarmUp(self.jobs, self.clock_watch, options.lookback_delta_ms, self._received_within_ms)
        self.telemetry = Telemetry()
        own_metrics.register(self)
        self._push = self._open_push_door()
        self._stop = asyncio.Event()
        self._reload_wanted = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._ready = False

    # --- life

    @property
    def port(self) -> int:
        """The port that is listened on."""
        port: int = self._listener.getsockname()[1]
        return port

    async def run(self) -> None:
        """Serve until `stop`; then send and save what is pending, and return."""
        self._announce()
        door = self._web_config.door
        web = WebServer(build_app(web_routes(self._web_parts()), door), self._listener, door)
        async with asyncio.TaskGroup() as tasks:
            notifying = tasks.create_task(self.notifier.run(), name="notifier")
            sending_on = tasks.create_task(self.outputs.run(), name="outputs")
            owned = [
                tasks.create_task(self.alertmanagers.run(), name="alertmanager discovery"),
                tasks.create_task(self.jobs.run(), name="scraping"),
                tasks.create_task(self.loops.run(), name="rules"),
                tasks.create_task(self.clock_watch.run(), name="clock watch"),
                tasks.create_task(self._housekeeping(), name="housekeeping"),
                tasks.create_task(self._web_config.run(self.clock), name="door"),
                tasks.create_task(self._reload_on_request(), name="reload"),
            ]
            if self.journal is not None:
                self.journal.restore(self.clock.now(), self.options.lookback_delta_ms)
                self.jobs.restored.add(self.head.unended(), self.plan.written)
                owned.append(tasks.create_task(self.journal.run(), name="journal"))
            if self._push is not None:
                pushes = self._push.run(self.grid, self._scrape_interval_ms, lambda: self.samples)
                owned.append(tasks.create_task(pushes, name="pushes"))
            serving = tasks.create_task(web.run(), name="web")
            await self._apply(self.plan)
            self._ready = True
            log.info("rulepush is ready: port=%d", self.port)
            await self._stop.wait()
            self._ready = False
            for task in owned:
                task.cancel()
            web.stop()
            self.queries.close()
            await asyncio.gather(self._drain(), self.outputs.aclose())
            notifying.cancel()
            sending_on.cancel()
            await serving
        await self.alertmanagers.aclose()
        await self.jobs.aclose()
        if self.journal is not None:
            self.journal.close()
        self.state.close()
        if self._push is not None:
            self._push.close()
        log.info("rulepush has stopped")

    def stop(self, reason: str = "request") -> None:
        """Ask `run` to end."""
        log.info("stopping: reason=%s", reason)
        self._stop.set()

    async def reload(self) -> None:
        """Read the configuration again and put it into effect. Raises ConfigError, and then all is as it was."""
        async with self._reloading:  # a signal and a request may come together
            self._web_config.look()
            try:
                plan = load_config_and_rules(self.options.config_file, self.options.lookback_delta_ms)
            except RulepushError as e:
                self.last_reload_ok = False
                for line in str(e).splitlines():
                    log.error("configuration not reloaded, the running one stays: %s", line)
                raise
            await self._apply(plan)
            self.last_reload_ok, self.last_reload_at = True, self.clock.now()
        log.info("configuration loaded: file=%s rules=%d", self.options.config_file, plan.rule_count)
        plan.log_warnings()

    def request_reload(self) -> None:
        """Reload soon, as SIGHUP asks; a bad file is logged."""
        self._reload_wanted.set()

    async def _reload_on_request(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            with contextlib.suppress(RulepushError):  # it is in the log
                await self.reload()

    # --- putting a plan into effect

    async def _apply(self, plan: LoadedConfig) -> None:
        config = plan.config
        self.plan = plan
        self.engine = self._engine(config)
        self.notifier.sending = self._sending(config)
        if self._push is not None:
            self._push.groups.default_ttl_ms = config.push_receiver.default_ttl_ms
        self.head.set_demand(plan.demand)
        self.demands.change(plan.demand, self.clock.now())
        defaults = GroupDefaults(config.global_.evaluation_interval_ms, config.global_.rule_query_offset_ms)
        self.groups.update(plan.groups, self._rule_context(config), defaults, self.clock.now())
        self.loops.sync()
        await self.alertmanagers.sync(config.alerting.alertmanagers)
        await self.outputs.sync(config)
        await self.jobs.sync(config.scrape_configs, self.outputs.scraped if self.outputs.active else None)

    def _engine(self, config: Config) -> Engine:
        options = EngineOptions(
            lookback_delta_ms=self.options.lookback_delta_ms,
            max_samples=self.options.max_samples,
            timeout_ms=self.options.query_timeout_ms,
            default_step_ms=config.global_.evaluation_interval_ms,
            delayed_name_removal="promql-delayed-name-removal" in self.options.features,
        )
        return Engine(options, self.clock.monotonic)

    def _sending(self, config: Config) -> SendSettings:
        relabel = relabel_chain(config.alerting.alert_relabel_configs)
        return SendSettings(self.external_url, config.global_.external_labels, relabel)

    def _rule_context(self, config: Config) -> RuleContext:
        hold_ms = config.alerting.hold_on_scrape_failure_ms
        return RuleContext(
            engine=self.engine,
            samples=self.samples,
            notify=self.notifier.send,
            external_labels=config.global_.external_labels,
            external_url=self.external_url,
            resend_delay_ms=self.options.resend_delay_ms,
            hold=HoldPolicy(hold_ms, self.jobs.target_down) if hold_ms else None,
            restore=RestorePolicy(
                bridged_ms=self.options.lookback_delta_ms,
                outage_tolerance_ms=self.options.outage_tolerance_ms,
                grace_period_ms=self.options.grace_period_ms,
            ),
            fresh=self._warm_up.fresh,
            settled=self._warm_up.settled,
            stopwatch=time.perf_counter,
        )

    def _client(self, config: HTTPClientConfig) -> httpx.AsyncClient:
        return build_client(config, self._env.user_agent, clock=self.clock, transport=self._transport)

    # --- while it runs

    async def _data_is_in(self, ts: int) -> bool:
        """What a group's tick waits for: the scrapes of its moment. Pushes wait in memory and are read now. False when
        the time jumped since that moment was planned."""
        if self._push is not None:
            self._push.collect(ts, self.samples)
        await self.jobs.settled(ts)
        self.clock_watch.look()
        return ts >= self.clock_watch.since

    def _scrape_interval_ms(self) -> int:
        return self.plan.config.global_.scrape_interval_ms

    def _received_within_ms(self) -> int | None:
        if self.options.enable_remote_write:
            return None
        return 2 * self._scrape_interval_ms() if self._push is not None else 0  # pushes are kept, and read as a scrape

    def _interrupted(self) -> None:
        self.jobs.interrupted()
        self.groups.interrupted()

    async def _housekeeping(self) -> None:
        while True:
            await self.clock.sleep(HOUSEKEEPING_SECONDS)
            self.head.truncate(self.clock.now())

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self.notifier.drain()
        except TimeoutError:
            waiting = sum(len(loop.outbox) for loop in self.notifier.loops)
            saved = self.options.storage_path is not None
            later = "they go out after the next start" if saved else "without --storage.path they are forgotten"
            log.warning("not every Alertmanager could be reached, %s: alerts=%d", later, waiting)

    def _open_journal(self) -> SampleJournal | None:
        database = self.state.samples
        return SampleJournal(self.head, self.demands, database, self.clock) if database is not None else None

    def _open_push_door(self) -> PushReceiver | None:
        if not self.options.enable_push:
            return None
        directory = self.options.storage_path
        ttl_ms = self.plan.config.push_receiver.default_ttl_ms
        return PushReceiver(directory and directory / "push.db", ttl_ms, self.clock, self.telemetry)

    def _doors(self) -> list[BaseRoute]:
        routes = self._push.routes() if self._push is not None else []
        if self.options.enable_remote_write:
            routes += remote_write_receiver_routes(
                self.head,
                self.clock,
                self.telemetry,
                self.outputs.offer,
                self.received.note,
                lambda: self.plan.config.storage.out_of_order_window_ms,
            )
        return routes

    def _metadata(self) -> dict[str, FamilyMetadata]:
        """What is known of metric families; what targets say counts more than what was received."""
        pushed = self._push.groups.metadata() if self._push is not None else {}
        return {**self.received.families, **pushed, **self.jobs.metadata()}

    def _announce(self) -> None:
        for key in self.plan.config.ignored:
            log.info("configuration key has no effect here: %s", key)
        self.plan.log_warnings()
        if self.options.storage_path is None:
            log.warning("no --storage.path: alert states live in memory, and a restart forgets them")
        if not self.plan.config.alerting.alertmanagers:
            log.warning("no Alertmanager is configured: alerts are only logged")
        kept = ", ".join(str(k) for k in self.plan.demand.describe()[:20])
        log.info("keeping what %d rules need: %s", self.plan.rule_count, kept or "nothing")

    def status(self) -> Status:
        """For the status pages."""
        storage = self.plan.config.storage
        return Status(
            config_yaml=self.plan.config.rendered,
            started_at=self.started_at,
            reload_successful=self.last_reload_ok,
            last_config_at=self.last_reload_at,
            corruptions=0,
            retention=format_duration(storage.retention_ms) if self.plan.demand.keeps_all else "by demand of the rules",
            alertmanagers=self.alertmanagers.active,
            dropped_alertmanagers=self.alertmanagers.dropped,
        )

    def _web_parts(self) -> WebParts:
        return WebParts(
            evaluator=self.queries,
            groups=self.groups,
            jobs=self.jobs,
            metadata=self._metadata,
            clock=self.clock,
            telemetry=self.telemetry,
            status=self.status,
            flags=self.options.flags,
            ready=lambda: self._ready,
            reload=self.reload,
            stop=partial(self.stop, "/-/quit"),
            enable_lifecycle=self.options.enable_lifecycle,
            more=self._doors(),
            outside=ExternalURL(self.external_url, self.port, self.options.route_prefix),
        )


def _identity(config: Config) -> str:
    """What tells replicas apart: see `grid`."""
    return f"{socket.gethostname()} {Labels(config.global_.external_labels)}"
