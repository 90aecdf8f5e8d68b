"""SampleJournal: the kept samples on disk, so that `rate()` has its window after a crash.

One second after something new has come, at the latest, it is written in one transaction: a SIGKILL loses at most about
one second. A thread does that; but a few thousand samples are compressed and appended to SQLite's WAL file in less time
than a thread takes to begin. All that syncs, or deletes, is the thread's. No fault of the file stops alerting: what
cannot be written is kept (up to a bound) and retried, and a file that was set aside is rewritten from memory.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from rulepush.clock import Clock, Pause
from rulepush.errors import StorageError
from rulepush.model.arrays import Floats
from rulepush.model.labels import Labels
from rulepush.storage.database import Database, Statement
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.storage.journal_batch import Batch, BatchColumns, Pending, decode_labels, encode_labels, snapshot
from rulepush.storage.table import Int64s

log = logging.getLogger("rulepush.storage")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, labels TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batches (
  id INTEGER PRIMARY KEY AUTOINCREMENT, until INTEGER NOT NULL, samples BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_until ON batches (until);
CREATE TABLE IF NOT EXISTS writer (session TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS demands (history TEXT NOT NULL);
"""

WRITE_SECONDS: Final = 1.0
PRUNE_SECONDS: Final = 60.0
SERIES_PRUNE_SECONDS: Final = 600.0
SMALL: Final = 4_000  # samples and new series that are written within a millisecond
MAX_UNWRITTEN: Final = 1_000_000  # samples that are held while the file cannot be written
_MAX_RETRY_S: Final = 60.0

