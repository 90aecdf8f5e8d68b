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

    def expire(self, now: int, retention_ms: int) -> None:
        """Remove those in which all is older, at `now` (ms), than the retention, but not the last one."""
        for segment, ended in list(zip(self.segments, self._ends(now), strict=True))[:-1]:
            if ended < now - retention_ms:
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

    def _ends(self, now: int) -> list[int]:
        """When each ended, at the latest: when a later one was begun. Where that has an earlier time, either the clock
        had been set back, and it says nothing, or it was ahead before, as of a segment begun after `now`."""
        ends: list[int] = []
        for i, segment in enumerate(self.segments):
            # A damaged one may have been begun with the part of it that is good.
            later = [s.begun for s in self.segments[i + 1 :] if not s.damaged]
            if segment.begun > now:
                ends.append(min(later, default=now))
            else:
                ends.append(next((at for at in later if at >= segment.begun), now))
        return ends
