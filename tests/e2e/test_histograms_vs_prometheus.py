"""The API's JSON of native histograms beside a real Prometheus on the same samples, for instant and range queries.

Prometheus gets them by remote write, whose messages are spelled out here (prompb/types.proto, remote write 1.0). The
expressions are those of tests/promql/test_histograms_beside_promtool.py, which says what is left out.
"""

from __future__ import annotations

import json
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rulepush.errors import EvaluationError
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import FloatHistogram
from rulepush.model.labels import Labels
from rulepush.promql import Engine, QueryResult, parse_expr
from rulepush.promql.testscript.series import NativeCell, parse_series
from rulepush.remote.snappy import compress
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.web.results import success_pieces
from tests.needs import binary
from tests.promql.test_histograms_beside_promtool import CELLS, MINUTE, cells, vector
from tests.servers import free_port, running

pytestmark = pytest.mark.e2e

QUERIES = 150


def varint(number: int) -> bytes:
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def zigzag(field: int, value: int) -> bytes:
    return number(field, value << 1 ^ value >> 63)


def double(field: int, value: float) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<d", value)


def message(field: int, body: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(body)) + body


def buckets(of: Buckets, spans: int, counts: int) -> bytes:
    written = b"".join(message(spans, zigzag(1, s.offset) + number(2, s.length)) for s in of.spans())
    return written + message(counts, struct.pack(f"<{len(of)}d", *of.counts.tolist()))


def histogram_message(h: FloatHistogram, ts: int) -> bytes:
    head = double(2, h.count) + double(3, h.sum) + zigzag(4, h.schema) + double(5, h.zero_threshold)
    sides = double(7, h.zero_count) + buckets(h.negative, 8, 10) + buckets(h.positive, 11, 13)
    bounds = message(16, struct.pack(f"<{len(h.custom_values)}d", *h.custom_values)) if h.custom_values else b""
    return head + sides + number(14, int(h.counter_reset_hint)) + number(15, ts) + bounds


def series_message(labels: Labels, samples: list[tuple[int, float | FloatHistogram]]) -> bytes:
    body = b"".join(message(1, message(1, n.encode()) + message(2, v.encode())) for n, v in labels)
    for ts, sample in samples:
        if isinstance(sample, FloatHistogram):
            body += message(4, histogram_message(sample, ts))
        else:
            body += message(2, double(1, sample) + number(2, ts))
    return message(1, body)


class Both:
    """The same samples in a real Prometheus and in a Head."""

    def __init__(self, url: str, start: int):
        self.url, self.start = url, start
        self.head = Head(Demand.keep_all(1 << 50))

    def load(self, r: random.Random) -> None:
        lines = {f'h{{k="{k}",i="{i}"}}': cells(r, k == "c", 0.02 if k == "c" else 0.1) for k in "ec" for i in "12"}
        lines['f{k="e",i="1"}'] = " ".join(str(r.randint(0, 9)) for _ in range(CELLS))
        series: list[tuple[Labels, list[tuple[int, float | FloatHistogram]]]] = []
        for name, values in lines.items():
            line, samples = parse_series(f"{name} {values}"), list[tuple[int, float | FloatHistogram]]()
            for i, cell in enumerate(line.cells()):
                if isinstance(cell, float | NativeCell):
                    sample = cell if isinstance(cell, float) else cell.histogram
                    samples.append((self.start + i * MINUTE, sample))
            series.append((line.labels, samples))
        for i in range(CELLS):  # one request a time, so that Prometheus has the kinds of a series in their order
            at = self.start + i * MINUTE
            here = [(labels, [s for s in samples if s[0] == at]) for labels, samples in series]
            body = b"".join(series_message(labels, samples) for labels, samples in here if samples)
            headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
            url = f"{self.url}/api/v1/write"
            sent = httpx.post(url, content=compress(body), headers=headers, trust_env=False, timeout=60)
            sent.raise_for_status()
            for labels, samples in here:
                for ts, sample in samples:
                    if isinstance(sample, FloatHistogram):
                        assert self.head.append_histogram(labels, ts, sample)
                    else:
                        assert self.head.append(labels, ts, sample)

    def asked(self, path: str, **params: Any) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, trust_env=False, timeout=60).json()
        return comparable(answer["data"]) if answer["status"] == "success" else answer["errorType"]

    def instant(self, expr: str, minute: int) -> tuple[Any, Any]:
        ts = self.start + minute * MINUTE
        theirs = self.asked("query", query=expr, time=ts / 1000)
        return theirs, answered(lambda: Engine().instant(parse_expr(expr), ts, self.head))

    def range(self, expr: str) -> tuple[Any, Any]:
        end = self.start + (CELLS - 1) * MINUTE
        theirs = self.asked("query_range", query=expr, start=self.start / 1000, end=end / 1000, step=60)
        return theirs, answered(lambda: Engine().range(parse_expr(expr), self.start, end, MINUTE, self.head))


def answered(ask: Any) -> Any:
    try:
        result: QueryResult = ask()
    except EvaluationError:
        return "execution"
    return comparable(json.loads("".join(success_pieces(result, None, [])))["data"])


def comparable(data: Any) -> Any:
    """Without an order, which instant vectors do not have; numbers to 12 digits: sums are compensated since 3.14."""

    def rounded(value: Any) -> Any:
        if isinstance(value, list):
            return [rounded(one) for one in value]
        if isinstance(value, dict):
            return {key: rounded(one) for key, one in value.items() if key != "metric"} | (
                {"metric": value["metric"]} if "metric" in value else {}
            )
        try:
            return f"{float(value):.12g}"
        except (TypeError, ValueError):
            return value

    return sorted(map(json.dumps, rounded(data["result"]))), data["resultType"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    directory: Path = tmp_path_factory.mktemp("prometheus")
    (directory / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        binary("prometheus"),
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--enable-feature=native-histograms",
    ]
    with running(command, directory / "log", f"{url}/-/ready"):
        made = Both(url, (int(time.time()) - CELLS * 60) * 1000)
        made.load(random.Random(7))
        yield made


def test_instant_queries_agree(both: Both) -> None:
    r = random.Random(11)
    for _ in range(QUERIES):
        expr, minute = vector(r), r.randrange(CELLS)
        theirs, ours = both.instant(expr, minute)
        assert ours == theirs, (expr, minute)


def test_range_queries_agree(both: Both) -> None:
    r = random.Random(13)
    for _ in range(QUERIES):
        expr = vector(r)
        theirs, ours = both.range(expr)
        assert ours == theirs, expr


def test_range_selectors_agree(both: Both) -> None:
    for expr in ("h[5m]", 'h{k="e"}[3m] offset 2m', "f[10m]", "h[5m:1m]", "(h * 2)[4m:2m]"):
        for minute in range(CELLS):
            theirs, ours = both.instant(expr, minute)
            assert ours == theirs, (expr, minute)
