"""`anchored` and `smoothed`: ranges that look beyond their bounds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from rulepush.errors import EvaluationError
from rulepush.model.labels import METRIC_NAME
from rulepush.model.sample import STALE, Sample
from rulepush.promql import Engine, EngineOptions, QueryResult, parse_expr
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.promql.fake_querier import FakeQuerier, instant, labels, load, steps, values
from tests.promql.scripting import failures

DELTA = 60_000
OPTIONS = EngineOptions(lookback_delta_ms=DELTA)
Points = Sequence[tuple[int, float]]


def reference(points: Points, start: int, end: int, smoothed: bool, counter: bool) -> float | None:
    """extendedRate for one series, as plainly as Prometheus' promql/functions.go does it (increase or delta)."""
    f = [p for p in points if start - DELTA < p[0] <= end + (DELTA if smoothed else 0)]
    if not f:
        return None

    def between(p: tuple[int, float], q: tuple[int, float], at: int) -> float:
        y1 = 0.0 if counter and q[1] < p[1] else p[1]
        return y1 + (q[1] - y1) * (at - p[0]) / (q[0] - p[0])

    last = len(f) - 1
    first = max(0, next((i for i in range(last) if f[i][0] > start), last) - 1)
    if smoothed:
        last = next((i for i in range(last) if f[i][0] >= end), last)
    if f[last][0] <= start or f[first][0] > end:
        return None
    left = between(f[first], f[first + 1], start) if smoothed and f[first][0] < start else f[first][1]
    right = between(f[last - 1], f[last], end) if smoothed and last > 0 and f[last][0] > end else f[last][1]
    result = right - left
    if counter:
        inner = [v for t, v in f[first : last + 1] if start < t < end]
        for before, after in zip([left, *inner], [*inner, right], strict=True):
            result += before if after < before else 0
    return result


@pytest.mark.parametrize("seed", range(30))
def test_kernels_agree_with_the_formula_of_prometheus(seed: int) -> None:
    random.seed(seed)
    series = {}
    for row in range(6):
        times = sorted(random.sample(range(0, 400_000, 5000), random.randint(0, 40)))
        series[labels("m_total", row=str(row))] = [(t, float(random.randint(0, 9))) for t in times]
    querier = FakeQuerier(series)
    engine = Engine(OPTIONS)
    for name, counter, smoothed in (
        ("increase", True, False),
        ("increase", True, True),
        ("delta", False, False),
        ("delta", False, True),
        ("rate", True, True),
    ):
        modifier = "smoothed" if smoothed else "anchored"
        text = f"{name}(m_total[{random.choice((20, 33, 90))}s] {modifier} offset 7s)"
        query = parse_expr(text)
        span = query.selectors(DELTA)[0].lookback_ms - DELTA - 7000
        found = {
            (str(s.labels), t): v
            for s in engine.range(query, 0, 500_000, 11_000, querier).series()
            for t, v in zip(s.times.tolist(), s.values.tolist(), strict=True)
        }
        wanted = {}
        for ls, points in series.items():
            for ts in range(0, 500_001, 11_000):
                value = reference(points, ts - 7000 - span, ts - 7000, smoothed, counter)
                if value is not None:
                    value /= span / 1000 if name == "rate" else 1
                    wanted[str(ls.without((METRIC_NAME,))), ts] = pytest.approx(value, abs=1e-9)
        assert found == wanted
        for ts in (110_000, 220_000):  # the same as instant queries, whose window is cut otherwise
            answer = {(str(s.labels), ts): s.value for s in engine.instant(query, ts, querier).samples()}
            assert answer == {key: value for key, value in wanted.items() if key[1] == ts}


