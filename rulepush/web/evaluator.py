"""Evaluates what is asked over HTTP: in threads and on copies, so that no query makes an alert wait."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from rulepush.clock import Clock
from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.promql import Engine, Query, QueryResult
from rulepush.storage.head import Head
from rulepush.web.snapshot import Snapshot

T = TypeVar("T")
QUEUED_TOO_LONG: Final = "query timed out in query queue"
_NO_TIMEOUT_MS: Final = 1 << 40


@dataclass(slots=True)
class QueryStats:
    """What happened so far; `seconds` with the wait for a thread."""

    queries: int = 0
    failures: int = 0
    seconds: float = 0.0


class QueryEvaluator:
    """`engine` gives the engine of now (a reload may change it); at most `concurrency` queries run at a time.

    `finish` runs in the thread, too: what it makes of the result is returned. A `timeout_ms` above 0 shortens the
    engine's own, and the wait for a thread counts. Raises EvaluationError as the engine does.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        head: Head,
        clock: Clock,
        concurrency: int = 2,
        max_samples: int = 5_000_000,
    ):
        """`max_samples` is for one query, where the engine does not allow less."""
        self.counts = QueryStats()
        self._max_samples = max_samples
        self._engine = engine
        self._head = head
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        # One more than slots, so that a listing need not wait for queries that take long.
        self._threads = ThreadPoolExecutor(concurrency + 1, thread_name_prefix="query")
        self._closed = False

    async def instant(self, query: Query, ts: int, finish: Callable[[QueryResult], T], timeout_ms: int = 0) -> T:
        """The value at `ts` (ms)."""

        def evaluate(engine: Engine, data: Snapshot) -> T:
            return finish(engine.instant(query, ts, data))

        return await self._run(query.resolved(0, 0), ts, evaluate, timeout_ms)

    async def range(
        self, query: Query, start: int, end: int, step: int, finish: Callable[[QueryResult], T], timeout_ms: int = 0
    ) -> T:
        """The values at start, start + step, ... up to end (ms)."""

        def evaluate(engine: Engine, data: Snapshot) -> T:
            return finish(engine.range(query, start, end, step, data))

        return await self._run(query.resolved(step, end - start), start, evaluate, timeout_ms)

    async def elsewhere(self, work: Callable[[], T]) -> T:
        """The result of work that takes long, and touches nothing that may change meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let what runs end soon, with a time-out."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, query: Query, first: int, evaluate: Callable[[Engine, Snapshot], T], timeout_ms: int) -> T:
        options, counts = self._engine().options, self.counts
        limit = options.timeout_ms or _NO_TIMEOUT_MS
        limit = min(limit, timeout_ms) if timeout_ms > 0 else limit
        asked_at = self._clock.monotonic()
        counts.queries += 1
        try:
            async with self._turn(limit):
                left = limit - round((self._clock.monotonic() - asked_at) * 1000)
                most = min(options.max_samples, self._max_samples)
                options = replace(options, timeout_ms=max(1, left), max_samples=most)
                engine, data = Engine(options, self._monotonic), Snapshot(self._head, query, first, options)
                return await self.elsewhere(lambda: evaluate(engine, data))
        except EvaluationError:
            counts.failures += 1
            raise
        finally:
            counts.seconds += self._clock.monotonic() - asked_at

    @asynccontextmanager
    async def _turn(self, most_ms: int) -> AsyncIterator[None]:
        """One of the slots. Raises QueryLimitError when none came free in time."""
        try:
            async with asyncio.timeout(most_ms / 1000):
                await self._slots.acquire()
        except TimeoutError:
            raise QueryLimitError(QUEUED_TOO_LONG) from None
        try:
            yield
        finally:
            self._slots.release()

    def _monotonic(self) -> float:
        return math.inf if self._closed else self._clock.monotonic()
