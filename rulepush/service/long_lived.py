"""LongLivedObjects: what stays for the life of the process is not searched for garbage again and again.

A series takes several objects. Python's collector looks at all of them in each full collection, which at a million
series stops the event loop for seconds, and finds nothing: label sets and lines are in no cycles, and are freed as soon
as nobody refers to them. `gc.freeze` takes what there is out of its sight.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Final

_SERIES_AT_ONCE: Final = 20_000


class LongLivedObjects:
    """Told of new series; after a number of them it freezes what there is. What was in a cycle then and is dropped
    later is not freed: so the young generations, where such cycles mostly are, are collected before."""

    def __init__(self, collect: Callable[[int], object] = gc.collect, freeze: Callable[[], object] = gc.freeze):
        """`collect` and `freeze` are those of `gc`."""
        self._collect = collect
        self._freeze = freeze
        self._fresh = 0

    def came(self, series: int) -> None:
        """So many series are new."""
        self._fresh += series
        if self._fresh >= _SERIES_AT_ONCE:
            self._fresh = 0
            self._collect(1)
            self._freeze()
