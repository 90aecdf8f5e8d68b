"""What the journal has not written yet, and how it is written. Pure: no file, no clock.

A batch is one blob of three columns, compressed: series numbers (uint32, as differences), times (int64, ms, each with
the index from which on it holds) and values (float64, first all first bytes, then all second ones, ...).
Samples are grouped by how long they are needed, so that one metric with a look-back of a day does not keep all others
on disk for a day. Values that are native histograms are boxes, and the histograms follow after all values.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from json.encoder import encode_basestring as _quoted
from typing import Final

import numpy as np

from rulepush.histogram.boxes import Boxes
from rulepush.model.arrays import Floats
from rulepush.model.labels import Labels
from rulepush.storage.demand import Retention
from rulepush.storage.table import MARGIN_MS, Int64s, Rows, Table

FOREVER: Final = 1 << 62
_MIN_MS: Final = 300_000
_LEVEL: Final = 1

Chunk = tuple[Int64s, int, Floats]  # numbers[n] of the series, one time, values[n]


def shelf_life(keep: Retention) -> int:
    """How long, in ms, samples with this look-back stay on disk: 5 minutes times a power of two."""
    needed, life = keep.lookback_ms + MARGIN_MS, _MIN_MS
    while life < needed:
        life *= 2
    return life


@dataclass(frozen=True, slots=True)
class BatchColumns:
    """n samples, in any order. `boxes` has those that are native histograms."""

    ids: Int64s
    times: Int64s
    values: Floats
    boxes: Boxes | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self) -> bytes:
        """As a blob: what repeats is taken out before it is compressed, which is quicker than to have zlib find it."""
        turns = np.flatnonzero(np.diff(self.times, prepend=self.times[:1] - 1))  # where another time begins
        values, histograms = self.values, b""
        if self.boxes:
            own = Boxes()
            values = own.adopted(values, self.boxes)
            histograms = _encoded(own) if own else b""
        parts = (
            np.array([len(self), len(turns)], "<u4"),
            turns.astype("<u4"),
            self.times[turns].astype("<i8"),
            np.diff(self.ids.astype("<u4"), prepend=np.zeros(1, "<u4")),
            values.astype("<f8").view("u1").reshape(-1, 8).T,  # byte by byte: the first ones are nearly alike
        )
        return zlib.compress(b"".join(part.tobytes() for part in parts) + histograms, _LEVEL)

    @classmethod
    def decode(cls, blob: bytes) -> BatchColumns:
        """The inverse. Raises ValueError for what is not such a blob."""
        try:
            raw = zlib.decompress(blob)
        except zlib.error as e:
            raise ValueError(f"not a batch of samples: {e}") from None
        n, k = np.frombuffer(raw, "<u4", 2).tolist() if len(raw) >= 8 else (0, 0)
        end = 8 + 12 * k + 12 * n
        if len(raw) < end:
            raise ValueError(f"not a batch of samples: {len(raw)} bytes")
        boxes = _decoded(raw[end:]) if len(raw) > end else None
        turns = np.frombuffer(raw, "<u4", k, 8).astype(np.int64)
        times = np.frombuffer(raw, "<i8", k, 8 + 4 * k).astype(np.int64)
        gaps = np.frombuffer(raw, "<u4", n, 8 + 12 * k)
        values = np.frombuffer(raw, "u1", 8 * n, 8 + 12 * k + 4 * n).reshape(8, n).T.copy().view("<f8")[:, 0]
        lasting = np.diff(turns, append=n)
        if (lasting < 0).any() or lasting.sum() != n:
            raise ValueError("not a batch of samples: times out of order")
        ids = np.cumsum(gaps, dtype=np.uint32).astype(np.int64)
        return cls(ids, np.repeat(times, lasting), values.astype(np.float64), boxes)

    @classmethod
    def concat(cls, parts: Iterable[BatchColumns]) -> BatchColumns:
        """All of them in one."""
        found = list(parts)
        if len(found) == 1:
            return found[0]
        found.append(_NOTHING)
        boxes = Boxes() if any(p.boxes for p in found) else None
        values = [p.values if boxes is None or p.boxes is None else boxes.adopted(p.values, p.boxes) for p in found]
        return cls(
            np.concatenate([p.ids for p in found]),
            np.concatenate([p.times for p in found]),
            np.concatenate(values),
            boxes,
        )


_NOTHING: Final = BatchColumns(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes into one transaction: new series, and samples by the time until which they are needed."""

    series: dict[int, Labels] = field(default_factory=dict)
    samples: tuple[tuple[int, BatchColumns], ...] = ()

    @property
    def size(self) -> int:
        """Samples in it."""
        return sum(len(columns) for _, columns in self.samples)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.series and not self.samples


def _encoded(boxes: Boxes) -> bytes:
    from rulepush.histogram.compact import encode_histograms  # only where there are histograms

    return encode_histograms(boxes)


def _decoded(raw: bytes) -> Boxes:
    """Raises ValueError."""
    from rulepush.histogram.compact import decode_histograms
    from rulepush.histogram.errors import InvalidHistogram

    try:
        return Boxes(decode_histograms(raw))
    except InvalidHistogram as e:
        raise ValueError(f"not a batch of samples: {e}") from None


