"""The buckets of one side of a histogram: which there are, and how many observations are in each.

Prometheus keeps them in spans of adjacent buckets; here they are two arrays, which arithmetic takes whole. Spans and
deltas are made, and read, where a wire format has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from rulepush.histogram.errors import InvalidHistogram
from rulepush.model.arrays import Floats, Ints

_LAYOUTS_KEPT: Final = 4096  # layouts that are shared between the histograms of a series
MOST_SHARED: Final = 1024  # buckets of a layout that is worth keeping: bounds the memory of all caches of layouts
_MAX_BUCKETS: Final = 1 << 20  # of one side: a span of 4 bytes may claim 2^32 of them


class Span(NamedTuple):
    """`length` adjacent buckets, `offset` after the end of the span before; of the first span the index itself, which
    may be negative."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """counts[n] of the buckets indexes[n], which ascend; both read-only. A bucket may be there with a count of 0: that
    it is there decides in some formulas.

    Histograms of one layout share the array of indexes where they can: arithmetic asks for that first.
    """

    indexes: Ints
    counts: Floats

    @classmethod
    def of(cls, indexes: Ints, counts: Floats) -> Buckets:
        """Takes the arrays as they are, and makes them read-only."""
        indexes.setflags(write=False)
        counts.setflags(write=False)
        return cls(indexes, counts)

    @classmethod
    def from_spans(cls, spans: Iterable[tuple[int, int]], counts: Sequence[float] | Floats) -> Buckets:
        """From (offset, length) of each span and absolute counts. Raises InvalidHistogram when they do not fit, or an
        offset after the first is negative."""
        return cls._placed(tuple(spans), np.array(counts, np.float64))

    @classmethod
    def from_deltas(cls, spans: Iterable[tuple[int, int]], deltas: Sequence[int] | Ints) -> Buckets:
        """From spans and counts of integer histograms, each the difference to the one before. Raises
        InvalidHistogram."""
        counts = np.asarray(deltas, np.int64)
        return cls._placed(tuple(spans), np.add.accumulate(counts).astype(np.float64))

    @classmethod
    def _placed(cls, spans: tuple[tuple[int, int], ...], counts: Floats) -> Buckets:
        """Takes counts[n] as they are."""
        indexes = span_indexes(spans)
        if len(indexes) != len(counts):
            raise InvalidHistogram(
                f"spans need {len(indexes)} buckets, have {len(counts)} buckets: "
                "histogram spans specify different number of buckets than provided"
            )
        return cls.of(indexes, counts) if len(indexes) else NO_BUCKETS

    @classmethod
    def at(cls, first: int, counts: Sequence[float]) -> Buckets:
        """Adjacent buckets from index `first` on."""
        return cls.from_spans(((first, len(counts)),), counts) if counts else NO_BUCKETS

    def __len__(self) -> int:
        return len(self.indexes)

    def __repr__(self) -> str:
        return f"Buckets.from_spans({[tuple(s) for s in self.spans()]}, {self.counts.tolist()})"

    def spans(self) -> list[Span]:
        """The longest runs of adjacent buckets."""
        if not len(self.indexes):
            return []
        starts = np.flatnonzero(np.diff(self.indexes, prepend=self.indexes[0] - 2) != 1)
        ends = np.append(starts[1:], len(self.indexes))
        spans, after = [], 0
        for low, high in zip(starts.tolist(), ends.tolist(), strict=True):
            first = int(self.indexes[low])
            spans.append(Span(first - after, high - low))
            after = first + high - low
        return spans

    def deltas(self) -> list[int]:
        """The counts as integer histograms write them. They must be whole numbers."""
        deltas: list[int] = np.diff(self.counts.astype(np.int64), prepend=0).tolist()
        return deltas

    def same_layout(self, other: Buckets) -> bool:
        """Whether both have exactly the same buckets."""
        mine, others = self.indexes, other.indexes
        return mine is others or (len(mine) == len(others) and bool((mine == others).all()))

    def with_counts(self, counts: Floats) -> Buckets:
        """The same buckets with other counts[n]."""
        counts.setflags(write=False)
        return Buckets(self.indexes, counts)

    def compacted(self, most_empty: int = 0) -> Buckets:
        """Without empty buckets, but for gaps of up to `most_empty` of them between filled ones, which are filled up
        with 0 (compactBuckets). The same object when nothing changes."""
        if most_empty <= 0:
            if np.count_nonzero(self.counts) == len(self.counts):  # NaN is not 0, and stays
                return self
            filled = self.counts != 0
            return Buckets.of(self.indexes[filled], self.counts[filled]) if filled.any() else NO_BUCKETS
        kept = self.compacted()
        steps = np.diff(kept.indexes)
        short = (steps > 1) & (steps <= most_empty + 1)
        if not short.any():
            return kept
        lengths = np.ones(len(kept), np.int64)
        lengths[:-1][short] = steps[short]
        place = np.cumsum(lengths) - lengths
        indexes = np.repeat(kept.indexes - place, lengths) + np.arange(int(lengths.sum()))
        counts = np.zeros(len(indexes))
        counts[place] = kept.counts
        return Buckets.of(indexes, counts)


def span_indexes(spans: tuple[tuple[int, int], ...]) -> Ints:
    """The indexes of the buckets of spans, ascending, read-only; the same array for the same spans, unless there are
    very many. Raises InvalidHistogram."""
    few = len(spans) <= MOST_SHARED and sum([length for _, length in spans]) <= MOST_SHARED
    return _shared_indexes(spans) if few else _indexes(spans)


def _indexes(spans: tuple[tuple[int, int], ...]) -> Ints:
    parts: list[Ints] = []
    after = total = 0
    for number, (offset, length) in enumerate(spans):
        if number and offset < 0:
            raise InvalidHistogram(
                f"span number {number + 1} with offset {offset}: histogram has a span whose offset is negative"
            )
        total += length
        if length < 0 or total > _MAX_BUCKETS:
            raise InvalidHistogram(f"span number {number + 1} has {length} buckets, more than any histogram can have")
        start = after + offset
        after = start + length
        parts.append(np.arange(start, after, dtype=np.int64))
    indexes = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    indexes.setflags(write=False)
    return indexes


_shared_indexes = lru_cache(maxsize=_LAYOUTS_KEPT)(_indexes)
NO_BUCKETS: Final = Buckets.of(np.zeros(0, np.int64), np.zeros(0))
