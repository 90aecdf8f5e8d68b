"""Recording: what was recorded, read back. It may be read while another process writes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from rulepush.errors import TOO_MANY_SAMPLES, QueryLimitError
from rulepush.histogram.boxes import Boxes
from rulepush.model.arrays import Floats, Ints
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher
from rulepush.model.timestamps import UNKNOWN_TIME
from rulepush.recorded.decode import FAULTS, Layout, RawBlock, SegmentDecoder, SeriesFilter
from rulepush.recorded.events import RecordedEvent
from rulepush.recorded.records import (
    MAGIC,
    DamagedRecordError,
    RecordHead,
    SegmentFile,
    SegmentReader,
    TimeSpan,
    list_segments,
)
from rulepush.recorded.runs import MOST_AT_ONCE, WantedSamples, wanted_samples

log = logging.getLogger("rulepush.recorded")

T = TypeVar("T")
_Number = TypeVar("_Number", bound=np.generic)
_Numbers = npt.NDArray[np.int32]

Damaged = Callable[[Path, int, str], object]
TimeRun = tuple[int, int]
"""From, to: in ms, both inclusive."""

_SAMPLE_BYTES: Final = 16  # so many bytes of a histogram count as a sample, as Prometheus counts them
_FLUSHES_MS: Final = 10_000  # the service writes every 5 s


def _unchecked() -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class RecordedSamples:
    """n series and their samples, one series after the other.

    `labels`  n label sets, all different, in the order in which they were first seen
    `counts`  int64[n], how many samples each has; none is 0
    `times`   int64[sum of counts], ms, ascending within a series, each time once
    `values`  float64, as `times`; may hold stale markers
    `boxes`   the native histograms among the values; None without any
    """

    labels: tuple[Labels, ...]
    counts: Ints
    times: Ints
    values: Floats
    boxes: Boxes | None = None

    def __iter__(self) -> Iterator[tuple[Labels, Ints, Floats]]:
        """(labels, times, values) of each series."""
        end = 0
        for labels, count in zip(self.labels, self.counts.tolist(), strict=True):
            begin, end = end, end + count
            yield labels, self.times[begin:end], self.values[begin:end]


@dataclass(frozen=True, slots=True)
class _Outline:
    """What a segment spans, as far as it had been written when its file had `size` bytes; None without a record.
    `runs` are the times in which events came, without a gap longer than _FLUSHES_MS."""

    size: int
    span: TimeSpan | None
    runs: tuple[TimeRun, ...]


class Recording:
    """The segments in `directory`. Each call sees what is there when it is made, and reads one segment at a time: what
    is written is bounded by the writer, so memory is, too. A directory that is not there holds nothing.

    Raises OSError when a file cannot be read. A segment that is damaged is read up to the damage.
    """

    def __init__(self, directory: Path, damaged: Damaged | None = None):
        """`damaged` is called with a segment's file, how many of its bytes are good, and what is wrong."""
        self.directory = directory
        self._damaged = damaged
        self._outlines: dict[Path, _Outline] = {}
        self._problems: dict[Path, str] = {}
        self._good: dict[Path, int] = {}  # bytes of damaged segments

    @property
    def problems(self) -> tuple[str, ...]:
        """What was found damaged so far, one text a file."""
        return tuple(self._problems.values())

    def bounds(self) -> tuple[int, int] | None:
        """When the first and the last event came (ms); None when there is none."""
        spans = [span for _, span in self._segments()]
        return (min(s.first_at for s in spans), max(s.last_at for s in spans)) if spans else None

    def spans(self, bridged_ms: int) -> list[TimeRun]:
        """When events came: (from, to) in ms, ascending. What is not longer than `bridged_ms` between two is no gap.
        What was found damaged, by a reading before or by the writer, is one however short it is; where nothing
        readable comes after it, the last run is (UNKNOWN_TIME, UNKNOWN_TIME)."""
        found: list[TimeRun] = []
        is_broken = False
        aside = {file.number for file in self._files() if file.damaged}
        for segment, _ in self._segments():
            is_broken = is_broken or any(number < segment.number for number in aside)
            aside = {number for number in aside if number >= segment.number}
            runs = list(self._runs(segment))
            if is_broken and found and runs:
                end = found[-1][1]
                first, last = runs.pop(0)
                found.append((max(first, end), max(last, end)))
            _add_runs(found, runs, bridged_ms)
            is_broken = segment.path in self._good or (is_broken and not self._runs(segment))
        if found and (is_broken or aside):
            found.append((UNKNOWN_TIME, UNKNOWN_TIME))
        return found

    def events(self, start: int, end: int) -> Iterator[RecordedEvent]:
        """What happened from `start` to `end` (ms, inclusive), in the order in which it was recorded. The blocks of a
        source whose series stay the same have the same tuple of series, within a segment."""
        for segment, span in self._segments():
            if span.first_at <= end and span.last_at >= start:
                heads = self._heads(segment)
                count = max((i for i, h in enumerate(heads, 1) if h.span.first_at <= end), default=0)
                decoder = SegmentDecoder()
                for event in self._read(segment, heads[:count], decoder.events):
                    if start <= event.at <= end:
                        yield event

    def select(
        self,
        matchers: Sequence[Matcher],
        mint: int,
        maxt: int,
        max_samples: int | None = None,
        check: Callable[[], object] = _unchecked,
    ) -> RecordedSamples:
        """The series that satisfy all matchers, with their samples from `mint` to `maxt` (ms, inclusive). Of two
        samples of a series with the same time, the first recorded counts. Raises QueryLimitError when there are more
        than `max_samples`. `check` is called every few milliseconds; what it raises ends the query."""
        found = _Samples(mint, maxt, max_samples)
        wanted = SeriesFilter(matchers)
        for segment, heads in self._sampled(mint, maxt):
            wanted.begin_segment()
            decoder = SegmentDecoder(wanted)
            for _ in self._read(segment, heads, decoder.outlines, check):
                pass
            streams = {number for number, stream in enumerate(decoder.streams) if stream.wanted.any()}
            if not streams:
                continue
            decoder = SegmentDecoder(wanted, streams)
            waiting: dict[int, list[RawBlock]] = {}
            for block in self._read(segment, heads, decoder.blocks, check):
                of_stream = waiting.setdefault(id(block.layout.stream), [])
                of_stream.append(block)
                if len(of_stream) == MOST_AT_ONCE:
                    self._add(segment, of_stream, found)
                    of_stream.clear()
            for of_stream in waiting.values():
                check()
                self._add(segment, of_stream, found)
            found.end_segment()
        return found.result()

    def series(
        self, matchers: Sequence[Matcher], mint: int, maxt: int, check: Callable[[], object] = _unchecked
    ) -> list[Labels]:
        """The series that satisfy all matchers and have a sample, or its end, from `mint` to `maxt` (ms, inclusive).
        `check` as in `select`."""
        found: dict[Labels, None] = {}
        wanted = SeriesFilter(matchers)
        for segment, heads in self._sampled(mint, maxt):
            wanted.begin_segment()
            decoder = SegmentDecoder(wanted)
            seen: dict[int, Layout] = {}
            for block in self._read(segment, heads, decoder.outlines, check):
                layout = block.layout
                if mint <= block.time <= maxt and id(layout) not in seen:
                    seen[id(layout)] = layout
                    names = layout.stream.labels
                    found.update((names[i], None) for i in layout.ids[layout.wanted].tolist())
        return list(found)

    # --- files

    def _sampled(self, mint: int, maxt: int) -> Iterator[tuple[SegmentFile, Sequence[RecordHead]]]:
        for segment, span in self._segments():
            if span.earliest <= maxt and span.latest >= mint:
                heads = self._heads(segment)
                inside = (i for i, h in enumerate(heads, 1) if h.span.earliest <= maxt and h.span.latest >= mint)
                yield segment, heads[: max(inside, default=0)]

    def _files(self) -> Sequence[SegmentFile]:
        try:
            return list_segments(self.directory)
        except FileNotFoundError:
            return ()

    def _segments(self) -> Iterator[tuple[SegmentFile, TimeSpan]]:
        """Those with at least one record, the oldest first."""
        files = [f for f in self._files() if not f.damaged]
        for gone in {*list(self._outlines)} - {f.path for f in files}:  # a copy: other threads read, too
            self._outlines.pop(gone, None)
            self._good.pop(gone, None)
        for file in files:
            span = self._span(file)
            if span is not None:
                yield file, span

    def _span(self, segment: SegmentFile) -> TimeSpan | None:
        try:
            size = segment.path.stat().st_size
        except FileNotFoundError:  # removed meanwhile
            return None
        known = self._outlines.get(segment.path)
        if known is None or known.size != size:
            spans = [head.span for head in self._heads(segment)]
            made = None
            if spans:
                first_ats, last_ats, earliest, latest = zip(*spans, strict=True)
                made = TimeSpan(min(first_ats), max(last_ats), min(earliest), max(latest))
            known = self._outlines[segment.path] = _Outline(size, made, _runs_of(spans))
        return known.span

    def _runs(self, segment: SegmentFile) -> Sequence[TimeRun]:
        good = self._good.get(segment.path)
        if good is not None:
            return _runs_of(head.span for head in self._heads(segment) if head.offset < good)
        known = self._outlines.get(segment.path)
        return () if known is None else known.runs

    def _heads(self, segment: SegmentFile) -> Sequence[RecordHead]:
        heads: list[RecordHead] = []
        try:
            with segment.path.open("rb") as file:
                reader = SegmentReader(file)
                for head in reader.heads():
                    heads.append(head)  # noqa: PERF402 - those before the damage stay
                if reader.torn:
                    log.debug("a segment's last record is not whole: file=%s", segment.path)
        except FileNotFoundError:  # removed meanwhile
            pass
        except DamagedRecordError as e:
            self._note(segment, e.offset, str(e))
        return heads

    def _read(
        self,
        segment: SegmentFile,
        heads: Sequence[RecordHead],
        decode: Callable[[bytes], Iterator[T]],
        check: Callable[[], object] = _unchecked,
    ) -> Iterator[T]:
        good = len(MAGIC)
        try:
            with segment.path.open("rb") as file:
                reader = SegmentReader(file)
                for head in heads:
                    check()
                    yield from _decoded(decode(reader.payload(head)), good)
                    good = head.offset + head.size
        except FileNotFoundError:  # removed meanwhile
            pass
        except DamagedRecordError as e:
            self._note(segment, e.offset, str(e))

    def _add(self, segment: SegmentFile, blocks: Sequence[RawBlock], found: _Samples) -> None:
        try:
            for samples in wanted_samples(blocks):
                if len(samples.layout.wanted):
                    found.add(samples)
        except FAULTS as e:
            log.error("a segment cannot be decoded: file=%s err=%r", segment.path, e)
            self._good[segment.path] = 0
            self._problems.setdefault(segment.path, f"{segment.path}: cannot be decoded: {e!r}")

    def _note(self, segment: SegmentFile, good: int, reason: str) -> None:
        self._good[segment.path] = min(good, self._good.get(segment.path, good))
        if segment.path not in self._problems:
            self._problems[segment.path] = f"{segment.path}: {reason}; what comes after it is not read"
            if self._damaged is not None:
                self._damaged(segment.path, good, reason)


