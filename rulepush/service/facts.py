"""The facts of the status page, from the parts of a running service."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from rulepush import __version__
from rulepush.service.alerting import Alerting
from rulepush.service.config_reloader import ConfigReloader
from rulepush.service.ingestion import Ingestion
from rulepush.service.metrics import memory_parts
from rulepush.service.recording import SampleRecording
from rulepush.service.resources import ProcessResources
from rulepush.site.facts import DatabaseState, MemoryPart, RecordingState, ReloadState, ServiceFacts, StorageState
from rulepush.storage.database import Database
from rulepush.telemetry import resident_bytes
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.listener import address_of


def service_facts(
    resources: ProcessResources,
    ingestion: Ingestion,
    alerting: Alerting,
    queries: QueryEvaluator,
    reloader: ConfigReloader,
    started_at: int,
) -> ServiceFacts:
    """Now. `started_at` in ms."""
    head, jobs, loaded = resources.head, ingestion.jobs, reloader.loaded
    return ServiceFacts(
        version=__version__,
        python=platform.python_version(),
        hostname=socket.gethostname(),
        directory=os.getcwd(),
        listen_address=address_of(resources.listener),
        external_url=resources.external_url,
        started_at=started_at,
        resident_bytes=resident_bytes(),
        memory=[MemoryPart(name, read()) for name, read in memory_parts(head, ingestion).items()],
        series=head.series_count,
        samples=head.sample_count,
        samples_scraped=jobs.stats.samples_scraped,
        samples_kept=jobs.stats.samples_kept,
        scrapes_skipped=jobs.stats.skipped,
        targets=jobs.target_count,
        sharding=str(jobs.sharding or ""),
        left_to_others=jobs.left_to_others,
        rule_groups=len(loaded.groups),
        rules=loaded.rule_count,
        rule_shard=str(resources.options.rule_shard or ""),
        groups_of_others=len(loaded.of_other_shards),
        queries=queries.counts.queries,
        query_failures=queries.counts.failures,
        retention_ms=loaded.demand.retention_ms or 0,
        overload=jobs.overload.described(),
        time_jumps=alerting.clock_watch.jumps,
        reload=ReloadState(loaded.config.path, reloader.loaded_at, reloader.failed_at, reloader.last_error),
        storage=_storage(resources, ingestion.recording),
    )


def _storage(resources: ProcessResources, recording: SampleRecording) -> StorageState:
    path, journal = resources.options.storage_path, resources.journal
    if path is None:
        return StorageState()
    return StorageState(
        path=str(path),
        writable=resources.state.is_writable,
        free_bytes=_free_bytes(path),
        databases=_databases(resources.state.all()),
        journal_written=journal.stats.written if journal is not None else 0,
        journal_lost=journal.stats.lost if journal is not None else 0,
        journal_failures=journal.stats.failures if journal is not None else 0,
        recording=_recording(recording),
    )


def _recording(recording: SampleRecording) -> RecordingState | None:
    writer = recording.writer
    if writer is None:
        return None
    return RecordingState(writer.nbytes, writer.oldest, writer.stopped_since, writer.last_error)


def _databases(databases: Sequence[Database]) -> list[DatabaseState]:
    return [DatabaseState(d.path.name, _size(d.path), d.errors, d.lost) for d in databases if d.path is not None]


def _size(path: Path) -> int:
    """With the write-ahead log beside it."""
    total = 0
    for file in (path, path.with_name(path.name + "-wal")):
        try:
            total += file.stat().st_size
        except OSError:
            continue
    return total


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0
