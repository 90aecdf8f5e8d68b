"""LoopTime: the time in which this process was there to receive what came.

A scrape timeout says how long a target may take. While our event loop is busy with something else, or the machine gives
us no CPU, an answer that has long arrived lies in the socket's buffer: such time is ours, and no target fails for it.
"""

from __future__ import annotations

import asyncio
import heapq
from contextlib import AbstractAsyncContextManager
from itertools import count
from types import TracebackType
from typing import Final

from rulepush.clock import Clock, Timer

_BEAT_SECONDS: Final = 0.05
_MAX_COUNTED_SECONDS: Final = 2 * _BEAT_SECONDS  # a beat comes a little late in a healthy loop, too


class LoopTime:
    """Reads the clock twenty times a second while a deadline is pending. Of the time between two readings no more
    counts than a healthy loop would need, so a deadline moves by as long as the loop stood."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._passed = 0.0  # seconds that count, up to the last reading
        self._read_at = 0.0
        # A heap; those that are over are taken out in their turn.
        self._pending: list[tuple[float, int, _Deadline]] = []
        self._open = 0
        self._order = count()
        self._timer: Timer | None = None  # of the next reading, while a deadline is pending

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Raises TimeoutError in its block after so many seconds of loop time, as asyncio.timeout does."""
        return _Deadline(self, seconds)

    def begin(self, deadline: _Deadline, seconds: float) -> None:
        """For `_Deadline`: it is entered."""
        if self._open:
            self._look()
        else:
            self._read_at = self._clock.monotonic()
            self._timer = self._clock.call_later(_BEAT_SECONDS, self._beat)
        self._open += 1
        heapq.heappush(self._pending, (self._passed + seconds, next(self._order), deadline))

    def end(self) -> None:
        """For `_Deadline`: one is left."""
        self._open -= 1
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._pending.clear()

    def _beat(self) -> None:
        self._look()
        while self._pending and self._pending[0][0] <= self._passed:
            heapq.heappop(self._pending)[2].expire()
        self._timer = self._clock.call_later(_BEAT_SECONDS, self._beat)

    def _look(self) -> None:
        now = self._clock.monotonic()
        self._passed += min(now - self._read_at, _MAX_COUNTED_SECONDS)
        self._read_at = now


class _Deadline:
    """asyncio.timeout, expired by LoopTime."""

    def __init__(self, time: LoopTime, seconds: float):
        self._time = time
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)
        self._over = False

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._time.begin(self, self._seconds)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._time.end()
        await self._timeout.__aexit__(kind, error, trace)

    def expire(self) -> None:
        """Interrupt the block at the next turn of the event loop."""
        if not self._over:
            self._timeout.reschedule(asyncio.get_running_loop().time())
