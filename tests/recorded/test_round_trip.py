from __future__ import annotations

import math
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.errors import QueryLimitError
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE
from rulepush.recorded.decode import SegmentDecoder
from rulepush.recorded.encode import SegmentEncoder
from rulepush.recorded.events import (
    Origin,
    RecordedBlock,
    RecordedEvaluation,
    RecordedEvent,
    RecordedStart,
)
from rulepush.recorded.recording import Recording
from tests.fakes import FakeClock
from tests.recorded.recordings import ANY, EVER, equal, plain, read, rows, scrape, series, write, writer

NAN_WITH_PAYLOAD = struct.unpack("<d", struct.pack("<Q", 0x7FF800000000BEEF))[0]
ODD = (
    0.0,
    -0.0,
    STALE,
    math.nan,
    NAN_WITH_PAYLOAD,
    math.inf,
    -math.inf,
    5e-324,
    -1.7e308,
    0.1,
    1e-9,
    4503599627370497.0,
)


def test_events_come_back_in_the_order_of_recording(tmp_path: Path) -> None:
    events: list[RecordedEvent] = [
        RecordedStart(1_000),
        scrape(2_000, series(20), range(20)),
        RecordedEvaluation(2_500, "rules/a.yml", "group ü", 15_000, 0, may_fire=False),
        RecordedEvaluation(2_500, "rules/a.yml", "b", 15_000, 60_000, may_resolve=False),
        scrape(1_500, series(3, job="x"), [1, 2, 3], "group/x", origin=Origin.PUSH),  # the clock was set back
        RecordedEvaluation(3_500, "rules/a.yml", "group ü", 15_000, 0, may_fire_with_range=False),
        scrape(4_000, series(2), [7, 8], "", ts=[-5, 1 << 60], origin=Origin.REMOTE_WRITE),
        scrape(4_000, series(1, alertname="A"), [1], "rule", origin=Origin.RULE),
        scrape(5_000, (), [], "down"),
    ]
    write(tmp_path, events)
    assert read(tmp_path) == [plain(e) for e in events]
    assert read(tmp_path, 2_500, 3_500) == [plain(events[i]) for i in (2, 3, 5)]
    assert Recording(tmp_path).bounds() == (1_000, 5_000)


def test_values_come_back_bit_by_bit_whatever_was_there_before(tmp_path: Path) -> None:
    names = series(len(ODD))
    turned = [ODD[i:] + ODD[:i] for i in range(len(ODD))]
    events = [scrape(1_000 * i, names, row) for i, row in enumerate([*turned, turned[0], turned[0]])]
    write(tmp_path, events)
    assert read(tmp_path) == [plain(e) for e in events]


def test_labels_may_hold_anything(tmp_path: Path) -> None:
    odd = ("\n", '"', "\\", ']],[["x","y"', "ü\ud800", " ", "\0", ",\n[[")
    of = (Labels(), *(Labels({"__name__": "m", "x": value}) for value in odd), *(Labels({name: "v"}) for name in odd))
    write(tmp_path, [scrape(1, of, range(len(of)))])
    assert read(tmp_path) == [plain(scrape(1, of, range(len(of))))]
    for value in odd:
        assert Recording(tmp_path).series([equal("x", value)], *EVER) == [Labels({"__name__": "m", "x": value})]
        assert Recording(tmp_path).series([equal(value, "v")], *EVER) == [Labels({value: "v"})]
    assert Recording(tmp_path).series([equal("x", ""), equal("__name__", "")], *EVER) == [of[0], *of[-len(odd) :]]


def test_a_source_with_the_same_series_passes_on_the_same_tuple(tmp_path: Path) -> None:
    write(tmp_path, [scrape(1_000 * i, series(20), [i] * 20) for i in range(3)])  # equal tuples, each made anew
    first, second, third = (e for e in Recording(tmp_path).events(*EVER) if isinstance(e, RecordedBlock))
    assert first.block.series is second.block.series is third.block.series


