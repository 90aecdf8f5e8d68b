"""SegmentDecoder: the inverse of SegmentEncoder."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

import cramjam
import numpy as np
import numpy.typing as npt

from rulepush.histogram.boxes import Boxes
from rulepush.histogram.compact import decode_histograms
from rulepush.histogram.errors import HistogramError
from rulepush.histogram.sample import unboxed_block
from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.recorded import encode as e
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedEvent, RecordedStart
from rulepush.recorded.values import FIRST_KIND, Kinds, decode_times, decode_values

FAULTS: Final = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    cramjam.DecompressionError,
    HistogramError,
)
"""What decoding raises for bytes that were not written by SegmentEncoder."""


class SeriesFilter:
    """Which series are wanted: those that satisfy all matchers.

    Lines without what an `=` asks for are left out before they are parsed, which is nearly all of them.
    """

    def __init__(self, matchers: Sequence[Matcher]):
        self._matchers = tuple(matchers)
        self._found: dict[tuple[int, int], dict[int, Labels]] = {}
        equal = (m for m in self._matchers if m.op is MatchOp.EQUAL and m.value)
        self._parts = [e.encode_pair(m.name, m.value) for m in equal]

    def begin_segment(self) -> None:
        """What was found before belongs to another segment."""
        self._found.clear()

    def wanted(self, stream: int, first: int, text: bytes) -> dict[int, Labels]:
        """The wanted ones of these lines, by their place. They define the series from `first` on of a stream: a segment
        is read twice, and parsed once."""
        known = self._found.get((stream, first))
        if known is None:
            known = self._found[stream, first] = self._parsed(text)
        return known

    def _parsed(self, text: bytes) -> dict[int, Labels]:
        if not all(part in text for part in self._parts):
            return {}
        found = {}
        for place, line in enumerate(text.split(b"\n")):
            if all(part in line for part in self._parts):
                labels = _labels(json.loads(line))
                if all(m.matches_labels(labels) for m in self._matchers):
                    found[place] = labels
        return found


def _labels(pairs: Sequence[tuple[str, str]]) -> Labels:
    return Labels.of_sorted(tuple([(name, value) for name, value in pairs]))


@dataclass(slots=True)
class Layout:
    """Which series a block has, in its order. `series` is made when it is asked for, and the same from then on."""

    stream: DecodedStream
    ids: Ints
    wanted: npt.NDArray[np.intp]  # the places of the series that are wanted
    _series: tuple[Labels, ...] | None = None
    _repeats: bool | None = None

    @property
    def repeats(self) -> bool:
        """Whether a series is in it twice."""
        if self._repeats is None:
            self._repeats = len(np.unique(self.ids)) < len(self.ids)
        return self._repeats

    @property
    def series(self) -> tuple[Labels, ...]:
        if self._series is None:
            self._series = tuple(map(self.stream.labels.__getitem__, self.ids.tolist()))
        return self._series


@dataclass(slots=True)
class DecodedStream:
    """A stream and its series so far."""

    origin: Origin
    source: str
    labels: dict[int, Labels] = field(default_factory=dict)  # of those that are wanted
    size: int = 0  # how many series there are
    wanted: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    last: Floats = field(default_factory=lambda: np.zeros(0))
    kinds: Kinds = field(default_factory=lambda: np.zeros(0, np.uint8))
    layouts: dict[int, Layout] = field(default_factory=dict)
    histograms: bytes = b""  # as `encode_histograms` makes them, of the last block with some


@dataclass(frozen=True, slots=True, eq=False)
class DecodedBlock:
    """A block before its labels are looked up: `layout` says whose the values are. `values` may hold boxes."""

    at: int
    layout: Layout
    ts: int | Ints
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class RawBlock:
    """A block as it is written, with its body decompressed. `order` is its place among all blocks of the segment;
    `histograms` are those that its boxes number, as `encode_histograms` makes them."""

    order: int
    at: int
    layout: Layout
    flags: int
    time: int
    body: bytes
    histograms: bytes = b""

    def boxes(self) -> Boxes | None:
        """Its native histograms; None without any."""
        return Boxes(decode_histograms(self.histograms)) if self.histograms else None

    def decode(self) -> DecodedBlock:
        """Its values. Blocks of a stream must be decoded in order."""
        stream, ids, body = self.layout.stream, self.layout.ids, self.body
        ts: int | Ints = self.time
        if self.flags & e.OWN_TIMES:
            ts, used = decode_times(body, len(ids), self.at)
            body = body[used:]
        if self.flags & e.PLAIN:
            values = np.frombuffer(body, "<f8").astype(np.float64)
            if len(values) != len(ids):
                raise ValueError(f"{len(values)} values of {len(ids)} series")
        else:
            values, stream.kinds[ids] = decode_values(body, stream.last[ids], stream.kinds[ids])
        stream.last[ids] = values
        return DecodedBlock(self.at, self.layout, ts, values)


class SegmentDecoder:
    """Decodes the records of one segment, in order, from its first. Raises one of FAULTS."""

    def __init__(self, wanted: SeriesFilter | None = None, streams: Set[int] = frozenset()):
        """With `wanted`, only blocks are given: those with a series that is, and all of `streams`. How the values of a
        block are written depends on how all of its series were written before, so whoever decodes a block must have
        decoded all of its stream."""
        self._whole_streams = streams
        self._wanted = wanted
        self.streams: list[DecodedStream] = []
        self._blocks = 0
        self._groups: list[tuple[str, str, int, int]] = []

    def events(self, payload: bytes) -> Iterator[RecordedEvent]:
        """The events of a record."""
        for item in self._items(payload):
            if isinstance(item, RawBlock):
                stream, decoded = item.layout.stream, item.decode()
                series, boxes = item.layout.series, item.boxes()
                block = SampleBlock(series, decoded.ts, decoded.values)
                if boxes is not None:
                    block = unboxed_block(series, decoded.ts, decoded.values, boxes)
                yield RecordedBlock(item.at, stream.origin, stream.source, block)
            else:
                yield item

    def blocks(self, payload: bytes) -> Iterator[RawBlock]:
        """The blocks of a record, not yet decoded."""
        return (item for item in self._items(payload) if isinstance(item, RawBlock))

    def outlines(self, payload: bytes) -> Iterator[RawBlock]:
        """The blocks of a record without bodies; those with times of their own have the one at which they came."""
        return (item for item in self._items(payload, outlines=True) if isinstance(item, RawBlock))

    def _items(
        self, payload: bytes, *, outlines: bool = False
    ) -> Iterator[RawBlock | RecordedEvaluation | RecordedStart]:
        (size,) = e.INDEX_SIZE.unpack_from(payload)
        body_at = e.INDEX_SIZE.size + (size & ~e.PACKED)
        index = payload[e.INDEX_SIZE.size : body_at]
        if size & e.PACKED:
            index = bytes(cramjam.zstd.decompress(index))
        at = 0

        def take(layout: struct.Struct) -> tuple[int, ...]:
            nonlocal at
            fields: tuple[int, ...] = layout.unpack_from(index, at)
            at += layout.size
            return fields

        def rest(length: int) -> bytes:
            nonlocal at
            if at + length > len(index):
                raise ValueError("the index ends too early")
            part = index[at : at + length]
            at += length
            return part

        while at < len(index):
            kind = index[at]
            at += 1
            if kind == e.IS_BLOCK:
                when, number, slot, flags, time, length = take(e.BLOCK)
                layout = self.streams[number].layouts[slot]
                if flags & e.OUTSIDE:
                    body, body_at = payload[body_at : body_at + length], body_at + length
                else:
                    body = rest(length)
                if self._wanted is not None and not len(layout.wanted) and number not in self._whole_streams:
                    continue
                if outlines:
                    yield RawBlock(self._blocks, when, layout, flags, when if flags & e.OWN_TIMES else time, b"")
                    continue
                if flags & e.OUTSIDE:
                    body = bytes(cramjam.zstd.decompress(body))
                histograms = b""
                if flags & e.HISTOGRAMS:
                    histograms, body = _split(body, layout.stream)
                self._blocks += 1
                yield RawBlock(self._blocks, when, layout, flags, time, body, histograms)
            elif kind == e.IS_EVALUATION:
                when, number, flags = take(e.EVALUATION)
                yield RecordedEvaluation(
                    when,
                    *self._groups[number],
                    bool(flags & e.MAY_FIRE),
                    bool(flags & e.MAY_FIRE_WITH_RANGE),
                    bool(flags & e.MAY_RESOLVE),
                )
            elif kind == e.IS_LAYOUT:
                number, slot, count = take(e.LAYOUT)
                self._layout(number, slot, rest(4 * count))
            elif kind == e.IS_SERIES:
                number, count, length = take(e.SERIES)
                self._series(number, count, rest(length))
            elif kind == e.IS_STREAM:
                number, origin, length = take(e.STREAM)
                if number != len(self.streams):
                    raise ValueError(f"stream {number} out of turn")
                self.streams.append(DecodedStream(e.ORIGINS[origin], rest(length).decode("utf-8", "surrogatepass")))
            elif kind == e.IS_GROUP:
                number, length = take(e.GROUP)
                file, group, interval, offset = json.loads(rest(length))
                self._groups.append((str(file), str(group), int(interval), int(offset)))
            elif kind == e.IS_START:
                yield RecordedStart(*take(e.START))
            else:
                raise ValueError(f"entry {kind} is unknown")

    def _series(self, number: int, count: int, text: bytes) -> None:
        stream = self.streams[number]
        lines = text.count(b"\n") + 1 if count else 0
        if lines != count:
            raise ValueError(f"{lines} series in place of {count}")
        if self._wanted is None:
            every = json.loads(b"[" + text.replace(b"\n", b",") + b"]")
            stream.labels.update(enumerate(map(_labels, every), stream.size))
        else:
            found = self._wanted.wanted(number, stream.size, text)
            mask = np.zeros(count, np.bool_)
            mask[list(found)] = True
            stream.wanted = np.concatenate((stream.wanted, mask))
            stream.labels.update((stream.size + place, labels) for place, labels in found.items())
        stream.size += count
        stream.last = np.concatenate((stream.last, np.zeros(count)))
        stream.kinds = np.concatenate((stream.kinds, np.full(count, FIRST_KIND, np.uint8)))

    def _layout(self, number: int, slot: int, steps: bytes) -> None:
        stream = self.streams[number]
        ids = np.cumsum(np.frombuffer(steps, "<i4"), dtype=np.int64)
        if len(ids) and not 0 <= ids.min() <= ids.max() < stream.size:
            raise ValueError("a layout of series that are not there")
        chosen = np.flatnonzero(stream.wanted[ids]) if self._wanted is not None else np.zeros(0, np.intp)
        stream.layouts[slot] = Layout(stream, ids, chosen)


def _split(body: bytes, stream: DecodedStream) -> tuple[bytes, bytes]:
    """The histograms of a block, which the stream remembers, and what is left of its body."""
    (size,) = e.HISTOGRAMS_SIZE.unpack_from(body)
    end = e.HISTOGRAMS_SIZE.size + size
    if end > len(body):
        raise ValueError("the histograms end too early")
    stream.histograms = e.xored(body[e.HISTOGRAMS_SIZE.size : end], stream.histograms)
    return stream.histograms, body[end:]
