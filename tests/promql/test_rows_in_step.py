"""Series that are scraped at the same moments are computed together: with the same result, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import STALE, stale_mask
from rulepush.promql import Engine, parse_expr
from rulepush.promql.vectors.values import Vector
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.storage.selection import Querier, Selection
from tests.promql.fake_querier import labels, load, values

STEP = 5_000
START = 1_700_000_000_000
RANGE_FUNCTIONS = (
    "avg_over_time(%s)",
    "changes(%s)",
    "count_over_time(%s)",
    "delta(%s)",
    "deriv(%s)",
    "first_over_time(%s)",
    "idelta(%s)",
    "increase(%s)",
    "irate(%s)",
    "last_over_time(%s)",
    "mad_over_time(%s)",
    "max_over_time(%s)",
    "min_over_time(%s)",
    "predict_linear(%s, 60)",
    "present_over_time(%s)",
    "quantile_over_time(0.3, %s)",
    "rate(%s)",
    "resets(%s)",
    "stddev_over_time(%s)",
    "sum_over_time(%s)",
    "ts_of_last_over_time(%s)",
    "ts_of_max_over_time(%s)",
)
RANGES = ("m[5s]", "m[17s]", "m[1m]", "m[5m]", 'm{k="a"}[1m]', "m[30s] offset 20s", "m[1m:10s]")
VECTORS = (
    "increase(m[1m] anchored)",
    "m",
    'm{k="a"}',
    "m offset 40s",
    "sum(m)",
    "sum by (k) (m)",
    "avg by (k) (m)",
    "topk(2, m)",
    "m / m",
    "absent(m)",
)
QUERIES = tuple(parse_expr(f % r) for f in RANGE_FUNCTIONS for r in RANGES) + tuple(parse_expr(v) for v in VECTORS)
DEMAND = Demand.of(use for query in QUERIES for use in query.selectors())


class Plain:
    """The same samples, without what the storage knows of their times."""

    def __init__(self, head: Head):
        self._head = head

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Selection:
        found = self._head.select(matchers, mint, maxt)
        return Selection(found.index, found.times.copy(), found.values.copy(), found.counts.copy())


@dataclass
class Series:
    """One series of a scenario: scraped from tick `first` until before `last`, a stale marker at its end."""

    labels: Labels
    first: int
    last: int
    late: int  # ms after each tick
    values: list[float]
    skipped: set[int] = field(default_factory=set)


numbers = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf"), STALE, 1e308, -1e308, 5e-324]),
    st.floats(width=64),
    st.integers(0, 50).map(float),
)


@st.composite
def series(draw: st.DrawFn) -> list[Series]:
    n, ticks = draw(st.integers(1, 6)), 90
    found = []
    for i in range(n):
        usual = draw(st.integers(0, 3)) > 0
        first = 0 if usual else draw(st.integers(0, ticks))
        last = ticks if usual else draw(st.integers(first, ticks))
        late = 0 if draw(st.integers(0, 9)) else draw(st.integers(1, STEP - 1))
        skipped = set() if usual else set(draw(st.lists(st.integers(0, ticks), max_size=5)))
        values = draw(st.lists(numbers, min_size=1, max_size=12))
        found.append(Series(labels("m", i=str(i), k="ab"[i % 2]), first, last, late, values, skipped))
    return found


def scraped(head: Head, tick: int, found: list[Series]) -> None:
    for one in found:
        ts = START + tick * STEP + one.late
        if one.first <= tick < one.last and tick not in one.skipped:
            head.append(one.labels, ts, one.values[tick % len(one.values)])
        elif tick == one.last:
            head.append(one.labels, ts, STALE)


def answer(querier: Querier, text_at: int, ts: int) -> tuple[list[str], bytes, bytes]:
    value = Engine().instant(QUERIES[text_at], ts, querier).value
    assert isinstance(value, Vector)
    here = value.present[:, 0]
    of_rows = value.values[:, 0].copy()
    of_rows[~here] = 0.0
    of_rows[np.isnan(of_rows)] = np.nan  # which NaN it is, IEEE 754 leaves open
    return [str(row) for row in value.index.labels], here.tobytes(), of_rows.tobytes()


@given(series(), st.lists(st.tuples(st.integers(1, 89), st.integers(0, STEP - 1)), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_the_result_is_that_of_looking_at_every_time(found: list[Series], asked: list[tuple[int, int]]) -> None:
    head = Head(DEMAND)
    times: dict[int, list[int]] = {}
    for tick, later in asked:
        times.setdefault(tick, []).append(later)
    for tick in range(90):
        scraped(head, tick, found)
        if tick % 12 == 0:
            head.truncate(START + tick * STEP)
        for later in times.get(tick, ()):
            for at, query in enumerate(QUERIES):
                ts = START + tick * STEP + later
                assert answer(head, at, ts) == answer(Plain(head), at, ts), query.text


@pytest.mark.parametrize("seed", range(30))
def test_series_with_times_of_their_own_that_come_later_are_found(seed: int) -> None:
    """Whatever the storage knows, asked at each tick, of rows that are seldom or never in step."""
    random = Random(seed)
    head = Head(DEMAND)
    apart = random.choice((0.2, 0.7, 1.0))
    found = []
    for i in range(random.randint(2, 30)):
        late = random.randrange(1, STEP) if random.random() < apart else 0
        first = random.choice((0, random.randrange(60)))
        skipped = set(random.sample(range(70), random.choice((0, 0, 20))))
        found.append(Series(labels("m", i=str(i), k=random.choice("ab")), first, 200, late, [i + 0.5], skipped))
    queries = [QUERIES.index(query) for query in QUERIES if query.text in ("m", 'm{k="a"}', "increase(m[1m])")]
    assert len(queries) == 3
    for tick in range(70):
        scraped(head, tick, found)
        if tick % 9 == 0:
            head.truncate(START + tick * STEP)
        ts = START + (tick + 1) * STEP
        for at in queries:
            assert answer(head, at, ts) == answer(Plain(head), at, ts)
        for one in found:
            if one.first <= tick and not one.skipped:
                found_rows = head.select([Matcher(name, MatchOp.EQUAL, value) for name, value in one.labels], 0, 0)
                assert found_rows.times[0, found_rows.counts[0] - 1] == START + tick * STEP + one.late


@pytest.mark.parametrize("seed", range(3))
def test_a_few_odd_series_among_many_are_computed_apart(seed: int) -> None:
    head, random = Head(DEMAND), Random(seed)
    found = [Series(labels("m", i=str(i), k="ab"[i % 2]), 0, 200, 0, [i + 0.1, 7.0, i * 3.0]) for i in range(600)]
    for one in random.sample(found, 20):
        one.first, one.last = random.choice(((0, 60), (0, 73), (65, 200), (71, 74), (0, 200)))
        one.late = random.choice((0, 0, 1234))
        one.skipped = set(random.sample(range(90), 9))
        one.values = random.choice(([1.0, 5.0, 2.0, float("nan")], [3.0, STALE], [float("inf"), 1.0]))
    apart = 0
    for tick in range(76):
        scraped(head, tick, found)
        if tick in (72, 75):
            apart += head.select(QUERIES[0].selectors()[0].matchers, 0, 0).odd is not None
            for at, query in enumerate(QUERIES):
                if not any(one in query.text for one in ("[30s]", "17s", "10s]")):
                    ts = START + tick * STEP + random.choice((0, 1500))
                    assert answer(head, at, ts) == answer(Plain(head), at, ts), query.text
    assert apart == 2


@given(series())
@settings(max_examples=40, deadline=None)
def test_what_a_selection_says_of_shared_times_holds_in_every_row(found: list[Series]) -> None:
    head, told = Head(DEMAND), 0
    matchers = QUERIES[0].selectors()[0].matchers
    for tick in range(90):
        scraped(head, tick, found)
        selection = head.select(matchers, 0, 0)
        shared = selection.shared
        if shared is None:
            continue
        assert selection.odd is None  # of so few rows
        told += 1
        times, values, k = selection.times, selection.values, shared.first + len(shared.times)
        assert (selection.counts == k).all()
        assert (times[:, shared.first : k] == shared.times).all()
        stale = stale_mask(values[:, shared.first : k])
        assert (np.broadcast_to(shared.times, stale.shape)[stale] <= shared.stale_at).all()
    if len(found) == 1 and found[0].first == 0 and found[0].last > 0 and 0 not in found[0].skipped:
        assert told


@pytest.mark.parametrize("ticks", [1, 7, 8, 9, 40, 200])
def test_rows_that_are_scraped_together_are_known_to_be(ticks: int) -> None:
    head = Head(DEMAND)
    everyone = [Series(labels("m", i=str(i)), 0, 1000, 0, [float(i)]) for i in range(5)]
    for tick in range(ticks):
        scraped(head, tick, everyone)
        shared = head.select(QUERIES[0].selectors()[0].matchers, 0, 0).shared
        assert shared is not None
        assert (shared.first, shared.times[-1]) == (0, START + tick * STEP)


@pytest.mark.parametrize(
    ("numbers", "least", "greatest"), [("5 -0 0 -0 9", "-0.0", "9.0"), ("-5 0 -0 0", "-5.0", "0.0")]
)
def test_of_zeros_the_first_counts_as_in_a_loop(numbers: str, least: str, greatest: str) -> None:
    querier = load(*((labels("m", i=str(i)), numbers) for i in range(9)), step=1_000)
    for function, expected in (("min", least), ("max", greatest)):
        found = values(f"{function}_over_time(m[1m])", 10_000, querier)
        assert {repr(value) for value in found.values()} == {expected}


def needed(selection: Selection, ts: int) -> list[tuple[list[int], bytes]]:
    """The samples of each row within the look-back; what is older may be there or not."""
    rows = []
    for row, count in enumerate(selection.counts.tolist()):
        times, values = selection.times[row, :count], selection.values[row, :count]
        fresh = times > ts - 5 * 60_000
        rows.append((times[fresh].tolist(), values[fresh].tobytes()))
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_what_is_appended_to_a_whole_table_is_as_if_it_came_row_by_row(seed: int) -> None:
    """A table of one target takes each scrape without a look at its rows, as long as nothing else writes to it."""
    random = Random(seed)
    head, plain = Head(DEMAND), Head(DEMAND)
    everyone = [labels("m", i=str(i), k="ab"[i % 2]) for i in range(random.choice((1, 3, 80)))]
    for both in (head, plain):
        for one in everyone:
            both.append(one, START, 1.0)
    (table,), ts = list(head.tables()), START
    matchers = QUERIES[0].selectors()[0].matchers
    for _ in range(120):
        ts += random.choice((STEP, STEP, STEP, STEP, 0))  # 0: a duplicate, which is refused
        numbers = [random.choice((random.random(), float("nan"), float("inf"))) for _ in everyone]
        if random.random() < 0.1:
            numbers[random.randrange(len(everyone))] = STALE
        match random.choice("wwwwwwpno"):
            case "w":
                head.append_rows(table, slice(0, len(everyone)), ts, np.array(numbers))
                for one, number in zip(everyone, numbers, strict=True):
                    plain.append(one, ts, number)
            case "p" if len(everyone) > 1:
                head.append_rows(table, slice(1, len(everyone)), ts, np.array(numbers[1:]))
                for one, number in zip(everyone[1:], numbers[1:], strict=True):
                    plain.append(one, ts, number)
            case "n" if len(everyone) < 90:
                everyone.append(labels("m", i=str(len(everyone)), k="c"))
                for both in (head, plain):
                    both.append(everyone[-1], ts, 3.0)
            case "o":
                for both in (head, plain):
                    both.append(everyone[-1], ts + 1, 4.0)
        mine, other = head.select(matchers, 0, 0), plain.select(matchers, 0, 0)
        assert needed(mine, ts) == needed(other, ts)
        shared = mine.shared
        if shared is not None and mine.odd is None:
            k = shared.first + len(shared.times)
            assert (mine.counts == k).all()
            assert (mine.times[:, shared.first : k] == shared.times).all()
            stale = stale_mask(mine.values[:, shared.first : k])
            assert (np.broadcast_to(shared.times, stale.shape)[stale] <= shared.stale_at).all()
