"""What we send is what the protobuf library and our own receiver read."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample
from rulepush.remote.encode import SentMetadata, SentSample, SentSeries, metadata_request, request_v2, write_request
from rulepush.remote.receiver import MetricMetadata, Protocol, WriteLimits, decode

V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
LIMITS = WriteLimits()

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)
LABELS = st.dictionaries(NAMES, NAMES, max_size=5).map(lambda d: Labels({**d, "__name__": "m"}))
SAMPLES = st.lists(st.builds(Sample, LABELS, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), max_size=8)


def sent(samples: list[Sample]) -> list[SentSample]:
    return [SentSample(SentSeries(s.labels), s.ts, s.value) for s in samples]


@given(SAMPLES)
def test_both_versions_read_back(samples: list[Sample]) -> None:
    assert decode(write_request(sent(samples)), "", "snappy", LIMITS).samples == tuple(samples)
    batch = decode(request_v2(sent(samples), {}), V2, "snappy", LIMITS)
    assert (batch.protocol, batch.samples, batch.rejected) == (Protocol.V2, tuple(samples), ())


def test_stale_markers_keep_every_bit() -> None:
    samples = sent([Sample(Labels.of(__name__="m"), 5, STALE)])
    for body, content_type in ((write_request(samples), ""), (request_v2(samples, {}), V2)):
        (got,) = decode(body, content_type, "", LIMITS).samples
        assert struct.pack("<d", got.value) == struct.pack("<d", STALE)


def test_metadata_goes_alone_in_v1_and_with_the_series_in_v2() -> None:
    known = SentMetadata("m", "histogram", "text", "seconds")
    assert decode(metadata_request([known]), "", "", LIMITS).metadata == (
        MetricMetadata("m", "histogram", "text", "seconds"),
    )
    samples = sent([Sample(Labels.of(__name__="m_bucket", le="1"), 5, 1.0), Sample(Labels.of(__name__="n"), 5, 1.0)])
    (meta,) = decode(request_v2(samples, {"m": known}), V2, "", LIMITS).metadata[:1]
    assert (meta.family, meta.type, meta.help, meta.unit) == ("m_bucket", "histogram", "text", "seconds")


def test_a_series_with_its_type_and_unit_as_labels_is_sent_with_these() -> None:
    series = Labels({"__name__": "m_total", "__type__": "counter", "__unit__": "bytes"})
    known = SentMetadata("m", "gauge", "text", "seconds")
    (meta,) = decode(request_v2(sent([Sample(series, 5, 1.0)]), {"m": known}), V2, "", LIMITS).metadata
    assert (meta.type, meta.help, meta.unit) == ("counter", "text", "bytes")


def test_what_a_request_knows_of_a_series_becomes_labels_with_the_feature() -> None:
    known = {
        "a": SentMetadata("a", "counter", "", "bytes"),
        "b": SentMetadata("b", "unknown", "", ""),
        "c": SentMetadata("c", "gauge", "", ""),
    }
    names = [Sample(Labels.of(__name__=name), 5, 1.0) for name in known]
    body = request_v2(sent(names), known)
    batch = decode(body, V2, "", LIMITS, type_and_unit_labels=True)
    assert [s.labels.as_dict() for s in batch.samples] == [
        {"__name__": "a", "__type__": "counter", "__unit__": "bytes"},
        {"__name__": "b"},
        {"__name__": "c", "__type__": "gauge"},
    ]
    assert decode(body, V2, "", LIMITS).samples == tuple(names)
