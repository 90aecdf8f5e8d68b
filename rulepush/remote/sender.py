"""RemoteWriteSender: one entry of `remote_write`. Samples are queued synchronously; two tasks cut and send blocks."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rulepush.clock import Clock
from rulepush.config.sections import RemoteWriteConfig, RemoteWriteMessage
from rulepush.delivery import DeliveryRecord, DeliveryStatus, ReceiverKind
from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.remote.backlog import Backlog
from rulepush.remote.block import QueueBlock, WriteRequest
from rulepush.remote.encode import SentMetadata, SentSample, metadata_request, request_v2, write_request
from rulepush.remote.endpoint import Endpoint, WriteOutcome, WriteResponse
from rulepush.remote.series_cache import RelabelCache

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

log = logging.getLogger("rulepush.remote")

_BEHIND: Final = 3  # add shards after this many blocks in a row behind which another one waited
_AHEAD: Final = 30  # remove shards after this many behind which none did

MetadataSource = Callable[[], Iterable[SentMetadata]]


@dataclass(slots=True)
class RemoteWriteStats:
    """Counters since the start, in samples but for `retries` (requests) and `bytes`."""

    unwanted: int = 0  # dropped by write_relabel_configs
    out_of_order: int = 0  # not newer than the last queued sample of the series
    sent: int = 0
    refused: int = 0  # the receiver answered 4xx
    expired: int = 0  # older than the buffer or sample_age_limit allows
    retries: int = 0
    bytes: int = 0


class RemoteWriteSender:
    """`offer` never blocks; `run` sends until it is cancelled; then `close` saves what waits.

    `directory` is where samples wait when the receiver cannot be reached, None for memory only.
    """

    def __init__(
        self,
        config: RemoteWriteConfig,
        external_labels: Labels,
        client: AnyClient,
        clock: Clock,
        directory: Path | None,
        metadata: MetadataSource | None = None,
        jitter: Callable[[], float] = random.random,
    ):
        self.name = config.name
        self.counts = RemoteWriteStats()
        self.record = DeliveryRecord()
        self.last_error = ""
        self.newest_sent = 0  # ms; the newest sample that the receiver took
        self._config = config
        self._queue = config.queue
        self._clock = clock
        self._endpoint = Endpoint(config, client)
        self._series = RelabelCache(external_labels, config.write_relabel_configs)
        self._metadata_source = metadata if config.metadata.send else None
        self._metadata: dict[str, SentMetadata] = {}
        self._jitter = jitter
        shards = self._queue.max_shards if directory is None else self._queue.min_shards
        self._backlog = Backlog(directory, config.buffer.max_bytes, self._queue.capacity * shards)
        self.shards = self._queue.min_shards
        self._pressure = 0
        self._failing = False
        self._pending: list[SentSample] = []
        self._cut_wanted = asyncio.Event()
        self._send_wanted = asyncio.Event()
        self._idle = asyncio.Event()
        if self._backlog.peek() is not None:
            self._send_wanted.set()

    # --- numbers for telemetry

    @property
    def pending_samples(self) -> int:
        """Samples that wait in memory."""
        return len(self._pending) + self._backlog.memory_samples

    @property
    def buffer_bytes(self) -> int:
        """Bytes that wait on disk."""
        return self._backlog.disk_bytes

    @property
    def lost_samples(self) -> int:
        """Samples lost because the buffer was full."""
        return self._backlog.dropped_samples

    def status(self) -> DeliveryStatus:
        """How the delivery to this receiver stands now."""
        from rulepush.http_client.client import server_of

        return self.record.status(
            ReceiverKind.REMOTE_WRITE,
            self.name,
            server_of(self._config.url.reveal()),
            waiting=self.pending_samples,
            waiting_bytes=self.buffer_bytes,
            waiting_since=self._backlog.oldest,
            accepted=self.counts.sent,
            refused=self.counts.refused,
            lost=self.lost_samples + self.counts.expired,
        )

    # --- queueing

    def offer(self, samples: Sequence[Sample]) -> None:
        """Queue these samples, as far as relabelling keeps them."""
        now = self._clock.now()
        self._series.turn(now)
        get, pending = self._series.get, self._pending
        oldest = now - self._queue.sample_age_limit_ms if self._queue.sample_age_limit_ms else 0
        for s in samples:
            histogram = s.histogram if type(s) is HistogramSample else None
            if histogram is not None and not self._config.send_native_histograms:
                continue  # Prometheus drops them, too
            series = get(s.labels)
            if series is None:
                self.counts.unwanted += 1
            elif s.ts < oldest:
                self.counts.expired += 1
            elif s.ts <= series.newest:
                # A receiver would refuse the whole request for it. The head refused it as well: it may be the stale
                # marker of a target that came back.
                self.counts.out_of_order += 1
            else:
                series.newest = s.ts
                pending.append(SentSample(series, s.ts, s.value, histogram))
        if len(pending) >= self._queue.max_samples_per_send * self.shards:
            self.cut()
        elif pending:
            self._cut_wanted.set()

    def cut(self) -> None:
        """Make a block of the samples queued since the last one."""
        self._cut_wanted.clear()
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        lanes: list[list[SentSample]] = [[] for _ in range(self.shards)]
        for s in pending:
            lanes[s.series.lane % len(lanes)].append(s)
        block = QueueBlock(
            self._config.protobuf_message, self._clock.now(), tuple(self._lane(lane) for lane in lanes if lane)
        )
        self._backlog.append(block)
        self._idle.clear()
        self._send_wanted.set()

    def _lane(self, samples: Sequence[SentSample]) -> tuple[WriteRequest, ...]:
        size = self._queue.max_samples_per_send
        chunks = (samples[i : i + size] for i in range(0, len(samples), size))
        return tuple(WriteRequest(len(c), max(s.ts for s in c), self._encode(c)) for c in chunks)

    def _encode(self, samples: Sequence[SentSample]) -> bytes:
        if self._config.protobuf_message is RemoteWriteMessage.V1:
            return write_request(samples)
        return request_v2(samples, self._metadata)

    # --- sending

    async def run(self) -> None:
        """Send until cancelled. Then call `close`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._cut_in_time())
            tasks.create_task(self._send_blocks())
            if self._metadata_source is not None:
                tasks.create_task(self._send_metadata(self._metadata_source))

    async def flush(self, seconds: float) -> bool:
        """Send what is queued, for at most `seconds`. Returns whether the queue is empty. `run` must be running."""
        self.cut()
        if self._backlog.peek() is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Save what is queued. Call it after `run` has ended."""
        self.cut()
        waiting = self.pending_samples
        self._backlog.close()
        if self.pending_samples:
            log.error("samples are lost, there is no buffer on disk: remote=%s samples=%d", self.name, waiting)

    async def _cut_in_time(self) -> None:
        while True:
            await self._cut_wanted.wait()
            await self._clock.sleep(self._queue.batch_send_deadline_ms / 1000)
            self.cut()

    async def _send_blocks(self) -> None:
        while True:
            block = self._backlog.peek()
            if block is None:
                self._send_wanted.clear()
                self._idle.set()
                await self._send_wanted.wait()
                continue
            self._idle.clear()
            done = list(self._backlog.done())
            if len(done) != len(block.lanes):
                done = [0] * len(block.lanes)
            async with asyncio.TaskGroup() as lanes:
                for lane in range(len(block.lanes)):
                    lanes.create_task(self._send_lane(block, lane, done))
            self._backlog.pop()
            self._adapt(behind=self._backlog.peek() is not None)

    async def _send_lane(self, block: QueueBlock, lane: int, done: list[int]) -> None:
        for request in block.lanes[lane][done[lane] :]:
            await self._send(block, request)
            done[lane] += 1
            self._backlog.note(tuple(done))

    async def _send(self, block: QueueBlock, request: WriteRequest) -> None:
        """Try until the request is accepted, refused permanently, or too old."""
        attempt = 0
        while True:
            now = self._clock.now()
            if self._too_old(block, request, now):
                self.counts.expired += request.samples
                log.error("samples are lost, they waited too long: remote=%s samples=%d", self.name, request.samples)
                return
            answer = await self._endpoint.post(request.body, block.protocol, attempt, now)
            if answer.outcome is WriteOutcome.SENT:
                if self._failing:
                    log.info("remote write is accepted again: remote=%s", self.name)
                self._failing = False
                self.last_error = ""
                self.record.accepted(self._clock.now())
                self.counts.sent += request.samples
                self.counts.bytes += len(request.body)
                self.newest_sent = max(self.newest_sent, request.newest)
                return
            self.last_error = answer.reason
            if answer.outcome is WriteOutcome.REFUSED:
                self.counts.refused += request.samples
                self.record.refused(self._clock.now(), f"{request.samples} samples", answer.reason, request.samples)
                log.error(
                    "remote write is refused, the samples are dropped: remote=%s samples=%d err=%s",
                    self.name,
                    request.samples,
                    answer.reason,
                )
                return
            await self._pause(answer, attempt)
            attempt += 1

    async def _pause(self, answer: WriteResponse, attempt: int) -> None:
        if attempt == 0:
            self._backlog.spill()  # from here on a crash of rulepush must not lose what is queued
        self.counts.retries += 1
        pause = answer.retry_after
        if pause is None:
            longest = self._queue.max_backoff_ms / 1000
            pause = min(longest, self._queue.min_backoff_ms / 1000 * 2.0 ** min(attempt, 30))
            pause *= 0.5 + 0.5 * self._jitter()
        level = logging.DEBUG if self._failing else logging.WARNING  # once per outage, not per shard
        self._failing = True
        self.record.failed(self._clock.now(), answer.reason, pause)
        log.log(
            level,
            "remote write fails, samples wait: remote=%s pause=%.2fs err=%s",
            self.name,
            pause,
            answer.reason,
        )
        await self._clock.sleep(pause)

    def _too_old(self, block: QueueBlock, request: WriteRequest, now: int) -> bool:
        age, limit = self._config.buffer.max_age_ms, self._queue.sample_age_limit_ms
        return bool((age and now - block.created > age) or (limit and now - request.newest > limit))

    def _adapt(self, behind: bool) -> None:
        """More shards when blocks queue up, fewer when none has for long; only new blocks are affected."""
        if behind:
            self._pressure = max(self._pressure, 0) + 1
        else:
            self._pressure = min(self._pressure, 0) - 1
        if self._pressure >= _BEHIND and self.shards < self._queue.max_shards:
            self.shards = min(self._queue.max_shards, self.shards * 2)
            self._pressure = 0
        elif self._pressure <= -_AHEAD and self.shards > self._queue.min_shards:
            self.shards = max(self._queue.min_shards, self.shards // 2)
            self._pressure = 0

    async def _send_metadata(self, source: MetadataSource) -> None:
        """1.0 has requests of its own for metadata, at an interval; 2.0 sends it with the series. One try each."""
        while True:
            self._metadata = {m.family: m for m in source()}
            size = self._config.metadata.max_samples_per_send
            families = list(self._metadata.values())
            if self._config.protobuf_message is RemoteWriteMessage.V1:
                for i in range(0, len(families), size):
                    body = metadata_request(families[i : i + size])
                    await self._endpoint.post(body, RemoteWriteMessage.V1, 0, self._clock.now())
            await self._clock.sleep(self._config.metadata.send_interval_ms / 1000)
