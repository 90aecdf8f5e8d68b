"""Metrics that are kept for less than an instant selector looks back: no wrong answer without a warning."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import event, given, settings
from hypothesis import strategies as st

from rulepush.model.labels import Labels
from rulepush.model.sample import STALE
from rulepush.promql import Engine, EngineOptions, Query, QueryResult, parse_expr
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.web.evaluator import QueryEvaluator
from tests.fakes import FakeClock

S = 1000
M = 60 * S
START = 1_700_000_000_000
# Seconds between two samples, as long as it lives; how many of them; whether a stale marker ends it.
lives = st.tuples(st.sampled_from((15, 60, 100, 200)), st.integers(0, 60), st.integers(1, 80), st.booleans())
asked = st.tuples(
    st.sampled_from(("m", "sum(m)", "m offset 30s", "m + m offset 1m")), st.integers(0, 120), st.booleans()
)
Answer = list[tuple[str, list[int], list[float]]]


def short() -> Head:
    """A head of which rules read `m` over a minute."""
    uses = parse_expr("rate(m[1m])").selectors()
    return Head(Demand.of([ManualDemand(u.matchers, u.lookback_ms, u.since_ms) for u in uses]))


def asking(head: Head, clock: FakeClock) -> QueryEvaluator:
    engine = Engine(EngineOptions(), clock.monotonic)
    return QueryEvaluator(lambda: engine, head, DemandHistory(head.demand, START), clock)


@settings(max_examples=300, deadline=None)
@given(st.lists(lives, min_size=1, max_size=5), st.lists(asked, min_size=1, max_size=5), st.integers(6, 20))
def test_no_answer_lacks_a_series_without_a_word(
    series: list[tuple[int, int, int, bool]], queries: list[tuple[str, int, bool]], minutes: int
) -> None:
    head, everything, clock = short(), Head(Demand.keep_all(1 << 50)), FakeClock(START)
    evaluator = asking(head, clock)
    samples = []
    for i, (spacing, phase, count, ends) in enumerate(series):
        labels = Labels.of(__name__="m", i=str(i))
        for k in range(count):
            value = STALE if ends and k == count - 1 else float(k)
            samples.append((START + (phase + k * spacing) * S, labels, value))
    engine, end = Engine(), START + minutes * M
    truncated = START
    for ts, labels, value in sorted(samples, key=lambda one: one[0]):
        if ts > end:
            break
        while truncated + M <= ts:
            truncated += M
            head.truncate(truncated)
        for storage in (head, everything):
            storage.append(labels, ts, value)
    clock.set_wall(end)
    head.truncate(end)
    for text, ago_s, is_range in queries:
        query, at = parse_expr(text), end - ago_s * S
        until = end if is_range else at
        expected = shown(engine.range(query, at, until, 15 * S, everything.querier()))
        got, warnings = asyncio.run(ranged(evaluator, query, at, until))
        event("warned" if warnings else "complete")
        assert got == expected or warnings, (text, ago_s, got, expected)


def test_a_series_that_ended_a_moment_ago_and_was_removed_is_missed() -> None:
    head, clock = short(), FakeClock(START)
    evaluator = asking(head, clock)
    for k in range(61):
        head.append(Labels.of(__name__="m", i="a"), START + k * 10 * S, 1.0)
        if k <= 58:
            head.append(Labels.of(__name__="m", i="b"), START + k * 10 * S, STALE if k == 58 else 1.0)
    end = START + 680 * S
    clock.set_wall(end)
    for ago_s, answers in ((110, 2), (90, 1)):
        got, warnings = asyncio.run(ranged(evaluator, parse_expr("m"), end - ago_s * S, end))
        assert (len(got), warnings) == (answers, [])
    head.truncate(end)
    got, warnings = asyncio.run(ranged(evaluator, parse_expr("m"), end - 110 * S, end))
    assert len(got) == 1
    assert warnings
    assert asyncio.run(ranged(evaluator, parse_expr("m"), end - 90 * S, end))[1] == []


def test_an_old_sample_that_came_late_does_not_stand_for_those_between() -> None:
    head, clock = short(), FakeClock(START)
    evaluator = asking(head, clock)
    for k in range(200):  # often enough for the row to be compacted
        head.append(Labels.of(__name__="m"), START + k * 5 * S, float(k))
    end = START + 199 * 5 * S
    clock.set_wall(end)
    (table,) = head.tables()
    first = int(table.columns()[0][0, 0])
    assert first > end - 4 * M
    head.insert(Labels.of(__name__="m"), first - 60 * S + 1, -1.0)
    got, warnings = asyncio.run(ranged(evaluator, parse_expr("m"), first - 30 * S, first - 30 * S))
    assert got == [("m", [first - 30 * S], [-1.0])]
    assert warnings


def shown(result: QueryResult) -> Answer:
    return sorted((str(s.labels), s.times.tolist(), s.values.tolist()) for s in result.series())


async def ranged(evaluator: QueryEvaluator, query: Query, start: int, end: int) -> tuple[Answer, Sequence[str]]:
    return await evaluator.range(query, start, end, 15 * S, lambda result, lacks: (shown(result), lacks))
