"""AlertHistory: takes what the rules and the notifier tell, writes it in the background, and answers what is asked.

The event loop only appends. Once a second, while there is something new, a thread writes one transaction: a SIGKILL
loses about one second of history and no alert. No fault of the file stops alerting: what cannot be written is kept (up
to a bound) and tried again, and answers have it all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from rulepush.clock import Clock, Pause
from rulepush.errors import StorageError
from rulepush.history.deliveries import AlertDelivery, Attempt, Deliveries, SentAlert
from rulepush.history.rows import HistoryAnswer, HistoryFilter
from rulepush.history.store import DEFAULT_BOUNDS, HistoryBounds, HistoryTables
from rulepush.model.durations import format_duration
from rulepush.rules.transition import Transition
from rulepush.storage.database import Database

log = logging.getLogger("rulepush.history")

WRITE_SECONDS: Final = 1.0
PRUNE_SECONDS: Final = 60.0
MAX_UNWRITTEN: Final = 10_000  # transitions that are held while the file cannot be written
_MAX_RETRY_S: Final = 60.0

HistoryOffload = Callable[..., Awaitable[Any]]


class AlertHistory:
    """`restore` once, then `run` until cancelled, then `close`. `record` and `attempted` never block and never raise.

    `lost` counts the transitions that were given up because the file could not be written for too long.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bounds: HistoryBounds = DEFAULT_BOUNDS,
        offload: HistoryOffload = asyncio.to_thread,
    ):
        """`database` is made with the store's SCHEMA and `any_thread`, for the history alone. `offload` runs a call in
        a thread."""
        self.bounds = bounds
        self.lost = 0
        self._tables = HistoryTables(database, bounds)
        self._clock = clock
        self._offload = offload
        self._database_free = asyncio.Lock()  # the database serves one thread at a time
        self._unwritten: deque[Transition] = deque()  # the oldest first
        self._deliveries = Deliveries()
        self._news = asyncio.Event()  # set while there may be something to write
        self._pause = Pause(clock, WRITE_SECONDS)  # while more may come
        self._prune_at = 0.0
        self._failing_since: int | None = None

    # --- what others tell

    def record(self, transitions: Sequence[Transition]) -> None:
        """Keep these. A `rules.transition.Record`."""
        self._unwritten.extend(transitions)
        self._news.set()
        while len(self._unwritten) > MAX_UNWRITTEN:
            self._unwritten.popleft()
            self.lost += 1

    def attempted(self, attempt: Attempt, alerts: Iterable[SentAlert]) -> None:
        """Keep what an attempt to send these alerts came to. Of an evaluation nothing more is expected then: it is
        written at once, for it takes less CPU than a second later."""
        self._deliveries.attempted(attempt, alerts)
        if self._deliveries.has_changed:
            self._news.set()
        if self._failing_since is None:
            self._pause.cut_short()

    # --- what is asked

    async def find(self, wanted: HistoryFilter) -> HistoryAnswer:
        """The newest transitions that pass, newest first. Where the file cannot be read, those that are not written
        yet."""
        async with self._database_free:
            recent = [one for one in reversed(self._unwritten) if wanted.passes(one)]
            reading = asyncio.ensure_future(self._offload(self._tables.find, wanted))
            try:
                saved: HistoryAnswer = await asyncio.shield(reading)
            except asyncio.CancelledError:
                await asyncio.wait([reading])  # the database belongs to the thread until it is done
                raise
            except StorageError as e:
                log.warning("the alert history cannot be read: err=%s", e)
                saved = HistoryAnswer(())
        found = sorted([*recent, *saved.found], key=lambda one: -one.ts)  # stable: of one time, the later one first
        return HistoryAnswer(found[: wanted.limit], saved.is_cut or len(found) > wanted.limit)

    def deliveries(self, fingerprint: str) -> list[AlertDelivery]:
        """What became of this alert at each Alertmanager."""
        return self._deliveries.of(fingerprint)

    # --- the file

    def restore(self) -> None:
        """Take up the deliveries of the former process."""
        try:
            self._deliveries.restore(self._tables.deliveries())
        except StorageError as e:
            log.error("what was delivered before the restart is not known: err=%s", e)

    async def run(self) -> None:
        """Write once a second while there is something to write, until cancelled; nothing wakes an idle process."""
        wait = WRITE_SECONDS
        while True:
            await self._news.wait()
            await self._pause.wait(wait)
            self._news.clear()
            if await self.write():
                wait = WRITE_SECONDS
            else:
                wait = min(wait * 2, _MAX_RETRY_S)
                self._news.set()

    async def write(self) -> bool:
        """Write what is new. False when it could not be; then it is kept. A write that has begun is waited for, also
        when the caller is cancelled, as is a read."""
        async with self._database_free:
            count, changed, prune_at = self._work()
            if not count and not changed:
                return True
            batch = [self._unwritten[i] for i in range(count)]
            writing = asyncio.ensure_future(self._offload(self._try_write, batch, changed, prune_at))
            try:
                error = await asyncio.shield(writing)
            except asyncio.CancelledError:
                self._settle(batch, changed, await writing)
                raise
            return self._settle(batch, changed, error)

    def close(self) -> None:
        """Write what is left. `run` must have ended, and nobody may ask any more."""
        changed = self._deliveries.take_changed()
        if self._unwritten or changed:
            batch = list(self._unwritten)
            self._settle(batch, changed, self._try_write(batch, changed, None))

    def _work(self) -> tuple[int, list[AlertDelivery], int | None]:
        """How many transitions, which deliveries, and the time by which to prune, are the next transaction."""
        changed, prune_at = self._deliveries.take_changed(), None
        if self._clock.monotonic() >= self._prune_at and (self._unwritten or changed):
            self._prune_at = self._clock.monotonic() + PRUNE_SECONDS
            prune_at = self._clock.now()
        return len(self._unwritten), changed, prune_at

    def _try_write(self, batch: list[Transition], changed: list[AlertDelivery], prune_at: int | None) -> str:
        """In the thread. Returns the error, "" when all is written."""
        try:
            self._tables.write(batch, changed, prune_at)
        except StorageError as e:
            return str(e)
        except Exception as e:  # a bug in rulepush must not stop the process
            log.exception("writing the alert history crashed")
            return f"internal error: {type(e).__name__}: {e}"
        return ""

    def _settle(self, batch: list[Transition], changed: list[AlertDelivery], error: str) -> bool:
        """After an attempt to write. Returns whether it succeeded."""
        now = self._clock.now()
        if error:
            self._deliveries.give_back(changed)
            if self._failing_since is None:
                self._failing_since = now
                log.error("the alert history cannot be written, alerting goes on without: err=%s", error)
            return False
        for one in batch:
            if self._unwritten and self._unwritten[0] is one:  # else it was given up meanwhile
                self._unwritten.popleft()
        if self._failing_since is not None:
            after = format_duration(max(0, now - self._failing_since))
            log.info("the alert history is written again: after=%s lost=%d", after, self.lost)
            self._failing_since = None
        return True
