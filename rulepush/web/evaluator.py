"""Evaluates the queries of the HTTP API in threads, on copies of the data, so that no query delays an alert."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from rulepush.clock import Clock
from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher
from rulepush.promql import Engine, Query, QueryResult, parse_expr
from rulepush.promql.eval.evaluation import TIMED_OUT, QuerySamples
from rulepush.storage.demand_history import DemandHistory, KeptView
from rulepush.storage.head import Head
from rulepush.storage.incomplete import (
    incomplete_listing,
    incomplete_past,
    incomplete_past_listing,
    incomplete_query,
)
from rulepush.storage.selection import Querier
from rulepush.storage.table import Table
from rulepush.web.past import PastQuerier, PastSamples
from rulepush.web.query_threads import QueryThreads, SlotWork
from rulepush.web.row_search import RowSearch
from rulepush.web.snapshot import Snapshot
from rulepush.web.statistics import QueryStatistics

T = TypeVar("T")
Finish = Callable[[QueryResult, Sequence[str]], T]
"""Makes the answer of a result and of what its warnings say about completeness."""
Lacking = Callable[[], Sequence[str]]
"""Gives the warnings about completeness, once the evaluation has read what it needs."""
Evaluate = Callable[[Engine, Querier, Lacking], T]
"""Makes the answer of the samples that a query reads."""

MAX_KNOWN: Final = 2_000
QUEUED_TOO_LONG: Final = "query timed out in query queue"
_RECENT_MS: Final = 300_000
_LIST_RECORDED_S: Final = 2.0
# What is read of the recording is put together from many pieces: meanwhile a sample takes more memory than a copy.
_PAST_WEIGHT: Final = 2
_NO_TIMEOUT_MS: Final = 1 << 40
_MAX_INLINE_PARSE: Final = 10_000  # characters of an expression: parsing a longer one would hold the event loop


@dataclass(slots=True)
class QueryStats:
    """What happened so far; `seconds` with the wait for a thread. `past` and `past_seconds` are those of the queries
    that were answered from the recording."""

    queries: int = 0
    failures: int = 0
    seconds: float = 0.0
    past: int = 0
    past_seconds: float = 0.0


class QueryEvaluator:
    """`engine` gives the engine of now (a reload may change it); at most `concurrency` queries run at a time.

    `finish` runs in the thread, too: what it makes of the result, and of the warnings that say what it would have
    needed and is not kept, is returned. A `timeout_ms` above 0 shortens the engine's own; the wait for a thread counts,
    and so does what was spent since `asked_at` (seconds of the monotonic clock, as `asked_at()` gave it). A
    `lookback_ms` above 0 replaces the engine's look-back delta. Raises EvaluationError as the engine does.

    Where more would be needed than is in memory, and there is a recording, the whole query is evaluated on
    that: what it gives is then as if everything had been kept. Its warnings say what the recording lacks.

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
        past: Callable[[], PastSamples | None] = lambda: None,
    ):
        """`max_samples` is for one query, where the engine does not allow less. `past` gives the recording, where there
        is one at present."""
        self.counts = QueryStats()
        self._max_samples = max_samples
        self._engine = engine
        self._head = head
        self._history = history
        self._clock = clock
        self._began = clock.now()
        self._past = past
        self._slots = asyncio.Semaphore(concurrency)
        # One more than slots, so that a listing need not wait for queries that take long.
        self._threads = QueryThreads(concurrency + 1)
        self._closed = False

    @property
    def engine(self) -> Engine:
        """The engine of the configuration in force."""
        return self._engine()

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
        stats: QueryStatistics | None = None,
        lookback_ms: int = 0,
    ) -> T:
        """The value at `ts` (ms). `stats` are complete when `finish` is called."""

        def evaluate(engine: Engine, data: Querier, lacking: Lacking) -> T:
            with self._timed(stats) as samples:
                result = engine.instant(query, ts, data, None, samples)
            return finish(result, lacking())

        return await self.evaluated(
            query.resolved(0, 0), ts, ts, evaluate, timeout_ms, asked_at, stats=stats, lookback_ms=lookback_ms
        )

    async def range(
        self,
        query: Query,
        start: int,
        end: int,
        step: int,
        finish: Finish[T],
        timeout_ms: int = 0,
        asked_at: float | None = None,
        stats: QueryStatistics | None = None,
        lookback_ms: int = 0,
    ) -> T:
        """The values at start, start + step, ... up to end (ms). `stats` are complete when `finish` is called."""

        def evaluate(engine: Engine, data: Querier, lacking: Lacking) -> T:
            with self._timed(stats) as samples:
                result = engine.range(query, start, end, step, data, samples)
            return finish(result, lacking())

        whole = query.resolved(step, end - start)
        return await self.evaluated(
            whole, start, end, evaluate, timeout_ms, asked_at, stats=stats, lookback_ms=lookback_ms
        )

    async def in_thread(self, work: Callable[[], T]) -> T:
        """The result of `work`, run in a thread: it must not read anything that the event loop may change meanwhile."""
        return await asyncio.wrap_future(self._threads.submit(work))

    async def bounded(self, work: Callable[[Callable[[], bool]], T], seconds: float) -> T:
        """What `work` makes in a thread, in the slot of a query and counted as one. It is given what tells whether it
        should end: after `seconds`, or the time-out of queries where that is shorter, and when nobody waits any more.
        Raises QueryLimitError where there is no slot in that time, or where it goes on for as long again."""
        options = self._engine().options
        limit = min(round(seconds * 1000), options.timeout_ms or _NO_TIMEOUT_MS)
        with self._counted(self._clock.monotonic()):
            await self._acquire_slot(limit)
            slot, over_at = SlotWork(self._threads, self._slots.release), self._clock.monotonic() + limit / 1000

            def is_over() -> bool:
                return slot.is_abandoned or self._monotonic() >= over_at

            try:
                async with asyncio.timeout(2 * limit / 1000), slot:
                    return await slot.in_thread(lambda: work(is_over))
            except TimeoutError:
                raise QueryLimitError(TIMED_OUT) from None

    async def search(self, selectors: Iterable[Sequence[Matcher]]) -> RowSearch:
        """The series of some selectors, looked for in slices between which everything else has its turn. Raises
        QueryLimitError."""
        search = RowSearch(self._head, selectors)
        for _ in search.steps():
            await asyncio.sleep(0)
        return search

    async def listed(
        self,
        selectors: Sequence[Sequence[Matcher]],
        start: int | None,
        end: int,
        finish: Callable[[Sequence[Labels], Sequence[str]], T],
    ) -> T:
        """What `finish` makes, in a thread, of the series that satisfy any of the selectors, each at least once, and of
        the warnings that say what is not among them. Those that are in memory are there, and from the recording, where
        that does not suffice, those with a sample from `start` (None: whenever there was one) to `end` (ms). Raises
        QueryLimitError."""
        parts = (await self.search(selectors)).found()
        found = [labels for one in parts.values() for part in one for labels in part.labels]
        view = self.kept(part.table for one in parts.values() for part in one)
        past = self._past()
        if past is None:
            return await self.in_thread(lambda: finish(found, incomplete_listing(selectors, view, start)))
        if not await self.in_thread(lambda: incomplete_listing(selectors, view, start)):
            return await self.in_thread(lambda: finish(found, ()))
        options, began = self._engine().options, self._clock.monotonic()

        delta, work = options.lookback_delta_ms, SlotWork(self._threads, lambda: None)

        def answer() -> T:
            first = start
            if first is None:
                first = next((since for since, _ in past.spans(delta)), view.now)
            recorded = [labels for matchers in selectors for labels in past.series(matchers, first, end, work.go_on)]
            lacking = incomplete_past_listing(selectors, past.spans(delta), first, end, delta, view.now)
            return finish([*found, *recorded], lacking)

        self.counts.past += 1
        try:
            async with asyncio.timeout((options.timeout_ms or _NO_TIMEOUT_MS) / 1000), work:
                await past.flush()
                return await work.in_thread(answer)
        except TimeoutError:
            raise QueryLimitError(TIMED_OUT) from None
        finally:
            self.counts.past_seconds += self._clock.monotonic() - began

    async def recorded_since(self) -> int | None:
        """When the recording begins (ms); None where there is none."""
        past, delta = self._past(), self._engine().options.lookback_delta_ms
        if past is None:
            return None
        try:
            return await self.in_thread(lambda: next((since for since, _ in past.spans(delta)), None))
        except EvaluationError:  # it cannot be read
            return None

    async def recorded_sizes(self) -> dict[str, int]:
        """How many series of each metric had a sample in the newest of what is recorded; {} where nothing is."""
        past, now = self._past(), self._clock.now()
        if past is None:
            return {}
        work = SlotWork(self._threads, lambda: None)
        try:
            async with asyncio.timeout(_LIST_RECORDED_S), work:
                found = await work.in_thread(lambda: past.series((), now - _RECENT_MS, now, work.go_on))
        except (EvaluationError, TimeoutError):
            return {}
        return dict(Counter(labels.name for labels in found))

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
        last: int,
        evaluate: Evaluate[T],
        timeout_ms: int = 0,
        asked_at: float | None = None,
        *,
        only_kept: bool = False,
        stats: QueryStatistics | None = None,
        lookback_ms: int = 0,
    ) -> T:
        """What `evaluate` makes, in a thread, of the samples that `query` reads when it is evaluated from `first` to
        `last` (ms). With `only_kept` these are what is in memory, as the rules see it, whatever is missing."""
        options = self._engine().options
        limit = options.timeout_ms or _NO_TIMEOUT_MS
        limit = min(limit, timeout_ms) if timeout_ms > 0 else limit
        began = self._clock.monotonic() if asked_at is None else asked_at
        with self._counted(began):
            await self._acquire_slot(self._left(limit, began))
            if stats is not None:
                stats.prepared_s = self._clock.monotonic()
                stats.queued_s = stats.prepared_s - began
            options = replace(
                options,
                timeout_ms=self._left(limit, began),
                max_samples=min(options.max_samples, self._max_samples),
                lookback_delta_ms=lookback_ms if lookback_ms > 0 else options.lookback_delta_ms,
            )
            work = SlotWork(self._threads, self._slots.release)
            engine = Engine(options, lambda: math.inf if work.is_abandoned else self._monotonic())
            try:
                async with asyncio.timeout(options.timeout_ms / 1000), work:
                    past = None if only_kept else self._past()
                    if past is not None and await self._reaches_beyond(work, engine, query, first, last):
                        return await self._from_past(work, engine, past, query, evaluate)
                    return await self._from_head(work, engine, query, first, last, evaluate)
            except TimeoutError:  # one step of the evaluation takes long
                raise QueryLimitError(TIMED_OUT) from None

    @contextmanager
    def _timed(self, stats: QueryStatistics | None) -> Iterator[QuerySamples | None]:
        """What is evaluated within counts in `stats`, whose `prepared_s` is when the preparation began."""
        began = self._clock.monotonic()
        yield None if stats is None else stats.samples
        if stats is not None:
            stats.prepared_s = began - stats.prepared_s
            stats.evaluated_s = self._clock.monotonic() - began

    @contextmanager
    def _counted(self, began: float) -> Iterator[None]:
        """Count a query that began then (seconds of the monotonic clock), and whether it fails."""
        counts = self.counts
        counts.queries += 1
        try:
            yield
        except EvaluationError:
            counts.failures += 1
            raise
        finally:
            counts.seconds += self._clock.monotonic() - began

    def _left(self, limit_ms: int, began: float) -> int:
        return max(1, limit_ms - round((self._clock.monotonic() - began) * 1000))

    async def _from_head(
        self, work: SlotWork, engine: Engine, query: Query, first: int, last: int, evaluate: Evaluate[T]
    ) -> T:
        delta = engine.options.lookback_delta_ms
        uses = query.selectors(delta)
        search = await self.search(use.matchers for use in uses)
        held = search.held_since(uses, first, delta, self._began)
        data = Snapshot(self._head, query, first, engine.options, search)
        view = self.kept(data.tables)

        def lacking() -> list[str]:
            return incomplete_query(uses, view, first, last, delta, held)

        return await work.in_thread(lambda: evaluate(engine, data, lacking))

    async def _reaches_beyond(self, work: SlotWork, engine: Engine, query: Query, first: int, last: int) -> bool:
        """Whether a query needs more than is in memory, or may do so."""
        delta = engine.options.lookback_delta_ms
        uses = query.selectors(delta)
        search = await self.search(use.matchers for use in uses)
        view, held = self.kept(search.tables()), search.held_since(uses, first, delta, self._began)
        return bool(await work.in_thread(lambda: incomplete_query(uses, view, first, last, delta, held)))

    async def _from_past(
        self, work: SlotWork, engine: Engine, past: PastSamples, query: Query, evaluate: Evaluate[T]
    ) -> T:
        began, now = self._clock.monotonic(), self._clock.now()
        delta = engine.options.lookback_delta_ms
        data = PastQuerier(past, engine.options.max_samples // _PAST_WEIGHT, work.go_on)

        def lacking() -> list[str]:
            uses, spans = query.selectors(delta), past.spans(delta)
            return incomplete_past(uses, data.reads(), spans, delta, now, past.settle_ms())

        self.counts.past += 1
        try:
            await past.flush()
            return await work.in_thread(lambda: evaluate(engine, data, lacking))
        finally:
            self.counts.past_seconds += self._clock.monotonic() - began

    async def _acquire_slot(self, timeout_ms: int) -> None:
        """Waits for a free slot and takes it. Raises QueryLimitError when none became free in time."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._slots.acquire()
        except TimeoutError:
            raise QueryLimitError(QUEUED_TOO_LONG) from None

    def _monotonic(self) -> float:
        return math.inf if self._closed else self._clock.monotonic()
