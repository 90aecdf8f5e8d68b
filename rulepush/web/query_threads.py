"""The threads that queries run in. concurrent.futures' own would keep a stopping process alive until they end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

T = TypeVar("T")
_Job = Callable[[], None]
_END: Final = None


class QueryThreads:
    """At most `most` daemon threads, started as they are needed.

    ThreadPoolExecutor's threads are joined when the interpreter exits, whatever they do, so one long call into numpy
    would hold a process that has promised to stop. A daemon thread is left where it is; it only computes, and owns
    nothing that would have to be saved.
    """

    def __init__(self, most: int):
        self._most = most
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0
        self._waiting: set[Future[Any]] = set()
        self._closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` in a thread. Only to be called from one thread, the event loop's."""
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
        if not self._idle.acquire(blocking=False) and self._started < self._most:
            self._started += 1
            threading.Thread(target=self._run, name=f"query-{self._started}", daemon=True).start()
        return future

    def close(self) -> None:
        """Take no more work, and give up what has not begun. Does not wait for what runs."""
        self._closed = True
        for future in list(self._waiting):
            future.cancel()
        for _ in range(self._started):
            self._jobs.put(_END)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not _END:
            job()
            del job  # or its result would be held until the next one comes
            self._idle.release()
