from __future__ import annotations

import numpy as np
import pytest

from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import STALE, Sample, stale_mask
from rulepush.promql import Engine, parse_expr
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import DEAD_PART, LARGE_TABLE, Head
from rulepush.storage.table import MARGIN_MS, AppendOutcome

T0 = 1_700_000_000_000
MINUTE = 60_000


def eq(name: str, value: str) -> Matcher:
    return Matcher(name, MatchOp.EQUAL, value)


def regex(name: str, value: str) -> Matcher:
    return Matcher(name, MatchOp.REGEX, value)


def named(name: str, **labels: str) -> Labels:
    return Labels({"__name__": name, **labels})


def keeping_all(retention: int = 5 * MINUTE) -> Head:
    return Head(Demand.keep_all(retention))


def rows(head: Head, *matchers: Matcher) -> list[tuple[str, list[int], list[float]]]:
    s = head.querier().select(matchers, 0, 2**62)
    return [
        (str(labels), s.times[i, :n].tolist(), s.values[i, :n].tolist())
        for i, (labels, n) in enumerate(zip(s.index.labels, s.counts, strict=True))
    ]


def test_a_series_comes_back_with_its_samples_in_order() -> None:
    head = keeping_all()
    for i in range(3):
        assert head.append(named("up", job="a"), T0 + i * 1000, float(i)) is AppendOutcome.KEPT
    assert rows(head, eq("__name__", "up")) == [('up{job="a"}', [T0, T0 + 1000, T0 + 2000], [0.0, 1.0, 2.0])]


def test_outcomes_are_those_of_prometheus() -> None:
    head = Head(Demand.of([ManualDemand.metric("up", MINUTE)]))
    assert head.append(named("down"), T0, 1.0) is AppendOutcome.NOT_WANTED
    assert head.append(named("up"), T0, 1.0) is AppendOutcome.KEPT
    assert head.append(named("up"), T0, 1.0) is AppendOutcome.SAME
    assert head.append(named("up"), T0, 2.0) is AppendOutcome.DUPLICATE
    assert head.append(named("up"), T0 - 1, 2.0) is AppendOutcome.OUT_OF_ORDER
    assert [bool(o) for o in AppendOutcome] == [True, True, False, False, False]


def test_equal_stale_markers_are_the_same_sample() -> None:
    head = keeping_all()
    head.append(named("up"), T0, STALE)
    assert head.append(named("up"), T0, STALE) is AppendOutcome.SAME
    assert head.append(named("up"), T0, float("nan")) is AppendOutcome.DUPLICATE
    s = head.querier().select([eq("__name__", "up")], 0, T0)
    assert stale_mask(s.values).tolist() == [[True]]


def test_the_label_index_is_the_same_object_until_the_matching_series_change() -> None:
    head = keeping_all()
    head.append(named("m", a="1"), T0, 1.0)
    head.append(named("m", a="2"), T0, 1.0)
    ones, everything = (eq("__name__", "m"), eq("a", "1")), (eq("__name__", "m"),)

    def index(matchers: tuple[Matcher, ...]) -> object:
        return head.querier().select(matchers, 0, T0).index

    one, all_before = index(ones), index(everything)
    head.append(named("m", a="1"), T0 + 1, 2.0)
    assert index(ones) is one
    assert index(everything) is all_before
    head.append(named("m", a="3"), T0 + 1, 2.0)
    assert index(ones) is one
    assert index(everything) is not all_before


def test_an_index_survives_the_removal_of_other_series() -> None:
    head = keeping_all()
    head.append(named("m", a="old"), T0, 1.0)
    head.append(named("m", a="new"), T0 + 20 * MINUTE, 1.0)
    before = head.querier().select((eq("__name__", "m"), eq("a", "new")), 0, T0).index
    assert head.truncate(T0 + 20 * MINUTE) == 1
    after = head.querier().select((eq("__name__", "m"), eq("a", "new")), 0, T0).index
    assert after is before
    assert [str(x) for x in head.series([eq("__name__", "m")])] == ['m{a="new"}']


