"""A remote write sender on fake time, and the receiver that it sends to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx

from rulepush.config.sections import QueueConfig, RemoteWriteConfig
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.model.secret import Secret
from rulepush.remote.encode import SentMetadata
from rulepush.remote.receiver import WriteBatch, WriteLimits, decode
from rulepush.remote.sender import RemoteWriteSender
from tests.fakes import FakeClock

CONFIG = RemoteWriteConfig(Secret("http://remote/api/v1/write"), "far")
QUEUE = QueueConfig(max_samples_per_send=10)
T = 1_700_000_000_000


class FakeReceiver:
    """Decodes what it is sent; answers with `statuses` in turn, then 204."""

    def __init__(self, statuses: Sequence[int] = (), headers: dict[str, str] | None = None):
        self.statuses = list(statuses)
        self.headers = headers or {}
        self.requests: list[httpx.Request] = []
        self.batches: list[WriteBatch] = []
        self.away = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.away:
            raise httpx.ConnectError("connection refused")
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 204:
            content_type = request.headers["content-type"]
            self.batches.append(
                decode(request.content, content_type, request.headers["content-encoding"], WriteLimits())
            )
        return httpx.Response(status, headers=self.headers if status != 204 else {}, text="no" if status > 299 else "")

    @property
    def samples(self) -> list[Sample]:
        return [s for b in self.batches for s in b.samples]

    def values(self, name: str) -> list[float]:
        return [s.value for s in self.samples if s.labels.name == name]


def sample(name: str, value: float, ts: int = T, **labels: str) -> Sample:
    return Sample(Labels({"__name__": name, **labels}), ts, value)


Test = Callable[[RemoteWriteSender, FakeClock], Awaitable[None]]


def run(
    test: Test,
    receiver: FakeReceiver,
    config: RemoteWriteConfig = CONFIG,
    directory: Path | None = None,
    external: Labels = Labels(),  # noqa: B008 - immutable
    metadata: Callable[[], list[SentMetadata]] | None = None,
    clock: FakeClock | None = None,
) -> RemoteWriteSender:
    clock = clock or FakeClock(T)

    async def go() -> RemoteWriteSender:
        async with httpx.AsyncClient(transport=httpx.MockTransport(receiver)) as client:
            sender = RemoteWriteSender(config, external, client, clock, directory, metadata, jitter=lambda: 1.0)
            task = asyncio.create_task(sender.run())
            try:
                await test(sender, clock)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                sender.close()
            return sender

    return asyncio.run(go())
