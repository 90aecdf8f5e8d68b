"""Free memory: what the C library's allocator holds free goes back to the system.

glibc keeps freed blocks for the next ones, also those below the top of its heap, where a long-lived block stops it from
shrinking: after the cold bodies of a start, or the temporary arrays of an evaluation, tens of megabytes that nobody
uses count as the process's. (To lower M_MMAP_THRESHOLD instead would give each large array back at once; it makes
arithmetic on 24,000 series four times as slow, for every result then faults its pages in.)
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

from rulepush.clock import Clock
from rulepush.telemetry import resident_bytes

# A trim takes 1 ms at a heap of 80 MiB, and what was freed comes back with the next evaluations.
TRIM_SECONDS: Final = 10.0
# One that gave back less was not worth it: the next comes after twice the time.
WORTH_BYTES: Final = 1 << 20
MAX_TRIM_SECONDS: Final = 80.0


def trim_heap() -> int:
    """glibc's malloc_trim(3): how many bytes went back to the system. Nothing where the C library has none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return 0
    before = resident_bytes()
    trim(0)
    return max(0, before - resident_bytes())


async def keep_trimmed(clock: Clock, trim: Callable[[], int] = trim_heap) -> None:
    """Trim again and again, less often while there is little to give back, until cancelled."""
    wait = TRIM_SECONDS
    while True:
        await clock.sleep(wait)
        wait = TRIM_SECONDS if trim() >= WORTH_BYTES else min(2 * wait, MAX_TRIM_SECONDS)
