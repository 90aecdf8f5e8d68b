"""A first-in-first-out queue of blocks in files, bounded in size. It survives a SIGKILL at any time.

Files `<number>.seg` hold records (see `block`), each process begins a new one, and `cursor` says how far the oldest was
read, and how many requests of each lane of the next block are done. A torn or damaged record is skipped with the rest
of its file and reported; a lost cursor means that some blocks are sent twice, which receivers recognise. Nothing is
synced: a power cut may cost the last seconds, a crash nothing.
"""

from __future__ import annotations

import logging
import struct
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from rulepush.remote.block import (
    FILE_MAGIC,
    RECORD_HEAD,
    QueueBlock,
    TornRecordError,
    decode_record,
    encode_record,
    record_size,
)

log = logging.getLogger("rulepush.remote")

_CURSOR: Final = struct.Struct("<QQ")
_DONE: Final = struct.Struct("<H")
_SEGMENTS: Final = 32  # the bound is kept by dropping whole files: about 3 percent at a time
_MAX_SEGMENT: Final = 8 << 20


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    size: int


class DiskQueue:
    """Blocks in `directory`, at most `max_bytes` of files. Raises OSError when the disk fails."""

    def __init__(self, directory: Path, max_bytes: int):
        self.dropped_samples = 0  # to keep the bound
        self.damaged_files = 0
        self._directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = max(1, min(_MAX_SEGMENT, max_bytes // _SEGMENTS))
        directory.mkdir(parents=True, exist_ok=True)
        self._segments = deque(
            _Segment(int(path.stem), path, path.stat().st_size)
            for path in sorted(directory.glob("*.seg"), key=lambda p: p.stem.zfill(20))
            if path.stem.isdecimal()
        )
        self._offset, self.done = self._load_cursor()
        self._front: tuple[QueueBlock, int] | None = None  # the next block, and where the one after it begins
        self._writing: BinaryIO | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(s.size for s in self._segments)

    @property
    def oldest(self) -> int:
        """When the oldest block was made (ms), 0 while it has not been read; reads nothing itself."""
        return self._front[0].created if self._front is not None else 0

    def append(self, block: QueueBlock) -> None:
        """Write one block at the end; the oldest file is dropped when there is no room."""
        record = encode_record(block)
        while self._segments and self.nbytes + len(record) > self._max_bytes:
            self._drop_oldest("the buffer is full")
        if self._writing is None or self._segments[-1].size >= self._segment_bytes:
            self._begin_segment()
        assert self._writing is not None
        self._writing.write(record)
        self._writing.flush()
        self._segments[-1].size += len(record)

    def peek(self) -> QueueBlock | None:
        """The oldest block, None when there is none."""
        while self._front is None and self._segments:
            segment = self._segments[0]
            if self._offset >= segment.size:
                self._remove_oldest()
                continue
            try:
                self._front = self._read(segment, self._offset)
            except TornRecordError as e:
                log.error(
                    "a buffer file is damaged, the rest of it is skipped: file=%s offset=%d err=%s",
                    segment.path,
                    self._offset,
                    e,
                )
                self.damaged_files += 1
                self._remove_oldest()
        return self._front[0] if self._front is not None else None

    def pop(self) -> None:
        """Remove the oldest block. Call `peek` before."""
        if self._front is None:
            return
        self._offset = self._front[1]
        self._front, self.done = None, ()
        if self._offset >= self._segments[0].size:
            self._remove_oldest()
        else:
            self._save_cursor()

    def note(self, done: tuple[int, ...]) -> None:
        """Record how many requests of each lane of the oldest block are done. Call `peek` before."""
        if self._front is not None:
            self.done = done
            self._save_cursor()

    def close(self) -> None:
        """Close the file being written."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def _read(self, segment: _Segment, offset: int) -> tuple[QueueBlock, int]:
        with segment.path.open("rb") as file:
            if offset == 0:
                if file.read(len(FILE_MAGIC)) != FILE_MAGIC:
                    raise TornRecordError("not a buffer file of this version")
                offset = len(FILE_MAGIC)
                if offset >= segment.size:
                    raise TornRecordError("the file is empty")
            file.seek(offset)
            head = file.read(RECORD_HEAD)
            size = record_size(head)
            if offset + size > segment.size:
                raise TornRecordError("the last record was not written whole")
            return decode_record(head + file.read(size - RECORD_HEAD)), offset + size

    def _begin_segment(self) -> None:
        self.close()
        number = self._segments[-1].number + 1 if self._segments else 1
        path = self._directory / f"{number:08d}.seg"
        self._writing = path.open("wb")
        self._writing.write(FILE_MAGIC)
        self._segments.append(_Segment(number, path, len(FILE_MAGIC)))

    def _remove_oldest(self) -> None:
        segment = self._segments.popleft()
        self._offset, self._front, self.done = 0, None, ()
        if not self._segments:
            self.close()
            (self._directory / "cursor").unlink(missing_ok=True)
        segment.path.unlink(missing_ok=True)

    def _drop_oldest(self, reason: str) -> None:
        samples = 0
        segment, offset = self._segments[0], self._offset
        while offset < segment.size:
            try:
                block, offset = self._read(segment, offset)
            except TornRecordError:
                break
            samples += block.samples
        log.error("samples are lost: reason=%s file=%s samples=%d", reason, segment.path, samples)
        self.dropped_samples += samples
        self._remove_oldest()

    def _save_cursor(self) -> None:
        content = _CURSOR.pack(self._segments[0].number, self._offset) + b"".join(map(_DONE.pack, self.done))
        (self._directory / "cursor").write_bytes(zlib.crc32(content).to_bytes(4, "little") + content)

    def _load_cursor(self) -> tuple[int, tuple[int, ...]]:
        """Where in the oldest file reading continues, and the requests that are done; (0, ()) when unknown."""
        try:
            saved = (self._directory / "cursor").read_bytes()
        except OSError:
            return 0, ()
        check, content = saved[:4], saved[4:]
        rest = len(content) - _CURSOR.size
        if rest < 0 or rest % _DONE.size or zlib.crc32(content).to_bytes(4, "little") != check:
            return 0, ()
        number, offset = _CURSOR.unpack_from(content)
        if not self._segments or self._segments[0].number != number:
            return 0, ()
        return offset, tuple(n for (n,) in _DONE.iter_unpack(content[_CURSOR.size :]))
