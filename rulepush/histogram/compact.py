"""Many histograms as bytes, column by column: for the journal and recordings, which compress them.

uint32 n and uint32[n, 3] (positive buckets, negative buckets, custom bounds), int8[n] schemas, uint8[n] counter reset
hints, float64[4, n] (count, sum, zero threshold, zero count); then of all histograms the differences of indexes (int32)
and the counts (float64) of all buckets, positive ones before negative ones, and the custom bounds (float64). All
little-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.histogram.buckets import NO_BUCKETS, Buckets
from rulepush.histogram.errors import InvalidHistogram
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.model.arrays import Floats, Ints

_HEAD: Final = 4
_FIXED: Final = 12 + 1 + 1 + 32  # bytes of each histogram beside its buckets and bounds
_BUCKET: Final = 12
_BOUND: Final = 8
_NO_BUCKETS: Final = np.zeros(0, np.int64)


def encode_histograms(histograms: Sequence[FloatHistogram]) -> bytes:
    """All of them, in order."""
    sides = [side for h in histograms for side in (h.positive, h.negative)]
    sizes = [(len(h.positive), len(h.negative), len(h.custom_values)) for h in histograms]
    numbers = [(h.count, h.sum, h.zero_threshold, h.zero_count) for h in histograms]
    indexes = [np.diff(side.indexes, prepend=0) for side in sides]
    bounds = [bound for h in histograms for bound in h.custom_values]
    parts = (
        np.array([len(histograms)], "<u4"),
        np.array(sizes, "<u4"),
        np.array([h.schema for h in histograms], "i1"),
        np.array([h.counter_reset_hint for h in histograms], "u1"),
        np.array(numbers, "<f8").T,
        np.concatenate([_NO_BUCKETS, *indexes]).astype("<i4"),
        np.concatenate([np.zeros(0), *(side.counts for side in sides)]).astype("<f8"),
        np.array(bounds, "<f8"),
    )
    return b"".join(part.tobytes() for part in parts)


def decode_histograms(raw: bytes) -> list[FloatHistogram]:
    """The inverse. Raises InvalidHistogram for what is no such bytes."""
    n = int(np.frombuffer(raw, "<u4", 1)[0]) if len(raw) >= _HEAD else 0
    if len(raw) < _HEAD + n * _FIXED:
        raise InvalidHistogram(f"not a list of histograms: {len(raw)} bytes")
    reader = _Reader(raw, _HEAD)
    sizes = reader.take("<u4", 3 * n).reshape(n, 3).astype(np.int64)
    buckets, bounds = int(sizes[:, :2].sum()), int(sizes[:, 2].sum())
    if len(raw) != _HEAD + n * _FIXED + buckets * _BUCKET + bounds * _BOUND:
        raise InvalidHistogram(f"not a list of histograms: {len(raw)} bytes")
    schemas, hints = reader.take("i1", n).tolist(), reader.take("u1", n).tolist()
    numbers = reader.take("<f8", 4 * n).reshape(4, n).T.tolist()
    if not set(hints) <= set(CounterResetHint):
        raise InvalidHistogram("not a list of histograms: unknown counter reset hint")
    indexes, counts = reader.take("<i4", buckets).astype(np.int64), reader.take("<f8", buckets).astype(np.float64)
    custom = tuple(reader.take("<f8", bounds).tolist())
    found, at, bound = [], 0, 0
    for (positive, negative, own), schema, hint, (count, total, threshold, zero) in zip(
        sizes.tolist(), schemas, hints, numbers, strict=True
    ):
        middle, end = at + positive, at + positive + negative
        found.append(
            FloatHistogram(
                schema=schema,
                count=count,
                sum=total,
                zero_threshold=threshold,
                zero_count=zero,
                positive=_buckets(indexes[at:middle], counts[at:middle]),
                negative=_buckets(indexes[middle:end], counts[middle:end]),
                custom_values=custom[bound : bound + own],
                counter_reset_hint=CounterResetHint(hint),
            )
        )
        at, bound = end, bound + own
    return found


class _Reader:
    def __init__(self, raw: bytes, at: int):
        self._raw, self._at = raw, at

    def take(self, kind: str, count: int) -> npt.NDArray[np.generic]:
        found = np.frombuffer(self._raw, kind, count, self._at)
        self._at += found.nbytes
        return found


def _buckets(differences: Ints, counts: Floats) -> Buckets:
    return Buckets.of(np.cumsum(differences), counts.copy()) if len(counts) else NO_BUCKETS
