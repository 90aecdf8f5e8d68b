"""Remote write bodies become samples, or a refusal with Prometheus' status and text."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.errors import RemoteWriteError
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample, is_stale
from rulepush.remote.messages import RequestV2, WriteRequest
from rulepush.remote.receiver import Protocol, WriteBatch, WriteLimits, decode, protocol_of
from rulepush.remote.snappy import compress, decompress

V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
NORMAL_NAN_BITS = 0x7FF8000000000001  # Prometheus model/value/value.go
LIMITS = WriteLimits()


def v1(*series: tuple[dict[str, str] | list[tuple[str, str]], list[tuple[int, float]]]) -> Any:
    request = WriteRequest()
    for labels, samples in series:
        ts = request.timeseries.add()
        for name, value in labels.items() if isinstance(labels, dict) else labels:
            ts.labels.add(name=name, value=value)
        for time, number in samples:
            ts.samples.add(timestamp=time, value=number)
    return request


def v2(symbols: Sequence[str], *series: tuple[list[int], list[tuple[int, float]]]) -> Any:
    request = RequestV2(symbols=list(symbols))
    for refs, samples in series:
        ts = request.timeseries.add(labels_refs=refs)
        for time, number in samples:
            ts.samples.add(timestamp=time, value=number)
    return request


def decoded(request: Any, content_type: str = "application/x-protobuf", limits: WriteLimits = LIMITS) -> WriteBatch:
    return decode(compress(request.SerializeToString()), content_type, "snappy", limits)


def refused(body: bytes, content_type: str = "", encoding: str = "", limits: WriteLimits = LIMITS) -> RemoteWriteError:
    with pytest.raises(RemoteWriteError) as caught:
        decode(body, content_type, encoding, limits)
    return caught.value


def status_of(body: bytes, content_type: str) -> int | None:
    """The status of the refusal, None when the body is accepted; any other exception is a failure."""
    try:
        decode(body, content_type, "", LIMITS)
    except RemoteWriteError as e:
        return e.status
    return None


def test_a_v1_body_as_the_compliance_tester_sends_it() -> None:
    request = v1(({"__name__": "m", "__value__": "5", "rulegroup": "g"}, [(1000, 5.0)]))
    batch = decoded(request)
    assert batch.protocol is Protocol.V1
    assert batch.samples == (Sample(Labels({"__name__": "m", "__value__": "5", "rulegroup": "g"}), 1000, 5.0),)


def test_headers_may_be_absent() -> None:
    body = compress(v1(({"__name__": "m"}, [(1, 2.0)])).SerializeToString())
    assert len(decode(body, "", "", LIMITS).samples) == 1


def test_unsorted_labels_are_sorted() -> None:
    batch = decoded(v1(({"z": "1", "__name__": "m", "a": "2"}, [(1, 2.0)])))
    assert batch.samples[0].labels.pairs == (("__name__", "m"), ("a", "2"), ("z", "1"))


@pytest.mark.parametrize("proto", ["v1", "v2"])
def test_stale_markers_keep_every_bit(proto: str) -> None:
    nan = struct.unpack("<d", struct.pack("<Q", NORMAL_NAN_BITS))[0]
    points = [(1, STALE), (2, nan)]
    if proto == "v1":
        batch = decoded(v1(({"__name__": "m"}, points)))
    else:
        batch = decoded(v2(["", "__name__", "m"], ([1, 2], points)), V2)
    bits = [struct.unpack("<Q", struct.pack("<d", s.value))[0] for s in batch.samples]
    assert is_stale(batch.samples[0].value)
    assert bits[1] == NORMAL_NAN_BITS


def test_metadata_exemplars_and_histograms_are_counted() -> None:
    request = v1(({"__name__": "m"}, [(1, 1.0)]))
    request.metadata.add(type=1, metric_family_name="m", help="some text", unit="s")
    request.metadata.add(type=77, metric_family_name="odd")
    request.timeseries[0].histograms.add(timestamp=1)
    request.timeseries[0].exemplars.add(value=1, timestamp=1)
    batch = decoded(request)
    assert (batch.histograms, batch.exemplars) == (1, 1)
    assert [(m.family, m.type, m.help, m.unit) for m in batch.metadata] == [
        ("m", "counter", "some text", "s"),
        ("odd", "unknown", "", ""),
    ]


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([("a", "b")], 'invalid metric name or labels, got {a="b"}'),
        ([("__name__", "")], 'invalid metric name or labels, got {__name__=""}'),
        ([("__name__", "m"), ("", "b")], 'invalid metric name or labels, got {""="b", __name__="m"}'),
        (
            [("__name__", "m"), ("a", "1"), ("a", "2")],
            'invalid labels for series, labels {__name__="m", a="1", a="2"}, duplicated label a',
        ),
    ],
)
def test_a_v1_series_with_invalid_labels_is_left_out_alone(labels: list[tuple[str, str]], text: str) -> None:
    good = {"__name__": "good"}
    batch = decoded(v1((labels, [(1, 1.0), (2, 1.0)]), (good, [(1, 1.0)])))
    assert batch.samples == (Sample(Labels(good), 1, 1.0),)
    assert (batch.rejected, batch.rejected_samples) == ((text,), 2)


@pytest.mark.parametrize("where", ["name", "value"])
def test_a_series_with_bad_utf8_is_left_out_alone(where: str) -> None:
    """Python's protobuf cannot write such a text, so it is put in the place of one of the same length."""
    pair = ("TEXT", "1") if where == "name" else ("a", "TEXT")
    good = ({"__name__": "good", "位置": "室"}, [(1, 1.0)])
    request = v1(good, ([("__name__", "bad"), pair], [(1, 2.0)]))
    request.metadata.add(metric_family_name="good", help="室")
    batch = decode(compress(request.SerializeToString().replace(b"TEXT", b"\xff\xfe\xc3(")), "", "", LIMITS)
    assert batch.samples == (Sample(Labels(good[0]), 1, 1.0),)
    shown = '"\\xff\\xfe\\xc3("="1"' if where == "name" else 'a="\\xff\\xfe\\xc3("'
    assert sorted(batch.rejected[0]) == sorted(f'invalid metric name or labels, got {{{shown}, __name__="bad"}}')
    assert batch.metadata[0].help == "室"

    symbols = ["", "__name__", "good", "bad", "TEXT"]
    body = v2(symbols, ([1, 2], [(1, 1.0)]), ([1, 3, 4, 4], [(1, 2.0)])).SerializeToString()
    batch = decode(compress(body.replace(b"TEXT", b"\xff\xfe\xc3(")), V2, "", LIMITS)
    assert [s.labels.name for s in batch.samples] == ["good"]
    assert "invalid metric name or labels" in batch.rejected[0]


