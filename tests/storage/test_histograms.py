"""Native histograms in the storage: beside floats, over compactions, and through the journal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rulepush.histogram.boxes import Boxes, box_mask, box_of
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.compact import decode_histograms, encode_histograms
from rulepush.histogram.errors import InvalidHistogram
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.sample import HistogramBlock, HistogramSample, floats_of_samples
from rulepush.histogram.schema import CUSTOM_SCHEMA
from rulepush.histogram.stored import stored_hint
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import STALE, Sample, is_stale
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from rulepush.storage.journal_batch import BatchColumns
from rulepush.storage.table import AppendOutcome, as_rows
from tests.fakes import FakeClock
from tests.storage.test_journal import Life

T0 = 1_700_000_000_000
MINUTE = 60_000
H = Labels.of(__name__="h")
UNKNOWN, RESET, NOT_RESET, GAUGE = CounterResetHint


def hist(count: float, *counts: float, hint: CounterResetHint = UNKNOWN, schema: int = 0) -> FloatHistogram:
    return FloatHistogram(schema, count, count * 2, 0.0, 0.0, Buckets.at(1, list(counts)), counter_reset_hint=hint)


def held(head: Head, name: str = "h") -> list[float | FloatHistogram]:
    """What the series holds; the stale marker as None would be."""
    s = head.select([Matcher("__name__", MatchOp.EQUAL, name)], 0, 2**62)
    values = s.values[0, : s.counts[0]].tolist()
    return [(s.boxes.unbox(v) if s.boxes is not None else None) or v for v in values]


def counts(head: Head) -> list[float]:
    return [x.count if isinstance(x, FloatHistogram) else x for x in held(head)]


def test_a_box_survives_what_moves_floats_and_nothing_that_computes() -> None:
    boxes = Boxes()
    boxes.box(hist(1))
    values = np.zeros((3, 2))
    values[1, 1] = boxes.box(hist(7))
    for moved in (values[::-1], np.where(values == 0, values, values), np.array(values.tolist()), np.repeat(values, 2)):
        (value,) = moved[box_mask(moved)].tolist()[:1]
        assert boxes.unbox(value) == hist(7)
    with np.errstate(all="ignore"):
        for computed in (values + 1, values * 2, np.sqrt(values), -values):
            assert not box_mask(computed).any()
    assert not box_mask(np.array([STALE, np.nan, np.inf, -np.inf])).any()
    assert boxes.unbox(STALE) is None


def test_a_series_may_change_its_kind() -> None:
    head = Head(Demand.keep_all(5 * MINUTE))
    head.append(H, T0, 1.0)
    assert head.append_histogram(H, T0 + 1, hist(2)) is AppendOutcome.KEPT
    head.append_many([Sample(H, T0 + 2, 3.0), HistogramSample(H, T0 + 3, 0.0, hist(4)), Sample(H, T0 + 4, STALE)])
    found = held(head)
    assert [x.count if isinstance(x, FloatHistogram) else x for x in found[:4]] == [1.0, 2.0, 3.0, 4.0]
    assert isinstance(found[4], float)
    assert is_stale(found[4])
    assert not list(head.unended())


def test_a_stale_histogram_ends_a_series() -> None:
    head = Head(Demand.keep_all(5 * MINUTE))
    head.append_histogram(H, T0, hist(2))
    assert list(head.unended()) == [H]
    head.append_histogram(H, T0 + 1, FloatHistogram(sum=STALE))
    assert not list(head.unended())


def test_outcomes_of_histograms() -> None:
    head = Head(Demand.of([ManualDemand.metric("h", MINUTE)]))
    assert head.append_histogram(Labels.of(__name__="other"), T0, hist(1)) is AppendOutcome.NOT_WANTED
    assert head.append_histogram(H, T0, hist(1, 1)) is AppendOutcome.KEPT
    assert head.append_histogram(H, T0, hist(1, 1)) is AppendOutcome.SAME
    assert head.append_histogram(H, T0, hist(1, 2)) is AppendOutcome.DUPLICATE
    assert head.append(H, T0, 1.0) is AppendOutcome.DUPLICATE
    assert head.append_histogram(H, T0 - 1, hist(1, 1)) is AppendOutcome.OUT_OF_ORDER
    assert head.append_histogram(H, T0 - 1, hist(0, 1), in_order=False) is AppendOutcome.KEPT
    assert counts(head) == [0, 1]


def test_rows_of_a_scrape_bring_their_histograms() -> None:
    head = Head(Demand.keep_all(5 * MINUTE))
    table = head.table_for(H)
    assert table is not None
    rows = np.array([table.row(Labels.of(__name__="h", i=str(i))) for i in range(3)])
    boxes = Boxes()
    head.append_rows(table, rows, T0, np.array([1.0, boxes.box(hist(5)), boxes.box(hist(6))]), boxes)
    s = head.select([Matcher("__name__", MatchOp.EQUAL, "h")], 0, 2**62)
    assert s.boxes is not None
    assert [s.boxes.unbox(v) or v for v in s.column(0).tolist()] == [1.0, hist(5), hist(6)]


def test_selections_over_several_metrics_keep_their_histograms() -> None:
    head = Head(Demand.keep_all(5 * MINUTE))
    for i, name in enumerate(("a", "b", "c")):
        head.append_histogram(Labels.of(__name__=name), T0, hist(i + 1.0))
        head.append(Labels.of(__name__=name, x="f"), T0, 9.0)
    s = head.select([Matcher("__name__", MatchOp.REGEX, "a|c")], 0, 2**62)
    assert s.boxes is not None
    found = {str(labels): s.boxes.unbox(v) for labels, v in zip(s.index.labels, s.column(0).tolist(), strict=True)}
    assert found == {"a": hist(1), 'a{x="f"}': None, "c": hist(3), 'c{x="f"}': None}


def test_what_is_beyond_the_look_back_is_given_up() -> None:
    head = Head(Demand.keep_all(MINUTE))
    for i in range(2_000):
        head.append_histogram(H, T0 + i * 1_000, hist(float(i)))
    (table,) = head.tables()
    assert table.boxes is not None
    assert table.sample_count < 300
    assert len(table.boxes) < 3 * table.sample_count
    assert counts(head)[-90:] == [float(i) for i in range(1_910, 2_000)]
    assert head.nbytes > table.boxes.nbytes > 0


def scraped(head: Head, ts: int, *histograms: FloatHistogram) -> None:
    """As a scrape writes the series of a table."""
    table = head.wanted_table("h")
    rows = [table.row(Labels.of(__name__="h", i=str(i))) for i in range(len(histograms))]
    boxes = Boxes()
    values = np.array([boxes.box(h) for h in histograms])
    assert head.append_rows(table, as_rows(rows), ts, values, boxes) == (0, 0)


def test_a_scrape_each_second_holds_little_more_histograms_than_the_look_back_has() -> None:
    head = Head(Demand.keep_all(MINUTE))
    most_samples = most_boxes = 0
    for i in range(600):
        scraped(head, T0 + i * 1_000, *(hist(float(i + n), i + n) for n in range(20)))
        (table,) = head.tables()
        assert table.boxes is not None
        most_samples = max(most_samples, table.sample_count)
        most_boxes = max(most_boxes, len(table.boxes))
    needed = 20 * 90  # of a minute and the margin of half a minute
    assert needed < most_samples < 2.5 * needed
    assert most_boxes <= most_samples * 9 // 8 + 64 + 20


def test_a_scraped_histogram_has_the_hint_that_the_one_before_gives_it() -> None:
    head = Head(Demand.keep_all(MINUTE))
    for i, count in enumerate((5, 6, 6, 2, 3)):
        scraped(head, T0 + i * 1_000, hist(count, count), hist(7, 7, hint=GAUGE))
    s = head.select([Matcher("__name__", MatchOp.EQUAL, "h")], 0, 2**62)
    assert s.boxes is not None
    hints = [
        [h.counter_reset_hint for h in map(s.boxes.unbox, row[: s.counts[0]].tolist()) if h is not None]
        for row in s.values
    ]
    assert hints == [[UNKNOWN, NOT_RESET, NOT_RESET, UNKNOWN, NOT_RESET], [GAUGE] * 5]


def test_a_histogram_after_a_float_or_a_stale_marker_is_compared_with_nothing() -> None:
    head = Head(Demand.keep_all(MINUTE))
    labels = Labels.of(__name__="h", i="0")
    for i, before in enumerate((3.0, STALE)):
        scraped(head, T0 + i * 10_000, hist(5 + 10 * i, 5 + 10 * i))
        head.append(labels, T0 + i * 10_000 + 1_000, before)
        scraped(head, T0 + i * 10_000 + 2_000, hist(6 + 10 * i, 6 + 10 * i))
    found = [h.counter_reset_hint for h in held(head) if isinstance(h, FloatHistogram)]
    assert found == [UNKNOWN, UNKNOWN, NOT_RESET, UNKNOWN]


def test_what_did_not_change_since_the_scrape_before_is_held_once() -> None:
    head = Head(Demand.keep_all(MINUTE))
    for i, (count, parts) in enumerate(((3, [1, 2]), (3, [1, 2]), (3, [1, 2]), (4, [1, 3]))):
        scraped(head, T0 + i * 1_000, hist(count, *parts))
    first, second, third, last = (h for h in held(head) if isinstance(h, FloatHistogram))
    assert first.positive is second.positive  # the hint differs
    assert second is third
    assert last == hist(4, 1, 3, hint=NOT_RESET)
    assert last.positive.indexes is first.positive.indexes


def test_a_removed_series_takes_its_histograms_along() -> None:
    head = Head(Demand.keep_all(MINUTE))
    for i in range(300):
        head.append_histogram(Labels.of(__name__="h", i=str(i)), T0, hist(float(i)))
    head.append_histogram(H, T0 + 10 * MINUTE, hist(5))
    assert head.truncate(T0 + 10 * MINUTE) == 300
    (table,) = head.tables()
    assert table.boxes is not None
    assert len(table.boxes) == 1
    assert counts(head) == [5]


def test_a_series_that_has_become_floats_holds_no_histograms() -> None:
    head = Head(Demand.keep_all(MINUTE))
    for i in range(10):
        head.append_histogram(H, T0 + i * 1_000, hist(float(i)))
    (table,) = head.tables()
    head.truncate(T0 + 10_000)
    assert table.boxes is not None
    assert len(table.boxes) == 10
    for i in range(10, 600):
        head.append(H, T0 + i * 1_000, float(i))
        head.truncate(T0 + i * 1_000)
    assert table.boxes is None
    head.append_histogram(H, T0 + 600_000, hist(7))
    assert held(head)[-2:] == [599.0, hist(7)]


def test_histogram_series_that_come_and_go_leave_nothing_behind() -> None:
    head = Head(Demand.keep_all(MINUTE))
    most = []
    for turn in range(30):
        now = T0 + turn * 2 * MINUTE
        for i in range(20):
            head.append_histogram(Labels.of(__name__="h", turn=str(turn), i=str(i)), now, hist(float(i)))
        head.append_histogram(H, now, hist(1))
        head.truncate(now)
        (table,) = head.tables()
        assert table.boxes is not None
        most.append(len(table.boxes))
    assert max(most[1:]) <= 2 * (21 + 30) + 64
    head.append_histogram(H, T0 + 80 * MINUTE, hist(1))
    for _ in range(3):
        head.truncate(T0 + 80 * MINUTE)
    (table,) = head.tables()
    assert table.boxes is not None
    assert len(table.boxes) <= 2 * table.sample_count


@pytest.mark.parametrize(
    ("before", "now", "hint"),
    [
        (None, hist(1), UNKNOWN),
        (None, hist(1, hint=NOT_RESET), UNKNOWN),
        (hist(1, 1), hist(2, 2), NOT_RESET),
        (hist(1, 1), hist(2, 2, hint=RESET), UNKNOWN),
        (hist(2, 2), hist(1, 1), UNKNOWN),
        (hist(2, 2), hist(2, 1, 1), UNKNOWN),
        (hist(1, 1), hist(1, 1, schema=1), UNKNOWN),
        (hist(1, 1, hint=GAUGE), hist(2, 2), UNKNOWN),
        (hist(1, 1), hist(2, 2, hint=GAUGE), GAUGE),
        (FloatHistogram(CUSTOM_SCHEMA, custom_values=(1.0,)), FloatHistogram(CUSTOM_SCHEMA), UNKNOWN),
    ],
)
def test_hints_are_those_that_prometheus_reads_back(
    before: FloatHistogram | None, now: FloatHistogram, hint: CounterResetHint
) -> None:
    assert stored_hint(now, before) is hint


def test_hints_come_with_their_place() -> None:
    head = Head(Demand.keep_all(5 * MINUTE))
    for i, one in enumerate((hist(1, 1), hist(2, 2), hist(1, 1), hist(3, 3))):
        head.append_histogram(H, T0 + i, one)
    found = [h.counter_reset_hint for h in held(head) if isinstance(h, FloatHistogram)]
    assert found == [UNKNOWN, NOT_RESET, UNKNOWN, NOT_RESET]


MANY = [
    FloatHistogram(),
    hist(3, 1, 2, hint=GAUGE),
    FloatHistogram(3, 1.5, -2.5, 1e-3, 0.5, Buckets.at(-70, [1, 0, 2]), Buckets.from_spans([(3, 1), (4, 1)], [1, 2])),
    FloatHistogram(CUSTOM_SCHEMA, 3, 4, positive=Buckets.at(0, [1, 2]), custom_values=(0.5, 2.5, 10.0)),
]


def test_histograms_as_bytes() -> None:
    assert decode_histograms(encode_histograms(MANY)) == MANY
    assert decode_histograms(encode_histograms([])) == []


def test_other_bytes_are_refused() -> None:
    raw = encode_histograms(MANY)
    for broken in (b"", raw[:-1], raw + b"x", raw[:3], b"\xff" * len(raw)):
        with pytest.raises(InvalidHistogram, match="not a list of histograms"):
            decode_histograms(broken)


def test_batches_bring_only_their_own_histograms() -> None:
    boxes = Boxes(MANY)
    batch = BatchColumns(np.array([1, 2]), np.array([T0, T0]), np.array([box_of(2), 5.0]), boxes)
    read = BatchColumns.decode(batch.encode())
    assert read.boxes is not None
    assert list(read.boxes) == [MANY[2]]
    both = BatchColumns.concat([read, BatchColumns(np.array([3]), np.array([T0]), np.array([box_of(1)]), boxes)])
    assert both.boxes is not None
    assert [both.boxes.unbox(v) or v for v in both.values.tolist()] == [MANY[2], 5.0, MANY[1]]
    plain = BatchColumns(np.array([1]), np.array([T0]), np.array([5.0]), boxes)
    assert plain.encode() == BatchColumns(np.array([1]), np.array([T0]), np.array([5.0])).encode()


def test_a_batch_that_breaks_off_in_its_histograms_is_refused() -> None:
    import zlib

    batch = BatchColumns(np.array([1]), np.array([T0]), np.array([box_of(1)]), Boxes(MANY))
    broken = zlib.compress(zlib.decompress(batch.encode())[:-2])
    with pytest.raises(ValueError, match="not a batch of samples"):
        BatchColumns.decode(broken)


def test_after_a_kill_the_histograms_are_there_again(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Life(tmp_path / "s.db", clock)
    number = iter(range(100))

    def scrape() -> None:
        n = float(next(number))
        first.head.append_histogram(H, clock.now(), hist(n, n))
        first.append("f", n)
        table = first.head.table_for(Labels.of(__name__="m"))
        assert table is not None
        rows = np.array([table.row(Labels.of(__name__="m", i=str(i))) for i in range(2)])
        boxes = Boxes()
        first.head.append_rows(table, rows, clock.now(), np.array([n, boxes.box(MANY[3])]), boxes)

    first.run(5, scrape)
    second = Life(tmp_path / "s.db", clock)
    for name in ("h", "f", "m"):
        assert held(second.head, name) == held(first.head, name)
    assert counts(second.head) == [0, 1, 2, 3, 4]
    third = Life(tmp_path / "s.db", clock, Demand.of([ManualDemand.metric("h", 2_000)]))
    assert counts(third.head)[-1] == 4


def test_a_set_aside_journal_is_rewritten_with_its_histograms(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Life(tmp_path / "s.db", clock)
    first.head.append_histogram(H, clock.now(), hist(1, 1))
    first.run(2)
    first.database.close()
    (tmp_path / "s.db").unlink()
    first.run(3, lambda: first.append("f", float(clock.now())))
    assert counts(Life(tmp_path / "s.db", clock).head) == [1]


def test_samples_of_a_block_and_lists_without_their_histograms() -> None:
    series = tuple(Labels.of(__name__=name) for name in "abc")
    block = HistogramBlock(series, T0, np.array([1.0, 0.0, 3.0]), (None, hist(2), None))
    assert [type(s) for s in block.samples()] == [Sample, HistogramSample, Sample]
    floats = [Sample(series[0], T0, 1.0), Sample(series[2], T0, 3.0)]
    assert floats_of_samples(list(block.samples())) == floats
    assert floats_of_samples(floats) is floats
