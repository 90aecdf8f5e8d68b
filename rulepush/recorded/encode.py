"""SegmentEncoder: events as the payloads of records.

A payload is the index and then compressed bodies. The index holds entries in the order of the events; what
an entry refers to was defined before, in the same segment: a stream (origin and source) with its series, a slot of a
stream with a layout (which series, in which order), a group. Series that are added to a target so cost themselves and a
layout, most of which is +1, +1, +1. Values are written against the former values of the same series in the same stream
(see `values`). Native histograms stand as boxes among them; they are written in front of the values, XORed with
those of the block before where they take as many bytes. Large bodies are compressed on their own, so that a reader
who wants one target leaves out the others.
"""

from __future__ import annotations

import json
import operator
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as _quoted
from typing import Final

import cramjam
import numpy as np
import numpy.typing as npt

from rulepush.histogram.compact import encode_histograms
from rulepush.histogram.sample import HistogramBlock, boxed_values
from rulepush.model.labels import Labels
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedEvent, RecordedStart
from rulepush.recorded.records import TimeSpan
from rulepush.recorded.values import FIRST_KIND, Kinds, encode_times, encode_values

START: Final = struct.Struct("<q")
GROUP: Final = struct.Struct("<II")  # number, size of JSON
EVALUATION: Final = struct.Struct("<qIB")  # at, group, flags
STREAM: Final = struct.Struct("<IBI")  # number, origin, size of the source
SERIES: Final = struct.Struct("<III")  # stream, how many, size of their lines
LAYOUT: Final = struct.Struct("<IBI")  # stream, slot, how many
BLOCK: Final = struct.Struct("<qIBBqI")  # at, stream, slot, flags, time, size of the body
INDEX_SIZE: Final = struct.Struct("<I")
HISTOGRAMS_SIZE: Final = struct.Struct("<I")
PACKED: Final = 1 << 31  # added to the size of an index that is compressed

IS_START, IS_GROUP, IS_EVALUATION, IS_STREAM, IS_SERIES, IS_LAYOUT, IS_BLOCK = range(1, 8)
MAY_FIRE, MAY_FIRE_WITH_RANGE, MAY_RESOLVE = 1, 2, 4
OWN_TIMES, PLAIN, OUTSIDE, HISTOGRAMS = 1, 2, 4, 8
SLOTS: Final = 8  # layouts of a stream that are remembered: ends with stale markers, targets that alternate
ORIGINS: Final = (Origin.SCRAPE, Origin.PUSH, Origin.REMOTE_WRITE, Origin.RULE)
_FEW: Final = 8  # values that are written as they are: taking them apart would cost more than it saves
_RETRY: Final = 16  # blocks: so often it is tried whether values can be written as numbers again
_SMALL: Final = 128  # bytes: an index of less, as that of one scrape, is not compressed
_OWN_BODY: Final = 256  # bytes: from here on a body is compressed on its own
LEVEL: Final = 1  # higher ones are not smaller
_SERIES_BYTES: Final = 100  # measured with sys.getsizeof: an entry of a dict and its number
_PLACE_BYTES: Final = 16  # in a tuple, an array and a key

Ids = npt.NDArray[np.int32]


class _PairTexts(dict[tuple[str, str], str]):
    def __missing__(self, pair: tuple[str, str]) -> str:
        name, value = pair
        self[pair] = text = f"[{_quoted(name)},{_quoted(value)}]"
        return text


def encode_series(series: Sequence[Labels]) -> bytes:
    """Label sets, a line each: JSON, a list of pairs. Most pairs repeat, so each is written once."""
    texts = _PairTexts()
    return "\n".join(["[" + ",".join([texts[pair] for pair in labels.pairs]) + "]" for labels in series]).encode()


def encode_pair(name: str, value: str) -> bytes:
    """The part of such a line that says that a label has this value."""
    return _PairTexts()[name, value].encode()


@dataclass(slots=True)
class _Slot:
    series: tuple[Labels, ...]  # referred to, so that its identity is not given to another tuple
    key: bytes
    ids: Ids
    at: Ids | slice  # the same, to read and write what the stream knows of them
    used: int = 0


