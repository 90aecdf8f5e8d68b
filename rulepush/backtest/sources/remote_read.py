"""Prometheus' remote read: raw samples with their stale markers, which the query API hides.

Source: prometheus prompb/remote.proto, storage/remote/codec.go and read_handler.go. The answer is asked for as SAMPLES:
its size is bounded by the window that is asked for, and protobuf decodes it in C, which the XOR chunks of the streamed
answer would not be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from rulepush.backtest.sources.columns import SeriesColumns
from rulepush.errors import RemoteWriteError, SampleSourceError
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matchers, MatchOp
from rulepush.remote.messages import ReadRequest, ReadResponse, parse_message, text_of
from rulepush.remote.snappy import compress, decompress

_TYPES: Final = {MatchOp.EQUAL: 0, MatchOp.NOT_EQUAL: 1, MatchOp.REGEX: 2, MatchOp.NOT_REGEX: 3}
_SAMPLES: Final = 0
HEADERS: Final = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Read-Version": "0.1.0",
}


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
            n = len(series.samples)
            if n:
                times = np.fromiter((s.timestamp for s in series.samples), np.int64, n)
                values = np.fromiter((s.value for s in series.samples), np.float64, n)
                labels = Labels((text_of(p.name), text_of(p.value)) for p in series.labels)
                found.append(SeriesColumns(labels, times, values))
    return ReadResult(found, native)
