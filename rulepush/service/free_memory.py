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

# A trim takes 1 ms at a heap of 80 MiB, and what was freed comes back with the next evaluations.
TRIM_SECONDS: Final = 10.0


def trim_heap() -> None:
    """glibc's malloc_trim(3); nothing where the C library has none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def keep_trimmed(clock: Clock, trim: Callable[[], object] = trim_heap) -> None:
    """Trim again and again, until cancelled."""
    while True:
        await clock.sleep(TRIM_SECONDS)
        trim()
