"""Slices: work that may be interrupted, so that others in the event loop get their turn meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Final, TypeVar, cast

T = TypeVar("T")
Slices = Generator[None, None, T]
"""Work that may be interrupted at each `yield`; its result is what the generator returns."""

_TURN_SECONDS: Final = 0.005


def at_once(work: Slices[T]) -> T:
    """The result of the work, done without interruption."""
    while True:
        try:
            next(work)
        except StopIteration as e:
            return cast(T, e.value)


async def in_turns(work: Slices[T], stopwatch: Callable[[], float] = time.perf_counter) -> T:
    """The result of the work, done in turns of some milliseconds of the event loop. `stopwatch` gives seconds.

    Work that was begun is done to its end: if the caller is cancelled, without further interruption.
    """
    began = stopwatch()
    while True:
        try:
            next(work)
        except StopIteration as e:
            return cast(T, e.value)
        if stopwatch() - began >= _TURN_SECONDS:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                at_once(work)
                raise
            began = stopwatch()
