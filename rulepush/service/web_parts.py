"""What the HTTP API and the pages of a running service read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rulepush.model.durations import format_duration
from rulepush.peers.answer import EvaluatorIdentity
from rulepush.peers.peers import Peers
from rulepush.service.alerting import Alerting
from rulepush.service.backtests import RecordedPlaces
from rulepush.service.config_reloader import ConfigReloader
from rulepush.service.delivery import delivery_statuses
from rulepush.service.facts import service_facts
from rulepush.service.heartbeats import Heartbeats
from rulepush.service.ingestion import Ingestion
from rulepush.service.resources import ProcessResources
from rulepush.site.datasource_views import ShownDatasources
from rulepush.site.routes import SiteParts, site_routes
from rulepush.site.trouble import (
    Trouble,
    configuration_troubles,
    datasource_troubles,
    delivery_troubles,
    heartbeat_troubles,
    overload_troubles,
    peer_troubles,
    recording_troubles,
    storage_troubles,
)
from rulepush.telemetry import Telemetry
from rulepush.web.cors import CorsOrigins
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.external_url import ExternalURL
from rulepush.web.notifications import RELOAD_FAILED, Notice
from rulepush.web.routes import WebParts
from rulepush.web.status import Status


def service_web_parts(
    resources: ProcessResources,
    ingestion: Ingestion,
    alerting: Alerting,
    queries: QueryEvaluator,
    heartbeats: Heartbeats,
    reloader: ConfigReloader,
    telemetry: Telemetry,
    started_at: int,
    ready: Callable[[], bool],
    stop: Callable[[], None],
    identity: EvaluatorIdentity,
    peers: Peers | None = None,
) -> WebParts:
    """`started_at` in ms; `ready()` tells whether a configuration is in effect; `stop` ends the process."""
    options = resources.options

    def status() -> Status:
        loaded = reloader.loaded
        kept_ms = loaded.config.storage.retention_ms
        return Status(
            config_yaml=loaded.config.rendered,
            started_at=started_at,
            reload_successful=reloader.last_ok,
            last_config_at=reloader.loaded_at,
            corruptions=0,
            retention=format_duration(kept_ms) if loaded.demand.keeps_all else "by demand of the rules",
            alertmanagers=alerting.alertmanagers.active,
            dropped_alertmanagers=alerting.alertmanagers.dropped,
            overload=ingestion.jobs.overload.described(),
        )

    def troubles() -> Iterator[Trouble]:
        yield from delivery_troubles(delivery_statuses(alerting, ingestion), resources.clock.now())
        yield from heartbeat_troubles(heartbeats.statuses())
        yield from datasource_troubles(alerting.datasource_statuses())
        yield from configuration_troubles(reloader.last_error, reloader.failed_at)
        yield from overload_troubles(ingestion.jobs.overload.described())
        recorded = ingestion.recording.writer
        if recorded is not None:
            yield from recording_troubles(recorded.last_error, recorded.stopped_since)
        if peers is not None:
            yield from peer_troubles(peers.missing())
        yield from storage_troubles(str(options.storage_path), resources.state.is_writable)

    def notices() -> Iterator[Notice]:
        if reloader.last_error:
            yield Notice(RELOAD_FAILED, reloader.failed_at)
        if ingestion.jobs.overload.described():
            yield Notice("Scrapes are skipped: the server does not keep up with its targets.")
        for delivery in delivery_statuses(alerting, ingestion):
            if delivery.failing:
                yield Notice(f"{delivery.shown_name} is not reached.", delivery.failing_since or 0)
        for engine in alerting.datasource_statuses():
            if engine.failing_since is not None:
                yield Notice(f"The datasource {engine.name} gives no answer.", engine.failing_since)
        recorded = ingestion.recording.writer
        if recorded is not None and recorded.last_error:
            yield Notice("The recording has stopped.", recorded.stopped_since or 0)

    external_url = ExternalURL(resources.external_url, resources.port, options.route_prefix)
    push = ingestion.push
    places = RecordedPlaces(resources, ingestion.recording, lambda: reloader.loaded.config)

    site = SiteParts(
        evaluator=queries,
        groups=alerting.groups,
        jobs=ingestion.jobs,
        clock=resources.clock,
        status=status,
        flags=options.flags,
        history=resources.history,
        external_url=external_url,
        troubles=troubles,
        deliveries=lambda: delivery_statuses(alerting, ingestion),
        heartbeats=heartbeats.statuses,
        facts=lambda: service_facts(resources, ingestion, alerting, queries, reloader, started_at),
        head=resources.head,
        bodies=ingestion.jobs.bodies,
        failing_discoveries=resources.discoveries.failing,
        awaited_discoveries=lambda: resources.discoveries.awaited,
        sent_as=alerting.notifier.sent_as,
        pushed=(lambda: push.groups) if push is not None else None,
        recorded=places.now,
        datasources=ShownDatasources(alerting.datasource_statuses, alerting.datasources.engine_of),
        peers=peers,
    )
    return WebParts(
        evaluator=queries,
        head=resources.head,
        groups=alerting.groups,
        jobs=ingestion.jobs,
        metadata=ingestion.metadata,
        clock=resources.clock,
        telemetry=telemetry,
        status=status,
        flags=options.flags,
        ready=ready,
        reload=reloader.reload,
        stop=stop,
        enable_lifecycle=options.enable_lifecycle,
        history=resources.history,
        more=ingestion.routes(),
        external_url=external_url,
        pages=site_routes(site),
        external_labels=lambda: reloader.loaded.config.global_.external_labels.as_dict(),
        notices=notices,
        cors=CorsOrigins(options.cors_origin),
        identity=identity,
        peers=peers,
    )