def test_series_that_come_and_go_cost_what_they_are(tmp_path: Path) -> None:
    clock = FakeClock()
    made = writer(tmp_path, clock)
    steady = series(1_100, instance="nacos-0:8848", application="nacos")
    made.record(scrape(0, steady, [1.0] * 1_100))
    made.flush()
    before = made.nbytes
    for i in range(1, 101):
        of = (*steady, Labels({"__name__": "once", "uri": f"/once/{i}"}))
        made.record(scrape(i, of, [1.0] * 1_101))
        made.flush()
    made.close()
    assert (made.nbytes - before) / 100 < 220, "bytes a scrape in which nothing but one series has changed"
    last = [e for e in Recording(tmp_path).events(*EVER) if isinstance(e, RecordedBlock)][-1]
    assert last.block.series == of


def test_series_that_stay_around_those_that_change_stay_what_they_are(tmp_path: Path) -> None:
    all_of = series(12)
    layouts = [all_of, all_of[1:], all_of[:-1], all_of[:5] + all_of[6:], all_of, all_of[3:9], all_of[::-1], (), all_of]
    layouts += [(*all_of, all_of[0]), (all_of[4],) * 3, all_of[2:3], (all_of[3], *all_of[2:])]
    events = [scrape(i, of, [i + n / 8 for n in range(len(of))]) for i, of in enumerate(layouts)]
    write(tmp_path, events)
    assert read(tmp_path) == [plain(e) for e in events]


def test_what_two_processes_recorded_is_read_as_one(tmp_path: Path) -> None:
    write(tmp_path, [RecordedStart(0), scrape(1, series(9), range(9))])
    write(tmp_path, [RecordedStart(2), scrape(3, series(9), range(9))])
    assert [e.at for e in Recording(tmp_path).events(*EVER)] == [0, 1, 2, 3]
    assert rows(Recording(tmp_path).select([equal("i", "4")], *EVER)) == {
        series(9)[4]: [
            (1, struct.unpack("<q", struct.pack("<d", 4))[0]),
            (3, struct.unpack("<q", struct.pack("<d", 4))[0]),
        ]
    }


def test_a_query_sorts_by_time_and_takes_the_first_of_two_alike(tmp_path: Path) -> None:
    (one,) = series(1)
    write(
        tmp_path,
        [
            scrape(10, (one, one), [3, 1], "", ts=[3, 1], origin=Origin.REMOTE_WRITE),
            scrape(11, (one,), [20], "other", ts=2),
            scrape(12, (one,), [99], ts=3),
        ],
    )
    assert [(t.tolist(), v.tolist()) for _, t, v in Recording(tmp_path).select([ANY], *EVER)] == [
        ([1, 2, 3], [1, 20, 3])
    ]
    assert [t.tolist() for _, t, _ in Recording(tmp_path).select([ANY], 2, 2)] == [[2]]
    assert len(Recording(tmp_path).select([ANY], 4, 9).labels) == 0


def test_a_query_for_too_many_samples_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [scrape(i, series(10), range(10)) for i in range(10)])
    assert len(Recording(tmp_path).select([ANY], *EVER, max_samples=100).times) == 100
    with pytest.raises(QueryLimitError, match="too many samples"):
        Recording(tmp_path).select([ANY], *EVER, max_samples=99)


@pytest.mark.parametrize("late", [False, True])
def test_a_query_is_not_led_astray_by_blocks_without_its_series(tmp_path: Path, late: bool) -> None:
    """How the others' values are written changes in blocks that have nothing of what is asked for."""
    others, (one,) = series(12), series(1, asked="for")
    events = [] if late else [scrape(0, (*others, one), [1.0] * 13)]
    events += [scrape(1, others, [0.1 + n for n in range(12)]), scrape(2, others, [math.pi * n for n in range(12)])]
    events += [scrape(3 + i, (*others, one), [math.e * n + i for n in range(12)] + [7.0 + i]) for i in range(4)]
    write(tmp_path, events)
    ((_, times, values),) = Recording(tmp_path).select([equal("asked", "for")], 3, 9)
    assert (times.tolist(), values.tolist()) == ([3, 4, 5, 6], [7, 8, 9, 10])


def test_a_query_ends_when_its_time_is_up(tmp_path: Path) -> None:
    write(tmp_path, [scrape(i, series(10), range(10)) for i in range(10)])
    left = 5

    def check() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        Recording(tmp_path).select([ANY], *EVER, check=check)
    assert left == -1
    with pytest.raises(TimeoutError):
        Recording(tmp_path).series([ANY], *EVER, check=check)


