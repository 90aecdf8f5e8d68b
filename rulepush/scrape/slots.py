"""Slots: places in a row that are kept as long as they are needed."""

from __future__ import annotations

import heapq


class Slots:
    """Numbers from 0, each taken by one at a time; the lowest free one is taken first."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._next = 0

    def take(self) -> int:
        """A number that nobody has."""
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def free(self, slot: int) -> None:
        """A taken number may be taken by another."""
        heapq.heappush(self._free, slot)
