"""Protobuf bodies for a Pushgateway, as Go's push.Pusher (prometheus/client_golang prometheus/push/push.go) and Java's
PushGateway (prometheus/client_java prometheus-metrics-exporter-pushgateway) send them, and wrong ones."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tests import delimited_families as wire
from tests.delimited_families import COUNTER, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, SUMMARY, UNTYPED, Text

A = wire.gauge("a", 1)
CLASSIC = wire.histogram(6, 2.5, [(1, 2), (2.5, 3), (math.inf, 6)])
NATIVE = wire.histogram(
    8, 2.5, schema=3, zero=(0.001, 1), positive=([(-2, 2), (1, 1)], [1, 0, 2]), negative=([(0, 1)], [2])
)
BOTH = wire.histogram(4, 2.5, [(1, 2), (2, 4)], schema=0, zero=(0.001, 0), positive=([(0, 2)], [2, 0]))


def one(kind: int, value: bytes | None, labels: Iterable[tuple[Text, Text]] = (), ts: int | None = None) -> bytes:
    """A family `m` of one metric."""
    return wire.family("m", kind, wire.metric(kind, value, labels, ts))


GOOD: dict[str, list[bytes]] = {
    "all types": [
        wire.family(
            "c_seconds",
            COUNTER,
            wire.metric(COUNTER, wire.number(1e20), [("b", "1"), ("a", "2")]),
            wire.metric(COUNTER, wire.number(2)),
            help_="of c",
            unit="seconds",
        )
        + wire.gauge("g", -math.inf)
        + wire.gauge("n", math.nan)
        + wire.family("u", UNTYPED, wire.metric(UNTYPED, wire.number(3)))
        + wire.family("s", SUMMARY, wire.metric(SUMMARY, wire.summary(3, 2.5, [(0.5, 1.0), (1.0, 2.0)])))
        + wire.family("h", HISTOGRAM, wire.metric(HISTOGRAM, CLASSIC, [("job", "k"), ("instance", "i")]))
    ],
    "an empty body": [A, b""],
    "a counter of Java's exemplars and created timestamps": [
        one(COUNTER, wire.number(1, wire.field(2, wire.field(1, wire.pair("t", "x")))) + wire.field(3, b"\x08\x01"))
    ],
    "a summary without quantiles": [one(SUMMARY, wire.summary(3, 2.5))],
    "a summary without anything": [one(SUMMARY, b"")],
    "a histogram without +Inf": [one(HISTOGRAM, wire.histogram(4, 2.5, [(1, 2)]))],
    "a native histogram": [one(HISTOGRAM, NATIVE)],
    "a histogram of both kinds": [one(HISTOGRAM, BOTH)],
    "fractional counts": [one(GAUGE_HISTOGRAM, wire.histogram(4.5, 2.5, [(1, 2.5)], fractional=True))],
    "a fractional native histogram": [
        one(HISTOGRAM, wire.histogram(2.5, 1, schema=0, zero=(1e-9, 0.5), positive=([(0, 1)], [2]), fractional=True))
    ],
    "a value of nothing is zero": [one(GAUGE, b"")],
    "no type is a counter": [wire.family("m", None, wire.metric(COUNTER, wire.number(1)))],
    "two values of a metric": [
        wire.family("m", GAUGE, wire.metric(GAUGE, wire.number(1)) + wire.field(3, wire.number(3)))
    ],
    "a family twice: the last one counts": [A + wire.family("a", COUNTER, wire.metric(COUNTER, wire.number(2)))],
    "a family without metrics": [wire.family("a", GAUGE)],
    "a family without metrics replaces": [A, wire.family("a", GAUGE) + wire.gauge("b", 1)],
    "a name of any text": [wire.gauge("a b", 1, [("x y", "z"), ("é", "ü")])],
    "a family of unknown fields": [b"\x04\x08\x01\x0b\x0c" + A],
    "push times are not taken": [wire.gauge("push_time_seconds", 3) + A],
    "other types in two pushes": [A, wire.family("a", COUNTER, wire.metric(COUNTER, wire.number(2)))],
}
WRONG: dict[str, list[bytes]] = {
    "nothing after a length": [A[:1]],
    "cut off": [A[:-1]],
    "cut off in the second family": [A + A[:-2]],
    "cut off in a length": [b"\x80"],
    "a length of too many bytes": [b"\xff" * 11],
    "a text": [b"a 1\n"],
    "no message": [b"\x03\xff\xff\xff"],
    "a metric that is no message": [wire.family("a", GAUGE, b"\xff")],
    "a counter that is a gauge": [wire.family("m", COUNTER, wire.metric(GAUGE, wire.number(1), [("x", "y")]))],
    "a histogram of nothing": [one(HISTOGRAM, None, [("x", "y")])],
    "a gauge that is a summary": [
        wire.family("m", GAUGE, wire.metric(SUMMARY, wire.summary(3, 2.5, [(0.5, 1e9), (1, math.nan)])))
    ],
    "a label twice": [one(GAUGE, wire.number(1), [("x", "y"), ("x", "z")])],
    "a grouping label twice": [one(GAUGE, wire.number(1), [("job", "y"), ("job", "z")])],
    "instance twice": [one(GAUGE, wire.number(1), [("instance", "y"), ("instance", "z")])],
    "a label without a name": [one(GAUGE, wire.number(1), [("", "y")])],
    "a reserved label": [one(GAUGE, wire.number(1), [("__x", "y")])],
    "a label name that is no text": [one(GAUGE, wire.number(1), [(b"x\xff", "y")])],
    "a label value that is no text": [one(GAUGE, wire.number(1), [("x", b"y\xff")])],
    "a label value that is no text in the group": [one(GAUGE, wire.number(1), [("job", b"y\xff")])],
    "a summary with a label quantile": [one(SUMMARY, wire.summary(3, 2.5), [("quantile", "y")])],
    "a timestamp": [one(GAUGE, wire.number(1), ts=5)],
    "a timestamp of zero": [one(GAUGE, wire.number(1), ts=0)],
    "a metric twice": [wire.family("m", GAUGE, wire.metric(GAUGE, wire.number(1)), wire.metric(GAUGE, wire.number(2)))],
    "a failure after a success": [A, one(GAUGE, wire.number(1), ts=5)],
}
CASES = GOOD | WRONG
