"""Remote read messages: what one library writes is what is read, whichever way is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.backtest.sources.remote_read import read_request, read_result
from rulepush.errors import RemoteWriteError, SampleSourceError
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE
from rulepush.promql import parse_selector
from rulepush.remote.messages import ReadRequest, ReadResponse
from rulepush.remote.snappy import compress, decompress
from tests.backtest.loading import Points, bits, exact

T = 1_700_000_000_000


def answer(points: Points, *, native: int = 0) -> bytes:
    response = ReadResponse()
    result = response.results.add()
    for labels, samples in points.items():
        series = result.timeseries.add()
        for name, value in labels:
            series.labels.add(name=name, value=value)
        for ts, v in samples:
            series.samples.add(timestamp=ts, value=v)
        for i in range(native):
            series.histograms.add(timestamp=T + i)
    return compress(response.SerializeToString())


def read(body: bytes) -> Points:
    found = read_result(body, 1 << 20).series
    return {s.labels: list(zip(s.times.tolist(), s.values.tolist(), strict=True)) for s in found}


VALUES = st.one_of(st.just(0.0), st.just(STALE), st.floats(width=64, allow_nan=False), st.integers(0, 3).map(float))


@given(
    st.lists(st.tuples(st.integers(0, 1 << 40), VALUES), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(T, T + 10**9), st.floats(1, 9)), min_size=1, max_size=20),
)
def test_samples_of_any_form_are_read_bit_by_bit(odd: list[tuple[int, float]], usual: list[tuple[int, float]]) -> None:
    odd = [(ts, 0.0 if bits(v) == bits(-0.0) else v) for ts, v in odd]  # protobuf leaves both zeros out
    points = {Labels.of(__name__="odd"): odd, Labels.of(__name__="usual", a="ü"): usual}
    assert exact(read(answer(points))) == exact(points)


def test_long_runs_of_zeros_and_of_others_are_read() -> None:
    values = [0.0] * 40 + [1.5] * 100 + [0.0] + [2.5] * 50 + [0.0, 1.0] * 3
    points = {Labels.of(__name__="x"): [(T + i, v) for i, v in enumerate(values)]}
    alternating = {Labels.of(__name__="y"): [(T + i, float(i % 2)) for i in range(200)]}
    assert read(answer(points | alternating)) == points | alternating


def test_native_histograms_are_counted_and_spoil_nothing() -> None:
    points = {Labels.of(__name__="x"): [(T, 1.0), (T + 1, 2.0)]}
    assert read_result(answer(points, native=3), 1 << 20).native == 3
    assert read(answer(points, native=3)) == points


def test_every_kind_of_matcher_is_asked_for() -> None:
    body = read_request([parse_selector('x{a="1",b!="2",c=~"3.*",d!~"4"}')], T, T + 9)
    (query,) = ReadRequest.FromString(decompress(body, 1 << 20)).queries
    assert (query.start_timestamp_ms, query.end_timestamp_ms) == (T, T + 9)
    assert sorted((m.name, m.type, m.value) for m in query.matchers) == [
        ("__name__", 0, "x"),
        ("a", 0, "1"),
        ("b", 1, "2"),
        ("c", 2, "3.*"),
        ("d", 3, "4"),
    ]


def test_what_is_no_answer_is_told_and_what_is_too_large_is_another_thing() -> None:
    for body in (b"", b"hello", compress(b"\xff\xff\xff")):
        with pytest.raises(SampleSourceError, match="the answer to remote read is damaged"):
            read_result(body, 1 << 20)
    with pytest.raises(RemoteWriteError) as failure:
        read_result(answer({Labels.of(__name__="x"): [(T, 1.0)] * 100}), 1000)
    assert failure.value.status == 413
