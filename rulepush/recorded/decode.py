"""SegmentDecoder: the inverse of SegmentEncoder."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import cramjam
import numpy as np
import numpy.typing as npt

from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.recorded import encode as e
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedEvent, RecordedStart
from rulepush.recorded.values import Kinds, decode_times, decode_values

FAULTS: Final = (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error, cramjam.DecompressionError)
"""What decoding raises for bytes that were not written by SegmentEncoder."""

_NO_VALUES: Final = np.zeros(0)

Wanted = Callable[[Labels], bool]


@dataclass(slots=True)
class Layout:
    """Which series a block has, in its order. `series` is made when it is asked for, and the same from then on."""

    stream: DecodedStream
    ids: Ints
    wanted: npt.NDArray[np.intp]  # the places of the series that are wanted
    _series: tuple[Labels, ...] | None = None

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
    labels: list[Labels] = field(default_factory=list)
    wanted: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    last: Floats = field(default_factory=lambda: np.zeros(0))
    kinds: Kinds = field(default_factory=lambda: np.zeros(0, np.uint8))
    layouts: dict[int, Layout] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedBlock:
    """A block before its labels are looked up: `layout` says whose the values are."""

    at: int
    layout: Layout
    ts: int | Ints
    values: Floats


class SegmentDecoder:
    """Decodes the records of one segment, in order, from its first. Raises one of FAULTS."""

    def __init__(self, wanted: Wanted | None = None):
        """With `wanted`, only blocks are given, and only those with a series that it takes."""
        self._wanted = wanted
        self.streams: list[DecodedStream] = []
        self._groups: list[tuple[str, str, int, int]] = []

    def events(self, payload: bytes) -> Iterator[RecordedEvent]:
        """The events of a record."""
        for item in self._items(payload):
            if isinstance(item, DecodedBlock):
                stream = item.layout.stream
                block = SampleBlock(item.layout.series, item.ts, item.values)
                yield RecordedBlock(item.at, stream.origin, stream.source, block)
            else:
                yield item

    def blocks(self, payload: bytes) -> Iterator[DecodedBlock]:
        """The blocks of a record."""
        return (item for item in self._items(payload) if isinstance(item, DecodedBlock))

    def outlines(self, payload: bytes) -> Iterator[DecodedBlock]:
        """The blocks of a record without values; those with times of their own have the time at which they came."""
        return (item for item in self._items(payload, outlines=True) if isinstance(item, DecodedBlock))

    def _items(
        self, payload: bytes, *, outlines: bool = False
    ) -> Iterator[DecodedBlock | RecordedEvaluation | RecordedStart]:
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
                if self._wanted is not None and not len(layout.wanted):
                    continue
                if outlines:
                    yield DecodedBlock(when, layout, when if flags & e.OWN_TIMES else time, _NO_VALUES)
                else:
                    yield self._block(when, layout, flags, time, body)
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

    def _block(self, when: int, layout: Layout, flags: int, time: int, body: bytes) -> DecodedBlock:
        stream, ids = layout.stream, layout.ids
        if flags & e.OUTSIDE:
            body = bytes(cramjam.zstd.decompress(body))
        ts: int | Ints = time
        if flags & e.OWN_TIMES:
            ts, used = decode_times(body, len(ids), when)
            body = body[used:]
        if flags & e.PLAIN:
            values = np.frombuffer(body, "<f8").astype(np.float64)
            if len(values) != len(ids):
                raise ValueError(f"{len(values)} values of {len(ids)} series")
        else:
            values, stream.kinds[ids] = decode_values(body, stream.last[ids], stream.kinds[ids])
        stream.last[ids] = values
        return DecodedBlock(when, layout, ts, values)

    def _series(self, number: int, count: int, text: bytes) -> None:
        stream = self.streams[number]
        new = [Labels.of_sorted(tuple([(n, v) for n, v in pairs])) for pairs in json.loads(text)]
        if len(new) != count:
            raise ValueError(f"{len(new)} series in place of {count}")
        stream.labels += new
        stream.last = np.concatenate((stream.last, np.zeros(count)))
        stream.kinds = np.concatenate((stream.kinds, np.zeros(count, np.uint8)))
        if self._wanted is not None:
            mask = np.fromiter(map(self._wanted, new), np.bool_, count)
            stream.wanted = np.concatenate((stream.wanted, mask))

    def _layout(self, number: int, slot: int, steps: bytes) -> None:
        stream = self.streams[number]
        ids = np.cumsum(np.frombuffer(steps, "<i4"), dtype=np.int64)
        if len(ids) and not 0 <= ids.min() <= ids.max() < len(stream.labels):
            raise ValueError("a layout of series that are not there")
        chosen = np.flatnonzero(stream.wanted[ids]) if self._wanted is not None else np.zeros(0, np.intp)
        stream.layouts[slot] = Layout(stream, ids, chosen)
