from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import rulepush
from rulepush.service.free_memory import MAX_TRIM_SECONDS, TRIM_SECONDS, WORTH_BYTES, keep_trimmed
from tests.fakes import FakeClock

# Arrays and small blocks by turns: when the arrays are freed, the blocks between them keep the heap from shrinking. The
# first one, freed, teaches malloc to take such arrays from the heap.
_FRAGMENTED_HEAP = """
import ctypes, os
import numpy as np
from rulepush.service.free_memory import trim_heap

def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
first = np.ones(1 << 17)
del first
arrays, between = [], []
for _ in range(40):
    arrays.append(np.ones(1 << 17))
    between.append(libc.malloc(4096))
full = rss()
arrays.clear()
freed = rss()
given_back = trim_heap() / 2**20
print(full, freed, rss(), given_back)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_free_blocks_below_the_top_of_the_heap_go_back_to_the_system() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(rulepush.__file__).parents[1])}
    command = [sys.executable, "-c", _FRAGMENTED_HEAP]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    full, freed, trimmed, given_back = map(float, done.stdout.split())
    assert freed > full - 10  # of 40 MiB: else there is nothing to show here
    assert trimmed < full - 30
    assert given_back == pytest.approx(freed - trimmed, abs=1)


def trims(gains: list[int], seconds: float) -> list[float]:
    """When the heap is trimmed, where each trim gives back so many bytes; the last ones as many as the last listed."""
    times: list[float] = []

    async def main() -> None:
        clock = FakeClock()

        def trim() -> int:
            times.append(clock.monotonic())
            return gains[min(len(times), len(gains)) - 1]

        task = asyncio.create_task(keep_trimmed(clock, trim))
        await clock.advance(seconds)
        task.cancel()

    asyncio.run(main())
    return times


def test_the_heap_is_trimmed_again_and_again() -> None:
    assert trims([WORTH_BYTES], 3.5 * TRIM_SECONDS) == [TRIM_SECONDS, 2 * TRIM_SECONDS, 3 * TRIM_SECONDS]


def test_the_heap_is_trimmed_less_often_while_there_is_little_to_give_back() -> None:
    s = TRIM_SECONDS
    assert 8 * s == MAX_TRIM_SECONDS
    assert trims([WORTH_BYTES - 1], 32 * s) == [s, 3 * s, 7 * s, 15 * s, 23 * s, 31 * s]
    assert trims([0, 0, 0, WORTH_BYTES, 0], 18 * s) == [s, 3 * s, 7 * s, 15 * s, 16 * s, 18 * s]
