"""Every range function agrees with the plain reference over random windows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.errors import EvaluationError
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, is_stale
from rulepush.promql.functions import FUNCTIONS
from rulepush.promql.functions.registry import RangeFunction
from rulepush.promql.vectors.windows import RangeWindow, WindowColumns
from rulepush.storage.selection import Selection
from tests.promql import reference
from tests.promql.reference import Point, Range

START, END, TS = 100_000, 400_000, 460_000
Reference = Callable[..., float | None]

REFERENCES: Final[dict[str, tuple[Reference, tuple[float, ...]]]] = {
    "avg_over_time": (reference.avg_over_time, ()),
    "changes": (reference.changes, ()),
    "count_over_time": (reference.count_over_time, ()),
    "delta": (reference.delta, ()),
    "deriv": (reference.deriv, ()),
    "double_exponential_smoothing": (reference.double_exponential_smoothing, (0.3, 0.6)),
    "first_over_time": (reference.first_over_time, ()),
    "idelta": (reference.idelta, ()),
    "increase": (reference.increase, ()),
    "irate": (reference.irate, ()),
    "last_over_time": (reference.last_over_time, ()),
    "mad_over_time": (reference.mad_over_time, ()),
    "max_over_time": (reference.max_over_time, ()),
    "min_over_time": (reference.min_over_time, ()),
    "predict_linear": (reference.predict_linear, (90.0,)),
    "present_over_time": (reference.present_over_time, ()),
    "quantile_over_time": (reference.quantile_over_time, (0.37,)),
    "rate": (reference.rate, ()),
    "resets": (reference.resets, ()),
    "stddev_over_time": (reference.stddev_over_time, ()),
    "stdvar_over_time": (reference.stdvar_over_time, ()),
    "sum_over_time": (reference.sum_over_time, ()),
    "ts_of_first_over_time": (reference.ts_of_first_over_time, ()),
    "ts_of_last_over_time": (reference.ts_of_last_over_time, ()),
    "ts_of_max_over_time": (reference.ts_of_max_over_time, ()),
    "ts_of_min_over_time": (reference.ts_of_min_over_time, ()),
}

ordinary = st.one_of(st.integers(-1000, 1000).map(float), st.floats(-1e6, 1e6, allow_subnormal=False))
counters = st.integers(0, 50).map(float)
anything = st.one_of(ordinary, st.sampled_from((math.nan, math.inf, -math.inf, STALE, 0.0, -0.0)))


@st.composite
def series(draw: st.DrawFn) -> list[Point]:
    """Samples around the window: regular or with gaps, of one temper or another."""
    values = draw(st.sampled_from((ordinary, counters, anything)))
    if draw(st.booleans()):
        step = draw(st.sampled_from((15_000, 30_000, 60_000)))
        times = list(range(draw(st.integers(0, step)), END + 60_000, step))
        times = [t for t in times if draw(st.integers(0, 9)) > 0]
    else:
        times = sorted(draw(st.sets(st.integers(START - 50_000, END + 50_000), max_size=12)))
    return [(t, draw(values)) for t in times]


def window_of(rows: list[list[Point]]) -> RangeWindow:
    """As the engine cuts it out of what the storage selects; beyond the counts there is rubbish."""
    width = max((len(row) for row in rows), default=0)
    times = np.full((len(rows), width), -1, np.int64)
    values = np.full((len(rows), width), 7.0)
    for i, row in enumerate(rows):
        times[i, : len(row)] = [t for t, _ in row]
        values[i, : len(row)] = [v for _, v in row]
    index = LabelIndex([Labels.of(row=str(i)) for i in range(len(rows))])
    counts = np.array([len(row) for row in rows], np.int64)
    return WindowColumns.of_selection(Selection(index, times, values, counts), START, END).window(START, END, TS)


def range_of(row: list[Point]) -> Range:
    return Range([(t, v) for t, v in row if START < t <= END and not is_stale(v)], START, END, TS)


def close(a: float, b: float, scale: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if math.isinf(a) or math.isinf(b):
        return a == b
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b)) + 1e-12 * scale


def scale_of(name: str, r: Range) -> float:
    """How big the numbers are that cancel each other on the way to the result."""
    top = max((abs(v) for v in r.values if math.isfinite(v)), default=0.0) + 1e-3
    return top * top if "std" in name else top * 1000 if name == "predict_linear" else top


def check(name: str, rows: list[list[Point]]) -> None:
    function = FUNCTIONS[name]
    assert isinstance(function, RangeFunction)
    plain, scalars = REFERENCES[name]
    with np.errstate(all="ignore"):
        values, present = function.kernel(window_of(rows), *scalars)
    for i, row in enumerate(rows):
        r = range_of(row)
        expected = plain(r, *scalars)
        assert bool(present[i]) is (expected is not None), (name, r)
        if expected is not None:
            assert close(float(values[i]), expected, scale_of(name, r)), (name, float(values[i]), expected, r)


def test_every_range_function_has_a_reference() -> None:
    assert set(REFERENCES) == {name for name, f in FUNCTIONS.items() if isinstance(f, RangeFunction)}


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_agrees_with_the_reference(name: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(series(), min_size=1, max_size=6))
    def agrees(rows: list[list[Point]]) -> None:
        check(name, rows)

    agrees()


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_agrees_on_rows_in_step(name: str) -> None:
    """All rows have the same times, so that there is no padding."""

    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 8), st.integers(1, 4), st.data())
    def agrees(width: int, n: int, data: st.DataObject) -> None:
        without_stale = anything.filter(lambda v: not is_stale(v))
        times = [START + 1 + i * 31_000 for i in range(width)]
        check(name, [[(t, data.draw(without_stale)) for t in times] for _ in range(n)])

    agrees()


@pytest.mark.parametrize("name", ["rate", "increase", "delta", "sum_over_time", "avg_over_time"])
def test_agrees_to_the_last_bit(name: str) -> None:
    """Resets and compensations are added one after the other, as Prometheus does, not in pairs."""
    draw = np.random.default_rng(3)
    times = list(range(START + 1, END, 5_000))
    scale = 10.0 ** draw.integers(-3, 6, (50, len(times)))
    rows = [list(zip(times, row.tolist(), strict=True)) for row in draw.random((50, len(times))) * scale]
    function = FUNCTIONS[name]
    assert isinstance(function, RangeFunction)
    values, _ = function.kernel(window_of(rows))
    assert values.tolist() == [REFERENCES[name][0](range_of(row)) for row in rows]


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_no_sample_no_result(name: str) -> None:
    check(name, [[], [(START, 1.0)], [(END + 1, 1.0)]])


def test_avg_overflows_into_the_incremental_mean() -> None:
    big = 1.7e308
    rows = [[(START + 1000 * i, v) for i, v in enumerate(values, 1)] for values in ((big, big, big), (big, -big, big))]
    check("avg_over_time", rows)
    check("avg_over_time", [[(START + 1000 * i, v) for i, v in enumerate((1.0, math.inf, math.inf, -3.0), 1)]])


def test_kahan_keeps_the_small_ones() -> None:
    check("sum_over_time", [[(START + 1000 * i, v) for i, v in enumerate((1.0, 1e100, 1.0, -1e100), 1)]])
    function = FUNCTIONS["sum_over_time"]
    assert isinstance(function, RangeFunction)
    row = [(START + 1000 * i, v) for i, v in enumerate((1.0, 1e100, 1.0, -1e100), 1)]
    assert function.kernel(window_of([row]))[0][0] == 2.0


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ((0.0, 0.5), "invalid smoothing factor. Expected: 0 < sf < 1, got: 0.000000"),
        ((0.5, 1.0), "invalid trend factor. Expected: 0 < tf < 1, got: 1.000000"),
    ],
)
def test_impossible_smoothing_factors_fail_where_there_is_data(factors: tuple[float, float], message: str) -> None:
    function = FUNCTIONS["double_exponential_smoothing"]
    assert isinstance(function, RangeFunction)
    with pytest.raises(EvaluationError, match=message):
        function.kernel(window_of([[(START + 1, 1.0)]]), *factors)
    function.kernel(window_of([[]]), *factors)


def test_smoothing_many_rows_at_once_is_smoothing_each() -> None:
    function = FUNCTIONS["double_exponential_smoothing"]
    assert isinstance(function, RangeFunction)
    draw = np.random.default_rng(7)
    rows = [
        [(START + 1000 * (i + 1), float(v)) for i, v in enumerate(draw.normal(size=draw.integers(0, 12)))]
        for _ in range(100)
    ]
    values, present = function.kernel(window_of(rows), 0.3, 0.6)
    for row, value, here in zip(rows, values.tolist(), present.tolist(), strict=True):
        (alone,), (there,) = function.kernel(window_of([row]), 0.3, 0.6)
        assert here == there == (len(row) >= 2)
        assert not here or value == alone