def test_v2_keeps_good_series_and_says_why_others_are_refused() -> None:
    symbols = ["", "__name__", "m", "a", "1"]
    request = v2(
        symbols,
        ([1, 2], [(1, 1.0)]),
        ([1], [(1, 1.0)]),
        ([1, 99], [(1, 1.0)]),
        ([3, 4], [(1, 1.0)]),
        ([1, 2, 3, 4], []),
        ([1, 2, 3, 4, 3, 4], [(1, 1.0)]),
    )
    batch = decoded(request, V2)
    assert [s.labels for s in batch.samples] == [Labels.of(__name__="m")]
    assert batch.rejected == (
        "parsing labels for series [1]: invalid labelRefs length 1",
        "parsing labels for series [1 99]: labelRefs 0 (value) = 99 outside of symbols table (size 5)",
        'invalid metric name or labels, got {a="1"}',
        'TimeSeries must contain at least one sample or histogram for series {__name__="m", a="1"}',
        'invalid labels for series, labels {__name__="m", a="1", a="1"}, duplicated label a',
    )


def test_v2_metadata() -> None:
    request = v2(["", "__name__", "m", "help text", "bytes"], ([1, 2], [(1, 1.0)]))
    request.timeseries[0].metadata.type = 2
    request.timeseries[0].metadata.help_ref = 3
    request.timeseries[0].metadata.unit_ref = 4
    (meta,) = decoded(request, V2).metadata
    assert (meta.family, meta.type, meta.help, meta.unit) == ("m", "gauge", "help text", "bytes")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain", 415),
        ("application/x-protobuf;proto=foo", 415),
        ("application/x-protobuf;proto", 415),
        ("application/x-protobuf;a=b=c", 415),
    ],
)
def test_unknown_content_types(content_type: str, status: int) -> None:
    assert refused(b"", content_type).status == status


