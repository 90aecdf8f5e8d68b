"""Outputs: remote writes and Pushgateways, to which samples are sent on. What is kept in memory for the rules does not
depend on them. The senders are imported only when the configuration has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rulepush.clock import Clock
from rulepush.config.sections import Config, PushgatewayConfig, RemoteWriteConfig
from rulepush.exposition import FamilyMetadata
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.scrape.target import Target
from rulepush.tasks import OwnedTask, TaskOwner

if TYPE_CHECKING:
    import httpx

    from rulepush.forward.pushgateway import PushgatewayForwarder
    from rulepush.http_client.build import ClientFactory
    from rulepush.http_client.on_demand import AnyClient, AnyClientFactory
    from rulepush.remote.sender import RemoteWriteSender

FLUSH_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Writing:
    sender: RemoteWriteSender
    client: AnyClient
    external_labels: Labels
    task: OwnedTask

    async def stop(self, flush_s: float) -> None:
        """Send for `flush_s` seconds more. What is offered afterwards is saved by `sender.close`."""
        await self.sender.flush(flush_s)
        self.task.cancel()
        await self.task.wait()

    async def end(self, flush_s: float) -> None:
        """Send for `flush_s` seconds more, save the rest, close the connection."""
        await self.stop(flush_s)
        self.sender.close()
        await self.client.aclose()


@dataclass(slots=True)
class _Forwarding:
    forwarder: PushgatewayForwarder
    client: httpx.AsyncClient
    task: OwnedTask

    async def end(self) -> None:
        """Stop pushing. The groups stay at the Pushgateway: the next start goes on with them."""
        self.task.cancel()
        await self.task.wait()
        await self.client.aclose()


class Outputs:
    """`run` once, `sync` at start and at each reload. An entry that did not change keeps its queue."""

    def __init__(
        self,
        clock: Clock,
        client_factory: ClientFactory,
        directory: Path | None,
        metadata: Callable[[], Mapping[str, FamilyMetadata]],
        flush_seconds: float = FLUSH_SECONDS,
        write_client_factory: AnyClientFactory | None = None,
    ):
        """`directory` is where samples wait for a receiver that cannot be reached; None: in memory. `metadata` is read
        when it is sent. `flush_seconds` is how long an entry that ends may go on sending.
        `write_client_factory` makes the clients of remote writes, where it is not `client_factory`."""
        self._clock = clock
        self._client_factory = client_factory
        self._write_client_factory: AnyClientFactory = write_client_factory or client_factory
        self._directory = directory
        self._metadata = metadata
        self._flush_s = flush_seconds
        self._tasks = TaskOwner()
        self._writes: dict[RemoteWriteConfig, _Writing] = {}
        self._forwards: dict[PushgatewayConfig, _Forwarding] = {}

    async def run(self) -> None:
        """Own the senders until cancelled."""
        await self._tasks.run()

    async def sync(self, config: Config) -> None:
        """Send to these from now on."""
        labels = config.global_.external_labels
        ending = []
        for old in list(self._writes):
            running = self._writes[old]
            if old in config.remote_write and running.external_labels == labels:
                continue
            successor = next((c for c in config.remote_write if c.name == old.name), None)
            if successor is None or self._directory is None:
                ending.append(self._writes.pop(old))
                continue
            # Two queues cannot share a directory. The old one takes samples until the new one is there: none is missed.
            await running.stop(0.0)
            running.sender.close()
            del self._writes[old]
            self._writes[successor] = self._write(successor, labels)
            await running.client.aclose()
        for write in config.remote_write:
            if write not in self._writes:
                self._writes[write] = self._write(write, labels)
        await asyncio.gather(*(running.end(self._flush_s) for running in ending))
        for removed in [c for c in self._forwards if c not in config.pushgateways]:
            await self._forwards.pop(removed).end()
        for gateway in config.pushgateways:
            if gateway not in self._forwards:
                self._forwards[gateway] = self._forward(gateway)

    def _write(self, config: RemoteWriteConfig, labels: Labels) -> _Writing:
        from rulepush.remote.encode import SentMetadata
        from rulepush.remote.sender import RemoteWriteSender

        def metadata() -> Iterable[SentMetadata]:
            return [SentMetadata(name, m.type, m.help, m.unit) for name, m in self._metadata().items()]

        client = self._write_client_factory(config.http_client)
        directory = self._directory and self._directory / "remote_write" / config.name
        sender = RemoteWriteSender(config, labels, client, self._clock, directory, metadata)
        return _Writing(sender, client, labels, self._tasks.start(sender.run, f"remote write {config.name}"))

    def _forward(self, config: PushgatewayConfig) -> _Forwarding:
        from rulepush.forward.pushgateway import PushgatewayForwarder

        client = self._client_factory(config.http_client)
        known = self._directory and self._directory / "pushgateways" / f"{config.name}.json"
        forwarder = PushgatewayForwarder(config, client, self._clock, known)
        return _Forwarding(forwarder, client, self._tasks.start(forwarder.run, f"pushgateway {config.name}"))

    async def aclose(self) -> None:
        """Send for `flush_seconds` more and save the rest. Call it while `run` runs."""
        writes, self._writes = list(self._writes.values()), {}
        forwards, self._forwards = list(self._forwards.values()), {}
        await asyncio.gather(*(w.end(self._flush_s) for w in writes), *(f.end() for f in forwards))

    @property
    def active(self) -> bool:
        """Whether samples are sent anywhere."""
        return bool(self._writes or self._forwards)

    @property
    def senders(self) -> list[RemoteWriteSender]:
        """The remote writes, for telemetry."""
        return [running.sender for running in self._writes.values()]

    @property
    def forwarders(self) -> list[PushgatewayForwarder]:
        """The Pushgateways, for telemetry."""
        return [running.forwarder for running in self._forwards.values()]

    def scraped(
        self, target: Target, samples: Sequence[Sample], metadata_source: Callable[[], Mapping[str, FamilyMetadata]]
    ) -> None:
        """Send on all samples of one scrape; `metadata_source()` is what the target says of its metric families."""
        self.offer(samples)
        wanting = [f.forwarder for f in self._forwards.values() if f.forwarder.wants(target.labels)]
        if wanting:
            metadata = (
                metadata_source()
            )  # from the first scrape on: a Pushgateway refuses a family that changes its type
            for forwarder in wanting:
                forwarder.offer(target.labels, samples, metadata)

    def offer_to(self, name: str, samples: Sequence[Sample]) -> None:
        """Send samples to the remote write of this name alone."""
        for config, running in self._writes.items():
            if config.name == name:
                running.sender.offer(samples)

    def offer(self, samples: Sequence[Sample]) -> None:
        """Send on pushed and recorded samples, and those of ALERTS."""
        for running in self._writes.values():
            running.sender.offer(samples)
