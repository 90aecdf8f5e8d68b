"""Queries of API clients: in threads, on copies, within limits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import MutableMapping
from typing import Any

import pytest

from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher
from rulepush.promql import Engine, EngineOptions, QueryResult, parse_expr, parse_selector
from rulepush.storage.demand import Demand
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.web import params
from rulepush.web.evaluator import QUEUED_TOO_LONG, QueryEvaluator
from rulepush.web.query import QueryApi
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from rulepush.web.snapshot import Snapshot
from tests.fakes import FakeClock
from tests.web.asking import ask

START = 1_700_000_000_000
STEP = 15_000


def filled(series: int = 2, steps: int = 21) -> Head:
    """x{i}: a counter that grows by i + 1 a step."""
    head = Head(Demand.keep_all(3_600_000))
    for step in range(steps):
        for i in range(series):
            head.append(Labels.of(__name__="x", i=str(i)), START + step * STEP, step * (i + 1.0))
            head.append(Labels.of(__name__="target_info", i=str(i), job="j", v=str(i % 2)), START + step * STEP, 1.0)
    return head


def evaluator(
    head: Head,
    clock: FakeClock | None = None,
    *,
    timeout_ms: int = 60_000,
    concurrency: int = 2,
    max_samples: int = 5_000_000,
) -> QueryEvaluator:
    clock = clock or FakeClock(START)
    engine = Engine(EngineOptions(timeout_ms=timeout_ms), clock.monotonic)
    return QueryEvaluator(lambda: engine, head, DemandHistory(head.demand, 0), clock, concurrency, max_samples)


def texts(result: QueryResult, _: object = None) -> list[str]:
    return [f"{s.labels} {s.value:g}" for s in result.samples()]


@pytest.mark.parametrize(
    "expr",
    [
        "x",
        "rate(x[1m])",
        "x offset 1m - x",
        "sum(x @ 1700000015)",
        "max_over_time(rate(x[1m])[2m:30s] offset 30s)",
        "x @ start() + x @ end()",
        "absent(nothing)",
        '{i="1"}',
        "x + on(i) group_left(v) target_info",
        'info(x, {v="1"})',
        "1 + 1",
        " + ".join(
            f'sum_over_time(x{{a!="{n}"}}[{n}s])' for n in range(150, 10, -10)
        ),  # more look-backs than copies are made of a table
        'x{i="1"} or x offset 1m or {__name__=~"x|target_info"}',
    ],
)
def test_a_copy_answers_as_the_storage_does(expr: str) -> None:
    head, query, engine = filled(), parse_expr(expr), Engine()
    at = START + 10 * STEP
    copied = Snapshot(head, query, at, engine.options)
    expected = texts(engine.instant(query, at, head.querier()))
    head.append(Labels.of(__name__="x", i="9"), at, 9.0)  # comes too late for the copy
    assert texts(engine.instant(query, at, copied)) == expected
    ranged = Snapshot(head, query, at, engine.options)
    both = [engine.range(query, at, at + 5 * STEP, STEP, q).series() for q in (head.querier(), ranged)]
    ours, theirs = ([(s.labels, s.times.tolist(), s.values.tolist()) for s in series] for series in both)
    assert ours == theirs


def test_a_copy_holds_no_more_than_the_query_looks_back_on() -> None:
    head, options = filled(), EngineOptions()
    query = parse_expr("rate(x[1m])")
    copied = Snapshot(head, query, START + 20 * STEP, options)
    selection = copied.select(query.selectors()[0].matchers, START + 16 * STEP + 1, START + 20 * STEP)
    assert selection.counts.tolist() == [4, 4]
    with pytest.raises(LookupError):
        copied.select(query.selectors()[0].matchers, START, START + 20 * STEP)
    with pytest.raises(LookupError):
        copied.select(parse_expr("y").selectors()[0].matchers, START + 20 * STEP, START + 20 * STEP)


def test_what_is_too_much_is_refused_before_it_is_copied() -> None:
    with pytest.raises(QueryLimitError, match="too many samples"):
        Snapshot(filled(), parse_expr("x[1h]"), START + 20 * STEP, EngineOptions(max_samples=40))
    asked = evaluator(filled(), max_samples=40)
    with pytest.raises(QueryLimitError, match="too many samples"):
        asyncio.run(asked.instant(parse_expr("x[1h]"), START + 20 * STEP, texts))
    assert len(asyncio.run(asked.instant(parse_expr("x"), START + 20 * STEP, texts))) == 2


def test_all_that_a_query_reads_counts_although_it_is_copied_once() -> None:
    many = " + ".join(f'count_over_time(x{{a!="{n}"}}[{n}m])' for n in range(1, 11))
    at, in_all = START + 20 * STEP, 2 * (4 + 8 + 12 + 16 + 20 + 5 * 21)
    read = parse_expr('x{a!="1"}').selectors()[0].matchers
    assert (
        len(Snapshot(filled(), parse_expr(many), at, EngineOptions(max_samples=in_all)).select(read, at, at).index) == 2
    )
    copied = Snapshot(filled(), parse_expr(many), at, EngineOptions(max_samples=in_all - 1))
    with pytest.raises(QueryLimitError, match="too many samples"):
        copied.select(read, at, at)


def test_selectors_that_look_at_too_much_are_refused() -> None:
    head, options = filled(series=200, steps=1), EngineOptions()
    many = ",".join(f'a{i}=""' for i in range(30_000))
    with pytest.raises(QueryLimitError, match="too many series to compare"):
        Snapshot(head, parse_expr(f"x{{{many}}}"), START, options)
    Snapshot(head, parse_expr(f"nothing{{{many}}}"), START, options)
    Snapshot(head, parse_expr(" + ".join(f'count(x{{i!="{i}"}})' for i in range(100))), START, options)


@pytest.mark.parametrize("path", ["/series", "/labels"])
def test_listings_that_look_at_too_much_are_refused(path: str) -> None:
    head, clock = filled(series=200, steps=1), FakeClock(START)
    many = ",".join(f'a{i}=""' for i in range(20_000))
    routes = QueryApi(evaluator(head, clock), clock).routes()
    answer = ask(routes, "POST", path, data={"match[]": f'{{i=~".+",{many}}}'})
    assert (answer.status_code, answer.json()["errorType"]) == (422, "execution")
    assert ask(routes, "POST", path, data={"match[]": '{i=~".+"}'}).status_code == 200


@pytest.mark.parametrize("path", ["/series", "/labels"])
def test_long_selectors_are_parsed_outside_of_the_event_loop(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head, clock = filled(), FakeClock(START)
    routes, parsing = QueryApi(evaluator(head, clock), clock).routes(), set[str]()

    def parse(text: str, *, loose: bool) -> tuple[Matcher, ...]:
        parsing.add(threading.current_thread().name)
        return parse_selector(text, loose=loose)

    monkeypatch.setattr(params, "parse_selector", parse)
    many = ",".join(f'a{i}=""' for i in range(2_000))
    assert ask(routes, "POST", path, data={"match[]": f"x{{{many}}}"}).status_code == 200
    assert parsing
    assert threading.current_thread().name not in parsing


def test_too_many_selectors_are_refused_before_they_are_parsed() -> None:
    head, clock = filled(), FakeClock(START)
    routes = QueryApi(evaluator(head, clock), clock).routes()
    answer = ask(routes, "POST", "/series", data={"match[]": [f"m{i}{{" for i in range(1001)]})
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        'invalid parameter "match[]": more than 1,000 different selectors',
    )
    assert ask(routes, "POST", "/series", data={"match[]": ["x"] * 1001}).status_code == 200


def test_queries_from_outside_leave_nothing_behind_in_the_storage() -> None:
    head = filled()
    before = head.select(parse_expr("x").selectors()[0].matchers, 0, START)
    asked = evaluator(head)
    for i in range(10):
        asyncio.run(asked.instant(parse_expr(f'sum by (i) (x{{i!="{i}"}})'), START, texts))
    selectors = head._selectors["x"]._known
    assert len(selectors) == 1  # that of `before`
    assert head.select(parse_expr("x").selectors()[0].matchers, 0, START).index is before.index
    assert not before.index._memo


def test_the_event_loop_goes_on_while_a_query_is_evaluated() -> None:
    asked = evaluator(filled())
    release = threading.Event()

    def slow(result: QueryResult, _: object) -> str:
        return "released" if release.wait(60) else "held the event loop"

    async def main() -> str:
        query = asyncio.ensure_future(asked.instant(parse_expr("x"), START, slow))
        await asyncio.sleep(0)
        release.set()
        return await query

    assert asyncio.run(main()) == "released"


def test_a_query_that_waits_too_long_for_its_turn_times_out() -> None:
    asked = evaluator(filled(), concurrency=1)
    release = threading.Event()

    async def main() -> None:
        first = asyncio.ensure_future(asked.instant(parse_expr("x"), START, lambda *_: release.wait(60)))
        await asyncio.sleep(0)
        try:
            with pytest.raises(QueryLimitError, match=QUEUED_TOO_LONG):
                await asked.instant(parse_expr("x"), START, texts, timeout_ms=1)
            assert await asked.in_thread(lambda: "a listing need not wait") == "a listing need not wait"
        finally:
            release.set()
        assert await first is True
        assert await asked.instant(parse_expr("x"), START, texts) == ['x{i="0"} 0', 'x{i="1"} 0']

    asyncio.run(main())


class TickingClock(FakeClock):
    """Every reading of the monotonic clock takes 20 ms."""

    def monotonic(self) -> float:
        self._elapsed_ms += 20
        return super().monotonic()


@pytest.mark.parametrize(("engine_ms", "asked_ms"), [(30, 0), (60_000, 30)])
def test_a_query_that_takes_too_long_times_out(engine_ms: int, asked_ms: int) -> None:
    asked = evaluator(filled(), TickingClock(START), timeout_ms=engine_ms)
    with pytest.raises(QueryLimitError, match="query timed out in expression evaluation"):
        asyncio.run(asked.instant(parse_expr("x + x + x"), START, texts, timeout_ms=asked_ms))


def test_the_time_that_a_query_waits_for_its_turn_counts() -> None:
    clock = TickingClock(START)
    asked = evaluator(filled(), clock, concurrency=1)
    release = threading.Event()

    async def main() -> None:
        first = asyncio.ensure_future(asked.instant(parse_expr("x"), START, lambda *_: release.wait(60)))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(asked.instant(parse_expr("x + x + x"), START, texts, timeout_ms=30_000))
        await clock.advance(29.99)
        release.set()
        assert await first is True
        with pytest.raises(QueryLimitError, match="query timed out in expression evaluation"):
            await second
        assert await asked.instant(parse_expr("x + x + x"), START, texts, timeout_ms=30_000)

    asyncio.run(main())


def test_queries_are_counted() -> None:
    asked = evaluator(filled(), TickingClock(START))
    asyncio.run(asked.instant(parse_expr("x"), START, texts))
    with pytest.raises(EvaluationError):
        asyncio.run(asked.range(parse_expr("x + on() x"), START, START, STEP, texts))
    assert (asked.counts.queries, asked.counts.failures) == (2, 1)
    assert asked.counts.seconds > 0.04


def test_closing_gives_up_what_still_runs() -> None:
    asked = evaluator(filled(), timeout_ms=0)
    began, go = threading.Event(), threading.Event()

    async def main() -> None:
        def wait_then_evaluate(*_: object) -> object:
            began.set()
            go.wait(60)
            return asked._monotonic()

        running = asyncio.ensure_future(asked.instant(parse_expr("x"), START, wait_then_evaluate))
        assert await asyncio.to_thread(began.wait, 60)
        asked.close()
        go.set()
        assert await running == float("inf")  # beyond every deadline

    asyncio.run(main())


def test_a_step_that_never_looks_at_the_clock_cannot_hold_the_answer_back() -> None:
    asked, go = evaluator(filled(), concurrency=1), threading.Event()

    async def main() -> None:
        with pytest.raises(QueryLimitError, match="query timed out in expression evaluation"):
            await asked.instant(parse_expr("x"), START, lambda *_: go.wait(60), timeout_ms=30)
        # Its thread still runs, and so it still has the only slot.
        with pytest.raises(QueryLimitError, match=QUEUED_TOO_LONG):
            await asked.instant(parse_expr("x"), START, texts, timeout_ms=30)
        go.set()
        assert await asked.instant(parse_expr("x"), START, texts) == ['x{i="0"} 0', 'x{i="1"} 0']

    asyncio.run(main())


def test_what_was_spent_before_counts() -> None:
    clock = FakeClock(START)
    asked = evaluator(filled(), clock, timeout_ms=30_000)

    async def main() -> None:
        came = asked.asked_at()
        await clock.advance(31)  # the parser, say
        with pytest.raises(QueryLimitError, match="query timed out"):
            await asked.instant(parse_expr("x"), START, lambda *_: threading.Event().wait(1), asked_at=came)

    asyncio.run(main())


class BlockingClock(FakeClock):
    """The first look from a query's thread tells `begun`, and lasts until `go`."""

    def __init__(self, now: int):
        super().__init__(now)
        self.loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.go = threading.Event()
        self.looks = 0

    def monotonic(self) -> float:
        if threading.current_thread() is not threading.main_thread():
            self.looks += 1
            self.loop.call_soon_threadsafe(self.begun.set)
            self.go.wait(60)
        return super().monotonic()


def test_a_query_ends_when_its_client_leaves() -> None:
    async def main() -> None:
        head, clock = filled(), BlockingClock(START)
        asked = evaluator(head, clock, concurrency=1)
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> MutableMapping[str, Any]:
            if messages:
                return messages.pop()
            await clock.begun.wait()
            return {"type": "http.disconnect"}

        async def send(message: object) -> None:
            pass

        scope = {"type": "http", "method": "GET", "path": "/query", "query_string": b"query=x*x*x", "headers": []}
        async with asyncio.timeout(60):
            await build_app(QueryApi(asked, clock).routes(), WebSecurity())(scope, receive, send)
            clock.go.set()
            await asked._slots.acquire()  # free when the thread has ended
        assert clock.looks == 1  # the time is over for it, whatever the clock says

    asyncio.run(main())
