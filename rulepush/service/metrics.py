"""All own metrics of the service: those of its packages, one after the other, and its own."""

from __future__ import annotations

from collections.abc import Callable

from rulepush.datasource.metrics import expose_datasources
from rulepush.discovery.metrics import expose_discoveries
from rulepush.forward.metrics import expose_pushgateways
from rulepush.heartbeat.metrics import expose_heartbeats
from rulepush.nacos.metrics import expose_nacos_clusters
from rulepush.notifier.metrics import expose_notifications
from rulepush.recorded.metrics import expose_recording
from rulepush.remote.metrics import expose_remote_writes
from rulepush.rules.metrics import expose_rule_shard, expose_rules
from rulepush.scrape.metrics import expose_scrapes, expose_sharding
from rulepush.service.alerting import Alerting
from rulepush.service.clock_watch import ClockWatch
from rulepush.service.config_reloader import ConfigReloader
from rulepush.service.heartbeats import Heartbeats
from rulepush.service.ingestion import Ingestion
from rulepush.service.resources import ProcessResources
from rulepush.storage.head import Head
from rulepush.storage.metrics import expose_databases, expose_head, expose_journal
from rulepush.telemetry import MetricReading, Telemetry, single
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.metrics import expose_queries


def expose_service(
    t: Telemetry,
    resources: ProcessResources,
    ingestion: Ingestion,
    alerting: Alerting,
    queries: QueryEvaluator,
    reloader: ConfigReloader,
    heartbeats: Heartbeats,
) -> None:
    """Register everything that `/metrics` shows of a service."""
    expose_scrapes(t, ingestion.jobs.stats, ingestion.jobs.overload, lambda: ingestion.jobs.target_count)
    if resources.options.sharding is not None:
        expose_sharding(t, resources.options.sharding, lambda: ingestion.jobs.left_to_others)
    expose_discoveries(
        t,
        resources.discoveries,
        lambda: {pool.job.name: pool.found_count for pool in ingestion.jobs},
        lambda: {pool.job.name: pool.updated_at for pool in ingestion.jobs},
    )
    expose_nacos_clusters(t, resources.discoveries.nacos_members)
    expose_head(t, resources.head)
    _memory(t, resources.head, ingestion)
    _clock(t, alerting.clock_watch)
    expose_databases(t, resources.state.all())
    if resources.options.storage_path is not None:
        t.gauge(
            "rulepush_storage_writable",
            "Whether the directory of --storage.path can be written.",
            single(lambda: float(resources.state.is_writable)),
        )
    if resources.journal is not None:
        expose_journal(t, resources.journal)
    expose_rules(t, alerting.groups)
    expose_datasources(t, alerting.datasource_statuses)
    if resources.options.rule_shard is not None:
        expose_rule_shard(t, resources.options.rule_shard, lambda: len(reloader.loaded.of_other_shards))
    expose_notifications(t, alerting.notifier, resources.clock)
    expose_remote_writes(t, lambda: ingestion.outputs.senders)
    expose_pushgateways(t, lambda: ingestion.outputs.forwarders)
    expose_heartbeats(t, heartbeats.statuses)
    expose_recording(t, lambda: ingestion.recording.writer)
    expose_queries(t, queries.counts)
    _configuration(t, reloader)
    if ingestion.push is not None:
        ingestion.push.expose(t)
    if ingestion.remote_write is not None:
        ingestion.remote_write.expose(t)


def memory_parts(head: Head, ingestion: Ingestion) -> dict[str, Callable[[], int]]:
    """The parts of `rulepush_memory_bytes`, and what measures each."""
    jobs, recording = ingestion.jobs, ingestion.recording
    parts: dict[str, Callable[[], int]] = {
        "samples": lambda: head.nbytes,
        "labels": lambda: head.label_bytes,
        "derived_labels": lambda: head.derived_bytes,
        "lines": lambda: jobs.line_bytes,
    }
    if (bodies := jobs.bodies) is not None:
        parts["bodies"] = lambda: bodies.nbytes
    if recording.active:
        parts["recording"] = lambda: recording.memory_bytes
    return parts


def _memory(t: Telemetry, head: Head, ingestion: Ingestion) -> None:
    t.gauge(
        "rulepush_memory_bytes",
        "About the memory of what grows with the work: samples, labels, what rules derive from them, scraped lines.",
        lambda: [MetricReading((part,), read()) for part, read in memory_parts(head, ingestion).items()],
        ("part",),
    )


def _clock(t: Telemetry, watch: ClockWatch) -> None:
    t.counter(
        "rulepush_time_jumps", "Times that the clock was set, or the process stood still.", single(lambda: watch.jumps)
    )


def _configuration(t: Telemetry, reloader: ConfigReloader) -> None:
    t.gauge(
        "rulepush_config_last_reload_successful",
        "Whether the last attempt to load the configuration was good.",
        single(lambda: float(reloader.last_ok)),
    )
    t.gauge(
        "rulepush_config_last_reload_success_timestamp_seconds",
        "When the configuration in force was loaded.",
        single(lambda: reloader.loaded_at / 1000),
    )
