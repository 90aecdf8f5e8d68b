"""WorkTurns: who may work in this turn of the event loop.

Everything happens in one thread. If a hundred bodies arrive within one turn and each is parsed as it comes, nothing
else happens meanwhile: no request goes out, no page answers, no alert is sent. So there is a bounded piece of work in a
turn, and the rest waits in order:

- bodies that have arrived come first, for they take memory, and alerts wait for them;
- then, by turns, the next slice of a body that takes many, and the start of another scrape. Few such long bodies are in
  work at a time, and no scrape starts while there are as many: after a start of the process all bodies are long.

So the work that there is decides how fast scrapes start, and a slow target, which is no work, holds up nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar, cast

from rulepush.slices import Slices

T = TypeVar("T")

SLICE_SECONDS: Final = 0.01  # of work in a turn; a request to the HTTP API waits for a few turns
MAX_LONG_BODIES: Final = 8
_START_SHARE: Final = 0.5  # of a slice: a request, perhaps a new connection, and what comes of them

_Lane = deque[asyncio.Future[None]]


class WorkTurns:
    """`start` and `body` wait for a turn. After `body` the caller works, awaits nothing but `work`, and calls `done`.

    `stopwatch` gives seconds of work: CPU time, for on a busy machine others work meanwhile. To ask for it is a system
    call: where `clock`, which gives seconds of time, says that a slice cannot be over yet, it is not asked. Without a
    clock it always is.
    """

    def __init__(
        self,
        stopwatch: Callable[[], float] = time.thread_time,
        slice_seconds: float = SLICE_SECONDS,
        clock: Callable[[], float] | None = None,
    ):
        self._stopwatch = stopwatch
        self._slice = slice_seconds
        self._clock = clock
        self._bodies: _Lane = deque()
        self._slices: _Lane = deque()
        self._starts: _Lane = deque()
        self._long = 0  # bodies that take more than one slice, and are in work
        self._long_waiting: _Lane = deque()  # such bodies, before they are
        self._slice_is_next = False
        self._began = 0.0  # by the stopwatch
        self._began_at = 0.0  # by the clock
        self._ask_at = 0.0  # by the clock: before, the slice cannot be over
        self._spent = 0.0  # seconds of work in this turn of the event loop
        self._turning = False  # whether `_turn` is called soon

    async def body(self) -> None:
        """A body has arrived: wait until it may be read."""
        await self._wait(self._bodies)

    async def start(self) -> None:
        """A scrape is due: wait until it may begin. It needs no `done`; what it costs is reckoned."""
        await self._wait(self._starts)
        self._spent += self._slice * _START_SHARE
        self._plan_turn()

    async def work(self, slices: Slices[T]) -> T:
        """The result of work whose first slice has its turn now."""
        joined = False
        try:
            while True:
                try:
                    next(slices)
                except StopIteration as e:
                    return cast(T, e.value)
                if self._is_over():
                    self.done()
                    if not joined:
                        await self._join()
                        joined = True
                    await self._wait(self._slices)
        finally:
            if joined:
                self._leave()

    def done(self) -> None:
        """The piece of work is over, or was given up."""
        self._spent += self._worked()
        self._plan_turn()

    def _is_over(self) -> bool:
        """Whether this slice has taken its time."""
        if self._clock is None:
            return self._worked() >= self._slice
        now = self._clock()
        if now < self._ask_at:
            return False
        left = self._slice - self._worked()
        self._ask_at = now + left
        return left <= 0

    def _worked(self) -> float:
        """Seconds in this slice; while it is short, with those in which others worked."""
        if self._clock is not None:
            took = self._clock() - self._began_at
            if took < self._slice:
                return took
        return self._stopwatch() - self._began

    async def _join(self) -> None:
        """Be one of the long bodies in work. They are few, so that the first is done soon, and not all at the end."""
        if self._long < MAX_LONG_BODIES:
            self._long += 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._long_waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        while self._long_waiting:
            following = self._long_waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._long -= 1

    @property
    def _some_wait(self) -> bool:
        return bool(self._bodies or self._slices or self._starts)

    async def _wait(self, lane: _Lane) -> None:
        if self._spent >= self._slice or self._some_wait:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lane.append(mine)
            self._plan_turn()
            try:
                await mine
            except asyncio.CancelledError:
                self._plan_turn()  # if it was this caller's turn already, the next one takes it
                raise
        self._began = self._stopwatch()
        if self._clock is not None:
            self._began_at = self._clock()
            self._ask_at = self._began_at + self._slice

    def _plan_turn(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """A new turn of the event loop: one of those that wait may work, and calls `done`, which brings the next."""
        self._turning = False
        self._spent = 0.0
        while self._some_wait:
            mine = self._next_lane().popleft()
            if not mine.done():
                mine.set_result(None)
                return

    def _next_lane(self) -> _Lane:
        if self._bodies:
            return self._bodies
        may_start = bool(self._starts) and self._long < MAX_LONG_BODIES
        if self._slices and (self._slice_is_next or not may_start):
            self._slice_is_next = False
            return self._slices
        self._slice_is_next = True
        return self._starts