@pytest.mark.parametrize("seed", range(20))
def test_changes_and_resets_count_from_the_anchor(seed: int) -> None:
    random.seed(seed)
    times = sorted(random.sample(range(0, 400_000, 5000), 30))
    points = [(t, float(random.randint(0, 3))) for t in times]
    querier = FakeQuerier({labels("m"): points, labels("m", a="1"): [(200_000, 1.0), (205_000, 0.0)]})
    engine = Engine(OPTIONS)
    for name in ("changes", "resets"):
        result = engine.range(parse_expr(f"{name}(m[33s] anchored)"), 0, 500_000, 11_000, querier)
        found = {t: v for s in result.series() if not s.labels for t, v in zip(s.times.tolist(), s.values, strict=True)}
        wanted = {}
        for ts in range(0, 500_001, 11_000):
            read = [p for p in points if ts - 33_000 - DELTA < p[0] <= ts]
            inside = [v for t, v in read if t > ts - 33_000]
            if inside:
                chain = [v for t, v in read if t <= ts - 33_000][-1:] + inside
                pairs = pairwise(chain)
                wanted[ts] = float(sum(a != b if name == "changes" else b < a for a, b in pairs))
        assert found == wanted


def test_scripts() -> None:
    assert not failures(
        r"""
        load 15s
          metric 1+1x4 9+1x4
          m_total 100 10

        # Both bounds lie between the same two samples, on both sides of a reset.
        eval instant at 10s increase(m_total[5s] smoothed)
          {} 3.3333333333

        eval instant at 10s increase(m_total[10s] smoothed)
          {} 6.6666666666

        eval instant at 10s delta(m_total[5s] smoothed)
          {} -30

        eval instant at 10s rate(m_total[5s] smoothed)
          {} 0.666666666

        # As metrics that are not called like counters, with the position of the argument.
        eval instant at 1m rate(metric[30s] anchored)
          expect info regex: metric might not be a counter, name .*: "metric" \(1:6\)
          {} 0.0666666666

        eval instant at 1m sum(rate(metric[30s] smoothed @ 20) offset 10s)
          expect fail

        eval range from 0s to 1m step 30s increase(metric[30s] smoothed @ 60 offset -10s)
          {} 4 4 4

        # Nothing is known before the first sample, nor long after the last one.
        eval instant at 0s metric offset 1s smoothed

        eval instant at 7m14s metric smoothed
          metric 13

        eval instant at 7m15s metric smoothed

        eval instant at 20s increase(metric[10s] smoothed offset 30s)

        eval instant at 20s increase(metric[15s] smoothed offset 20s)
          {} 0

        eval range from 0s to 15s step 5s sum(metric smoothed) * 3
          {} 3 4 5 6

        eval instant at 1m max_over_time(metric smoothed[30s:1s])
          {} 5

        eval instant at 22500ms (metric smoothed)
          metric 2.5

        eval instant at 1m absent_over_time(metric[1m] anchored)
          expect fail regex: anchored .* with: changes, delta, increase, rate, resets - not with absent_over_time$

        eval instant at 1m sum(quantile_over_time(0.5, (metric[1m] smoothed)))
          expect fail msg: smoothed modifier can only be used with: delta, increase, rate - not with quantile_over_time
        """
    )


def points(result: QueryResult) -> list[tuple[int, float]]:
    (series,) = result.series()
    return list(zip(series.times.tolist(), series.values.tolist(), strict=True))


def test_a_range_itself_has_a_sample_at_each_bound() -> None:
    querier = load((labels("m"), "1 2 _ 4 5"), (labels("m", old="1"), "1"))
    assert points(instant("m[90s] anchored", 210_000, querier)) == [(120_000, 2.0), (180_000, 4.0), (210_000, 4.0)]
    assert points(instant("m[90s] smoothed", 210_000, querier)) == [(120_000, 3.0), (180_000, 4.0), (210_000, 4.5)]
    assert points(instant("m[90s] smoothed @ 90", 0, querier)) == [(0, 1.0), (60_000, 2.0), (90_000, 2.5)]
    assert instant("m[90s] anchored", 1_000_000, querier).series() == []
    assert instant("none[90s] smoothed", 0, querier).series() == []


