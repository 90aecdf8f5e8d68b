"""Evaluates the queries of the HTTP API in threads, on copies of the data, so that no query delays an alert."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from rulepush.clock import Clock
from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher
from rulepush.promql import Engine, EngineOptions, Query, QueryResult, parse_expr
from rulepush.promql.eval.evaluation import TIMED_OUT
from rulepush.storage.demand_history import DemandHistory, KeptView
from rulepush.storage.head import Head
from rulepush.storage.incomplete import incomplete_query
from rulepush.storage.table import Table
from rulepush.web.query_threads import QueryThreads
from rulepush.web.row_search import RowSearch
from rulepush.web.snapshot import Snapshot

T = TypeVar("T")
Finish = Callable[[QueryResult, Sequence[str]], T]
"""Makes the answer of a result and of what its warnings say about completeness."""

MAX_KNOWN: Final = 2_000
QUEUED_TOO_LONG: Final = "query timed out in query queue"
_NO_TIMEOUT_MS: Final = 1 << 40
_MAX_INLINE_PARSE: Final = 10_000  # characters of an expression: parsing a longer one would hold the event loop


@dataclass(slots=True)
class QueryStats:
    """What happened so far; `seconds` with the wait for a thread."""

    queries: int = 0
    failures: int = 0
    seconds: float = 0.0


class QueryEvaluator:
    """`engine` gives the engine of now (a reload may change it); at most `concurrency` queries run at a time.

    `finish` runs in the thread, too: what it makes of the result, and of the warnings that say what it would have
    needed and is not kept, is returned. A `timeout_ms` above 0 shortens the
    engine's own; the wait for a thread counts, and so does what was spent since `asked_at` (seconds of the monotonic
    clock, as `asked_at()` gave it). Raises EvaluationError as the engine does.

    A query whose caller is cancelled, or whose time is over, ends at the next step of its evaluation that reads the
    clock. It holds its slot until then: threads whose caller has gone are bounded, too.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        head: Head,
        history: DemandHistory,
        clock: Clock,
        concurrency: int = 2,
        max_samples: int = 5_000_000,
    ):
        """`max_samples` is for one query, where the engine does not allow less."""
        self.counts = QueryStats()
        self._max_samples = max_samples
        self._engine = engine
        self._head = head
        self._history = history
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        # One more than slots, so that a listing need not wait for queries that take long.
        self._threads = QueryThreads(concurrency + 1)
        self._closed = False

    def asked_at(self) -> float:
        """Now: when a request came."""
        return self._clock.monotonic()

    async def parsed(self, text: str) -> Query:
        """The query of a text, parsed in a thread where it is long. Raises ParseError."""
        return await self.in_thread_if_long(len(text), lambda: parse_expr(text))

    async def in_thread_if_long(self, chars: int, parse: Callable[[], T]) -> T:
        """The result of `parse`, which reads so many characters; in a thread where that would hold the event loop."""
        return parse() if chars < _MAX_INLINE_PARSE else await self.in_thread(parse)

    async def instant(
        self,
        query: Query,
        ts: int,
        finish: Finish[T],
        timeout_ms: int = 0,
        asked_at: float | None = None,
    ) -> T:
        """The value at `ts` (ms)."""

        def evaluate(engine: Engine, data: Snapshot, view: KeptView) -> T:
            result = engine.instant(query, ts, data)
            return finish(result, incomplete_query(data.uses, view, ts, ts, engine.options.lookback_delta_ms))

        return await self.evaluated(query.resolved(0, 0), ts, evaluate, timeout_ms, asked_at)

    async def range(
        self,
        query: Query,
        start: int,
        end: int,
        step: int,
        finish: Finish[T],
        timeout_ms: int = 0,
        asked_at: float | None = None,
    ) -> T:
        """The values at start, start + step, ... up to end (ms)."""

        def evaluate(engine: Engine, data: Snapshot, view: KeptView) -> T:
            result = engine.range(query, start, end, step, data)
            return finish(result, incomplete_query(data.uses, view, start, end, engine.options.lookback_delta_ms))

        return await self.evaluated(query.resolved(step, end - start), start, evaluate, timeout_ms, asked_at)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """The result of `work`, run in a thread: it must not read anything that the event loop may change meanwhile."""
        return await asyncio.wrap_future(self._threads.submit(work))

    async def search(self, selectors: Iterable[Sequence[Matcher]]) -> RowSearch:
        """The series of some selectors, looked for in slices between which everything else has its turn. Raises
        QueryLimitError."""
        search = RowSearch(self._head, selectors)
        for _ in search.steps():
            await asyncio.sleep(0)
        return search

    def kept(self, tables: Iterable[Table]) -> KeptView:
        """What is kept of these tables since when, for answers that need no evaluation (`/api/v1/series`, labels)."""
        return self._history.view(self._clock.now(), tables)

    def metric_sizes(self) -> dict[str, int]:
        """How many series there are now, by metric."""
        return {table.name: len(table) for table in self._head.tables() if len(table)}

    def known_series(self, names: Iterable[str]) -> list[Labels]:
        """The series that are kept of these metrics, at most MAX_KNOWN of each, and of every other metric one."""
        wanted = frozenset(names)
        return [
            labels
            for table in self._head.tables()
            for labels in table.labels[: MAX_KNOWN if table.name in wanted else 1]
        ]

    def close(self) -> None:
        """Let what runs end soon, with a time-out. Does not wait for it."""
        self._closed = True
        self._threads.close()

    async def evaluated(
        self,
        query: Query,
        first: int,
        evaluate: Callable[[Engine, Snapshot, KeptView], T],
        timeout_ms: int = 0,
        asked_at: float | None = None,
    ) -> T:
        """What `evaluate` makes, in a thread, of the samples that `query` reads from `first` (ms) on."""
        options, counts = self._engine().options, self.counts
        limit = options.timeout_ms or _NO_TIMEOUT_MS
        limit = min(limit, timeout_ms) if timeout_ms > 0 else limit
        began = self._clock.monotonic() if asked_at is None else asked_at
        counts.queries += 1
        try:
            await self._acquire_slot(self._left(limit, began))
            left = self._left(limit, began)
            max_samples = min(options.max_samples, self._max_samples)
            return await self._evaluated(
                query, first, evaluate, replace(options, timeout_ms=left, max_samples=max_samples)
            )
        except EvaluationError:
            counts.failures += 1
            raise
        finally:
            counts.seconds += self._clock.monotonic() - began

    def _left(self, limit_ms: int, began: float) -> int:
        return max(1, limit_ms - round((self._clock.monotonic() - began) * 1000))

    async def _evaluated(
        self, query: Query, first: int, evaluate: Callable[[Engine, Snapshot, KeptView], T], options: EngineOptions
    ) -> T:
        """The result of a query that has its slot, which is free again when the thread has ended."""
        loop, abandoned = asyncio.get_running_loop(), threading.Event()
        deadline = loop.time() + options.timeout_ms / 1000

        def free(_: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop is closed: the process stops
                loop.call_soon_threadsafe(self._slots.release)

        def monotonic() -> float:
            return math.inf if abandoned.is_set() else self._monotonic()

        try:
            async with asyncio.timeout_at(deadline):
                search = await self.search(use.matchers for use in query.selectors(options.lookback_delta_ms))
            engine, data = Engine(options, monotonic), Snapshot(self._head, query, first, options, search)
            view = self.kept(data.tables)
        except TimeoutError:
            self._slots.release()
            raise QueryLimitError(TIMED_OUT) from None
        except BaseException:
            self._slots.release()
            raise
        future = self._threads.submit(lambda: evaluate(engine, data, view))
        future.add_done_callback(free)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.wrap_future(future)
        except TimeoutError:  # one step of the evaluation takes long
            raise QueryLimitError(TIMED_OUT) from None
        finally:
            abandoned.set()

    async def _acquire_slot(self, timeout_ms: int) -> None:
        """Waits for a free slot and takes it. Raises QueryLimitError when none became free in time."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._slots.acquire()
        except TimeoutError:
            raise QueryLimitError(QUEUED_TOO_LONG) from None

    def _monotonic(self) -> float:
        return math.inf if self._closed else self._clock.monotonic()
