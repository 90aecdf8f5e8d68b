"""Prometheus' remote read: raw samples with their stale markers, which the query API hides.

Source: prometheus prompb/remote.proto, storage/remote/codec.go and read_handler.go. The answer is asked for as SAMPLES:
its size is bounded by the window that is asked for, and protobuf decodes it in C, which the XOR chunks of the streamed
answer would not be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rulepush.backtest.sources.columns import SeriesColumns
from rulepush.errors import RemoteWriteError, SampleSourceError
from rulepush.model.arrays import Floats, Ints
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matchers, MatchOp
from rulepush.remote.messages import ReadRequest, ReadResponse, parse_message, text_of
from rulepush.remote.snappy import compress, decompress

_TYPES: Final = {MatchOp.EQUAL: 0, MatchOp.NOT_EQUAL: 1, MatchOp.REGEX: 2, MatchOp.NOT_REGEX: 3}
_SAMPLES: Final = 0
_WORTH_A_RUN: Final = 16
_SHIFTS: Final = np.arange(0, 42, 7)
HEADERS: Final = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Read-Version": "0.1.0",
}


@dataclass(frozen=True, slots=True)
class _Form:
    """How a sample may stand in a TimeSeries: `size` bytes, of which those at `places` are `marks` (tags and lengths),
    eight are its value, and six its time, a varint; those of 1971 to 2109 have six bytes."""

    size: int
    places: tuple[int, ...]
    marks: tuple[int, ...]
    value: slice | None
    time: slice

    def count(self, wire: npt.NDArray[np.uint8]) -> int:
        """How many rows of this form come next."""
        rows = wire[: len(wire) // self.size * self.size].reshape(-1, self.size)
        more = rows[:, self.time] >= 0x80
        good = (rows[:, self.places] == self.marks).all(axis=1) & more[:, :-1].all(axis=1) & ~more[:, -1]
        return int(np.argmin(good)) if not good.all() else len(good)


# A value of 0 is left out.
_FORMS: Final = (
    _Form(18, (0, 1, 2, 11), (0x12, 16, 0x09, 0x10), slice(3, 11), slice(12, 18)),
    _Form(9, (0, 1, 2), (0x12, 7, 0x10), None, slice(3, 9)),
)


@dataclass(frozen=True, slots=True)
class ReadResult:
    """`native`: how many native histograms were among the samples. They are not read."""

    series: list[SeriesColumns]
    native: int


def read_request(selectors: Iterable[Matchers], first: int, last: int) -> bytes:
    """A body that asks for all samples with first <= time <= last (ms) of the series that the selectors match."""
    request = ReadRequest(accepted_response_types=[_SAMPLES])
    for selector in selectors:
        query = request.queries.add(start_timestamp_ms=first, end_timestamp_ms=last)
        for m in selector:
            query.matchers.add(type=_TYPES[m.op], name=m.name, value=m.value)
    return compress(request.SerializeToString())


def read_result(body: bytes, limit: int) -> ReadResult:
    """What a body says, of at most `limit` bytes when unpacked. Raises SampleSourceError, RemoteWriteError 413 when it
    is larger."""
    try:
        response = parse_message(ReadResponse, decompress(body, limit))
    except RemoteWriteError as e:
        if e.status == 413:
            raise
        raise SampleSourceError(f"the answer to remote read is damaged: {e}") from None
    found, native = [], 0
    for result in response.results:
        for series in result.timeseries:
            native += len(series.histograms)
            if series.samples:
                labels = Labels((text_of(p.name), text_of(p.value)) for p in series.labels)
                times, values = _columns(series)
                found.append(SeriesColumns(labels, times, values))
    return ReadResult(found, native)


def _columns(series: Any) -> tuple[Ints, Floats]:
    """The samples of a TimeSeries. To ask protobuf for each costs 3 µs; but nearly always many in a row have one form
    on the wire, and a series without its labels consists of such rows."""
    n = len(series.samples)
    for name in ("labels", "exemplars", "histograms"):
        series.ClearField(name)
    wire = np.frombuffer(series.SerializeToString(), np.uint8)
    times, values = np.zeros(n, np.int64), np.zeros(n, np.float64)
    at = done = 0
    for _ in range(n // _WORTH_A_RUN + 2):
        for form in _FORMS:
            count = form.count(wire[at:])
            rows = wire[at : at + count * form.size].reshape(count, form.size)
            times[done : done + count] = ((rows[:, form.time] & 0x7F).astype(np.int64) << _SHIFTS).sum(axis=1)
            if form.value is not None and count:
                values[done : done + count] = np.ascontiguousarray(rows[:, form.value]).view("<f8")[:, 0]
            at, done = at + count * form.size, done + count
        if done == n:
            return times, values
    times = np.fromiter((s.timestamp for s in series.samples), np.int64, n)
    return times, np.fromiter((s.value for s in series.samples), np.float64, n)
