"""Backoff: how long to wait after failures in a row."""

from __future__ import annotations

import random
from collections.abc import Callable

_JITTER = 0.2  # of a wait: those who lost one server together do not come back to it together


class Backoff:
    """Waits that double from `first_s` to `most_s` seconds, each up to a fifth shorter by chance. `chance` gives
    numbers from 0 to 1."""

    def __init__(self, first_s: float, most_s: float, chance: Callable[[], float] = random.random):
        self._first_s = first_s
        self._most_s = most_s
        self._chance = chance
        self._next_s = first_s

    def failed(self) -> float:
        """Seconds to wait after one more failure."""
        wait_s = min(self._next_s, self._most_s)
        self._next_s = wait_s * 2
        return wait_s * (1 - _JITTER * self._chance())

    def succeeded(self) -> None:
        """Begin with the shortest wait again."""
        self._next_s = self._first_s
