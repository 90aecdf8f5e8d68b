"""SampleBlock: samples of many series as columns, the way in which a scrape passes them on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from rulepush.model.arrays import Floats, Ints
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """n samples, in the order in which they came.

    `series`  n label sets. While a target's series stay the same, its scrapes pass on the same tuple: who derives
              something from the labels may remember it by the tuple's identity
    `ts`      the time of all of them, in ms; where they have times of their own, int64[n]
    `values`  float64[n]; may hold stale markers. Nobody changes it afterwards
    """

    series: tuple[Labels, ...]
    ts: int | Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.series)

    def times(self) -> list[int]:
        """The time of each sample, in ms."""
        return [self.ts] * len(self.series) if isinstance(self.ts, int) else self.ts.tolist()

    def samples(self) -> Iterator[Sample]:
        """One by one."""
        return map(Sample, self.series, self.times(), self.values.tolist())


def block_of(samples: Iterable[Sample]) -> SampleBlock:
    """Samples that are there one by one, as a block."""
    listed = list(samples)
    times = np.fromiter((s.ts for s in listed), np.int64, len(listed))
    values = np.fromiter((s.value for s in listed), np.float64, len(listed))
    same = len(times) > 0 and bool((times == times[0]).all())
    return SampleBlock(tuple(s.labels for s in listed), int(times[0]) if same else times, values)
