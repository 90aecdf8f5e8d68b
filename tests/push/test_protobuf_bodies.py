"""Pushed protobuf bodies. tests/e2e/test_pushgateway_compat.py compares them with a real Pushgateway."""

from __future__ import annotations

import asyncio
import math

import httpx
import pytest
from starlette.applications import Starlette

from rulepush.errors import BodyError, PushError
from rulepush.exposition.families import FamilyType, Metric, MetricFamily
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.model.sample import is_stale
from rulepush.push.groups import PushedGroups
from rulepush.push.http import push_routes
from rulepush.push.protobuf_bodies import parse_push_protobuf
from rulepush.push.snappy_stream import unsnap_stream
from rulepush.push.store import SqliteGroupStore, decode_group, encode_group
from rulepush.push.view import metrics_view
from tests import delimited_families as wire
from tests.fakes import FakeClock
from tests.push.fixtures import MemoryStore

KEY = (("job", "j"),)
NATIVE = wire.histogram(
    8, 2.5, [(1, 2)], schema=3, zero=(0.001, 1), positive=([(-2, 2), (1, 1)], [1, 0, 2]), negative=([(0, 1)], [2])
)
HISTOGRAM = FloatHistogram(
    schema=3,
    count=8,
    sum=2.5,
    zero_threshold=0.001,
    zero_count=1,
    positive=Buckets.from_spans([(-2, 2), (1, 1)], [1, 1, 3]),
    negative=Buckets.from_spans([(0, 1)], [2]),
)


def native(kind: int = wire.HISTOGRAM) -> bytes:
    return wire.family("n", kind, wire.metric(kind, NATIVE, [("x", "y")]))


def test_a_family_of_each_kind() -> None:
    body = wire.family(
        "s", wire.SUMMARY, wire.metric(wire.SUMMARY, wire.summary(3, 2.5, [(0.5, 1)]), [("b", "1"), ("a", "2")])
    )
    body += wire.gauge("g", 1, help_="of g") + wire.family("u", wire.UNTYPED, wire.metric(wire.UNTYPED, b""))
    parsed = parse_push_protobuf(body)
    assert not parsed.timestamps
    assert list(parsed.families.values()) == [
        MetricFamily("s", FamilyType.SUMMARY, "", (Metric((("a", "2"), ("b", "1")), 2.5, 3, ((0.5, 1.0),)),)),
        MetricFamily("g", FamilyType.GAUGE, "of g", (Metric((), 1.0),)),
        MetricFamily("u", FamilyType.UNTYPED, "", (Metric((), 0.0),)),
    ]


def test_a_native_histogram_stands_beside_its_classic_series() -> None:
    (metric,) = parse_push_protobuf(native()).families["n"].metrics
    assert metric.native == HISTOGRAM
    assert (metric.count, metric.value, metric.parts) == (8, 2.5, ((1.0, 2.0),))
    (metric,) = parse_push_protobuf(native(wire.GAUGE_HISTOGRAM)).families["n"].metrics
    assert metric.native is not None
    assert metric.native.counter_reset_hint is CounterResetHint.GAUGE


def test_the_api_shows_the_buckets_of_a_native_histogram_as_pushgateway_does() -> None:
    """The first is Java's: client_java ExpositionFormatsTest.java, testNativeHistogram; Pushgateway 1.11 answers so."""
    histograms = {
        "java": wire.histogram(4, 3.2, schema=5, zero=(0, 1), positive=([(2, 1)], [3])),
        "falls": wire.histogram(3, -1, schema=0, negative=([(0, 2)], [1, 1])),
        "classic": wire.histogram(2, 1, [(1.0, 2)]),
        "zeros": wire.histogram(2, 0, schema=0, zero=(0.5, 2)),
    }
    body = b"".join(
        wire.family(name, wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value)) for name, value in histograms.items()
    )
    groups = PushedGroups(MemoryStore())
    groups.push(KEY, parse_push_protobuf(body), True, 1_000, None)
    (view,) = metrics_view(groups)
    assert {name: view[name]["metrics"][0]["buckets"] for name in histograms} == {
        "java": [[3, "-0", "0", "1"], [0, "1.0218971486541166", "1.0442737824274138", "3"]],
        "falls": [[1, "-2", "-1", "2"], [1, "-1", "-0.5", "1"]],
        "classic": {"1": "2"},
        "zeros": {},
    }


