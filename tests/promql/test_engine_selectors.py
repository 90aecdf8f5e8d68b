"""Selectors and subqueries: look-back, staleness, offset, @, alignment."""

from __future__ import annotations

import pytest

from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.model.sample import STALE
from rulepush.promql import Engine, EngineOptions, parse_expr
from tests.promql.fake_querier import FakeQuerier, instant, labels, load, steps, values

MINUTE = 60_000


def counter() -> FakeQuerier:
    return load((labels("x", i="a"), "0 10 20 30 40 50 60 70 80 90 100"))


@pytest.mark.parametrize(("ts", "seen"), [(0, True), (299_999, True), (300_000, False), (-1, False)])
def test_the_look_back_is_left_open(ts: int, seen: bool) -> None:
    querier = FakeQuerier({labels("x"): [(0, 7.0)]})
    assert values("x", ts, querier) == ({"x": 7.0} if seen else {})


def test_the_look_back_delta_is_an_option() -> None:
    querier = FakeQuerier({labels("x"): [(0, 7.0)]})
    assert values("x", 59_999, querier, EngineOptions(lookback_delta_ms=MINUTE)) == {"x": 7.0}
    assert values("x", MINUTE, querier, EngineOptions(lookback_delta_ms=MINUTE)) == {}


def test_a_stale_marker_ends_a_series_until_its_next_sample() -> None:
    querier = FakeQuerier({labels("x"): [(0, 1.0), (10_000, STALE), (20_000, 2.0)]})
    assert steps("x", 0, 30_000, 5_000, querier) == {
        "x": [(0, 1.0), (5_000, 1.0), (20_000, 2.0), (25_000, 2.0), (30_000, 2.0)]
    }
    assert values("count_over_time(x[1m])", 30_000, querier) == {"{}": 2.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x", 60.0),
        ("x offset 2m", 40.0),
        ("x offset -2m", 80.0),
        ("x @ 60", 10.0),
        ("x @ 60 offset -1m", 20.0),
        ("x offset -1m @ 60", 20.0),
        ("x @ end()", 60.0),
        ("sum_over_time(x[2m])", 110.0),  # (4m, 6m]
        ("sum_over_time(x[2m] offset 1m)", 90.0),
        ("sum_over_time(x[2m] @ 120)", 30.0),
        ("sum_over_time(x[2m:1m])", 110.0),
        ("sum_over_time(x[2m:1m] offset 30s)", 90.0),  # steps at 4m and 5m of (3m30s, 5m30s]
        ("sum_over_time(x[2m:1m] @ 150)", 30.0),
        ("count_over_time(x[2m:])", 2.0),
        ("count_over_time(x[2m:7s])", 17.0),
        ("max_over_time(sum_over_time(x[2m])[3m:1m] offset -1m)", 130.0),
        ("sum_over_time((x > 40)[5m:1m])", 110.0),
        ("timestamp(x offset 90s)", 240.0),
        ("timestamp(x + 0)", 360.0),
    ],
)
def test_at_six_minutes(text: str, value: float) -> None:
    assert [s.value for s in instant(text, 6 * MINUTE, counter()).samples()] == [value]


def test_start_and_end_mean_the_whole_query_even_inside_a_subquery() -> None:
    querier = counter()
    assert steps("x @ start() + 0 * x @ end()", MINUTE, 3 * MINUTE, MINUTE, querier) == {
        '{i="a"}': [(MINUTE, 10.0), (2 * MINUTE, 10.0), (3 * MINUTE, 10.0)]
    }
    assert steps("sum_over_time((x @ end())[2m:1m])", MINUTE, 2 * MINUTE, MINUTE, querier) == {
        '{i="a"}': [(MINUTE, 40.0), (2 * MINUTE, 40.0)]
    }


def test_the_default_step_of_a_subquery_is_an_option() -> None:
    options = EngineOptions(default_step_ms=20_000)
    assert values("count_over_time(x[2m:])", 6 * MINUTE, counter(), options) == {'{i="a"}': 6.0}


def test_steps_of_a_subquery_are_multiples_of_its_step_before_the_epoch_too() -> None:
    querier = FakeQuerier({labels("x"): [(-400_000, 1.0), (-50_000, 2.0)]})
    assert instant("x[7m:3m]", 0, querier).series()[0].times.tolist() == [-360_000, -180_000, 0]


def test_an_instant_query_for_a_range_answers_its_samples() -> None:
    (series,) = instant("x[2m]", 6 * MINUTE, counter()).series()
    assert series.times.tolist() == [5 * MINUTE, 6 * MINUTE]
    assert series.values.tolist() == [50.0, 60.0]


def test_range_functions_see_no_series_without_samples() -> None:
    querier = load((labels("x", i="a"), "1 _ _ _ _ 2"), (labels("x", i="b"), "_ _ _ _ 3 4"))
    assert steps("sum_over_time(x[1m])", 0, 5 * MINUTE, MINUTE, querier) == {
        '{i="a"}': [(0, 1.0), (5 * MINUTE, 2.0)],
        '{i="b"}': [(4 * MINUTE, 3.0), (5 * MINUTE, 4.0)],
    }


def test_limits() -> None:
    querier = counter()
    with pytest.raises(QueryLimitError, match="too many samples"):
        values("sum_over_time(x[10m])", 10 * MINUTE, querier, EngineOptions(max_samples=5))
    with pytest.raises(QueryLimitError, match="too many samples"):
        values("max_over_time(x[10y:1ms])", 10 * MINUTE, querier)
    with pytest.raises(QueryLimitError, match="exceeded maximum resolution of 11,000 points"):
        Engine().range(parse_expr("x"), 0, 11_001_000, 1000, querier)
    ticks = iter(range(100))
    slow = Engine(EngineOptions(timeout_ms=1000), monotonic=lambda: float(next(ticks)))
    with pytest.raises(QueryLimitError, match="query timed out"):
        slow.instant(parse_expr("x + x"), MINUTE, querier)
    with pytest.raises(EvaluationError, match='invalid expression type "range vector" for range query'):
        Engine().range(parse_expr("x[5m]"), 0, MINUTE, MINUTE, querier)
    with pytest.raises(EvaluationError, match="end timestamp must not be before start"):
        Engine().range(parse_expr("x"), MINUTE, 0, MINUTE, querier)
