"""RecordingWriter: takes events in memory, and appends them to segments when it is told to.

Nothing here disturbs alerting: what cannot be written is dropped and counted, and once a minute it is tried again.
Nothing is synced: a crash of the process costs what was not flushed, a power cut the last seconds more.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from rulepush.clock import Clock
from rulepush.histogram.sample import HistogramBlock
from rulepush.model.block import SampleBlock
from rulepush.model.timestamps import UNKNOWN_TIME
from rulepush.recorded.encode import SegmentEncoder
from rulepush.recorded.events import RecordedBlock, RecordedEvent, RecordedStart
from rulepush.recorded.records import MAGIC, DamagedRecordError, SegmentReader, encode_record, segment_name
from rulepush.recorded.shelf import Shelf

log = logging.getLogger("rulepush.recorded")

_SHARE: Final = 16  # both bounds are kept by removing whole segments: each is at most this part of either
_MAX_SEGMENT: Final = 32 << 20
_MIN_SEGMENT: Final = 64 << 10
_MAX_SEGMENT_MS: Final = 3_600_000
_MAX_RECORD: Final = 1 << 20
_AT_ONCE: Final = 1_000  # samples that are encoded without letting others work: about 0.2 ms
_RETRY_S: Final = 60.0
_MAX_PENDING: Final = 10_000_000  # samples between two flushes
_MAX_LOST: Final = 100  # times that are remembered
_SAMPLE_BYTES: Final = 16  # a value, and its part of the tuple of series


def _weight(block: SampleBlock) -> int:
    """How many samples a block counts for while it waits: a histogram takes as much memory as its buckets."""
    if not isinstance(block, HistogramBlock):
        return len(block.series)
    return len(block.series) + sum(h.bucket_count for h in block.histograms if h is not None)


Opener = Callable[[Path], BinaryIO]


def _open_new(path: Path) -> BinaryIO:
    return path.open("xb", buffering=0)


@dataclass(slots=True)
class RecordingStats:
    """Counters since the start."""

    samples: int = 0  # written
    blocks: int = 0  # written
    dropped: int = 0  # events that came while nothing could be written
    damaged: int = 0  # segments set aside


class RecordingWriter:
    """An EventRecorder on files in `directory`, which is its own. `record` belongs to one thread; all else may be
    called from any."""

    def __init__(self, directory: Path, retention_ms: int, max_size: int, clock: Clock, open_file: Opener = _open_new):
        """`retention_ms` and `max_size` (bytes) bound what is kept. Nothing is read or written before `flush`.
        `open_file` makes a new, unbuffered file."""
        self.stats = RecordingStats()
        self.directory = directory
        self.last_error = ""  # why it does not record
        self.stopped_since: int | None = None  # ms
        self._clock = clock
        self._open_file = open_file
        self._retention_ms, self._max_size = retention_ms, max_size
        self._shelf = Shelf(directory)
        self._lock = threading.Lock()
        self._pending: deque[RecordedEvent] = deque()
        self._came = 0  # samples taken by `record`, which alone changes it
        self._taken = 0  # those of them that a flush took
        self._unwritten = 0  # events of the flush that is under way
        self._gap = False  # whether events were dropped since the last one that was written
        self._lost: deque[tuple[int, int]] = deque(maxlen=_MAX_LOST)
        self._opened = self._stopped = False
        self._retry_at = 0.0
        self._file: BinaryIO | None = None
        self._encoder = SegmentEncoder()
        self._unchecked: list[Path] | None = None  # segments of earlier processes, which may have been damaged

    # --- what is seen of it

    @property
    def up(self) -> bool:
        """Whether it records; False while the files cannot be written."""
        return not self._stopped

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return self._shelf.nbytes

    @property
    def oldest(self) -> int | None:
        """When the oldest segment was begun (ms), None while there is none."""
        return self._shelf.oldest

    @property
    def pending_samples(self) -> int:
        """Samples that the next flush writes; a native histogram counts as one and a sample for each bucket."""
        return self._came - self._taken

    @property
    def lost(self) -> tuple[tuple[int, int], ...]:
        """When events were dropped: (from, to) in ms, ascending; UNKNOWN_TIME ends the time in which they still are."""
        return tuple(self._lost)

    @property
    def memory_bytes(self) -> int:
        """About the bytes of what waits and of what the segment is written with."""
        return self.pending_samples * _SAMPLE_BYTES + self._encoder.nbytes

    # --- what is done to it

    def record(self, event: RecordedEvent) -> None:
        """Take an event. It refers to the event until the next flush."""
        if self._stopped or self._came - self._taken > _MAX_PENDING:
            self.stats.dropped += 1
            self._gap = True
            self._lose(event.at)
            return
        if self._gap:
            self._gap = False
            self._regain(event.at)
            self._pending.append(RecordedStart(event.at))
        self._pending.append(event)
        if isinstance(event, RecordedBlock):
            self._came += _weight(event.block)

    def configure(self, retention_ms: int, max_size: int) -> None:
        """Other bounds; they hold from the next flush on."""
        self._retention_ms, self._max_size = retention_ms, max_size

    def flush(self) -> None:
        """Write what came since the last call, remove what is too old or too much, and look at one of the segments
        that earlier processes left. Takes about 0.2 ms per 1,000 samples: call it in a thread."""
        with self._lock:
            if self._stopped and self._clock.monotonic() < self._retry_at:
                return
            count = len(self._pending)
            events = [self._pending.popleft() for _ in range(count)]
            self._taken += sum(_weight(e.block) for e in events if isinstance(e, RecordedBlock))
            self._unwritten = count
            resumed = self._clock.now()
            if self._stopped:
                self._gap = False  # what is dropped from here on is another one
                events.append(RecordedStart(resumed))
            try:
                self._open()
                self._check_current()
                self._retain()
                if events:
                    self._write(events)
                self._check_one()
            except OSError as e:
                self._stop(str(e), events[:count])
            except Exception as e:  # a fault of ours must not end the service that watches
                log.exception("recording failed")
                self._stop(repr(e), events[:count])
            else:
                if self._stopped:
                    log.info("recording continues: directory=%s", self.directory)
                    if not self._gap:
                        self._regain(resumed)
                self._stopped = False
                self.last_error, self.stopped_since = "", None

    def close(self) -> None:
        """Write what is left, and close the file."""
        self.flush()
        with self._lock:
            self._close()

    def set_aside(self, path: Path, good: int, reason: str) -> None:
        """Rename a damaged segment, of which the first `good` bytes can be read and stay. Never raises OSError."""
        with self._lock:
            self._set_aside(path, good, reason)

    # --- under the lock

    def _open(self) -> None:
        if self._opened:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self._shelf.load()
        if self._unchecked is None:
            self._unchecked = [s.path for s in self._shelf.segments if not s.damaged]
        self._opened = True

    def _check_current(self) -> None:
        """Raises FileNotFoundError where somebody removed the file: what is written to it would be lost, unnoticed."""
        if self._file is not None:
            self._shelf.segments[-1].path.stat()

    def _write(self, events: list[RecordedEvent]) -> None:
        segment_bytes = max(_MIN_SEGMENT, min(_MAX_SEGMENT, self._max_size // _SHARE))
        samples = blocks = taken = encoded = 0
        for i, event in enumerate(events):
            if encoded >= _AT_ONCE:
                time.sleep(0)  # lets go of the GIL: the event loop goes on at once, not in 5 ms
                encoded = 0
            if self._file is None or self._is_full(segment_bytes):
                self._begin()
            self._encoder.add(event)
            if isinstance(event, RecordedBlock):
                samples += len(event.block.series)
                encoded += len(event.block.series)
                blocks += 1
            if i == len(events) - 1 or self._encoder.size >= min(_MAX_RECORD, segment_bytes // 4):
                self._append(encode_record(*self._encoder.take()))
                self.stats.samples += samples
                self.stats.blocks += blocks
                self._unwritten = max(0, self._unwritten - (i + 1 - taken))
                samples, blocks, taken = 0, 0, i + 1

    def _is_full(self, segment_bytes: int) -> bool:
        if self._encoder.size:  # what is encoded refers to this segment
            return False
        current = self._shelf.segments[-1]
        age = abs(self._clock.now() - current.begun)  # the clock may have been set back
        return current.size >= segment_bytes or age >= min(_MAX_SEGMENT_MS, self._retention_ms // _SHARE)

    def _begin(self) -> None:
        self._close()
        self._encoder = SegmentEncoder()
        now = self._clock.now()
        path = self.directory / segment_name(self._shelf.next_number, now)
        self._file = self._open_file(path)
        self._shelf.add(path, now)
        self._append(MAGIC)

    def _append(self, part: bytes) -> None:
        self._shelf.make_room(self._max_size - len(part))
        assert self._file is not None
        left = memoryview(part)
        while left:
            left = left[self._file.write(left) :]  # a full disk takes a part of it, and refuses the rest
        self._shelf.segments[-1].size += len(part)

    def _retain(self) -> None:
        self._shelf.expire(self._clock.now(), self._retention_ms)
        self._shelf.make_room(self._max_size)

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _lose(self, at: int) -> None:
        if not self._lost or self._lost[-1][1] != UNKNOWN_TIME:
            self._lost.append((at, UNKNOWN_TIME))

    def _regain(self, at: int) -> None:
        if self._lost and self._lost[-1][1] == UNKNOWN_TIME:
            self._lost[-1] = self._lost[-1][0], at

    def _stop(self, reason: str, events: Sequence[RecordedEvent]) -> None:
        unwritten = events[len(events) - self._unwritten :]
        self._lose(unwritten[0].at if unwritten else self._clock.now())
        if not self._stopped:
            log.error(
                "recording stopped, alerting goes on; it is tried again every minute: directory=%s err=%s",
                self.directory,
                reason,
            )
            self.stopped_since = self._clock.now()
        self.last_error = reason
        self._stopped = self._gap = True
        self.stats.dropped += self._unwritten
        self._retry_at = self._clock.monotonic() + _RETRY_S
        self._opened = False  # what is in the directory may have changed, and the directory itself
        current = self._shelf.segments[-1] if self._file is not None else None
        with suppress(OSError):
            self._close()
        if current is None:
            return
        with suppress(OSError):
            if current.size <= len(MAGIC):
                self._shelf.remove(current)
            else:  # where it cannot be done, a part of a record is a torn tail, which readers know
                os.truncate(current.path, current.size)

    def _check_one(self) -> None:
        while self._unchecked:
            path = self._unchecked.pop()
            if not any(s.path == path for s in self._shelf.segments):
                continue
            try:
                with path.open("rb") as file:
                    reader = SegmentReader(file)
                    for head in reader.heads():
                        reader.payload(head)
                    if reader.torn:
                        log.debug("a segment's last record was not written whole: file=%s", path)
            except DamagedRecordError as e:
                self._set_aside(path, e.offset, str(e))
            except OSError as e:
                log.error("a segment cannot be read: file=%s err=%s", path, e)
            return

    def _set_aside(self, path: Path, good: int, reason: str) -> None:
        found = next((s for s in self._shelf.segments if s.path == path and not s.damaged), None)
        if found is None:  # removed meanwhile, or set aside already
            return
        if self._file is not None and found is self._shelf.segments[-1]:
            with suppress(OSError):
                self._close()
        self.stats.damaged += 1
        log.error("a segment is damaged and set aside, what is before the damage stays: file=%s err=%s", path, reason)
        try:
            self._shelf.set_aside(found, good if good > len(MAGIC) else 0)
        except OSError as e:
            log.error("a damaged segment cannot be set aside: file=%s err=%s", path, e)
