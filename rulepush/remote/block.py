"""Blocks of finished requests that wait to be sent, and their format in a file. Pure.

A block holds requests in lanes. Lanes are sent concurrently, the requests of a lane one by one, and a series is always
in the same lane of a block; the next block starts when all of this one is done. So the samples of a series
arrive in order whatever the number of lanes, and a retry repeats the very same request, which a receiver that had
stored it already recognises.

In a file, a block is a record: length and CRC-32 of the rest as u32, then the rest. All numbers are little-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from rulepush.config.sections import RemoteWriteMessage

FILE_MAGIC: Final = b"RPRW\x00\x00\x00\x01"
_RECORD: Final = struct.Struct("<II")
_BLOCK: Final = struct.Struct("<BqH")
_LANE: Final = struct.Struct("<H")
_REQUEST: Final = struct.Struct("<IqI")
_MAX_RECORD: Final = 1 << 30
_PROTOCOLS: Final = (RemoteWriteMessage.V1, RemoteWriteMessage.V2)


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One body to post: `samples` in it, the time (ms) of the newest, and the compressed body itself."""

    samples: int
    newest: int
    body: bytes


@dataclass(frozen=True, slots=True)
class QueueBlock:
    """`created` in ms: decides when a block has waited too long."""

    protocol: RemoteWriteMessage
    created: int
    lanes: tuple[tuple[WriteRequest, ...], ...]

    @property
    def samples(self) -> int:
        """Samples in all its requests."""
        return sum(r.samples for lane in self.lanes for r in lane)

    @property
    def nbytes(self) -> int:
        """Bytes of its bodies."""
        return sum(len(r.body) for lane in self.lanes for r in lane)


class TornRecordError(ValueError):
    """A record that is incomplete or damaged."""


def encode_record(block: QueueBlock) -> bytes:
    """A block as a record."""
    parts = [_BLOCK.pack(_PROTOCOLS.index(block.protocol), block.created, len(block.lanes))]
    for lane in block.lanes:
        parts.append(_LANE.pack(len(lane)))
        for request in lane:
            parts += (_REQUEST.pack(request.samples, request.newest, len(request.body)), request.body)
    content = b"".join(parts)
    return _RECORD.pack(len(content), zlib.crc32(content)) + content


def record_size(head: bytes) -> int:
    """The whole size of a record that begins with these 8 bytes. Raises TornRecordError."""
    if len(head) < _RECORD.size:
        raise TornRecordError("the record's head is cut off")
    size: int = _RECORD.unpack(head[: _RECORD.size])[0]
    if not _BLOCK.size <= size <= _MAX_RECORD:
        raise TornRecordError(f"a record cannot be {size} bytes long")
    return _RECORD.size + size


RECORD_HEAD: Final = _RECORD.size


def decode_record(record: bytes) -> QueueBlock:
    """The block of one whole record. Raises TornRecordError."""
    if record_size(record) != len(record):
        raise TornRecordError("the record is cut off")
    content = record[_RECORD.size :]
    if zlib.crc32(content) != _RECORD.unpack_from(record)[1]:
        raise TornRecordError("the record's checksum is wrong")
    try:
        return _decode(content)
    except (struct.error, IndexError, ValueError) as e:
        raise TornRecordError(f"the record makes no sense: {e}") from None


def _decode(content: bytes) -> QueueBlock:
    protocol, created, lane_count = _BLOCK.unpack_from(content)
    pos = _BLOCK.size
    lanes = []
    for _ in range(lane_count):
        (request_count,) = _LANE.unpack_from(content, pos)
        pos += _LANE.size
        lane = []
        for _ in range(request_count):
            samples, newest, size = _REQUEST.unpack_from(content, pos)
            pos += _REQUEST.size
            if pos + size > len(content):
                raise ValueError("a body is cut off")
            lane.append(WriteRequest(samples, newest, content[pos : pos + size]))
            pos += size
        lanes.append(tuple(lane))
    if pos != len(content):
        raise ValueError("bytes are left over")
    return QueueBlock(_PROTOCOLS[protocol], created, tuple(lanes))
