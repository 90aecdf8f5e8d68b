"""Shelf: the files of a recording, their sizes, and which go first."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from rulepush.recorded.records import list_segments

log = logging.getLogger("rulepush.recorded")


@dataclass(slots=True)
class ShelfSegment:
    """One file. `begun` is wall time in ms, `size` in bytes."""

    path: Path
    number: int
    begun: int
    damaged: bool
    size: int


class Shelf:
    """The segments in `directory`, the oldest first; the last one may be being written. Raises OSError."""

    def __init__(self, directory: Path):
        self._directory = directory
        self.segments: list[ShelfSegment] = []

    def load(self) -> None:
        """Look at the directory. Files that were not finished are removed."""
        for path in self._directory.glob("*.part"):
            path.unlink(missing_ok=True)
        self.segments = [
            ShelfSegment(f.path, f.number, f.begun, f.damaged, f.path.stat().st_size)
            for f in list_segments(self._directory)
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        return sum(s.size for s in self.segments)

    @property
    def oldest(self) -> int | None:
        """When the oldest was begun (ms); None when there is none."""
        return min((s.begun for s in self.segments if not s.damaged), default=None)

    @property
    def next_number(self) -> int:
        """The number of a new segment."""
        return max((s.number for s in self.segments), default=0) + 1

    def add(self, path: Path, begun: int) -> None:
        """A new segment, which is empty."""
        self.segments.append(ShelfSegment(path, self.next_number, begun, False, 0))

    def remove(self, segment: ShelfSegment) -> None:
        """Remove one. A reader that has it open goes on."""
        segment.path.unlink(missing_ok=True)
        self.segments.remove(segment)

    def expire(self, before: int) -> None:
        """Remove those in which all is older than `before` (ms), but not the last one."""
        for segment, ended in list(zip(self.segments, self._ends(), strict=True))[:-1]:
            if ended < before:
                self.remove(segment)

    def make_room(self, limit: int) -> None:
        """Remove the oldest until all together have at most `limit` bytes, but not the last one."""
        while len(self.segments) > 1 and self.nbytes > limit:
            self.remove(self.segments[0])

    def set_aside(self, segment: ShelfSegment, good: int) -> None:
        """Rename one that is damaged; its first `good` bytes stay under its name."""
        path = segment.path
        aside = path.with_suffix(".damaged")
        part = path.with_suffix(".part")
        if good:
            try:
                with path.open("rb") as source, part.open("wb") as copy:
                    copy.write(source.read(good))
            except OSError as e:
                log.error("what is good of a damaged segment cannot be kept: file=%s err=%s", path, e)
                part.unlink(missing_ok=True)
                good = 0
        path.rename(aside)
        at = self.segments.index(segment)
        if good:
            part.rename(path)
            self.segments.insert(at, ShelfSegment(path, segment.number, segment.begun, False, good))
        segment.path, segment.damaged = aside, True

    def _ends(self) -> list[int]:
        """When each ended, at the latest: a later one was begun then. The clock may have been set back meanwhile."""
        ends: list[int] = []
        end = 1 << 62
        for segment in reversed(self.segments):
            ends.append(end)
            if not segment.damaged:  # else it may be what was good of the one before
                end = min(end, segment.begun)
        return ends[::-1]
