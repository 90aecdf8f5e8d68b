from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import rulepush
from rulepush.service.free_memory import TRIM_SECONDS, keep_trimmed
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
trim_heap()
print(full, freed, rss())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_free_blocks_below_the_top_of_the_heap_go_back_to_the_system() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(rulepush.__file__).parents[1])}
    command = [sys.executable, "-c", _FRAGMENTED_HEAP]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    full, freed, trimmed = map(float, done.stdout.split())
    assert freed > full - 10  # of 40 MiB: else there is nothing to show here
    assert trimmed < full - 30


def test_the_heap_is_trimmed_again_and_again() -> None:
    trims: list[float] = []

    async def main() -> None:
        clock = FakeClock()
        task = asyncio.create_task(keep_trimmed(clock, lambda: trims.append(clock.monotonic())))
        await clock.advance(3.5 * TRIM_SECONDS)
        task.cancel()

    asyncio.run(main())
    assert trims == [TRIM_SECONDS, 2 * TRIM_SECONDS, 3 * TRIM_SECONDS]
