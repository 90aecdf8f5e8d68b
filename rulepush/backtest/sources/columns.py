"""Samples of many series as columns, and their way into the blocks of a replay: everything of one time together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.recorded.events import Origin, RecordedBlock

_TUPLES_REMEMBERED = 4096


@dataclass(frozen=True, slots=True, eq=False)
class SeriesColumns:
    """The samples of one series: `times` int64[n] in ms, ascending, and `values` float64[n], stale markers included."""

    labels: Labels
    times: Ints
    values: Floats


class SeriesNumbers:
    """Numbers for label sets, in the order in which they came up, and whether a rule wrote the series."""

    def __init__(self, by_rule: Callable[[Labels], bool]):
        self.labels: list[Labels] = []
        self._by_rule = by_rule
        self._of_rules: list[bool] = []
        self._numbers: dict[Labels, int] = {}

    def number(self, labels: Labels) -> int:
        """The number of this series, a new one when it is new."""
        known = self._numbers.get(labels)
        if known is None:
            known = self._numbers[labels] = len(self.labels)
            self.labels.append(labels)
            self._of_rules.append(self._by_rule(labels))
        return known

    def of_rules(self) -> Bools:
        """bool[numbers]: whether a rule wrote the series of each number."""
        return np.array(self._of_rules, np.bool_)


class BlockMaker:
    """Makes blocks of columns. Where the same series come together again, their tuple is the same object: who derives
    something from the labels of a block may remember it by that (see `SampleBlock`)."""

    def __init__(self, series: SeriesNumbers):
        self._series = series
        self._tuples: dict[bytes, tuple[Labels, ...]] = {}

    def of_series(self, found: Iterable[SeriesColumns]) -> Iterator[RecordedBlock]:
        """The blocks of whole series, by time; a sample that came twice is there once."""
        parts = list(found)
        if not parts:
            return iter(())
        numbers = [np.full(len(p.times), self._series.number(p.labels), np.int64) for p in parts]
        return self.of_columns(
            np.concatenate(numbers),
            np.concatenate([p.times for p in parts]),
            np.concatenate([p.values for p in parts]),
        )

    def of_columns(self, numbers: Ints, times: Ints, values: Floats) -> Iterator[RecordedBlock]:
        """The blocks of n samples in any order, by time: the number of the series, the time (ms) and the value of
        each. Of two samples of one series at one time the first counts. What rules wrote at a time comes last."""
        of_rules = self._series.of_rules()[numbers]
        order = np.lexsort((numbers, of_rules, times))  # stable: the first stays the first
        numbers, times, values, of_rules = numbers[order], times[order], values[order], of_rules[order]
        if len(times) == 0:
            return
        again = np.zeros(len(times), np.bool_)
        again[1:] = (times[1:] == times[:-1]) & (numbers[1:] == numbers[:-1])
        if again.any():
            order = np.flatnonzero(~again)
            numbers, times, values, of_rules = numbers[order], times[order], values[order], of_rules[order]
        begins = (times[1:] != times[:-1]) | (of_rules[1:] != of_rules[:-1])
        starts = np.flatnonzero(np.concatenate(([True], begins))).tolist()
        for start, end in zip(starts, [*starts[1:], len(times)], strict=True):
            ts = int(times[start])
            series = self._tuple(numbers[start:end])
            origin = Origin.RULE if of_rules[start] else Origin.SCRAPE
            yield RecordedBlock(ts, origin, "", SampleBlock(series, ts, values[start:end]))

    def _tuple(self, numbers: Ints) -> tuple[Labels, ...]:
        key = numbers.tobytes()
        known = self._tuples.get(key)
        if known is None:
            if len(self._tuples) >= _TUPLES_REMEMBERED:
                self._tuples.clear()
            labels = self._series.labels
            known = self._tuples[key] = tuple(labels[n] for n in numbers.tolist())
        return known
