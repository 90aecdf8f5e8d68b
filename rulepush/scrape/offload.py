"""Offload: work that takes long, in a thread of its own, so that no other target and no alert waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Where work is done; `InlineOffload` and `ThreadOffload` are two."""

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, or what it raises."""
        ...


class InlineOffload:
    """At once, in the event loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """See Offload."""
        return work()


class ThreadOffload:
    """One piece of work after the other in one thread, which begins with the first.

    The interpreter does not wait for it at the end, as it would for those of an executor: a process that is told to
    stop stops in time.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """See Offload. What is cancelled before it begins is not begun."""
        future: Future[T] = Future()

        def do() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except Exception as e:
                future.set_exception(e)

        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="scrape", daemon=True)
            self._thread.start()
        self._waiting.put(do)
        return await asyncio.wrap_future(future)

    def _serve(self) -> None:
        while True:
            self._waiting.get()()
