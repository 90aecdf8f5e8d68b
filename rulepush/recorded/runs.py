"""A few series of many blocks, decoded at once: what a query reads.

Blocks that follow each other with the same layout, and in which no series changed how its values are written, are a
run. In a run the values of a series are running sums (or XORs) of what is written, so some columns of all its blocks
are taken out with a few operations. The other series are left out: what stands for them afterwards has no meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.histogram.boxes import Boxes, box_mask
from rulepush.histogram.compact import decode_histograms
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.recorded.decode import Layout, RawBlock
from rulepush.recorded.encode import OWN_TIMES, PLAIN
from rulepush.recorded.values import BARE, FACTORS, Kinds, exact, unzigzag

MOST_AT_ONCE: Final = 64  # blocks of a stream that a query holds: more are hardly faster


@dataclass(frozen=True, slots=True, eq=False)
class WantedSamples:
    """Those of k blocks with one layout: `times` int64[k] or, of a block with times of its own, int64[1, m]; `values`
    float64[k, m] of the m series that are wanted; `orders` int64[k], their places among all blocks;
    `boxes` the native histograms among the values, None without any."""

    layout: Layout
    orders: Ints
    times: Ints
    values: Floats
    boxes: Boxes | None = None


def wanted_samples(blocks: Sequence[RawBlock]) -> Iterator[WantedSamples]:
    """Of blocks of one stream, in order. Raises one of decode.FAULTS."""
    at = 0
    while at < len(blocks):
        run = _run(blocks, at)
        if run.count:
            values = run.values()
            part = blocks[at : at + run.count]
            times = np.array([b.time for b in part], np.int64)
            boxes = _boxes(part, values)
            yield WantedSamples(run.layout, np.array([b.order for b in part], np.int64), times, values, boxes)
            at += run.count
        else:
            block = blocks[at]
            decoded = block.decode()
            places = block.layout.wanted
            times = np.array([decoded.ts], np.int64) if isinstance(decoded.ts, int) else decoded.ts[None, places]
            values = decoded.values[None, places]
            boxes = _boxes([block], values)
            yield WantedSamples(block.layout, np.array([block.order]), times, values, boxes)
            at += 1


def _boxes(blocks: Sequence[RawBlock], values: Floats) -> Boxes | None:
    """The histograms of all blocks together, which the boxes in values[k, m] number from here on."""
    found = Boxes()
    for block, row in zip(blocks, values, strict=True):
        if block.histograms and box_mask(row).any():
            own = Boxes(map(_as_stored, decode_histograms(block.histograms)))
            row[:] = found.adopted(row, own)
    return found or None


def _as_stored(histogram: FloatHistogram) -> FloatHistogram:
    """Without what it was sent with about resets: storage compares it with the one before, as `rate()` does with one
    of which nothing is said."""
    known = histogram.counter_reset_hint in (CounterResetHint.GAUGE, CounterResetHint.UNKNOWN)
    return histogram if known else histogram.with_hint(CounterResetHint.UNKNOWN)


def _run(blocks: Sequence[RawBlock], at: int) -> _Run:
    layout = blocks[at].layout
    size = (len(layout.ids) + 7) // 8
    bodies: list[bytes] = []
    if not layout.repeats:
        for block in blocks[at : at + MOST_AT_ONCE]:
            if block.layout is not layout or block.flags & (OWN_TIMES | PLAIN):
                break
            changes = int.from_bytes(block.body[:size]).bit_count()
            kinds = 2 * ((changes + 7) // 8)
            if block.body.count(0, size, size + kinds) != kinds:  # a series changed how its values are written
                break
            bodies.append(block.body)
    return _Run(layout, bodies)


class _Run:
    """Blocks with one layout, as many as are a run; none, where the first is not."""

    def __init__(self, layout: Layout, bodies: list[bytes]):
        self.layout = layout
        self.count = len(bodies)
        self._bodies = bodies

    def values(self) -> Floats:
        """float64[count, m] of the wanted series; their last ones are what the stream has from now on."""
        layout = self.layout
        stream, wanted = layout.stream, layout.wanted
        if not len(wanted):
            return np.empty((self.count, 0))
        kinds: Kinds = stream.kinds[layout.ids]
        former = stream.last[layout.ids[wanted]]
        n = len(layout.ids)
        mask_size = (n + 7) // 8
        packed = np.frombuffer(b"".join([body[:mask_size] for body in self._bodies]), np.uint8)
        masks = np.unpackbits(packed.reshape(self.count, mask_size), axis=1, count=n)
        changes = masks.sum(axis=1, dtype=np.int64)
        flat = np.frombuffer(b"".join(self._bodies), np.uint8)
        sizes = np.fromiter(map(len, self._bodies), np.int64, self.count)
        ends = np.cumsum(sizes)
        at = ends - sizes + mask_size + 2 * ((changes + 7) // 8)
        numbers = np.zeros((self.count, len(wanted)), np.uint64)
        for kind in (1, 2, BARE):
            members = (kinds == kind).nonzero()[0]
            chosen = (kinds[wanted] == kind).nonzero()[0]
            at = _pick(flat, at, masks[:, members], np.searchsorted(members, wanted[chosen]), chosen, numbers)
        if (at != ends).any():
            raise ValueError("the values end too early or too late")
        changed = masks[:, wanted].view(np.bool_)
        made = _summed(numbers, changed, former, kinds[wanted])
        stream.last[layout.ids[wanted]] = made[-1]
        return made


def _pick(
    flat: npt.NDArray[np.uint8],
    at: Ints,
    masks: npt.NDArray[np.uint8],
    places: npt.NDArray[np.intp],
    chosen: npt.NDArray[np.intp],
    numbers: npt.NDArray[np.uint64],
) -> Ints:
    """Put those of one kind into the columns `chosen` of `numbers`. Per block, `at` is where its column begins; the
    end of it is returned. `masks` has the series of this kind, `places` those that are wanted among them."""
    counts = masks.sum(axis=1, dtype=np.int64)
    widths = flat[at].astype(np.int64)
    if len(chosen):
        before = np.zeros((len(at), len(places)), np.int64)  # how many changed before each place
        begin = 0
        for i, place in enumerate(places.tolist()):
            before[:, i] = masks[:, begin:place].sum(axis=1)
            begin = place
        ranks = np.cumsum(before, axis=1)
        row, column = masks[:, places].nonzero()
        offset = at[row] + 1 + ranks[row, column]
        found = np.zeros(len(row), np.uint64)
        for byte in range(int(widths.max(initial=0))):
            there = (widths[row] > byte).nonzero()[0]
            taken = flat[offset[there] + byte * counts[row[there]]].astype(np.uint64)
            found[there] |= taken << np.uint64(8 * byte)
        numbers[row, chosen[column]] = found
    ends: Ints = at + 1 + counts * widths
    return ends


def _summed(numbers: npt.NDArray[np.uint64], changed: Bools, former: Floats, kinds: Kinds) -> Floats:
    """The values that numbers[k, m], 0 where nothing `changed`, make of `former` ones."""
    made = np.empty(numbers.shape)
    bare = (kinds == BARE).nonzero()[0]
    summed = (kinds != BARE).nonzero()[0]
    made.view(np.uint64)[:, bare] = np.bitwise_xor.accumulate(numbers[:, bare], axis=0) ^ former[bare].view(np.uint64)
    if len(summed):
        factors = FACTORS[kinds[summed]]
        with np.errstate(all="ignore"):
            first = exact(former[summed] * factors)
            values = (np.cumsum(unzigzag(numbers[:, summed]), axis=0) + first) / factors
        untouched = ~np.logical_or.accumulate(changed[:, summed], axis=0)
        made[:, summed] = np.where(untouched, former[summed], values)
    return made