def _runs_of(spans: Iterable[TimeSpan]) -> tuple[TimeRun, ...]:
    found: list[TimeRun] = []
    _add_runs(found, ((span.first_at, span.last_at) for span in spans), _FLUSHES_MS)
    return tuple(found)


def _add_runs(found: list[TimeRun], runs: Iterable[TimeRun], bridged_ms: int) -> None:
    """Add further runs at the end; one that begins at most `bridged_ms` after the last one makes it longer."""
    for first, last in runs:
        if found and first - found[-1][1] <= bridged_ms:
            found[-1] = (min(found[-1][0], first), max(found[-1][1], last))
        else:
            found.append((first, last))


def _decoded(items: Iterator[T], good: int) -> Iterator[T]:
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except FAULTS as e:
            raise DamagedRecordError(good, f"a record cannot be read: {e!r}") from e
        yield item


class _Samples:
    """Collects samples of blocks."""

    def __init__(self, mint: int, maxt: int, max_samples: int | None):
        self._mint, self._maxt = mint, maxt
        self._left = max_samples
        self._numbers: dict[Labels, int] = {}
        self._of_layout: dict[int, tuple[Layout, _Numbers]] = {}
        self._rows: list[_Numbers] = []
        self._times: list[Ints] = []
        self._values: list[Floats] = []
        self._orders: list[_Numbers] = []  # the place of each one's block among all of them
        self._blocks = self._blocks_before = 0
        self._boxes = Boxes()

    def add(self, samples: WantedSamples) -> None:
        """Take those that are in the time. Raises QueryLimitError."""
        shape = samples.values.shape
        times = samples.times if samples.times.ndim == 2 else np.broadcast_to(samples.times[:, None], shape)
        inside = (times >= self._mint) & (times <= self._maxt)
        count = int(inside.sum())
        if self._left is not None:
            self._left -= count if samples.boxes is None else count + samples.boxes.nbytes // _SAMPLE_BYTES
            if self._left < 0:
                raise QueryLimitError(TOO_MANY_SAMPLES)
        if count:
            self._rows.append(np.broadcast_to(self._rows_of(samples.layout), shape)[inside])
            self._times.append(times[inside])
            values = samples.values[inside]
            self._values.append(values if samples.boxes is None else self._boxes.adopted(values, samples.boxes))
            orders = (samples.orders + self._blocks_before).astype(np.int32)
            self._orders.append(np.broadcast_to(orders[:, None], shape)[inside])
            self._blocks = max(self._blocks, int(orders[-1]))

    def _rows_of(self, layout: Layout) -> _Numbers:
        known = self._of_layout.get(id(layout))
        if known is None:
            numbers, labels = self._numbers, layout.stream.labels
            of = [numbers.setdefault(labels[i], len(numbers)) for i in layout.ids[layout.wanted].tolist()]
            known = self._of_layout[id(layout)] = layout, np.array(of, np.int32)
        return known[1]

    def end_segment(self) -> None:
        """Forget the layouts of a segment: there will be others."""
        self._of_layout.clear()
        self._blocks_before = self._blocks

    def result(self) -> RecordedSamples:
        """All of them, sorted."""
        if not self._rows:
            return _NO_SAMPLES
        # There may be millions: no array is kept longer than it is needed.
        rows, times, orders = _joined(self._rows), _joined(self._times), _joined(self._orders)
        order = np.lexsort((orders, times, rows))
        del orders
        rows, times = rows[order], times[order]
        values = _joined(self._values)[order]
        del order
        again = (rows[1:] == rows[:-1]) & (times[1:] == times[:-1])
        if again.any():  # the first recorded counts
            first = np.concatenate(([True], ~again))
            rows, times, values = rows[first], times[first], values[first]
        counts = np.bincount(rows, minlength=len(self._numbers)).astype(np.int64)
        labels = tuple(label for label, n in zip(self._numbers, counts.tolist(), strict=True) if n)
        return RecordedSamples(labels, counts[counts > 0], times, values, self._boxes or None)


def _joined(parts: list[npt.NDArray[_Number]]) -> npt.NDArray[_Number]:
    joined = np.concatenate(parts)
    parts.clear()
    return joined


_NO_SAMPLES: Final = RecordedSamples((), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