def test_series_are_those_with_a_sample_in_the_time(tmp_path: Path) -> None:
    a, b, c = series(3)
    write(tmp_path, [scrape(1, (a, b), [1, 1]), scrape(2, (b, c), [2, 2])])
    recording = Recording(tmp_path)
    assert recording.series([ANY], *EVER) == [a, b, c]
    assert recording.series([ANY], 2, 9) == [b, c]
    assert recording.series([equal("i", "0")], 2, 9) == []


def test_where_nothing_was_recorded_nothing_is_read(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "never")
    assert recording.bounds() is None
    assert list(recording.events(*EVER)) == []
    assert recording.select([ANY], *EVER).labels == ()


LABELS = st.sampled_from([Labels({"__name__": "m", "x": f"{i}"}) for i in range(12)])
NUMBERS = st.one_of(st.sampled_from(ODD), st.floats(), st.integers(-(10**6), 10**6).map(float))
TIMES = st.integers(-(1 << 62), 1 << 62)


@st.composite
def blocks(draw: st.DrawFn) -> RecordedBlock:
    of = tuple(draw(st.lists(LABELS, max_size=14)))  # also twice the same
    values = np.array(draw(st.lists(NUMBERS, min_size=len(of), max_size=len(of))), np.float64)
    own = np.array(draw(st.lists(TIMES, min_size=len(of), max_size=len(of))), np.int64)
    ts = own if draw(st.booleans()) else draw(TIMES)
    return RecordedBlock(
        draw(TIMES),
        draw(st.sampled_from(Origin)),
        draw(st.sampled_from(["", "a", "b\ud800"])),
        SampleBlock(of, ts, values),
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(blocks(), min_size=1, max_size=6), max_size=6))
def test_any_blocks_come_back(records: list[list[RecordedBlock]]) -> None:
    encoder, decoder = SegmentEncoder(), SegmentDecoder()
    for record in records:
        for block in record:
            encoder.add(block)
        payload, span = encoder.take()
        assert [plain(e) for e in decoder.events(payload)] == [plain(e) for e in record]
        assert (span.first_at, span.last_at) == (min(e.at for e in record), max(e.at for e in record))


@st.composite
def scrapes(draw: st.DrawFn) -> list[RecordedBlock]:
    """Of two targets with a series in common, whose series and the kinds of whose values change."""
    layouts = draw(st.lists(st.lists(LABELS, min_size=1, max_size=12, unique=True), min_size=1, max_size=3))
    steps = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), max_size=30))
    rng = draw(st.randoms(use_true_random=False))
    made = []
    numbers = [0.0] * 12
    for i, (layout, target, change) in enumerate(steps):
        of = tuple(layouts[layout % len(layouts)])
        for at in rng.sample(range(12), 4):
            number = numbers[at] if numbers[at] == numbers[at] else 0.0
            numbers[at] = (
                number + rng.randrange(100),
                number + rng.randrange(10**9) / 1e9,
                rng.random(),
                rng.choice(ODD),
            )[change]
        made.append(scrape(i, of, numbers[: len(of)], f"{target}", ts=i // 2))
    return made


@settings(max_examples=300, deadline=None)
@given(scrapes(), st.integers(0, 11))
def test_a_query_gives_what_the_events_hold(made: list[RecordedBlock], wanted: int) -> None:
    expected: dict[Labels, dict[int, int]] = {}
    for block in made:
        for labels, ts, bits in zip(
            block.block.series, block.block.times(), block.block.values.view(np.int64).tolist(), strict=True
        ):
            if labels.get("x") == str(wanted):
                expected.setdefault(labels, {}).setdefault(ts, bits)
    with tempfile.TemporaryDirectory() as directory:
        write(Path(directory), made)
        found = rows(Recording(Path(directory)).select([equal("x", str(wanted))], *EVER))
        every = Recording(Path(directory)).select([ANY], *EVER)
    assert found == {labels: sorted(samples.items()) for labels, samples in expected.items()}
    assert {labels: s for labels, s in rows(every).items() if labels in found} == found
