"""Daemon threads for queries. Those of concurrent.futures would keep a stopping process alive until they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from rulepush.errors import QueryLimitError
from rulepush.promql.eval.evaluation import TIMED_OUT

T = TypeVar("T")
_Job = Callable[[], None]
_END: Final = None


class QueryThreads:
    """At most `max_threads` daemon threads, started on demand.

    ThreadPoolExecutor joins its threads when the interpreter exits, so one long call into numpy would delay the end of
    the process. A daemon thread is abandoned; it only computes, and has no state that must be saved.
    """

    def __init__(self, max_threads: int):
        self._max_threads = max_threads
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0
        self._waiting: set[Future[Any]] = set()
        self._closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` in a thread. To be called from the event loop's thread only."""
        future: Future[T] = Future()
        if self._closed:
            future.cancel()
            return future
        self._waiting.add(future)

        def job() -> None:
            self._waiting.discard(future)
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = work()
            except BaseException as e:
                future.set_exception(e)
            else:
                future.set_result(result)

        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and self._started < self._max_threads:
            self._started += 1
            threading.Thread(target=self._run, name=f"query-{self._started}", daemon=True).start()
        return future

    def close(self) -> None:
        """Accept no more work, and cancel what has not started. Does not wait for running work."""
        self._closed = True
        for future in list(self._waiting):
            future.cancel()
        for _ in range(self._started):
            self._jobs.put(_END)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not _END:
            job()
            del job  # or its result would be kept in memory until the next one
            self._idle.release()


class SlotWork:
    """What one query does in threads, one thing after the other, while it holds a slot: `release` is called in the
    event loop once the last of them has ended, also when nobody waits for that any more.

    async with work:
        await work.in_thread(one)
    """

    def __init__(self, threads: QueryThreads, release: Callable[[], None]):
        self._threads = threads
        self._release = release
        self._abandoned = threading.Event()
        self._last: Future[Any] | None = None

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits any more: what still runs should end. For any thread."""
        return self._abandoned.is_set()

    def go_on(self) -> None:
        """Raises QueryLimitError where nobody waits any more. For any thread."""
        if self._abandoned.is_set():
            raise QueryLimitError(TIMED_OUT)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """The result of `work`."""
        future = self._threads.submit(work)
        self._last = future
        return await asyncio.wrap_future(future)

    async def __aenter__(self) -> SlotWork:
        return self

    async def __aexit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        self._abandoned.set()

        def free(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop is closed: the process stops
                loop.call_soon_threadsafe(self._release)

        if self._last is None or self._last.done():
            self._release()
        else:
            self._last.add_done_callback(free)