def test_the_rules_see_a_native_histogram_and_its_classic_series() -> None:
    groups = PushedGroups(MemoryStore(), default_ttl_ms=60_000)
    groups.push(KEY, parse_push_protobuf(native()), True, 1_000, None)

    def seen(ts: int) -> dict[str, object]:
        found: dict[str, object] = {}
        for s in groups.collect(ts):
            if s.labels.get("x") == "y":
                histogram = s.histogram if isinstance(s, HistogramSample) else None
                found[s.labels.name] = histogram or ("stale" if is_stale(s.value) else s.value)
        return found

    assert seen(2_000) == {"n_bucket": 8.0, "n_sum": 2.5, "n_count": 8.0, "n": HISTOGRAM}
    assert seen(62_000) == dict.fromkeys(("n_bucket", "n_sum", "n_count", "n"), "stale")
    assert seen(63_000) == {}
    groups.push(KEY, parse_push_protobuf(native()), True, 70_000, None)
    assert seen(71_000)["n"] == HISTOGRAM
    groups.push(KEY, parse_push_protobuf(wire.gauge("a", 1)), True, 71_000, None)
    assert seen(71_500)["n"] == "stale"
    groups.push(KEY, parse_push_protobuf(native()), True, 71_600, None)
    assert seen(71_700)["n"] == HISTOGRAM
    groups.delete(KEY)
    assert seen(72_000)["n"] == "stale"


def test_a_native_histogram_survives_a_restart() -> None:
    store = SqliteGroupStore(None)
    PushedGroups(store).push(KEY, parse_push_protobuf(native() + wire.gauge("a", math.nan)), True, 1_000, None)
    (group,) = store.load()
    assert group.families["n"].family.metrics[0].native == HISTOGRAM
    assert encode_group(decode_group(encode_group(group))) == encode_group(group)


def test_a_group_whose_histogram_contradicts_itself_is_left_out() -> None:
    store, saved = SqliteGroupStore(None), MemoryStore()
    PushedGroups(saved).push(KEY, parse_push_protobuf(native()), True, 1_000, None)
    text = encode_group(saved.saved[KEY])
    assert "[[-2,2],[1,1]]" in text
    store._db.write([("INSERT INTO pushed_groups VALUES (?, ?)", [("k", text.replace("[[-2,2],", "[[-2,3],"))])])
    assert store.load() == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (wire.gauge("", 1), 'invalid metric name ""'),
        (wire.gauge(b"a\xff", 1), r'invalid metric name "a\xff"'),
        (wire.family("a", 9, wire.metric(wire.GAUGE, b"")), 'unknown metric type 9 of metric "a"'),
        (wire.gauge("a", 1)[:-1], "unexpected EOF"),
        (
            wire.family(
                "h",
                wire.HISTOGRAM,
                wire.metric(wire.HISTOGRAM, wire.histogram(2, 1, schema=0, positive=([(0, 1), (-5, 1)], [1, 0]))),
            ),
            'histogram "h": span number 2 with offset -5: histogram has a span whose offset is negative',
        ),
        (
            wire.family(
                "h",
                wire.HISTOGRAM,
                wire.metric(wire.HISTOGRAM, wire.histogram(1, 1, schema=0, positive=([(0, 2)], [1]))),
            ),
            'histogram "h": positive side: spans require 2 buckets, have 1',
        ),
    ],
)
def test_what_no_scrape_could_read_is_refused(body: bytes, error: str) -> None:
    with pytest.raises(PushError) as refused:
        parse_push_protobuf(body)
    assert (refused.value.status, str(refused.value)) == (400, error)


def test_a_help_that_is_no_text_is_mended() -> None:
    assert parse_push_protobuf(wire.gauge("a", 1, help_=b"of \xff")).families["a"].help == "of \ufffd"