class Pending:
    """A `head.Recorder` that collects until `take`."""

    def __init__(self, came: Callable[[], object] = lambda: None):
        """`came` is called with the first series, and with the first sample, since a `take`."""
        self._came = came
        self._series: dict[int, Labels] = {}
        self._chunks: dict[int, list[Chunk]] = {}
        self._single: dict[int, tuple[list[int], list[int], list[float]]] = {}
        self._windowed: list[BatchColumns] = []
        self._life: dict[Retention, int] = {}
        self._boxes = Boxes()
        self.size = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing came since the last `take`."""
        return not self._series and not self.size

    def created(self, series_id: int, labels: Labels) -> None:
        """See `head.Recorder`."""
        if not self._series:
            self._came()
        self._series[series_id] = labels

    def wrote(self, table: Table, rows: Rows, ts: int, values: Floats) -> None:
        """See `head.Recorder`."""
        if not self.size:
            self._came()
        keep = table.keep
        life = self._life.get(keep) or self._life.setdefault(keep, shelf_life(keep))
        ids = table.ids(rows)
        if table.boxes is not None:
            values = self._boxes.adopted(values, table.boxes)
        self._chunks.setdefault(life, []).append((ids, ts, values))
        self.size += len(values)
        if keep.windows and _fixed(keep, ts):
            self._windowed.append(BatchColumns(ids, np.full(len(ids), ts), values, self._boxes))

    def wrote_one(self, table: Table, row: int, ts: int, value: float) -> None:
        """See `head.Recorder`."""
        keep = table.keep
        if keep.windows:
            self.wrote(table, np.array([row]), ts, np.array([value]))
            return
        if not self.size:
            self._came()
        life = self._life.get(keep) or self._life.setdefault(keep, shelf_life(keep))
        ids, times, values = self._single.setdefault(life, ([], [], []))
        ids.append(int(table.ids(slice(row, row + 1))[0]))
        times.append(ts)
        histogram = None if table.boxes is None else table.boxes.unbox(value)
        values.append(value if histogram is None else self._boxes.box(histogram))
        self.size += 1

    def take(self, now: int) -> Batch:
        """All that was collected since the last call. A sample with a future timestamp is not kept longer for it."""
        samples = []
        for life in sorted({*self._chunks, *self._single}):
            columns = BatchColumns.concat((*self._of_chunks(life), *self._of_singles(life)))
            samples.append((min(now, int(columns.times.max())) + life, columns))
        if self._windowed:
            samples.append((FOREVER, BatchColumns.concat(self._windowed)))
        batch = Batch(self._series, tuple(samples))
        self._series, self._chunks, self._single, self._windowed, self.size = {}, {}, {}, [], 0
        self._boxes = Boxes()
        return batch

    def _of_chunks(self, life: int) -> Iterable[BatchColumns]:
        chunks = self._chunks.get(life)
        if chunks:
            ids = np.concatenate([ids for ids, _, _ in chunks])
            values = np.concatenate([values for _, _, values in chunks])
            first = chunks[0][1]
            if all(ts == first for _, ts, _ in chunks):
                yield BatchColumns(ids, np.full(len(ids), first), values, self._boxes)
            else:
                times = np.repeat([ts for _, ts, _ in chunks], [len(ids) for ids, _, _ in chunks])
                yield BatchColumns(ids, times, values, self._boxes)

    def _of_singles(self, life: int) -> Iterable[BatchColumns]:
        single = self._single.get(life)
        if single:
            yield BatchColumns(np.array(single[0]), np.array(single[1]), np.array(single[2]), self._boxes)


def _fixed(keep: Retention, ts: int) -> bool:
    return any(start <= ts <= end for start, end in keep.windows)


def snapshot(tables: Iterable[Table], now: int) -> Batch:
    """Everything that the tables hold, for a new file."""
    series: dict[int, Labels] = {}
    by_life: dict[int, list[BatchColumns]] = {}
    for table in tables:
        n = len(table)
        times, values, counts = table.columns()
        if not n:
            continue
        ids = table.ids(slice(0, n))
        series.update(zip(ids.tolist(), table.labels, strict=True))
        there = np.arange(times.shape[1]) < counts[:, None]
        life = FOREVER if table.keep.windows else shelf_life(table.keep)
        columns = BatchColumns(np.repeat(ids, counts), times[there], values[there], table.boxes)
        by_life.setdefault(life, []).append(columns)
    samples = []
    for life, parts in sorted(by_life.items()):
        columns = BatchColumns.concat(parts)
        if len(columns):
            samples.append((min(FOREVER, min(now, int(columns.times.max())) + life), columns))
    return Batch(series, tuple(samples))


def encode_labels(labels: Labels) -> str:
    """A label set as JSON. Spelled out: `json.dumps` makes an encoder for each call, and there are many at a start."""
    return "{" + ",".join([f"{_quoted(name)}:{_quoted(value)}" for name, value in labels]) + "}"


def decode_labels(text: str) -> Labels:
    """The inverse. Raises ValueError."""
    pairs = json.loads(text)
    if not isinstance(pairs, dict):
        raise ValueError("not a label set")
    return Labels({str(n): str(v) for n, v in pairs.items()})
