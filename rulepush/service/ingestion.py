"""Ingestion: everything that brings samples into memory, and who they are passed on to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rulepush.exposition import FamilyMetadata
from rulepush.recorded.events import Origin
from rulepush.scrape.bodies import TargetBodies
from rulepush.service.consumers import SampleConsumers, TeeAppender
from rulepush.service.loaded_config import LoadedConfig
from rulepush.service.outputs import Outputs
from rulepush.service.receivers import PushReceiver, ReceivedMetadata, RemoteWriteIntake
from rulepush.service.recording import SampleRecording
from rulepush.service.remembered import remembered
from rulepush.service.resources import ProcessResources
from rulepush.service.scraping import Jobs

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


class Ingestion:
    """Scrapes, pushes and received remote writes; outputs and the recording. `push` and `remote_write` are None without
    their flags."""

    def __init__(self, resources: ProcessResources, first: LoadedConfig):
        """`first` is the configuration of the start; `apply` puts it into effect."""
        options, clock, head = resources.options, resources.clock, resources.head
        self._resources = resources
        self._config = first.config
        bodies = TargetBodies() if options.enable_target_bodies else None
        self.jobs = Jobs(
            head,
            resources.grid,
            resources.environment,
            resources.client_on_demand,
            bodies,
            options.sharding,
            type_and_unit_labels=options.type_and_unit_labels,
            zero_at_start=options.zero_at_start,
        )
        self.push: PushReceiver | None = None
        if options.enable_push:
            directory = options.storage_path
            ttl_ms = first.config.push_receiver.default_ttl_ms
            self.push = PushReceiver(directory and directory / "push.db", ttl_ms, clock)
        self._received = ReceivedMetadata()
        self.outputs = Outputs(
            clock,
            resources.http_client,
            options.storage_path,
            self.metadata,
            write_client_factory=resources.client_on_demand,
        )
        self.recording = SampleRecording(options.storage_path, clock)
        self.consumers = SampleConsumers(self.outputs, self.recording, clock)
        self.rule_samples = TeeAppender(head, self.consumers, Origin.RULE)
        self._pushed_samples = TeeAppender(head, self.consumers, Origin.PUSH)
        self.remote_write: RemoteWriteIntake | None = None
        if options.enable_remote_write:
            window_ms = first.config.storage.out_of_order_window_ms
            self.remote_write = RemoteWriteIntake(
                head,
                clock,
                self.consumers.received,
                self._received.note,
                window_ms,
                type_and_unit_labels=options.type_and_unit_labels,
                zero_at_start=options.zero_at_start,
            )

    def begin_recording(self, loaded: LoadedConfig, at: int) -> None:
        """Record from `at` (ms) on if the configuration switches it on. Call it before the rules get theirs: what they
        take up or end belongs behind the start."""
        in_memory = partial(remembered, self._resources.head, now=at, written_by_rules=loaded.written)
        self.recording.begin(loaded.config.storage.record, at, in_memory)

    async def apply(self, loaded: LoadedConfig) -> None:
        """Put the configuration into effect: receivers, recording, outputs, then the jobs, whose samples these get."""
        config = self._config = loaded.config
        if self.push is not None:
            self.push.groups.default_ttl_ms = config.push_receiver.default_ttl_ms
        if self.remote_write is not None:
            self.remote_write.out_of_order_window_ms = config.storage.out_of_order_window_ms
        jobs = config.scrape_configs
        self.recording.settle_ms = max((j.scrape_interval_ms + j.scrape_timeout_ms for j in jobs), default=0)
        await self.recording.apply(config.storage.record)
        await self.outputs.sync(config)
        await self.jobs.sync(jobs, self.consumers.scraped if self.consumers.active else None)

    def restore(self, first: LoadedConfig) -> None:
        """Read the journal back. Call it before anything runs."""
        resources = self._resources
        if resources.journal is not None:
            resources.journal.restore(resources.clock.now(), resources.options.lookback_delta_ms)
            self.jobs.restored.add(resources.head.unended(), first.written)

    async def collect_pushes(self) -> None:
        """Store what is pushed at every moment of the scrape interval's grid, until cancelled."""
        if self.push is not None:
            await self.push.run(self._resources.grid, self.scrape_interval_ms, self._pushed_samples)

    async def samples_in(self, ts: int) -> None:
        """Return when the samples of the moment `ts` (ms) are there: its scrapes are over or timed out. Pushes are held
        in memory, and stored now."""
        if self.push is not None:
            self.push.collect(ts, self._pushed_samples)
        await self.jobs.scrapes_done(ts)

    def received_within_ms(self) -> int | None:
        """The time (ms) in which what is not scraped has surely come twice; None: unknown, for its senders decide."""
        if self.remote_write is not None:
            return None
        return 2 * self.scrape_interval_ms() if self.push is not None else 0  # pushes are kept, and read as a scrape

    def scrape_interval_ms(self) -> int:
        """`global.scrape_interval`."""
        return self._config.global_.scrape_interval_ms

    def metadata(self) -> dict[str, FamilyMetadata]:
        """What is known of metric families; what targets say counts more than what was received."""
        pushed = self.push.groups.metadata() if self.push is not None else {}
        return {**self._received.families, **pushed, **self.jobs.metadata()}

    def routes(self) -> list[BaseRoute]:
        """The HTTP endpoints of the receivers."""
        from rulepush.push.closed import closed_push_routes

        pushes = self.push.routes() if self.push is not None else closed_push_routes()
        return [*pushes, *(self.remote_write.routes() if self.remote_write is not None else [])]

    async def aclose(self) -> None:
        """Close connections and files. Nothing may run any more."""
        await self.jobs.aclose()
        if self.push is not None:
            self.push.close()
        await self.recording.aclose()
