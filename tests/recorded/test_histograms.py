"""Native histograms in the recording: what comes back, to a replay and to a query."""

from __future__ import annotations

import base64
import math
import random
from collections.abc import Sequence
from pathlib import Path

import cramjam
import numpy as np
import pytest

from rulepush.errors import QueryLimitError
from rulepush.histogram import CUSTOM_SCHEMA, Buckets, CounterResetHint, FloatHistogram, stale_histogram
from rulepush.histogram.sample import HistogramBlock, HistogramSample, block_of_samples
from rulepush.histogram.text import histogram_literal
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample, is_stale
from rulepush.promql import Engine, EngineOptions, parse_expr
from rulepush.recorded.decode import FAULTS, SegmentDecoder
from rulepush.recorded.encode import HISTOGRAMS_SIZE, INDEX_SIZE, SegmentEncoder
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvent
from rulepush.recorded.recording import Recording
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.web.past import PastQuerier
from rulepush.web.recording_past import RecordingPast
from tests.fakes import FakeClock
from tests.recorded.recordings import ANY, EVER, equal, series, write, writer

S = 1_000
# Written by the version before this one: three series of `m` and ten of `n`, twice.
FLOATS_ONLY = (
    "GAEAgCi1L/1g9wF1CADiiygvcEvTGLyBOAI99LxPnYD/QDp44PXXR6cAkn21AwAkEWWgQ2HGAvRwChKwbrSJlCnHGGOMUbL4m6pOQlQ1+q8C9N/D"
    "OQegaFw8MAxMGRSVwOio2IAAKeDA/qYpqUgqEwqlzrNxbqlpQUFKgBGEECbB//zJRPzZqkj1DR+/wKvz59I4twgHj3NrsNBOrAW5zRba97Dsgu+t"
    "Zf0O//LPXH/+3wIwINACGirRAxiCQxAk6NVDJ4CfIlsUKoBlgfVrQ5ynD+Rp2stIkishEvDikns0C6UWr0LUClBIDmTMDHMYBiNlDmRMIflzwXQ7"
    "ezCMIHPpiuu7gxmunjHKcYlC1Ks5TgTejbV6hhUA4x4="
)


def hist(*counts: float, at: int = 0, hint: CounterResetHint = CounterResetHint.UNKNOWN) -> FloatHistogram:
    """Buckets of schema 1 from `at` on."""
    buckets = Buckets.of(np.arange(at, at + len(counts)), np.array(counts))
    return FloatHistogram(schema=1, count=sum(counts), sum=sum(counts) * 1.5, positive=buckets, counter_reset_hint=hint)


def custom(*counts: float) -> FloatHistogram:
    buckets = Buckets.of(np.arange(len(counts)), np.array(counts))
    bounds = tuple(float(i) for i in range(1, len(counts)))
    return FloatHistogram(schema=CUSTOM_SCHEMA, count=sum(counts), sum=1.0, positive=buckets, custom_values=bounds)


Value = float | FloatHistogram


def came(
    at: int,
    of: tuple[Labels, ...],
    values: Sequence[Value],
    source: str = "a",
    times: Sequence[int] | None = None,
    origin: Origin = Origin.SCRAPE,
) -> RecordedBlock:
    when = [at] * len(of) if times is None else times
    samples = [
        HistogramSample(labels, ts, 0.0, value) if isinstance(value, FloatHistogram) else Sample(labels, ts, value)
        for labels, ts, value in zip(of, when, values, strict=True)
    ]
    return RecordedBlock(at, origin, source, block_of_samples(samples))


def shown(event: RecordedEvent) -> object:
    assert isinstance(event, RecordedBlock)
    samples = [(s.labels, s.ts, _text(s)) for s in event.block.samples()]
    return event.at, event.origin, event.source, samples


def _text(sample: Sample) -> str:
    if not isinstance(sample, HistogramSample):
        return "stale" if is_stale(sample.value) else repr(sample.value)
    return "stale" if sample.histogram.is_stale else histogram_literal(sample.histogram)


def read(directory: Path) -> list[object]:
    return [shown(event) for event in Recording(directory).events(*EVER)]


def drawn(r: random.Random) -> Value:
    return r.choice(
        (
            lambda: hist(*(float(r.randrange(5)) for _ in range(r.randrange(6))), at=r.randrange(-5, 5)),
            lambda: hist(1, 2.5, hint=r.choice(tuple(CounterResetHint))),
            lambda: custom(1, float(r.randrange(9)), 3),
            stale_histogram,
            lambda: STALE,
            lambda: math.nan,
            lambda: r.random(),
            lambda: float(r.randrange(100)),
        )
    )()


