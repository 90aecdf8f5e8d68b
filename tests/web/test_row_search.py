"""Series are looked for in slices, and what is found is true at the moment that it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rulepush.errors import QueryLimitError
from rulepush.model.labels import Labels
from rulepush.promql import Engine, parse_expr, parse_selector
from rulepush.storage.demand import Demand
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.row_search import MAX_SELECTORS, SLICE, RowSearch
from tests.fakes import FakeClock

T0 = 1_700_000_000_000
MINUTE = 60_000
SELECTORS = [parse_selector(text) for text in ("x", 'x{i=~"1.*"}', '{i!=""}', '{__name__=~"x|z"}', 'y{i="3"}', "z")]


def head(series: int = 30) -> Head:
    made = Head(Demand.keep_all(5 * MINUTE))
    for i in range(series):
        add(made, "x", i)
    for i in range(5):
        add(made, "y", i)
    return made


def add(head: Head, name: str, i: int, ts: int = T0) -> None:
    head.append(Labels.of(__name__=name, i=str(i)), ts, float(i))


def texts(search: RowSearch) -> list[tuple[object, list[str]]]:
    found = search.found()
    for parts in found.values():
        for part in parts:
            assert [part.table.labels[row] for row in part.rows] == part.labels
    return [(key, [str(labels) for part in parts for labels in part.labels]) for key, parts in found.items()]


def nothing(_: Head) -> None:
    pass


def new_series(head: Head) -> None:
    add(head, "x", 100)
    add(head, "y", 3, T0 + 1)


def new_metric(head: Head) -> None:
    add(head, "z", 1)


def series_are_gone(head: Head) -> None:
    for i in (3, 11, 12):
        add(head, "x", i, T0 + 10 * MINUTE)
    add(head, "y", 3, T0 + 10 * MINUTE)
    head.truncate(T0 + 10 * MINUTE)
    add(head, "x", 0, T0 + 10 * MINUTE)


def as_many_come_as_go(head: Head) -> None:
    for i in range(29):
        add(head, "x", i, T0 + 10 * MINUTE)
    head.truncate(T0 + 10 * MINUTE)
    add(head, "x", 100, T0 + 10 * MINUTE)


def a_metric_is_gone_and_comes_back(head: Head) -> None:
    head.truncate(T0 + 10 * MINUTE)
    add(head, "x", 13, T0 + 10 * MINUTE)


@pytest.mark.parametrize("after", [0, 2, 12, 1000])
@pytest.mark.parametrize(
    "change", [nothing, new_series, new_metric, series_are_gone, as_many_come_as_go, a_metric_is_gone_and_comes_back]
)
def test_what_changes_meanwhile_is_found_too(change: Callable[[Head], None], after: int) -> None:
    stored = head()
    search = RowSearch(stored, SELECTORS, a_step=7)
    for n, _ in enumerate(search.steps()):
        if n == after:
            change(stored)
    assert n >= min(after, 20)
    if after > n:
        change(stored)
    assert texts(search) == texts(RowSearch(stored, SELECTORS))


def test_a_step_is_bounded_whatever_is_looked_for() -> None:
    stored = head(5000)
    assert len(list(RowSearch(stored, [parse_selector("x")]).steps())) == 0
    many = [parse_selector(f'x{{i!="{n}"}}') for n in range(100)]
    comparisons = 2 * 5000 * len(many)
    assert len(list(RowSearch(stored, many).steps())) >= comparisons // SLICE
    absent = ",".join(f'a{n}=""' for n in range(300))
    long = parse_selector(f'x{{i!="",{absent}}}')
    assert len(list(RowSearch(stored, [long]).steps())) >= 0.9 * 300 * 5000 // SLICE


def test_other_tasks_have_their_turn_while_series_are_looked_for() -> None:
    stored, clock = head(5000), FakeClock(T0)
    asked = QueryEvaluator(Engine, stored, DemandHistory(stored.demand, T0), clock)
    turns = 0

    async def main() -> None:
        nonlocal turns
        search = asyncio.ensure_future(asked.search(parse_selector(f'x{{i!="{n}"}}') for n in range(100)))
        while not search.done():
            await asyncio.sleep(0)
            turns += 1

    asyncio.run(main())
    assert turns > 40


def test_the_number_of_selectors_is_bounded() -> None:
    selectors = [parse_selector(f"m{n}") for n in range(MAX_SELECTORS)]
    RowSearch(head(), [*selectors, *selectors])
    with pytest.raises(QueryLimitError, match="more than 1,000 different selectors"):
        RowSearch(head(), [*selectors, parse_selector("up")])


def test_a_search_that_takes_too_long_is_given_up_and_leaves_its_slot() -> None:
    stored, clock = head(5000), FakeClock(T0)
    engine = Engine()
    asked = QueryEvaluator(lambda: engine, stored, DemandHistory(stored.demand, T0), clock, concurrency=1)
    many = parse_expr(" + ".join(f'count(x{{i!="{n}"}})' for n in range(100)))

    async def main() -> None:
        with pytest.raises(QueryLimitError, match="query timed out"):
            await asked.instant(many, T0, lambda *_: None, timeout_ms=1)
        assert await asked.instant(parse_expr("count(y)"), T0, lambda r, _: r.samples()[0].value) == 5.0

    asyncio.run(main())