@dataclass(slots=True)
class _Stream:
    number: int
    ids: dict[Labels, int] = field(default_factory=dict)
    last: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    kinds: Kinds = field(default_factory=lambda: np.zeros(0, np.uint8))
    slots: list[_Slot] = field(default_factory=list)
    uses: int = 0
    histograms: bytes = b""  # of the last block with some


def xored(one: bytes, other: bytes) -> bytes:
    """Bytes against those of as many before them, in place of which most of a counter's histograms have the same. What
    is longer or shorter stays as it is. Its own inverse."""
    if len(one) != len(other):
        return one
    return (np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8)).tobytes()


class SegmentEncoder:
    """Encodes the events of one segment, in order. Synchronous, no I/O."""

    def __init__(self) -> None:
        self._streams: dict[tuple[Origin, str], _Stream] = {}
        self._groups: dict[tuple[str, str, int, int], int] = {}
        self._begin()

    def _begin(self) -> None:
        self._index = bytearray()
        self._bodies: list[bytes] = []
        self._ats: list[int] = []
        self._earliest, self._latest = 1 << 62, -(1 << 62)
        self._outside = 0  # bytes of `_bodies`

    @property
    def size(self) -> int:
        """Bytes that are not taken yet: at most, for the index is compressed then."""
        return len(self._index) + self._outside

    @property
    def nbytes(self) -> int:
        """About the bytes that it remembers: of each series a number, the last value and how it is written, and its
        place in the layouts."""
        streams = list(self._streams.values())
        series = sum(len(s.ids) * _SERIES_BYTES + s.last.nbytes + s.kinds.nbytes for s in streams)
        series += sum(len(s.histograms) for s in streams)
        slots = [slot for s in streams for slot in list(s.slots)]
        return self.size + series + sum(len(slot.ids) * _PLACE_BYTES for slot in slots)

    def add(self, event: RecordedEvent) -> None:
        """One event more."""
        self._ats.append(event.at)
        if isinstance(event, RecordedBlock):
            self._block(event)
        elif isinstance(event, RecordedEvaluation):
            self._evaluation(event)
        else:
            assert isinstance(event, RecordedStart)
            self._put(IS_START, START.pack(event.at))

    def take(self) -> tuple[bytes, TimeSpan]:
        """The payload of a record with what was added since the last call. At least one event must have been."""
        index = bytes(self._index)
        packed = len(index) >= _SMALL
        if packed:
            index = bytes(cramjam.zstd.compress(index, LEVEL))
        payload = b"".join((INDEX_SIZE.pack(len(index) | PACKED * packed), index, *self._bodies))
        span = TimeSpan(min(self._ats), max(self._ats), self._earliest, self._latest)
        self._begin()
        return payload, span

    def _put(self, kind: int, *parts: bytes) -> None:
        self._index.append(kind)
        for part in parts:
            self._index += part

    def _evaluation(self, event: RecordedEvaluation) -> None:
        group = (event.file, event.group, event.interval_ms, event.query_offset_ms)
        number = self._groups.get(group)
        if number is None:
            number = self._groups[group] = len(self._groups)
            text = json.dumps(group).encode()
            self._put(IS_GROUP, GROUP.pack(number, len(text)), text)
        flags = MAY_FIRE * event.may_fire | MAY_FIRE_WITH_RANGE * event.may_fire_with_range
        self._put(IS_EVALUATION, EVALUATION.pack(event.at, number, flags | MAY_RESOLVE * event.may_resolve))

    def _block(self, event: RecordedBlock) -> None:
        block = event.block
        stream = self._stream(event.origin, event.source)
        slot, at = self._layout(stream, block.series)
        former = stream.last[at]
        flags, body = 0, b""
        if isinstance(block.ts, int):
            time = block.ts
            self._span(time, time)
        else:
            flags, time = OWN_TIMES, 0
            times = block.ts.astype(np.int64, copy=False)
            body = encode_times(times, event.at)
            if len(times):
                self._span(int(times.min()), int(times.max()))
        values, histograms = block.values, b""
        if isinstance(block, HistogramBlock):
            values, boxes = boxed_values(block)
            if boxes:
                flags |= HISTOGRAMS
                raw = encode_histograms(list(boxes))
                histograms, stream.histograms = xored(raw, stream.histograms), raw
                histograms = HISTOGRAMS_SIZE.pack(len(histograms)) + histograms
        values = np.ascontiguousarray(values, np.float64)
        if len(values) <= _FEW:
            flags |= PLAIN
            body += values.astype("<f8", copy=False).tobytes()
        else:
            coded, stream.kinds[at] = encode_values(former, stream.kinds[at], values, retry=stream.uses % _RETRY == 0)
            body += coded
        stream.last[at] = values
        body = histograms + body
        if len(body) >= _OWN_BODY:
            flags |= OUTSIDE
            body = bytes(cramjam.zstd.compress(body, LEVEL))
            self._bodies.append(body)
            self._outside += len(body)
        self._put(IS_BLOCK, BLOCK.pack(event.at, stream.number, slot, flags, time, len(body)))
        if not flags & OUTSIDE:
            self._index += body

    def _span(self, earliest: int, latest: int) -> None:
        self._earliest, self._latest = min(self._earliest, earliest), max(self._latest, latest)

    def _stream(self, origin: Origin, source: str) -> _Stream:
        stream = self._streams.get((origin, source))
        if stream is None:
            stream = self._streams[origin, source] = _Stream(len(self._streams))
            text = source.encode("utf-8", "surrogatepass")
            self._put(IS_STREAM, STREAM.pack(stream.number, ORIGINS.index(origin), len(text)), text)
        return stream

    def _layout(self, stream: _Stream, series: tuple[Labels, ...]) -> tuple[int, Ids | slice]:
        stream.uses += 1
        for number, slot in enumerate(stream.slots):
            if slot.series is series:
                slot.used = stream.uses
                return number, slot.at
        ids = self._ids(stream, series)
        key = ids.tobytes()
        for number, slot in enumerate(stream.slots):
            if slot.key == key:
                slot.series, slot.used = series, stream.uses
                return number, slot.at
        made = _Slot(series, key, ids, _as_slice(ids), stream.uses)
        if len(stream.slots) < SLOTS:
            number = len(stream.slots)
            stream.slots.append(made)
        else:
            number = min(range(SLOTS), key=lambda n: stream.slots[n].used)
            stream.slots[number] = made
        steps = np.diff(ids, prepend=np.int32(0)).astype("<i4", copy=False)
        self._put(IS_LAYOUT, LAYOUT.pack(stream.number, number, len(ids)), steps.tobytes())
        return number, made.at

    def _ids(self, stream: _Stream, series: tuple[Labels, ...]) -> Ids:
        if not stream.slots:
            return self._looked_up(stream, series)
        latest = max(stream.slots, key=lambda slot: slot.used)
        head = _alike(latest.series, series)
        tail = _alike(latest.series[: head - 1 if head else None : -1], series[: head - 1 if head else None : -1])
        middle = self._looked_up(stream, series[head : len(series) - tail])
        return np.concatenate((latest.ids[:head], middle, latest.ids[len(latest.ids) - tail :]))

    def _looked_up(self, stream: _Stream, series: tuple[Labels, ...]) -> Ids:
        known = stream.ids
        ids = np.fromiter(map(known.get, series, (-1,) * len(series)), np.int32, len(series))
        if len(ids) and ids.min() < 0:
            new: list[Labels] = []
            for at in np.flatnonzero(ids < 0).tolist():
                labels = series[at]
                number = known.get(labels)
                if number is None:  # else it is in this block twice
                    number = known[labels] = len(known)
                    new.append(labels)
                ids[at] = number
            text = encode_series(new)
            self._put(IS_SERIES, SERIES.pack(stream.number, len(new), len(text)), text)
            missing = len(known) - len(stream.last)
            if missing > 0:
                spare = missing + len(known) // 4
                stream.last = np.concatenate((stream.last, np.zeros(spare)))
                stream.kinds = np.concatenate((stream.kinds, np.full(spare, FIRST_KIND, np.uint8)))
        return ids


def _as_slice(ids: Ids) -> Ids | slice:
    """The slice of these numbers where they follow each other, which is quicker to read and write."""
    n = len(ids)
    if n and bool((np.diff(ids) == 1).all()):
        return slice(int(ids[0]), int(ids[0]) + n)
    return ids


def _alike(one: tuple[Labels, ...], other: tuple[Labels, ...]) -> int:
    """How many label sets at the beginning are the same objects: what stays at a change of a target's series is found
    without looking anything up."""
    same = list(map(operator.is_, one, other))
    return same.index(False) if False in same else len(same)