def fleet(seed: int, count: int = 60) -> list[RecordedEvent]:
    """Blocks of a few sources whose series come, go, and change between floats and histograms."""
    r = random.Random(seed)
    series_of = {source: series(r.choice((3, 9, 30)), job=source) for source in "ab"}
    events: list[RecordedEvent] = []
    for i in range(count):
        source = r.choice("ab")
        known = series_of[source]
        first = r.randrange(len(known)) if r.random() < 0.3 else 0
        of = known[first:]
        times = [i * S + r.randrange(S) for _ in of] if r.random() < 0.2 else None
        values = [drawn(r) for _ in of] if r.random() < 0.7 else [float(i)] * len(of)
        events.append(came(i * S, of, values, source, times))
    return events


@pytest.mark.parametrize("seed", range(20))
def test_histograms_come_back_as_they_came_beside_floats(tmp_path: Path, seed: int) -> None:
    events = fleet(seed)
    write(tmp_path, events[:30])
    write(tmp_path, events[30:])  # after a restart
    assert read(tmp_path) == [shown(e) for e in events]
    assert any(isinstance(e, RecordedBlock) and isinstance(e.block, HistogramBlock) for e in events)


@pytest.mark.parametrize("seed", range(20))
def test_a_query_reads_the_wanted_ones_only_and_finds_all_of_them(tmp_path: Path, seed: int) -> None:
    events = fleet(seed, 150)
    made = writer(tmp_path, FakeClock())
    for event in events:
        made.record(event)
    made.close()
    for matchers in ([equal("i", "2")], [equal("i", "1"), equal("job", "b")], [ANY]):
        found = Recording(tmp_path).select(matchers, *EVER)
        wanted: dict[Labels, dict[int, str]] = {}
        for event in events:
            assert isinstance(event, RecordedBlock)
            for s in event.block.samples():
                if all(m.matches_labels(s.labels) for m in matchers):
                    wanted.setdefault(s.labels, {}).setdefault(s.ts, _text(_stored(s)))
        got = {}
        for labels, times, values in found:
            texts = []
            for value in values.tolist():
                histogram = None if found.boxes is None else found.boxes.unbox(value)
                texts.append(histogram_literal(histogram) if histogram else "stale" if is_stale(value) else repr(value))
            got[labels] = dict(zip(times.tolist(), texts, strict=True))
        assert got == wanted


def _stored(sample: Sample) -> Sample:
    """What storage says of resets is what a comparison says."""
    if not isinstance(sample, HistogramSample) or sample.histogram.counter_reset_hint is CounterResetHint.GAUGE:
        return sample
    plain = sample.histogram.with_hint(CounterResetHint.UNKNOWN)
    return HistogramSample(sample.labels, sample.ts, 0.0, plain)


@pytest.mark.parametrize(
    "expr",
    [
        "h",
        "rate(h[1m])",
        "histogram_quantile(0.9, sum(rate(h{i!~'2|4'}[1m])))",
        "histogram_count(h) + on (i) f",
        "sum(increase(h[2m]))",
        "count_over_time({__name__='h',i='1'}[2m])",
        "resets(h[5m])",
        "last_over_time(h[1m])",
    ],
)
def test_queries_over_the_recording_answer_as_over_memory(tmp_path: Path, expr: str) -> None:
    of = tuple(Labels.of(__name__="h", i=str(i)) for i in range(12))
    floats = tuple(Labels.of(__name__="f", i=str(i)) for i in range(12))
    head, made = Head(Demand.keep_all(3_600 * S)), writer(tmp_path, FakeClock())
    for k in range(40):
        # The third is a float now and then, the fourth begins again, the fifth is gone from the middle on.
        hists: list[Value] = [hist(k + i, 2 * k, i, at=i) for i in range(12)]
        hists[2] = float(k) if k % 7 == 0 else hists[2]
        hists[3] = hist(k % 15, k % 15, 1)
        hists[4] = hists[4] if k < 20 else STALE if k == 20 else math.nan
        event = came(k * 5 * S, of + floats, [*hists, *(float(i + k) for i in range(12))])
        head.append_many(event.block.samples())
        made.record(event)
        made.flush()
    made.close()
    engine = Engine(EngineOptions())
    parsed = parse_expr(expr)

    async def flush() -> None:
        pass

    def check() -> None:
        pass

    for at in (60 * S, 103 * S, 195 * S):
        past = PastQuerier(RecordingPast(Recording(tmp_path), flush), 1_000_000, check)
        wanted = [(s.labels, _text(_stored(s))) for s in engine.instant(parsed, at, head).samples()]
        got = [(s.labels, _text(_stored(s))) for s in engine.instant(parsed, at, past).samples()]
        assert sorted(got) == sorted(wanted)
        assert got


