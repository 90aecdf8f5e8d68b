"""LongLivedObjects: what stays for the life of the process is not searched for garbage again and again.

A series takes several objects. Python's collector visits all of them in each full collection, which at a million
series stops the event loop for seconds, and finds nothing: label sets and lines are in no cycles, and are freed as soon
as the last reference to them goes. `gc.freeze` exempts what exists from the search.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Final

_SERIES_PER_FREEZE: Final = 20_000


class LongLivedObjects:
    """Counts new series; after a number of them it freezes what exists. What was in a cycle then and is dropped
    later is not freed: so the young generations, where such cycles mostly are, are collected before."""

    def __init__(self, collect: Callable[[int], object] = gc.collect, freeze: Callable[[], object] = gc.freeze):
        """`collect` and `freeze` are those of `gc`."""
        self._collect = collect
        self._freeze = freeze
        self._new_series = 0

    def came(self, series: int) -> None:
        """So many series are new."""
        self._new_series += series
        if self._new_series >= _SERIES_PER_FREEZE:
            self._new_series = 0
            self._collect(1)
            self._freeze()
