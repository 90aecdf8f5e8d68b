"""Samples on the grid of a unit test, and how promtool writes them."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from rulepush.backtest.unittest.grid import Cells, UnitTestGrid, notation, step_for
from rulepush.histogram import FloatHistogram
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE
from rulepush.promql.testscript.series import parse_series

T = 1_700_000_000_000
VALUES = st.one_of(
    st.integers(-3, 3).map(float), st.floats(width=64), st.just(STALE), st.sampled_from([0.1, 0.2, 0.30000000000000004])
)


def bits(cells: Mapping[int, float]) -> dict[int, int]:
    return {i: struct.unpack("<Q", struct.pack("<d", v))[0] if v == v or v is STALE else -1 for i, v in cells.items()}


@given(st.dictionaries(st.integers(0, 30), VALUES))
def test_what_is_written_is_read_again_bit_by_bit(cells: dict[int, float]) -> None:
    cells = {i: float("nan") if v != v and v is not STALE else v for i, v in cells.items()}
    line = parse_series(f"x {notation(cells)}")
    read = {i: cell for i, cell in enumerate(line.cells()) if isinstance(cell, float)}
    known = {i: STALE if v != v and cells[i] is STALE else v for i, v in read.items()}
    assert bits(known) == bits(cells)


def test_runs_and_gaps_are_written_short() -> None:
    cells: Cells = {0: 1.0, 1: 1.0, 2: 1.0, 5: 2.0, 6: 4.0, 7: 6.0, 8: 5.0, 10: STALE, 11: 9.0, 12: 9.0}
    assert notation(cells) == "1+0x2 _x2 2+2x2 5 _ stale 9 9"
    assert notation({3: -1.0, 4: -2.0, 5: -3.0}) == "_x3 -1-1x2"
    assert notation({}) == ""


def test_each_evaluation_sees_what_it_saw() -> None:
    grid = UnitTestGrid(T, T + 60_000, 15_000, 15_000)
    times = (-16_000, -14_000, 1, 14_999, 15_000, 15_001, 60_001)
    samples = [(T + ms, float(i)) for i, ms in enumerate(times)]
    assert grid.cells(samples) == {0: 1.0, 1: 4.0, 2: 5.0}
    fine = UnitTestGrid(T, T + 60_000, 15_000, 5_000)
    assert fine.cells(samples) == {0: 1.0, 1: 2.0, 3: 4.0, 4: 5.0}


def test_the_step_follows_the_fastest_series_and_divides_the_interval() -> None:
    def every(ms: int) -> dict[Labels, list[tuple[int, float]]]:
        return {Labels.of(a=str(k)): [(T + i * ms * k, 1.0) for i in range(9)] for k in (1, 4)}

    assert step_for(every(5_000), 15_000) == 5_000
    assert step_for(every(15_000), 60_000) == 15_000
    assert step_for(every(4_000), 15_000) == 3_750
    assert step_for(every(60_000), 15_000) == 15_000
    assert step_for({}, 15_000) == 15_000


def test_histograms_are_written_as_literals_between_floats() -> None:
    one = FloatHistogram(count=2.0, sum=3.0)
    cells: Cells = {0: 1.0, 1: 2.0, 2: one, 3: one, 5: STALE, 6: 3.0, 7: one}
    assert notation(cells) == "1 2 {{count:2 sum:3}} {{count:2 sum:3}} _ stale 3 {{count:2 sum:3}}"
