"""The only place that reads the time. Everything that decides takes `ts` as an argument."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is planned."""

    def cancel(self) -> object: ...


class Clock(Protocol):
    """Wall time in whole milliseconds, monotonic time in seconds, a sleep, and calls that are planned.

    What is usually cancelled before its time comes is planned with `call_later`: a task that sleeps costs more, and one
    that is left to sleep wakes an idle process.
    """

    def now(self) -> int: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, call)


class Pause:
    """The wait before work that is done now and then: others may cut it short, where more than `apart_s` seconds have
    passed since the last one."""

    def __init__(self, clock: Clock, apart_s: float):
        self._clock = clock
        self._apart_s = apart_s
        self._waiting: asyncio.Event | None = None
        self._ended_at = -apart_s  # in monotonic seconds

    async def wait(self, seconds: float) -> None:
        """So long, or until `cut_short`."""
        self._waiting = asyncio.Event()
        timer = self._clock.call_later(seconds, self._waiting.set)
        try:
            await self._waiting.wait()
        finally:
            timer.cancel()
            self._waiting = None
            self._ended_at = self._clock.monotonic()

    def cut_short(self) -> None:
        """Nothing more is to be waited for."""
        if self._waiting is not None and self._clock.monotonic() - self._ended_at >= self._apart_s:
            self._waiting.set()
