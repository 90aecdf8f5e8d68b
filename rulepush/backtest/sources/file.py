"""Samples from a file, as events in the order of time.

A dump has one series after the other, so nothing can be replayed before all is read: what is needed of it is sorted in
pieces, which wait on disk when there is more than one, and are merged when the events are asked for. Memory holds one
piece, and the labels.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, cast

import numpy as np

from rulepush.backtest.sources.columns import BlockMaker, SeriesNumbers
from rulepush.backtest.sources.dump import Columns, DumpReader
from rulepush.backtest.sources.selectors import NeededSeries
from rulepush.errors import SampleSourceError
from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.sample import STALE
from rulepush.recorded.events import RecordedBlock

STANDARD_INPUT: Final = "-"
_GZIP: Final = b"\x1f\x8b"
SAMPLES_AT_ONCE: Final = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Samples in the order of their times; arrays in memory, or on disk."""

    numbers: Ints
    times: Ints
    values: Floats


class FileSource:
    """An event source for a replay. Close it, or use it in a with block.

    `problems` is what the file lacks, or does not tell.
    """

    def __init__(
        self,
        file: str,
        needed: NeededSeries,
        *,
        directory: str | None = None,
        at_once: int = SAMPLES_AT_ONCE,
        standard_input: BinaryIO | None = None,
    ):
        """Reads the file, or standard input for `-`; gzip is recognised. More than `at_once` samples wait in
        `directory`, None for the system's. Raises SampleSourceError."""
        self._series = SeriesNumbers(needed.by_rule)
        self._blocks = BlockMaker(self._series)
        self._name = "standard input" if file == STANDARD_INPUT else file
        self._pieces: list[_Piece] = []
        self._directory = directory
        self._at_once = at_once
        self._standard_input = standard_input or sys.stdin.buffer
        self._opened = ExitStack()
        self._spilled: BinaryIO | None = None
        reader = DumpReader(self._name, self._series, needed, at_once)
        try:
            self._read(file, reader)
        except OSError as e:
            self.close()
            raise SampleSourceError(f"{e.filename or self._name}: {e.strerror or e}") from None
        except BaseException:
            self.close()
            raise
        self._markers = self._of_markers(reader.numeric)
        self.problems: tuple[str, ...] = tuple(reader.problems)

    def bounds(self) -> tuple[int, int] | None:
        """The times (ms) of the first and the last sample that is needed; None when there is none."""
        if not self._pieces:
            return None
        return int(min(p.times[0] for p in self._pieces)), int(max(p.times[-1] for p in self._pieces))

    def events(self, start: int, end: int) -> Iterator[RecordedBlock]:
        """The samples with start <= time <= end (ms), all of one time as one block."""
        at = [int(np.searchsorted(p.times, start)) for p in self._pieces]
        ends = [int(np.searchsorted(p.times, end, "right")) for p in self._pieces]
        while any(a < e for a, e in zip(at, ends, strict=True)):
            until = self._until(at, ends)
            parts = []
            for i, piece in enumerate(self._pieces):
                upto = min(ends[i], int(np.searchsorted(piece.times, until, "right")))
                if upto > at[i]:
                    part = slice(at[i], upto)
                    parts.append((piece.numbers[part], piece.times[part], piece.values[part]))
                    at[i] = upto
            numbers, times, values = (np.concatenate(column) for column in zip(*parts, strict=True))
            values = np.where(np.isnan(values) & self._markers[numbers], STALE, values)
            yield from self._blocks.of_columns(numbers, times, values)

    def close(self) -> None:
        """Remove what is on disk."""
        self._pieces = []
        self._opened.close()

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _until(self, at: list[int], ends: list[int]) -> int:
        """Up to which time no more is there than fits into memory, of all pieces together."""
        left = [i for i, (a, e) in enumerate(zip(at, ends, strict=True)) if a < e]
        share = max(1, self._at_once // len(left))
        return min(int(self._pieces[i].times[min(at[i] + share, ends[i]) - 1]) for i in left)

    def _of_markers(self, numeric: set[int]) -> Bools:
        """bool[numbers]: whether the NaNs of a series are stale markers."""
        found = np.ones(len(self._series.labels), np.bool_)
        found[list(numeric)] = False
        return found

    # --- reading

    def _read(self, file: str, reader: DumpReader) -> None:
        if file == STANDARD_INPUT:
            self._read_stream(self._standard_input, reader)
            return
        path = Path(file)
        if path.is_dir():
            raise SampleSourceError(f"{file} is a directory: dump its samples with `promtool tsdb dump {file} > FILE`")
        with path.open("rb") as stream:
            self._read_stream(stream, reader)

    def _read_stream(self, stream: BinaryIO, reader: DumpReader) -> None:
        head = stream.peek(2) if hasattr(stream, "peek") else b""
        lines = cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if head[:2] == _GZIP else stream
        waiting: Columns | None = None
        try:
            for chunk in reader.read(lines):
                if waiting is not None:
                    self._pieces.append(self._spill(_sorted(waiting)))
                waiting = chunk
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            raise SampleSourceError(f"{self._name} is damaged, or cut off: {e}") from None
        if waiting is not None:
            last = _sorted(waiting)
            self._pieces.append(self._spill(last) if self._pieces else last)

    def _spill(self, piece: _Piece) -> _Piece:
        """The same piece on disk, in a file that has no name and goes with the process."""
        if self._spilled is None:
            opened = tempfile.TemporaryFile(prefix="rulepush-", dir=self._directory)  # noqa: SIM115
            self._spilled = cast(BinaryIO, self._opened.enter_context(opened))
        file = self._spilled
        columns: list[Any] = []
        try:
            for column in (piece.numbers, piece.times, piece.values):
                offset = file.seek(0, 2)
                file.write(column.tobytes())
                file.flush()
                columns.append(np.memmap(file, column.dtype, "r", offset, column.shape))
        except OSError as e:
            where = self._directory or tempfile.gettempdir()
            raise SampleSourceError(
                f"{where}: {e.strerror}: the samples do not fit; set TMPDIR to a place with more room"
            ) from None
        return _Piece(columns[0], columns[1], columns[2])


def _sorted(columns: Columns) -> _Piece:
    numbers, times, values = columns
    order = np.argsort(times, kind="stable")
    return _Piece(numbers[order], times[order], values[order])