Offload = Callable[..., Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Restored:
    """What `restore` loaded."""

    series: int = 0
    samples: int = 0
    until: int = 0  # the time (ms) of the newest sample


@dataclass(slots=True)
class JournalStats:
    """Counters since the start, in samples but for `failures`."""

    written: int = 0
    failures: int = 0
    lost: int = 0  # samples given up because the file could not be written for too long


@dataclass(frozen=True, slots=True)
class _Work:
    """What one transaction does. With `whole`, that is written instead of the batches. `demands`: what is kept since
    when, where it is not written yet, and its version."""

    batches: tuple[Batch, ...]
    whole: Batch | None
    prune_before: int | None
    living: Int64s | None
    demands: tuple[str, int] | None


class SampleJournal:
    """`restore` once, then `run` until cancelled, then `close`."""

    def __init__(
        self,
        head: Head,
        demands: DemandHistory,
        database: Database,
        clock: Clock,
        offload: Offload = asyncio.to_thread,
    ):
        """`database` is made with SCHEMA, `any_thread` and `checkpoints=False`, for the journal alone. `offload` runs a
        call in a thread."""
        self._offload = offload
        self.stats = JournalStats()
        self._head = head
        self._demands = demands
        self._demands_written = -1  # the version in the file
        self._database = database
        self._clock = clock
        self._came: asyncio.Event | None = None  # while `run` waits for something to write
        self._pause = Pause(clock, WRITE_SECONDS)  # while more may come
        self._pending = Pending(self._wake)
        self._unwritten: deque[Batch] = deque()
        self._failing = False  # whether the last attempt failed
        self._session = os.urandom(8).hex()
        self._known_file = False  # whether the file is the one that this process has been writing to
        self._closed = -1  # how often the file had been closed when that was found
        self._prune_at = self._prune_series_at = 0.0

    def restore(self, now: int, bridged_ms: int = 0) -> Restored:
        """Fill the head with what is demanded and within its look-back; then start recording what it keeps. A stop of
        up to `bridged_ms` counts as none in what the head notes as the time since which it has samples."""
        try:
            found = self._load(now)
            if found.samples:
                self._restore_demands(found.until, bridged_ms)
        except StorageError as e:
            log.error("samples from before the restart are not restored: %s", e)
            found = Restored()
        self._head.record_to(self._pending)
        if found.samples:
            log.info("samples restored: series=%d samples=%d", found.series, found.samples)
        return found

    def write_soon(self) -> None:
        """Nothing more is expected for a while: write now what is there. To wake up for it a second later, when other
        processes have had the processor's caches, would take twice the CPU. Still at most one write a second."""
        if not self._failing:
            self._pause.cut_short()

    async def run(self) -> None:
        """Write once a second while there is something to write; nothing wakes the process while there is not."""
        wait = WRITE_SECONDS
        while True:
            if self._pending.is_empty and not self._unwritten:
                self._came = asyncio.Event()
                await self._came.wait()
            await self._pause.wait(wait)
            if not self._collect():
                continue
            ok = await self._write()
            wait = WRITE_SECONDS if ok else min(wait * 2, _MAX_RETRY_S)

    def close(self) -> None:
        """Write what is left. `run` must have ended."""
        if self._collect():
            count = len(self._unwritten)
            self._settle(count, self._try_write(self._work()))
        self._head.record_to(None)

    # --- in the event loop

    async def _write(self) -> bool:
        """Write what was collected; in a thread, unless it is so little that the thread would cost more."""
        count, work = len(self._unwritten), self._work()
        if self._is_small(work):
            ok = self._try_write(work)
        else:
            writing = asyncio.ensure_future(self._offload(self._try_write, work, checkpoint=True))
            try:
                ok = await asyncio.shield(writing)
            except asyncio.CancelledError:
                self._settle(count, await writing)  # the database belongs to the thread until it is done
                raise
        self._settle(count, ok)
        return ok

    def _is_small(self, work: _Work) -> bool:
        """Whether it is a small batch and nothing else: what SQLite appends to its WAL file waits for no disk. After a
        failure it is never small, for the next attempt may wait for the file."""
        others = (work.whole, work.prune_before, work.living, work.demands)
        if self._failing or any(other is not None for other in others):
            return False
        return sum(len(batch.series) + batch.size for batch in work.batches) <= SMALL

    def _wake(self) -> None:
        if self._came is not None:
            self._came.set()

    def _collect(self) -> bool:
        """Take what is pending. Returns whether there is anything to write."""
        batch = self._pending.take(self._clock.now())
        if not batch.is_empty:
            self._unwritten.append(batch)
            while len(self._unwritten) > 1 and sum(b.size for b in self._unwritten) > MAX_UNWRITTEN:
                self._give_up()
        return bool(self._unwritten)

    def _give_up(self) -> None:
        """Drop the oldest samples that could not be written; their series stay queued."""
        oldest, following = self._unwritten.popleft(), self._unwritten.popleft()
        self._unwritten.appendleft(Batch({**oldest.series, **following.series}, following.samples))
        self.stats.lost += oldest.size

    def _work(self) -> _Work:
        """The input of the writing thread."""
        clock = self._clock
        whole = None if self._known_file else snapshot(self._head.tables(), clock.now())
        prune_before = living = None
        if clock.monotonic() >= self._prune_at:
            self._prune_at = clock.monotonic() + PRUNE_SECONDS
            prune_before = clock.now()
        if clock.monotonic() >= self._prune_series_at:
            self._prune_series_at = clock.monotonic() + SERIES_PRUNE_SECONDS
            living = np.concatenate([t.ids(slice(0, len(t))) for t in self._head.tables()] or [np.zeros(0, np.int64)])
        demands = None
        if whole is not None or self._demands_written != self._demands.version:
            demands = self._demands.as_text(), self._demands.version
        return _Work(tuple(self._unwritten), whole, prune_before, living, demands)

    def _settle(self, count: int, ok: bool) -> None:
        """After an attempt to write `count` batches."""
        self._failing = not ok
        if not ok:
            self.stats.failures += 1
            return
        for _ in range(count):
            self.stats.written += self._unwritten.popleft().size

    # --- in the writing thread, and for a small batch in the event loop

    def _try_write(self, work: _Work, *, checkpoint: bool = False) -> bool:
        try:
            if checkpoint:  # before the write, for the first one after it waits for the disk, too
                self._database.checkpoint()
            if self._known_file and not self._is_same_file():
                self._known_file = False  # the file was set aside in between: the next attempt writes everything
                return False
            statements = _begin_again(self._session) if work.whole is not None else []
            for batch in work.batches if work.whole is None else (work.whole,):
                statements += _insert(batch)
            if work.prune_before is not None:
                statements.append(("DELETE FROM batches WHERE until < ?", [(work.prune_before,)]))
            if work.living is not None:
                living = set(work.living.tolist())  # not np.setdiff1d, which imports numpy.ma: 1.5 MiB
                stored = self._database.read("SELECT id FROM series") if work.whole is None else []
                statements.append(("DELETE FROM series WHERE id = ?", [(i,) for (i,) in stored if i not in living]))
            if work.demands is not None:
                text, version = work.demands
                statements += [("DELETE FROM demands", [()]), ("INSERT INTO demands (history) VALUES (?)", [(text,)])]
            self._database.write(statements)
            if work.demands is not None:
                self._demands_written = version
        except StorageError as e:
            log.error("samples cannot be journaled, alerting goes on: %s", e)
            return False
        self._known_file, self._closed = True, self._database.closed
        return True

    def _is_same_file(self) -> bool:
        """Whether the file is the one that was written last. One that was opened again may be a new one."""
        if self._database.opened() == self._closed:
            return True
        return self._database.read("SELECT session FROM writer") == [(self._session,)]

    # --- restoring

    def _load(self, now: int) -> Restored:
        labels = dict(self._labels())
        self._head.skip_ids(max(labels, default=0))
        parts = list(self._batches(now))
        columns = BatchColumns.concat(parts)
        series = samples = until = 0
        for series_id, times, values in _by_series(columns, labels, now):
            if self._head.restore(series_id, labels[series_id], times, values, columns.boxes):
                series, samples, until = series + 1, samples + len(times), max(until, int(times[-1]))
        self._head.truncate(now)
        return Restored(series, samples, until)

    def _restore_demands(self, until: int, bridged_ms: int) -> None:
        for (text,) in self._database.read("SELECT history FROM demands"):
            try:
                self._demands.restore(text, until, bridged_ms)
            except ValueError as e:
                log.error("since when samples are kept is unreadable in the journal: err=%s", e)

    def _labels(self) -> Iterator[tuple[int, Labels]]:
        for series_id, text in self._database.read("SELECT id, labels FROM series"):
            try:
                yield series_id, decode_labels(text)
            except ValueError as e:
                log.error("a series of the journal is unreadable: id=%s err=%s", series_id, e)

    def _batches(self, now: int) -> Iterator[BatchColumns]:
        for batch_id, blob in self._database.read(
            "SELECT id, samples FROM batches WHERE until >= ? ORDER BY id", (now,)
        ):
            try:
                yield BatchColumns.decode(blob)
            except (ValueError, TypeError) as e:
                log.error("a batch of the journal is unreadable: id=%s err=%s", batch_id, e)


def _by_series(columns: BatchColumns, labels: dict[int, Labels], now: int) -> Iterator[tuple[int, Int64s, Floats]]:
    """(number, ascending times, values) of each series; one that went away and came back has two numbers and is joined.

    Samples later than `now` are left out: the clock was set back, and newer samples would be refused as out of order.
    """
    number_of: dict[Labels, int] = {}
    one = {i: number_of.setdefault(label_set, i) for i, label_set in labels.items()}
    numbers, where = np.unique(columns.ids, return_inverse=True)
    ids = np.array([one.get(i, -1) for i in numbers.tolist()], np.int64)[where]
    order = np.lexsort((columns.times, ids))
    ids, times, values = ids[order], columns.times[order], columns.values[order]
    repeated = np.zeros(len(ids), np.bool_)
    repeated[1:] = (ids[1:] == ids[:-1]) & (times[1:] == times[:-1])
    good = (ids >= 0) & ~repeated & (times <= now)
    ids, times, values = ids[good], times[good], values[good]
    bounds = np.flatnonzero(np.diff(ids, prepend=-1, append=-1)).tolist()
    for start, end in pairwise(bounds):
        yield int(ids[start]), times[start:end], values[start:end]


def _begin_again(session: str) -> list[Statement]:
    """Start a new file, with all that is in memory first, so that its series numbers are those of this process."""
    return [
        ("DELETE FROM batches", [()]),
        ("DELETE FROM series", [()]),
        ("DELETE FROM writer", [()]),
        ("INSERT INTO writer (session) VALUES (?)", [(session,)]),
    ]


def _insert(batch: Batch) -> list[Statement]:
    return [
        (
            "INSERT OR REPLACE INTO series (id, labels) VALUES (?, ?)",
            [(i, encode_labels(labels)) for i, labels in batch.series.items()],
        ),
        (
            "INSERT INTO batches (until, samples) VALUES (?, ?)",
            [(until, columns.encode()) for until, columns in batch.samples],
        ),
    ]