def test_a_large_table_waits_until_a_part_of_its_series_is_gone() -> None:
    head, late = keeping_all(), T0 + 20 * MINUTE
    for i in range(LARGE_TABLE):
        head.append(named("m", i=str(i)), T0, 1.0)
        if i >= LARGE_TABLE // DEAD_PART - 1:
            head.append(named("m", i=str(i)), late, 1.0)
    assert (head.truncate(late), head.series_count) == (0, LARGE_TABLE)
    table = next(head.tables())
    layout = table.layout
    for i in range(2):
        head.append(named("m", i=f"gone {i}"), T0, 1.0)
    assert head.truncate(late) == LARGE_TABLE // DEAD_PART + 1
    assert (head.series_count, table.layout) == (LARGE_TABLE - LARGE_TABLE // DEAD_PART + 1, layout + 1)


def test_what_is_held_is_accounted_for_as_it_comes_and_goes() -> None:
    head = keeping_all()
    assert (head.nbytes, head.label_bytes, head.derived_bytes) == (0, 0, 0)
    for i in range(100):
        head.append(named("m", i=str(i)), T0, 1.0)
    few = head.label_bytes
    for i in range(100, 200):
        head.append(named("m", i=str(i), more="1", labels="2"), T0 + 20 * MINUTE, 1.0)
    assert 2 * few < head.label_bytes < 4 * few
    query = parse_expr('sum by (i) (m{more="1"})')
    assert head.derived_bytes == 0
    Engine().instant(query, T0 + 20 * MINUTE, head.querier())
    assert head.derived_bytes > 100 * 4
    assert head.truncate(T0 + 20 * MINUTE) == 100
    assert head.label_bytes < 3 * few
    head.truncate(T0 + 60 * MINUTE)
    head.set_demand(Demand.keep_all(MINUTE))
    assert (head.nbytes, head.label_bytes, head.derived_bytes) == (0, 0, 0)


def test_a_full_selection_is_a_view() -> None:
    head = keeping_all()
    head.append(named("m", a="1"), T0, 1.0)
    table = next(head.tables())
    s = head.querier().select([eq("__name__", "m")], 0, T0)
    assert np.shares_memory(s.times, table.columns()[0])


def test_selections_span_tables_with_padding() -> None:
    head = keeping_all()
    head.append(named("a_total"), T0, 1.0)
    head.append(named("b_total"), T0, 2.0)
    head.append(named("b_total"), T0 + 1, 3.0)
    head.append(named("c"), T0 + 1, 3.0)
    totals = regex("__name__", ".+_total")
    assert rows(head, totals) == [("a_total", [T0], [1.0]), ("b_total", [T0, T0 + 1], [2.0, 3.0])]
    index = head.querier().select([totals], 0, T0).index
    head.append(named("c", x="1"), T0 + 1, 3.0)
    assert head.querier().select([totals], 0, T0).index is index
    assert len(rows(head, eq("x", ""))) == 3


def test_two_name_matchers_must_both_hold() -> None:
    head = keeping_all()
    head.append(named("a"), T0, 1.0)
    assert rows(head, eq("__name__", "a"), regex("__name__", "b")) == []
    assert rows(head, eq("__name__", "nothing")) == []


def test_memory_is_bounded_by_the_look_back() -> None:
    head = keeping_all(5 * MINUTE)
    for i in range(10_000):
        head.append(named("m"), T0 + i * 15_000, float(i))
    table = next(head.tables())
    assert table.capacity <= 64
    (_, times, values), *_ = rows(head, eq("__name__", "m"))
    newest = T0 + 9_999 * 15_000
    assert [t for t in times if t >= newest - 5 * MINUTE] == list(range(newest - 5 * MINUTE, newest + 1, 15_000))
    assert values[-1] == 9999.0


def test_few_rows_have_room_so_that_they_are_compacted_seldom_and_many_rows_take_no_memory_for_it() -> None:
    few, many = keeping_all(MINUTE), keeping_all(MINUTE)
    for i in range(200):
        for head, series in ((few, 10), (many, 2000)):
            labels = [named("m", row=str(row)) for row in range(series)]
            if not i:
                head.append_many([Sample(one, T0, 0.0) for one in labels])
            else:
                head.append_rows(next(head.tables()), slice(0, series), T0 + i * 5_000, np.full(series, float(i)))
    needed = (MINUTE + MARGIN_MS) // 5_000 + 2
    small, large = next(few.tables()), next(many.tables())
    assert small.capacity >= needed * 3 // 2  # the oldest go at every seventh append, or more seldom
    assert large.capacity <= needed * 5 // 4
    assert small.capacity <= 2 * needed


def test_rows_are_compacted_each_by_its_own_newest_sample() -> None:
    head = keeping_all(MINUTE)
    head.append(named("m", a="slow"), T0, 7.0)
    for i in range(1000):
        head.append(named("m", a="fast"), T0 + i * 1000, float(i))
    assert rows(head, eq("a", "slow")) == [('m{a="slow"}', [T0], [7.0])]
    (_, times, values), *_ = rows(head, eq("a", "fast"))
    assert times[-1] == T0 + 999_000
    assert values == [(t - T0) / 1000 for t in times]
    assert times[0] <= T0 + 939_000


def test_a_fixed_time_keeps_its_window() -> None:
    fixed = ManualDemand((eq("__name__", "m"),), MINUTE, since_ms=T0 + 2 * MINUTE)
    head = Head(Demand.of([fixed, ManualDemand.metric("m", MINUTE)]))
    for i in range(2000):
        head.append(named("m"), T0 + i * 5000, float(i))
    (_, times, _), *_ = rows(head, eq("__name__", "m"))
    assert set(range(T0 + MINUTE, T0 + 2 * MINUTE + 1, 5000)) <= set(times)
    assert len(times) < 200
    assert head.truncate(T0 + 1_000_000_000) == 0


def test_a_reload_keeps_what_is_still_wanted() -> None:
    head = Head(Demand.of([ManualDemand.metric("a", MINUTE), ManualDemand.metric("b", MINUTE)]))
    head.append(named("a"), T0, 1.0)
    head.append(named("b", x="1"), T0, 1.0)
    head.append(named("b", x="2"), T0, 2.0)
    head.append(named("c"), T0, 2.0)
    head.set_demand(
        Demand.of([ManualDemand((eq("__name__", "b"), eq("x", "2")), 2 * MINUTE), ManualDemand.metric("c", MINUTE)])
    )
    assert rows(head, regex("__name__", ".+")) == [('b{x="2"}', [T0], [2.0])]
    assert head.append(named("c"), T0, 2.0)
    assert not head.append(named("a"), T0, 2.0)


def test_rows_of_one_scrape_are_appended_at_once() -> None:
    head = keeping_all()
    labels = [named("m", i=str(i)) for i in range(5)]
    table = head.table_for(labels[0])
    assert table is not None
    at = np.array([table.row(x) for x in labels])
    for k in range(100):
        assert head.append_rows(table, at, T0 + k * 5000, np.arange(5.0) + k) == (0, 0)
    assert head.append_rows(table, at, T0 + 99 * 5000, np.arange(5.0) + 99) == (0, 0)
    assert head.append_rows(table, at, T0 + 99 * 5000, np.arange(5.0) * 2 + 99) == (0, 4)
    assert head.append_rows(table, at, T0, np.arange(5.0)) == (5, 0)
    (_, times, values), *_ = rows(head, eq("i", "3"))
    assert values[-3:] == [100.0, 101.0, 102.0]
    assert times[-1] == T0 + 99 * 5000


def test_rewind_forgets_the_future() -> None:
    head = keeping_all()
    head.append(named("m", a="1"), T0, 1.0)
    head.append(named("m", a="1"), T0 + MINUTE, 2.0)
    head.append(named("m", a="2"), T0 + MINUTE, 2.0)
    assert head.rewind(T0 + 1) == 2
    assert head.append(named("m", a="1"), T0 + 2, 3.0)
    assert head.append(named("m", a="2"), T0 + 2, 3.0)
    assert rows(head, eq("a", "1")) == [('m{a="1"}', [T0, T0 + 2], [1.0, 3.0])]


def test_append_many_counts_outcomes() -> None:
    head = Head(Demand.of([ManualDemand.metric("m", MINUTE)]))
    done = head.append_many([Sample(named("m"), T0, 1.0), Sample(named("m"), T0, 2.0), Sample(named("n"), T0, 2.0)])
    assert dict(done) == {AppendOutcome.KEPT: 1, AppendOutcome.DUPLICATE: 1, AppendOutcome.NOT_WANTED: 1}


def test_label_names_and_values() -> None:
    head = keeping_all()
    head.append(named("a", x="1"), T0, 1.0)
    head.append(named("b", y="2", x="0"), T0, 1.0)
    assert sorted({n for labels in head.series(()) for n, _ in labels}) == ["__name__", "x", "y"]
    assert sorted({labels.get("x") for labels in head.series(())} - {""}) == ["0", "1"]
    assert {labels.get("x") for labels in head.series([eq("__name__", "a")])} == {"1"}


@pytest.mark.parametrize("seed", range(5))
def test_random_appends_agree_with_lists(seed: int) -> None:
    rng = np.random.default_rng(seed)
    head, model = keeping_all(MINUTE), dict[str, list[tuple[int, float]]]()
    now = T0
    for _ in range(800):
        now += int(rng.integers(0, 3000))
        who = str(rng.integers(0, 6))
        known = model.setdefault(who, [])
        value = float(rng.integers(0, 3))
        outcome = head.append(named("m", w=who), now, value)
        if outcome is AppendOutcome.KEPT:
            known.append((now, value))
        if rng.random() < 0.01:
            head.truncate(now)
    for labels, times, values in rows(head, eq("__name__", "m")):
        known = model[labels.split('"')[1]]
        got = list(zip(times, values, strict=True))
        assert got == known[-len(got) :]
        assert [s for s in known if s[0] >= known[-1][0] - MINUTE] == [s for s in got if s[0] >= got[-1][0] - MINUTE]