def test_known_content_types() -> None:
    assert protocol_of("") is Protocol.V1
    assert protocol_of("application/x-protobuf") is Protocol.V1
    assert protocol_of("application/x-protobuf; charset=utf-8") is Protocol.V1
    assert protocol_of("application/x-protobuf;proto=prometheus.WriteRequest") is Protocol.V1
    assert protocol_of("application/x-protobuf;proto=io.prometheus.write.v2.Request") is Protocol.V2


def test_other_encodings_are_not_accepted() -> None:
    error = refused(b"", "", "zstd")
    assert error.status == 415
    assert str(error) == "zstd encoding (compression) is not accepted by this server; only snappy is acceptable"


@pytest.mark.parametrize(
    "body", [b"", b"\x05", b"not snappy at all", b"\xff\xff\xff\xff\xff\xff", compress(b"\xff\xff")]
)
def test_rubbish_is_400(body: bytes) -> None:
    assert refused(body).status == 400


def test_limits_answer_413() -> None:
    request = v1(*[({"__name__": "m", "n": str(i)}, [(1, 1.0), (2, 1.0)]) for i in range(10)])
    body = compress(request.SerializeToString())
    assert refused(body, limits=WriteLimits(max_body_bytes=10)).status == 413
    assert refused(body, limits=WriteLimits(max_decoded_bytes=10)).status == 413
    assert refused(body, limits=WriteLimits(max_series=9)).status == 413
    assert refused(body, limits=WriteLimits(max_samples=19)).status == 413
    assert len(decode(body, "", "", WriteLimits(max_labels=1)).rejected) == 10


def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = compress(b"\0" * 100_000_000)
    assert len(bomb) < 5_000_000
    assert refused(bomb).status == 413
    liar = b"\xff\xff\xff\x0f" + b"\0" * 100  # claims 32 MiB - 1 in a hundred bytes
    assert refused(liar).status == 400


@given(st.binary(max_size=2000))
def test_any_block_survives_compression(data: bytes) -> None:
    assert decompress(compress(data), 2000) == data


@given(st.binary(max_size=300), st.sampled_from(["", "application/x-protobuf", V2]))
def test_fuzzed_bodies_raise_nothing_else(body: bytes, content_type: str) -> None:
    for candidate in (body, compress(body)):
        assert status_of(candidate, content_type) in (None, 400, 413)


@given(st.data(), st.sampled_from(["v1", "v2"]))
def test_damaged_bodies_raise_nothing_else(data: st.DataObject, proto: str) -> None:
    if proto == "v1":
        whole = v1(({"__name__": "m", "a": "b"}, [(1, 1.0), (2, STALE)]), ({"__name__": "n"}, [(3, 1.0)]))
    else:
        whole = v2(["", "__name__", "m", "n"], ([1, 2], [(1, 1.0)]), ([1, 3], [(2, STALE)]))
    body = bytearray(whole.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert status_of(compress(bytes(body)), V2 if proto == "v2" else "") in (None, 400)


@given(st.text(max_size=60))
def test_fuzzed_content_types(text: str) -> None:
    assert status_of(compress(b""), text) in (None, 415)
