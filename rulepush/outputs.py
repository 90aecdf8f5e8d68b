"""Outputs: what is sent on besides alerts. Remote writes and Pushgateways get samples; what is kept for the rules stays
as it is. The senders are imported only when the configuration has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from rulepush.clock import Clock
from rulepush.config.sections import Config, RemoteWriteConfig
from rulepush.exposition import Metadata
from rulepush.http_client.config import HTTPClientConfig
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.scrape.target import Target
from rulepush.storage.head import Head
from rulepush.storage.selection import Querier
from rulepush.storage.table import AppendOutcome

if TYPE_CHECKING:
    from rulepush.remote.sender import RemoteWriteSender

ClientFactory = Callable[[HTTPClientConfig], httpx.AsyncClient]
FLUSH_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Running:
    sender: RemoteWriteSender
    client: httpx.AsyncClient
    external_labels: Labels
    task: asyncio.Task[None]

    async def end(self, flush_s: float) -> None:
        """Send for a moment more, save the rest, close the connection."""
        await self.sender.flush(flush_s)
        self.task.cancel()
        await asyncio.wait([self.task])
        self.sender.close()
        await self.client.aclose()


class Outputs:
    """`run` once, `sync` at start and at each reload. An entry that did not change keeps its queue."""

    def __init__(
        self,
        clock: Clock,
        client_factory: ClientFactory,
        directory: Path | None,
        metadata: Callable[[], Mapping[str, Metadata]],
    ):
        """`directory` is where samples wait for a receiver that is away; None: in memory."""
        self._clock = clock
        self._client_factory = client_factory
        self._directory = directory
        self._metadata = metadata
        self._owner: asyncio.TaskGroup | None = None
        self._writes: dict[RemoteWriteConfig, _Running] = {}

    async def run(self) -> None:
        """Own the senders until cancelled."""
        async with asyncio.TaskGroup() as owner:
            self._owner = owner
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._owner = None

    async def sync(self, config: Config) -> None:
        """Send to these from now on."""
        if self._owner is None:
            raise RuntimeError("Outputs.sync before Outputs.run")
        labels = config.global_.external_labels
        stays = {
            c for c, running in self._writes.items() if c in config.remote_write and running.external_labels == labels
        }
        for gone in [c for c in self._writes if c not in stays]:
            await self._writes.pop(gone).end(FLUSH_SECONDS)  # first, for two queues cannot share a directory
        for write in config.remote_write:
            if write not in self._writes:
                self._writes[write] = self._start(self._owner, write, labels)

    def _start(self, owner: asyncio.TaskGroup, config: RemoteWriteConfig, labels: Labels) -> _Running:
        from rulepush.remote.encode import Metadata as SentMetadata
        from rulepush.remote.sender import RemoteWriteSender

        def metadata() -> Iterable[SentMetadata]:
            return [SentMetadata(name, m.type, m.help, m.unit) for name, m in self._metadata().items()]

        client = self._client_factory(config.http_client)
        directory = self._directory and self._directory / "remote_write" / config.name
        sender = RemoteWriteSender(config, labels, client, self._clock, directory, metadata)
        return _Running(sender, client, labels, owner.create_task(sender.run(), name=f"remote write {config.name}"))

    async def aclose(self) -> None:
        """Send for a moment more and save the rest. Call it while `run` runs."""
        running, self._writes = list(self._writes.values()), {}
        await asyncio.gather(*(r.end(FLUSH_SECONDS) for r in running))

    @property
    def active(self) -> bool:
        """Whether anything wants samples."""
        return bool(self._writes)

    @property
    def senders(self) -> list[RemoteWriteSender]:
        """The remote writes, for telemetry."""
        return [running.sender for running in self._writes.values()]

    def scraped(self, target: Target, samples: Sequence[Sample]) -> None:
        """All samples of one scrape."""
        self.offer(samples)

    def offer(self, samples: Sequence[Sample]) -> None:
        """Pushed and recorded samples, and those of ALERTS."""
        for running in self._writes.values():
            running.sender.offer(samples)


class Tap:
    """The storage as rules and pushes write it: what they write is sent on as well."""

    def __init__(self, head: Head, outputs: Outputs):
        self._head = head
        self._outputs = outputs

    def querier(self) -> Querier:
        """See `Head`."""
        return self._head.querier()

    def append_many(self, samples: Iterable[Sample]) -> Mapping[AppendOutcome, int]:
        """See `Head`."""
        if not self._outputs.active:
            return self._head.append_many(samples)
        everything = list(samples)
        self._outputs.offer(everything)
        return self._head.append_many(everything)