def test_families_without_metrics_do_not_renew_the_lifetime() -> None:
    groups = PushedGroups(MemoryStore())
    groups.push(KEY, parse_push_protobuf(wire.gauge("a", 1)), True, 1_000, 60_000)
    groups.push(KEY, parse_push_protobuf(wire.family("a", wire.GAUGE)), False, 2_000, None)
    (group,) = groups
    assert (group.pushed_at, group.renewed_at, group.ttl_ms) == (2_000, 1_000, 60_000)
    assert [str(s.labels) for s in groups.collect(2_000) if s.labels.name == "a"] == []


def test_over_http_with_the_content_type_of_clients() -> None:
    async def run() -> None:
        groups = PushedGroups(MemoryStore())
        app = Starlette(routes=push_routes(groups, FakeClock(), 1_000))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
            headers = {"Content-Type": wire.CONTENT_TYPE}
            answer = await client.put("/metrics/job/j", content=wire.gauge("a", 1), headers=headers)
            assert (answer.status_code, answer.text) == (200, "")
            answer = await client.post("/metrics/job/j", content=wire.gauge("b", 2)[:-3], headers=headers)
            assert (answer.status_code, answer.text) == (400, "unexpected EOF\n")
            headers["Content-Type"] = "application/vnd.google.protobuf"
            answer = await client.put("/metrics/job/j", content=wire.gauge("a", 1), headers=headers)
            assert (answer.status_code, "text format parsing error" in answer.text) == (400, True)
        assert [s.value for s in groups.collect(0) if s.labels.name in ("a", "b")] == [1.0]

    asyncio.run(run())


def frame(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(3, "little") + content


BEGIN = frame(0xFF, b"sNaPpY")


@pytest.mark.parametrize(
    ("stream", "status", "error"),
    [
        (b"a 1\n", 400, "snappy: corrupt input"),
        (BEGIN + frame(0, b"abcd\x01\x00x"), 400, "snappy: corrupt input"),
        (BEGIN + frame(0, b"abcdef")[:-1], 400, "unexpected EOF"),
        (BEGIN + b"\x00\x01", 400, "unexpected EOF"),
        (BEGIN + frame(2, b"abcdef"), 400, "snappy: unsupported input"),
        (BEGIN + frame(0, b"abcdef") * 100, 413, "the body is larger than the limit of 1000 bytes"),
    ],
)
def test_a_snappy_stream_that_is_wrong_or_too_large(stream: bytes, status: int, error: str) -> None:
    with pytest.raises(BodyError) as refused:
        unsnap_stream(stream, 1_000)
    assert (refused.value.status, str(refused.value)) == (status, error)


@pytest.mark.parametrize(
    ("metric", "error"),
    [
        (
            wire.metric(wire.COUNTER, wire.number(1), [("x", "y")]),
            'label:{name:"x" value:"y"} counter:{value:1}} is not a GAUGE',
        ),
        (
            wire.metric(wire.GAUGE, wire.number(1), [("x", "y"), ("x", "z")]),
            'label:{name:"x" value:"y"} label:{name:"x" value:"z"} gauge:{value:1}}'
            " has two or more labels with the same name: x",
        ),
        (
            wire.metric(wire.GAUGE, wire.number(1), [("x", b"\xff")]),
            'label:{name:"x" value:"\\xff"} gauge:{value:1}} has a label named "x" whose value is not utf8: "\\xff"',
        ),
    ],
)
def test_the_consistency_check_says_what_only_protobuf_can_get_wrong(metric: bytes, error: str) -> None:
    groups = PushedGroups(MemoryStore())
    with pytest.raises(PushError) as refused:
        groups.push(KEY, parse_push_protobuf(wire.family("m", wire.GAUGE, metric)), True, 5_000, None)
    assert str(refused.value) == (
        "pushed metrics are invalid or inconsistent with existing metrics: "
        'collected metric "m" { label:{name:"instance" value:""} label:{name:"job" value:"j"} ' + error
    )
    assert [group.failed_at for group in groups] == [5_000]