def test_buckets_count_for_the_limit_of_a_query(tmp_path: Path) -> None:
    write(tmp_path, [came(S, series(1), [hist(*range(1, 101))])])
    assert len(Recording(tmp_path).select([ANY], *EVER, 200).times) == 1
    with pytest.raises(QueryLimitError):
        Recording(tmp_path).select([ANY], *EVER, 50)


def test_histograms_that_wait_count_as_their_buckets(tmp_path: Path) -> None:
    made = writer(tmp_path, FakeClock())
    made.record(came(S, series(2), [hist(1, 2, 3), 1.0]))
    assert made.pending_samples == 2 + 3
    made.flush()
    assert made.pending_samples == 0
    assert made.stats.samples == 2
    made.close()


def test_histograms_that_change_little_cost_what_they_change(tmp_path: Path) -> None:
    made = writer(tmp_path, FakeClock())
    of = series(20)
    counts = [float(n * 7919 % 1013) for n in range(1, 81)]
    made.record(came(0, of, [hist(*(c + i for c in counts)) for i in range(20)]))
    made.flush()
    before = made.nbytes
    for k in range(1, 11):
        made.record(came(k * S, of, [hist(*(c + i for c in counts[:-1]), counts[-1] + k) for i in range(20)]))
        made.flush()
    made.close()
    assert (made.nbytes - before) / 10 < 700, "bytes a scrape, of 20 histograms with 80 buckets each"
    last = list(Recording(tmp_path).events(*EVER))[-1]
    assert shown(last) == shown(
        came(10 * S, of, [hist(*(c + i for c in counts[:-1]), counts[-1] + 10) for i in range(20)])
    )


def test_a_recording_of_the_version_before_is_read() -> None:
    payload = base64.b64decode(FLOATS_ONLY)
    blocks = [e.block for e in SegmentDecoder().events(payload) if isinstance(e, RecordedBlock)]
    assert [b.values.tolist() for b in blocks] == [
        values for k in (0.0, 1.0) for values in ([1.0, 2.0, 3.0 + k], [n / 4 + k for n in range(10)])
    ]


def test_floats_are_written_as_by_the_version_before() -> None:
    encoder = SegmentEncoder()
    few = tuple(Labels({"__name__": "m", "i": str(i)}) for i in range(3))
    many = tuple(Labels({"__name__": "n", "i": str(i)}) for i in range(10))
    for k in range(2):
        encoder.add(came(S * k, few, [1.0, 2.0, 3.0 + k]))
        times = [n + S * k for n in range(10)]
        encoder.add(came(S * k, many, [n / 4 + k for n in range(10)], "b", times, Origin.PUSH))
    assert encoder.take()[0] == base64.b64decode(FLOATS_ONLY)


@pytest.mark.parametrize(("size", "count"), [(3, 1), (1 << 20, 1), (62, 2)])
def test_histograms_that_are_damaged_are_a_fault_and_not_another_histogram(size: int, count: int) -> None:
    encoder = SegmentEncoder()
    encoder.add(came(S, series(1), [hist(1)]))
    index = bytes(cramjam.zstd.decompress(encoder.take()[0][INDEX_SIZE.size :]))  # a small block is whole in it
    payload = INDEX_SIZE.pack(len(index)) + index
    assert [shown(e) for e in SegmentDecoder().events(payload)] == [shown(came(S, series(1), [hist(1)]))]
    good = HISTOGRAMS_SIZE.pack(62) + b"\1\0\0\0"
    assert good in payload
    with pytest.raises(FAULTS):
        list(SegmentDecoder().events(payload.replace(good, HISTOGRAMS_SIZE.pack(size) + bytes([count, 0, 0, 0]))))


def test_a_damaged_histogram_ends_what_is_read_of_a_segment(tmp_path: Path) -> None:
    events = [came(k * S, series(3), [hist(k, 1), 1.0, custom(k, 2)]) for k in range(1, 5)]
    write(tmp_path, events)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[-5] ^= 0xFF
    path.write_bytes(data)
    recording = Recording(tmp_path)
    assert [shown(e) for e in recording.events(*EVER)] == [shown(e) for e in events[:-1]]
    assert len(recording.problems) == 1
