"""Remote write requests to send, built byte by byte.

Sources: prometheus prompb/{remote,types}.proto and io/prometheus/write/v2/types.proto. The protobuf library would build
the labels of every series again at each send; here they are serialised once a series, and a sample costs about a
microsecond. The messages of `messages.py` check the result in the tests.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rulepush.model.labels import METADATA_NAMES, Labels
from rulepush.remote.snappy import compress
from rulepush.remote.wire import field, varint

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

# Tags: field number << 3 | wire type (0 varint, 1 eight bytes, 2 length-delimited).
_F1: Final = b"\x0a"
_F2: Final = b"\x12"
_F3: Final = b"\x1a"
_F4: Final = b"\x22"
_DOUBLE: Final = struct.Struct("<cd")

METRIC_TYPES: Final = {
    name: number
    for number, name in enumerate(
        ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
    )
}


@dataclass(frozen=True, slots=True)
class SentMetadata:
    """What is known of a metric family. `type` is the exposition formats' name of it."""

    family: str
    type: str
    help: str
    unit: str


class SentSeries:
    """A series as it is sent: its labels, whether type and unit are among them, the labels serialised for 1.0, its
    lane, and the time (ms) of the newest sample that was queued."""

    __slots__ = ("has_metadata", "labels", "lane", "newest", "wire")

    def __init__(self, labels: Labels):
        self.labels = labels
        self.has_metadata = labels.has_metadata
        self.wire = b"".join(field(_F1, field(_F1, n.encode()) + field(_F2, v.encode())) for n, v in labels.pairs)
        self.newest = -(1 << 63)
        # Not Python's hash: it differs from run to run, and a block on disk outlives the run.
        self.lane = zlib.crc32(self.wire)


@dataclass(slots=True)  # not frozen, for then to make one costs more than to serialise it
class SentSample:
    """One sample to send. `ts` in ms; with a `histogram` the value means nothing."""

    series: SentSeries
    ts: int
    value: float
    histogram: FloatHistogram | None = None


def write_request(samples: Sequence[SentSample]) -> bytes:
    """A 1.0 body: one TimeSeries a sample, in their order, compressed."""
    parts: list[bytes] = []
    for s in samples:
        wire = s.series.wire + (_sample(s) if s.histogram is None else _histogram(_F4, s.histogram, s.ts))
        parts += (_F1, varint(len(wire)), wire)
    return compress(b"".join(parts))


def metadata_request(metadata: Iterable[SentMetadata]) -> bytes:
    """A 1.0 body that holds metadata only, compressed."""
    parts = []
    for m in metadata:
        content = b"\x08" + varint(METRIC_TYPES.get(m.type, 0)) + field(_F2, m.family.encode())
        content += field(b"\x22", m.help.encode()) + field(b"\x2a", m.unit.encode())
        parts.append(field(_F3, content))
    return compress(b"".join(parts))


def request_v2(samples: Sequence[SentSample], metadata: dict[str, SentMetadata]) -> bytes:
    """A 2.0 body: a table of symbols and one TimeSeries a sample, compressed. `metadata` by family; a series that has
    its type and unit as labels is sent with these."""
    symbols: dict[str, int] = {"": 0}
    parts: list[bytes] = []
    for s in samples:
        refs = b"".join(
            varint(symbols.setdefault(text, len(symbols))) for pair in s.series.labels.pairs for text in pair
        )
        content = field(_F1, refs)
        content += _sample(s) if s.histogram is None else _histogram(_F3, s.histogram, s.ts)
        known = metadata.get(family_of(s.series.labels.name, metadata))
        if s.series.has_metadata:
            kind, unit = map(s.series.labels.get, METADATA_NAMES)
            known = SentMetadata("", kind, known.help if known is not None else "", unit)
        if known is not None:
            about = b"\x08" + varint(METRIC_TYPES.get(known.type, 0))
            about += b"\x18" + varint(symbols.setdefault(known.help, len(symbols)))
            about += b"\x20" + varint(symbols.setdefault(known.unit, len(symbols)))
            content += field(b"\x2a", about)
        parts.append(field(b"\x2a", content))
    table = [field(b"\x22", text.encode()) for text in symbols]
    return compress(b"".join(table + parts))


def family_of(name: str, families: dict[str, SentMetadata]) -> str:
    """The family that a metric name belongs to among those known; the name itself when there is none."""
    if name not in families:
        for suffix in ("_bucket", "_count", "_sum", "_total", "_info"):
            if name.endswith(suffix) and name.removesuffix(suffix) in families:
                return name.removesuffix(suffix)
    return name


def _histogram(tag: bytes, histogram: FloatHistogram, ts: int) -> bytes:
    """The field with a sample that is a native histogram."""
    from rulepush.remote.histograms import write_histogram  # only where there are histograms

    return field(tag, write_histogram(histogram, ts))


def _sample(s: SentSample) -> bytes:
    """The field `samples`, number 2 in both versions."""
    content = _DOUBLE.pack(b"\x09", s.value) + b"\x10" + varint(s.ts)
    return _F2 + bytes((len(content),)) + content
