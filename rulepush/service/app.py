"""The composition root: builds the parts of a running rulepush in their order, runs them, and stops them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from rulepush.clock import Clock, SystemClock
from rulepush.peers.answer import EvaluatorIdentity
from rulepush.service.alerting import Alerting
from rulepush.service.config_reloader import ConfigReloader
from rulepush.service.free_memory import keep_trimmed
from rulepush.service.heartbeats import Heartbeats, ServiceWork
from rulepush.service.ingestion import Ingestion
from rulepush.service.link_warning import in_container, link_warning
from rulepush.service.loaded_config import LoadedConfig, load_config_and_rules
from rulepush.service.metrics import expose_service
from rulepush.service.options import ServiceOptions
from rulepush.service.resources import ProcessResources
from rulepush.service.shard_warning import shard_warnings
from rulepush.telemetry import Telemetry
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.listener import address_of
from rulepush.web.on_demand import HttpOnDemand
from rulepush.web.security import WebConfigReloader

if TYPE_CHECKING:
    import httpx

    from rulepush.peers.peers import Peers
    from rulepush.web.http_service import HttpService
    from rulepush.web.routes import WebParts

log = logging.getLogger("rulepush.main")

DRAIN_SECONDS: Final = 4.0
TRUNCATE_SECONDS: Final = 60.0
_WEB_MODULES: Final = ("rulepush.web.http_service", "rulepush.service.web_parts")


class App:
    """One running rulepush. `run` serves until `stop`; `reload` may be called meanwhile.

    Each part knows those that are built before it, and none that are built after it:

    - `resources`  fixed for the life of the process: files, socket, samples in memory
    - `ingestion`  what brings samples: scrapes, receivers; and the outputs that they are passed on to
    - `alerting`   rules over these samples, and the sending of alerts
    - `heartbeats` tells others that the parts above work, as long as they do
    - `peers`      what other processes evaluate, for the pages and the API
    - `queries`    evaluates what the HTTP API is asked
    - `reloader`   the configuration in force; `apply` of the parts puts another one into effect
    """

    def __init__(
        self, options: ServiceOptions, clock: Clock | None = None, transport: httpx.AsyncBaseTransport | None = None
    ):
        """Reads the configuration and takes the port. Raises ConfigError or RulepushError; nothing runs then.

        `transport` takes the place of the network, for targets and Alertmanagers, in tests.
        """
        clock = clock or SystemClock()
        self._started_at = clock.now()
        first = load_config_and_rules(
            options.config_file,
            options.lookback_delta_ms,
            options.rule_shard,
            divide_in_memory=options.divides_rules_in_memory,
        )
        self._web_config = WebConfigReloader(options.web_config_file)
        self.resources = ProcessResources(options, clock, transport, first)
        self.ingestion = Ingestion(self.resources, first)
        self.alerting = Alerting(self.resources, self.ingestion, first)
        self.heartbeats = Heartbeats(self.resources, ServiceWork(self.resources, self.ingestion, self.alerting))
        url = options.external_url if options.has_external_url else ""
        self.identity = EvaluatorIdentity.of_process(str(options.rule_shard or ""), url)
        self.peers = _peers(self.resources, self.alerting, self.identity) if options.peers else None
        self.queries = QueryEvaluator(
            self.alerting.engine,
            self.resources.head,
            self.resources.demands,
            clock,
            options.query_concurrency,
            options.web_max_samples,
            self.ingestion.recording.past,
        )
        self.reloader = ConfigReloader(options, first, self._web_config, clock, self._apply)
        self.telemetry = Telemetry()
        expose_service(
            self.telemetry, self.resources, self.ingestion, self.alerting, self.queries, self.reloader, self.heartbeats
        )
        self._stop_requested = asyncio.Event()
        self._ready = False

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self.resources.port

    async def reload(self) -> None:
        """Read the configuration again and put it into effect. Raises ConfigError, and then all is as it was."""
        await self.reloader.reload()

    def request_reload(self) -> None:
        """Reload soon, as SIGHUP asks; a mistake in the files is logged."""
        self.reloader.request()

    def stop(self, reason: str = "request") -> None:
        """Ask `run` to end."""
        log.info("stopping: reason=%s", reason)
        self._stop_requested.set()

    async def run(self) -> None:
        """Serve until `stop`; then send and save what is pending, and return."""
        self._announce()
        self.ingestion.restore(self.reloader.loaded)
        self.resources.history.restore()
        web = HttpOnDemand(self.resources.listener, self._http_service, _WEB_MODULES)
        async with asyncio.TaskGroup() as tasks:
            # These send what is pending at the end, and so outlive what produces it.
            senders = [
                tasks.create_task(self.alerting.notifier.run(), name="notifier"),
                tasks.create_task(self.ingestion.outputs.run(), name="outputs"),
            ]
            producers = [tasks.create_task(work, name=name) for name, work in self._producers()]
            serving = tasks.create_task(web.run(), name="web")
            await self.reloader.start()
            self._ready = True
            log.info("rulepush is ready: port=%d", self.port)
            await self._stop_requested.wait()
            self._ready = False
            for task in producers:
                task.cancel()
            web.stop()
            self.queries.close()
            await asyncio.gather(self.alerting.drain(DRAIN_SECONDS), self.ingestion.outputs.aclose())
            for task in senders:
                task.cancel()
            await serving
        await self.heartbeats.aclose()
        if self.peers is not None:
            await self.peers.aclose()
        await self.alerting.aclose()
        await self.ingestion.aclose()
        self.resources.close()
        log.info("rulepush has stopped")

    def _producers(self) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """What runs until `stop`, with the names of the tasks."""
        yield "alertmanager discovery", self.alerting.alertmanagers.run()
        yield "scraping", self.ingestion.jobs.run()
        yield "rules", self.alerting.loops.run()
        yield "history", self.resources.history.run()
        yield "clock watch", self.alerting.clock_watch.run()
        yield "truncation", self._truncate()
        yield "free memory", keep_trimmed(self.resources.clock)
        yield "reload", self.reloader.run()
        yield "auto reload", self.reloader.watch()
        if self.resources.journal is not None:
            yield "journal", self.resources.journal.run()
        yield "recording", self.ingestion.recording.run()
        yield "pushes", self.ingestion.collect_pushes()
        yield "heartbeats", self.heartbeats.run()

    async def _apply(self, loaded: LoadedConfig) -> None:
        at = self.resources.clock.now()
        sharding = self.resources.options.sharding
        if sharding is not None:
            for warning in shard_warnings(sharding, loaded.groups, loaded.config.scrape_configs):
                log.warning("%s", warning)
        self.resources.head.set_demand(loaded.demand)
        self.resources.demands.change(loaded.demand, at)
        self.ingestion.begin_recording(loaded, at)
        await self.alerting.apply(loaded, at)
        await self.ingestion.apply(loaded)
        await self.heartbeats.sync(loaded.config.heartbeats)

    async def _truncate(self) -> None:
        while True:
            await self.resources.clock.sleep(TRUNCATE_SECONDS)
            self.resources.head.truncate(self.resources.clock.now())

    def _is_ready(self) -> bool:
        return self._ready

    def web_parts(self) -> WebParts:
        """What the API and the pages show of this process."""
        from rulepush.service.web_parts import service_web_parts

        return service_web_parts(
            self.resources,
            self.ingestion,
            self.alerting,
            self.queries,
            self.heartbeats,
            self.reloader,
            self.telemetry,
            self._started_at,
            self._is_ready,
            partial(self.stop, "/-/quit"),
            self.identity,
            self.peers,
        )

    def _http_service(self) -> HttpService:
        from rulepush.web.http_service import HttpService
        from rulepush.web.routes import cross_origin_reads, web_routes

        self._web_config.check()  # it may have changed while nobody connected
        parts = self.web_parts()
        routes, reads = web_routes(parts), cross_origin_reads(parts)
        return HttpService(routes, self.resources.listener, self._web_config, self.resources.clock, reads)

    def _announce(self) -> None:
        loaded, options = self.reloader.loaded, self.resources.options
        for key in loaded.config.ignored:
            log.info("configuration key has no effect here: %s", key)
        loaded.log_warnings()
        if options.storage_path is None:
            log.warning("no --storage.path: alert states live in memory, and a restart forgets them")
        if not loaded.config.alerting.alertmanagers:
            log.warning("no Alertmanager is configured: alerts are only logged")
        if not options.has_external_url:
            listens_on, alertmanagers = address_of(self.resources.listener), loaded.config.alerting.alertmanagers
            warning = link_warning(self.resources.external_url, listens_on, in_container(), alertmanagers)
            if warning:
                log.warning("%s", warning)
        kept = ", ".join(str(k) for k in loaded.demand.describe()[:20])
        if options.rule_shard is not None:
            groups, others = len(loaded.groups), len(loaded.of_other_shards)
            log.info("rules of shard %s: groups=%d of=%d", options.rule_shard, groups, groups + others)
        log.info("keeping what %d rules need: %s", loaded.rule_count, kept or "nothing")


def _peers(resources: ProcessResources, alerting: Alerting, identity: EvaluatorIdentity) -> Peers:
    from rulepush.peers.peers import Peers
    from rulepush.rules.api import groups_json

    options = resources.options
    return Peers(
        options.peers,
        resources.client_on_demand(options.peers_client),
        resources.clock,
        lambda: groups_json(alerting.groups.all()),
        identity,
        resources.external_url,
    )