def test_a_stale_marker_is_as_if_nothing_had_been_there() -> None:
    querier = FakeQuerier({labels("m_total"): [(0, 1.0), (10_000, 3.0), (20_000, STALE), (30_000, 7.0)]})
    assert values("increase(m_total[10s] anchored)", 35_000, querier) == {"{}": 4.0}
    assert values("m_total smoothed", 20_000, querier) == {"m_total": 5.0}
    assert values("increase(m_total[10s] smoothed)", 30_000, querier) == {"{}": 2.0}


def test_the_modifier_of_a_plain_vector_that_is_anchored_changes_nothing() -> None:
    querier = load((labels("m"), "1 2 3"))
    assert values("m anchored", 90_000, querier) == values("m", 90_000, querier)


def test_misuse_is_reported_even_without_data() -> None:
    with pytest.raises(EvaluationError, match=r"^smoothed modifier can only be used with: delta, increase, rate - not"):
        instant("vector(1) or deriv(none[1m] smoothed)", 0, load())


@pytest.mark.parametrize(
    ("text", "lookback", "since"),
    [
        ("rate(m[5m] anchored)", 360_000, None),
        ("rate(m[5m] smoothed offset 1m)", 420_000, None),
        ("m smoothed", 60_000, None),
        ("m anchored", 60_000, None),
        ("max_over_time(increase(m[1m] anchored)[10m:1m])", 720_000, None),
        ("rate(m[5m] smoothed @ 1000)", 360_000, 1_000_000),
        ("rate(m[1m] smoothed @ 1000 offset -10m)", 120_000, 1_600_000),
    ],
)
def test_what_is_kept_reaches_before_the_range(text: str, lookback: int, since: int | None) -> None:
    (use,) = parse_expr(text).selectors(DELTA)
    assert (use.lookback_ms, use.since_ms) == (lookback, since)


def test_a_rule_finds_its_anchor_in_the_storage() -> None:
    query = parse_expr("increase(m_total[1m] anchored)")
    head = Head(Demand.of(query.selectors(DELTA)))
    engine = Engine(OPTIONS)
    for ts in range(0, 3_600_000, 45_000):
        head.append_many([Sample(labels("m_total"), ts, ts / 1000)])
        if ts > 300_000:
            found = engine.instant(query, ts + 44_000, head.querier()).samples()
            # The range starts 16 s before the newest sample: the anchor is the one before, 45 s older.
            assert [s.value for s in found] == [45.0]


def test_smoothed_vectors_in_range_queries() -> None:
    querier = load((labels("m"), "0 60 120 _ 240"))
    assert steps("m smoothed offset 30s", 60_000, 180_000, 60_000, querier) == {
        "m": [(60_000, 30.0), (120_000, 90.0), (180_000, 150.0)]
    }


def test_rates_between_anchors_leave_start_timestamps_out() -> None:
    """As Prometheus 3.14 answers: rate() and increase() ask when counting began in plain ranges only."""
    assert not failures(
        """
        load 1m
          d_total@st -1ms -1ms -1ms -1ms -1ms -1ms
          d_total    60 60 60 60 60 60

        eval instant at 5m increase(d_total[3m] anchored)
          {} 0

        eval instant at 5m increase(d_total[3m] smoothed)
          {} 0

        eval instant at 5m increase(d_total[3m])
          {} 180
        """
    )


def test_resets_between_anchors_count_from_the_anchor() -> None:
    """The numbers are those of Prometheus 3.14's engine with start timestamps."""
    assert not failures(
        """
        load 1m
          d_total@st -1ms -1ms -1ms -1ms -1ms -1ms _x3
          d_total    60 60 60 60 60 60 _x3
          r_total@st -30s _ -30s _ -30s _ -30s _ -30s
          r_total    1 _ 2 _ 3 _ 1 _ 4

        eval instant at 5m resets(d_total[3m] anchored)
          {} 3

        eval instant at 5m resets(d_total[3m])
          {} 2

        eval range from 0 to 8m step 1m resets(r_total[90s] anchored)
          {} 0 0 1 1 1 1 1 1 1

        eval range from 4m to 9m step 1m resets(d_total[3m] anchored)
          {} 3 3 2 1 _ _
        """
    )
