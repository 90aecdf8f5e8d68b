"""Files of a recording, and the records in them.

`<number>-<time at which it was begun, ms>.seg` is a segment: MAGIC, then records. A record is what one flush wrote: its
head, an index and bodies. The head has its own checksum, so a record that was not written whole (a torn tail, left by
`kill -9`) is told from one that was damaged later. A segment is only ever appended to, and never after a restart.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

DIRECTORY: Final = "recording"
"""The recording's directory below the storage path."""

MAGIC: Final = b"rprec 1\n"
_HEAD: Final = struct.Struct("<IIqqqq")  # size and CRC-32 of the payload; first and last `at`; earliest and latest time
_CHECK: Final = struct.Struct("<I")
HEAD_SIZE: Final = _HEAD.size + _CHECK.size
_NAME: Final = re.compile(r"([0-9]{8,})-([0-9]+)\.(seg|damaged)")
MAX_RECORD: Final = 1 << 30


class DamagedRecordError(ValueError):
    """A segment holds something else than what was written. `offset` is where the last good record ends."""

    def __init__(self, offset: int, message: str):
        self.offset = offset
        super().__init__(f"{message}, at byte {offset}")


class TimeSpan(NamedTuple):
    """What a record spans: events from first_at to last_at, samples from earliest to latest; ms, all inclusive. Without
    samples, earliest > latest."""

    first_at: int
    last_at: int
    earliest: int
    latest: int


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """One file, by its name. `begun` is wall time in ms."""

    path: Path
    number: int
    begun: int
    damaged: bool


def segment_name(number: int, begun: int) -> str:
    """The name of a segment's file."""
    return f"{number:08d}-{max(begun, 0)}.seg"


def list_segments(directory: Path) -> list[SegmentFile]:
    """All segments, the oldest first, also those set aside as damaged. Raises OSError."""
    found = (
        SegmentFile(path, int(match[1]), int(match[2]), match[3] == "damaged")
        for path in directory.iterdir()
        if (match := _NAME.fullmatch(path.name)) and not path.is_dir()
    )
    return sorted(found, key=lambda f: (f.number, f.damaged))


def encode_record(payload: bytes, span: TimeSpan) -> bytes:
    """A record: its head and its payload."""
    head = _HEAD.pack(len(payload), zlib.crc32(payload), *span)
    return head + _CHECK.pack(zlib.crc32(head)) + payload


class RecordHead(NamedTuple):
    """The head of a record whose payload begins at `offset`."""

    offset: int
    size: int
    crc: int
    span: TimeSpan


class SegmentReader:
    """Reads the records of one segment in turn. Raises DamagedRecordError and OSError; a torn tail just ends it."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = file.seek(0, 2)
        self.torn = False  # whether the last record was found not to be written whole
        self.offset = len(MAGIC)  # where the last good record ends

    def heads(self) -> Iterator[RecordHead]:
        """One by one; `payload` may be called for the last one given."""
        self._file.seek(0)
        magic = self._file.read(len(MAGIC))
        if magic != MAGIC:
            self.torn = len(magic) < len(MAGIC) and MAGIC.startswith(magic)
            if not self.torn:
                raise DamagedRecordError(0, "not a segment of this version")
            return
        offset = len(MAGIC)
        while offset < self._size:
            self._file.seek(offset)
            raw = self._file.read(HEAD_SIZE)
            if len(raw) < HEAD_SIZE:
                self.torn = True
                return
            if zlib.crc32(raw[: _HEAD.size]) != _CHECK.unpack_from(raw, _HEAD.size)[0]:
                if self._only_zeros(offset):  # what a power cut leaves
                    self.torn = True
                    return
                raise DamagedRecordError(offset, "a record's head is damaged")
            size, crc, *times = _HEAD.unpack_from(raw)
            if offset + HEAD_SIZE + size > self._size:
                self.torn = True
                return
            yield RecordHead(offset + HEAD_SIZE, size, crc, TimeSpan(*times))
            offset += HEAD_SIZE + size
            self.offset = offset

    def payload(self, head: RecordHead) -> bytes:
        """What is in a record, checked."""
        self._file.seek(head.offset)
        payload = self._file.read(head.size)
        if len(payload) != head.size or zlib.crc32(payload) != head.crc:
            raise DamagedRecordError(head.offset - HEAD_SIZE, "a record is damaged")
        return payload

    def _only_zeros(self, offset: int) -> bool:
        self._file.seek(offset)
        while part := self._file.read(1 << 16):
            if part.strip(b"\0"):
                return False
        return True
