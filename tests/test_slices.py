"""Work in turns of the event loop."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from rulepush.slices import Slices, in_turns


def steps(done: list[int], number: int) -> Slices[int]:
    for step in range(number):
        done.append(step)
        yield
    return number


def test_others_have_their_turns_between_slices() -> None:
    async def run() -> None:
        done: list[int] = []
        seconds = count()
        work = asyncio.create_task(in_turns(steps(done, 5), stopwatch=lambda: next(seconds)))  # each slice takes long
        seen = []
        while not work.done():
            await asyncio.sleep(0)
            seen.append(len(done))
        assert work.result() == 5
        assert seen[:5] == [1, 2, 3, 4, 5]

    asyncio.run(run())


def test_short_slices_share_a_turn() -> None:
    async def run() -> None:
        done: list[int] = []
        work = asyncio.create_task(in_turns(steps(done, 5), stopwatch=lambda: 0.0))
        await asyncio.sleep(0)
        assert done == [0, 1, 2, 3, 4]
        assert await work == 5

    asyncio.run(run())


def test_work_of_a_caller_that_is_cancelled_is_done_to_its_end() -> None:
    async def run() -> None:
        done: list[int] = []
        seconds = count()
        work = asyncio.create_task(in_turns(steps(done, 5), stopwatch=lambda: next(seconds)))
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert done == [0, 1, 2, 3, 4]

    asyncio.run(run())
