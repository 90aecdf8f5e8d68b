"""What a query reads: the seam between storage and promql."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rulepush.model.index import EMPTY_INDEX, LabelIndex
from rulepush.model.matcher import Matcher


@dataclass(frozen=True, slots=True)
class Selection:
    """n series and their samples. The arrays may be views into the storage: read them before the next append.

    `index`   n label sets; the same object as long as the set of matching series is unchanged
    `times`   int64[n, cap], milliseconds, ascending within each row's first `counts[i]` entries
    `values`  float64[n, cap]; may hold stale markers
    `counts`  int64[n]; what lies beyond a row's count is padding with no meaning
    """

    index: LabelIndex
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


EMPTY_SELECTION = Selection(EMPTY_INDEX, np.zeros((0, 0), np.int64), np.zeros((0, 0)), np.zeros(0, np.int64))


class Querier(Protocol):
    """A consistent view of the samples for the length of one synchronous evaluation."""

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Selection:
        """The series that satisfy all matchers. `mint`..`maxt` (inclusive, ms) bound what is needed: a row may hold
        more, and may be present with no sample in the range."""
        ...
