"""ShortTurns: work that lets others use the event loop, and does not take all of it when it comes again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar, cast

from rulepush.slices import Slices

T = TypeVar("T")

_SECONDS: Final = 0.005
_REST: Final = 49.0  # times the work
_MOST_REST_SECONDS: Final = 2.0


class ShortTurns:
    """Work in turns of some milliseconds, whatever a piece of it costs: a group has one target, or a thousand.

    `stopwatch` gives seconds of work: CPU time, for on a busy machine others work meanwhile. To ask for it is a system
    call, so it is asked only in turns that take long by `clock`, which gives seconds of time: what is over before half
    of a turn has gone by counts as work wholly, and so does that half. Then it is asked again when as much time has
    gone by as work was left.
    """

    def __init__(
        self, stopwatch: Callable[[], float] = time.thread_time, clock: Callable[[], float] = time.perf_counter
    ):
        self._stopwatch = stopwatch
        self._clock = clock
        self._spent = 0.0  # in the turns before this one
        self._began_at = clock()
        self._noted: float | None = None  # by the stopwatch, once this turn has taken long
        self._before_noted = 0.0
        self._ask_at = self._began_at + _SECONDS / 2

    @property
    def is_over(self) -> bool:
        """Whether this turn has taken its time."""
        now = self._clock()
        if now < self._ask_at:
            return False
        worked = self._worked()
        self._ask_at = now + _SECONDS - worked
        return worked >= _SECONDS

    def _worked(self) -> float:
        """Seconds in this turn."""
        if self._noted is not None:
            return self._before_noted + self._stopwatch() - self._noted
        took = self._clock() - self._began_at
        if took >= _SECONDS / 2:
            self._noted, self._before_noted = self._stopwatch(), took
        return took

    async def piece_done(self) -> None:
        """A piece of the work is done: if the turn is over, return in another one."""
        if self.is_over:
            await self.next()

    async def work(self, slices: Slices[T], after_each: Callable[[], object] = lambda: None) -> T:
        """The result of work that comes in pieces. `after_each` of them, but for the last, is called."""
        while True:
            try:
                next(slices)
            except StopIteration as e:
                return cast(T, e.value)
            after_each()
            await self.piece_done()

    async def next(self) -> None:
        """Return in another turn of the event loop."""
        self._spent += self._worked()
        await asyncio.sleep(0)
        self._began_at, self._noted = self._clock(), None
        self._ask_at = self._began_at + _SECONDS / 2

    async def rest(self) -> None:
        """The work is done: wait so long that such work takes a fiftieth of a core when it comes again and again, but
        not for more than seconds. What comes meanwhile is done together."""
        await self.next()
        await asyncio.sleep(min(self._spent * _REST, _MOST_REST_SECONDS))
