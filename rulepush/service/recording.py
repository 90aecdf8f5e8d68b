"""SampleRecording: `storage.record` at work. What the service sees goes into the recording, in its order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rulepush.clock import Clock
from rulepush.config.sections import RecordConfig
from rulepush.model.block import SampleBlock
from rulepush.model.timestamps import UNKNOWN_TIME
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvent, RecordedStart

if TYPE_CHECKING:
    from rulepush.recorded.writer import RecordingWriter
    from rulepush.web.past import PastSamples

log = logging.getLogger("rulepush.main")

FLUSH_SECONDS: Final = 5.0  # a crash loses what came since, and what is being written

FlushOffload = Callable[..., Awaitable[Any]]
InMemory = Callable[[int], Iterable[SampleBlock]]

_SCRAPE_MS: Final = 15_000  # samples of a scrape are so much older, at most, than the moment at which they come
_MAX_LOST: Final = 100  # times that are remembered
_IN_MEMORY: Final = "memory"  # the source of what was there at the start


def _nothing(_after: int) -> Iterable[SampleBlock]:
    return ()


class SampleRecording:
    """`begin` and `apply` at start and at each reload, `run` meanwhile, `aclose` at the end. Whatever fails here,
    alerting goes on. It is an EventRecorder; what comes while it is off is not recorded."""

    def __init__(self, directory: Path | None, clock: Clock, offload: FlushOffload = asyncio.to_thread):
        """`directory` is `--storage.path`, without which there is no recording. `offload` runs a call in a thread."""
        self._directory = directory
        self._clock = clock
        self._offload = offload
        self._switched_on = asyncio.Event()
        self.writer: RecordingWriter | None = None
        self.settle_ms = 0  # the longest time from one scrape of a target to the end of the next one
        self._past: PastSamples | None = None
        self._lost: list[tuple[int, int]] = []  # from, to (ms): when it did not record while the service ran

    @property
    def active(self) -> bool:
        """Whether the configuration asks for a recording, and there is a place for it."""
        return self.writer is not None

    @property
    def memory_bytes(self) -> int:
        """About the memory of what waits to be written, and of what it is written with."""
        return 0 if self.writer is None else self.writer.memory_bytes

    def past(self) -> PastSamples | None:
        """What was recorded, for queries; None while nothing is."""
        if self.writer is None:
            return None
        if self._past is None:
            from rulepush.recorded.recording import Recording
            from rulepush.web.recording_past import RecordingPast

            recording = Recording(self.writer.directory, self._set_aside)
            self._past = RecordingPast(recording, self.flush, self._lost_times, lambda: self.settle_ms)
        return self._past

    def _set_aside(self, path: Path, good: int, reason: str) -> None:
        if self.writer is not None:
            self.writer.set_aside(path, good, reason)

    def _lost_times(self) -> list[tuple[int, int]]:
        writer = self.writer
        return self._lost if writer is None else [*self._lost, *writer.lost]

    async def flush(self) -> None:
        """Write what came up to now."""
        if self.writer is not None:
            await self._offload(self.writer.flush)

    def begin(self, config: RecordConfig | None, at: int, in_memory: InMemory = _nothing) -> None:
        """Record from `at` (ms) on, where this configuration asks for it and the one before did not. `at` is also when
        rules take up what they had before. `in_memory` gives the samples that are in memory and later than a time (ms):
        those that are not in the recording yet go into it at its start."""
        if config is None or self.writer is not None:
            return
        if self._directory is None:
            log.warning("storage.record has no effect without --storage.path: nothing is recorded")
            return
        self.writer = _writer(self._directory, config, self._clock)
        recorded_until = _recorded_until(self._directory)
        if self._lost:
            self._lost[-1] = self._lost[-1][0], at
        self.record(RecordedStart(at))
        for block in in_memory(recorded_until - _SCRAPE_MS):
            self.record(RecordedBlock(at, Origin.SCRAPE, _IN_MEMORY, block))
        self._switched_on.set()

    async def apply(self, config: RecordConfig | None) -> None:
        """Record within these bounds; None: not any more."""
        if config is None:
            await self.aclose()
        elif self.writer is not None:
            self.writer.configure(config.retention_ms, config.max_bytes)

    def record(self, event: RecordedEvent) -> None:
        """One event more, if recording is on."""
        if self.writer is not None:
            self.writer.record(event)

    def interrupted(self) -> None:
        """The time jumped: what was not seen meanwhile is missing, as after a restart."""
        self.record(RecordedStart(self._clock.now()))

    async def run(self) -> None:
        """Write what came, every few seconds, until cancelled. Nothing wakes the process while recording is off."""
        while True:
            await self._switched_on.wait()
            await self._clock.sleep(FLUSH_SECONDS)
            if self.writer is None:
                self._switched_on.clear()
                continue
            flushing = asyncio.ensure_future(self._offload(self.writer.flush))
            try:
                await asyncio.shield(flushing)
            except asyncio.CancelledError:
                await flushing
                raise

    async def aclose(self) -> None:
        """Write what is left, and record no more."""
        writer, self.writer = self.writer, None
        if writer is not None:
            self._lost = [*self._lost, *writer.lost, (self._clock.now(), UNKNOWN_TIME)][-_MAX_LOST:]
            await self._offload(writer.close)


def _recorded_until(directory: Path) -> int:
    """When the last event of the recording came (ms), 0 where there is none."""
    from rulepush.recorded.recording import Recording
    from rulepush.recorded.records import DIRECTORY

    try:
        bounds = Recording(directory / DIRECTORY).bounds()
    except OSError as e:  # the writer will tell what is wrong, if anything is
        log.warning("the end of the recording is not known: directory=%s err=%s", directory / DIRECTORY, e)
        bounds = None
    return 0 if bounds is None else bounds[1]


def _writer(directory: Path, config: RecordConfig, clock: Clock) -> RecordingWriter:
    from rulepush.recorded.records import DIRECTORY
    from rulepush.recorded.writer import RecordingWriter

    return RecordingWriter(directory / DIRECTORY, config.retention_ms, config.max_bytes, clock)
