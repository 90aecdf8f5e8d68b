"""What a query reads: the seam between storage and promql."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rulepush.histogram.boxes import Boxes
from rulepush.model.index import EMPTY_INDEX, LabelIndex
from rulepush.model.matcher import Matcher


@dataclass(frozen=True, slots=True, eq=False)
class SharedTimes:
    """The times that n rows have in common, because their targets are scraped at the same moments.

    `first`     the column from which on they agree; before, each row may have times of its own
    `times`     int64[k], ascending: those of the columns first..first + k - 1, after which no row has a sample
    `stale_at`  no sample of these columns later than this is a stale marker
    """

    first: int
    times: npt.NDArray[np.int64]
    stale_at: int

    def covers(self, start: int) -> bool:
        """Whether all samples later than `start` (ms) are in these columns."""
        return not self.first or (len(self.times) > 0 and start >= self.times[0])

    def until(self, end: int) -> int:
        """How many of the times are not later than `end` (ms): mostly all of them, which costs less than a search."""
        times = self.times
        if len(times) and times[-1] <= end:
            return len(times)
        return int(times.searchsorted(end, "right"))


class Selection:
    """n series and their samples. The arrays may be views into the storage: read them before the next append.

    `index`   n label sets; the same object as long as the set of matching series is unchanged
    `times`   int64[n, cap], milliseconds, ascending within each row's first `counts[i]` entries
    `values`  float64[n, cap]; may hold stale markers
    `counts`  int64[n]; what lies beyond a row's count is padding with no meaning
    `shared`  the times that all rows but `odd` have in common, where that is known; None says nothing
    `odd`     int64[m] or None: few rows of many, of which `shared` says nothing
    `boxes`   what the boxes among the values hold; None where there are none
    """

    __slots__ = ("_counts", "_rows", "_times", "_values", "boxes", "index", "odd", "shared")

    def __init__(
        self,
        index: LabelIndex,
        times: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
        counts: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64] | None = None,
        shared: SharedTimes | None = None,
        odd: npt.NDArray[np.int64] | None = None,
        boxes: Boxes | None = None,
    ):
        """With `rows`, int64[n], they are these rows of the arrays: taken out when they are asked for."""
        self.index = index
        self._times, self._values, self._counts = times, values, counts
        self._rows = rows
        self.shared = shared
        self.odd = odd
        self.boxes = boxes

    @property
    def times(self) -> npt.NDArray[np.int64]:
        return self._times if self._rows is None else self._times.T[:, self._rows].T

    @property
    def values(self) -> npt.NDArray[np.float64]:
        return self._values if self._rows is None else self._values.T[:, self._rows].T

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        return self._counts if self._rows is None else self._counts[self._rows]

    def column(self, column: int) -> npt.NDArray[np.float64]:
        """The values of one column: float64[n]."""
        values = self._values[:, column]
        return values if self._rows is None else values[self._rows]

    def columns(self, low: int, high: int) -> npt.NDArray[np.float64]:
        """The values of the columns low..high - 1: float64[n, high - low]."""
        values = self._values[:, low:high]
        return values if self._rows is None else values.T[:, self._rows].T

    def part(self, rows: npt.NDArray[np.int64]) -> Selection:
        """Some of the rows, of which nothing more is known."""
        at = rows if self._rows is None else self._rows[rows]
        index = self.index.picked(rows)
        return Selection(index, self._times[at], self._values[at], self._counts[at], boxes=self.boxes)


EMPTY_SELECTION = Selection(EMPTY_INDEX, np.zeros((0, 0), np.int64), np.zeros((0, 0)), np.zeros(0, np.int64))


class Querier(Protocol):
    """A consistent view of the samples for the length of one synchronous evaluation."""

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Selection:
        """The series that satisfy all matchers. `mint`..`maxt` (inclusive, ms) bound what is needed: a row may hold
        more, and may be present with no sample in the range."""
        ...
