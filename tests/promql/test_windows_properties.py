"""Windows and look-back against a plain reference, over random rows with gaps, stale markers and ragged lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, STALE_BITS
from rulepush.promql.eval.selectors import newest, newest_by_row
from rulepush.promql.functions import FUNCTIONS
from rulepush.promql.functions.registry import RangeFunction
from rulepush.promql.vectors.values import Vector
from rulepush.promql.vectors.windows import WindowColumns, row_bounds, search_bounds
from rulepush.storage.selection import Selection

Rows = list[list[tuple[int, float]]]


@dataclass(frozen=True)
class Case:
    rows: Rows
    start: int
    end: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Rows whose times are a grid with a phase, some missing: as scrapes are."""
    rows: Rows = []
    for _ in range(draw(st.integers(0, 8))):
        phase, first = draw(st.integers(0, 9)), draw(st.integers(0, 3))
        row = []
        for k in range(first, first + draw(st.integers(0, 9))):
            if draw(st.integers(0, 9)):
                value = draw(st.sampled_from((0.0, 1.5, -2.0, float("nan"), float("inf"), STALE)))
                row.append((k * 10 + phase, value))
        rows.append(row)
    start = draw(st.integers(-5, 120))
    return Case(rows, start, start + draw(st.integers(0, 60)))


def selection(rows: Rows) -> Selection:
    """Padding is garbage on purpose, stale markers included."""
    cap = max(map(len, rows), default=0) + 1
    times = np.full((len(rows), cap), 17, np.int64)
    values = np.full((len(rows), cap), STALE_BITS, np.int64).view(np.float64)
    for i, row in enumerate(rows):
        for j, (t, v) in enumerate(row):
            times[i, j] = t
            values.view(np.int64)[i, j] = STALE_BITS if v is STALE else np.float64(v).view(np.int64)
    counts = np.array([len(row) for row in rows], np.int64)
    return Selection(LabelIndex([Labels.of(i=str(i)) for i in range(len(rows))]), times, values, counts)


def equal(got: list[tuple[int, float]], wanted: list[tuple[int, float]]) -> bool:
    return repr(got) == repr(wanted)


def read(times: np.ndarray, values: np.ndarray, counts: np.ndarray, row: int) -> list[tuple[int, float]]:
    k = int(counts[row])
    return list(zip(times[row, :k].tolist(), values[row, :k].tolist(), strict=True))


@settings(max_examples=300, deadline=None)
@given(cases())
def test_a_window_is_left_open_and_free_of_stale_markers(case: Case) -> None:
    wanted = [[(t, v) for t, v in row if case.start < t <= case.end and v is not STALE] for row in case.rows]
    columns = WindowColumns.of_selection(selection(case.rows), case.start, case.end)
    for i, row in enumerate(wanted):
        assert equal(read(columns.times, columns.values, columns.counts, i), row)
    everything = WindowColumns.of_selection(selection(case.rows), -100, 1000)
    window = everything.window(case.start, case.end, case.end)
    for i, row in enumerate(wanted):
        assert equal(read(window.times, window.values, window.counts, i), row)
        assert window.mask[i].sum() == len(row)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_both_ways_to_find_row_bounds_agree_with_counting(case: Case) -> None:
    found = selection(case.rows)
    wanted = [sum(t <= case.start for t, _ in row) for row in case.rows]
    n = len(case.rows)
    assert np.broadcast_to(row_bounds(found.times, found.counts, case.start), n).tolist() == wanted
    for guess in range(found.times.shape[1]):
        assert search_bounds(found.times, found.counts, case.start, guess).tolist() == wanted


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(1, 40))
def test_the_newest_sample_within_the_look_back(case: Case, delta: int) -> None:
    times, values, present = newest(selection(case.rows), case.end, delta)
    for i, row in enumerate(case.rows):
        before = [(t, v) for t, v in row if t <= case.end]
        alive = bool(before) and before[-1][0] > case.end - delta and before[-1][1] is not STALE
        assert bool(present[i]) is alive
        if alive:
            assert equal([(int(times[i]), float(values[i]))], before[-1:])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), max_size=6))
def test_the_steps_of_a_subquery_become_samples(present: list[list[bool]]) -> None:
    n, grid = len(present), np.array([10, 20, 30, 40], np.int64)
    here = np.array(present, np.bool_).reshape(n, 4)
    vector = Vector(LabelIndex([Labels.of(i=str(i)) for i in range(n)]), np.arange(n * 4.0).reshape(n, 4), here)
    columns = WindowColumns.of_steps(vector, grid)
    for i in range(n):
        wanted = [(int(grid[j]), float(i * 4 + j)) for j in range(4) if present[i][j]]
        assert equal(read(columns.times, columns.values, columns.counts, i), wanted)


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(1, 5), st.integers(1, 30))
def test_stacked_windows_of_many_steps_give_each_function_what_single_ones_give(
    case: Case, steps: int, apart: int
) -> None:
    columns = WindowColumns.of_selection(selection(case.rows), -100, 1000)
    n = len(case.rows)
    bounds = [(case.start + i * apart, case.end + i * apart, case.end + i * apart + 7) for i in range(steps)]
    stacked = columns.stacked(bounds)
    for name, function in FUNCTIONS.items():
        if not isinstance(function, RangeFunction) or function.absolute_times:
            continue
        scalars = (0.5,) * (len(function.signature.arg_types) - 1)
        if stacked.times.shape[1] == 0:
            continue
        values, present = function.kernel(stacked, *scalars)
        for i, (start, end, ts) in enumerate(bounds):
            window = columns.window(start, end, ts)
            here = present[i * n : (i + 1) * n]
            if window.times.shape[1] == 0:
                assert not here.any(), name
                continue
            wanted, wanted_here = function.kernel(window, *scalars)
            assert here.tolist() == wanted_here.tolist(), name
            got = values[i * n : (i + 1) * n][here].tolist()
            assert repr(got) == repr(wanted[here].tolist()), name


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(1, 40), st.integers(1, 25))
def test_many_steps_over_few_series_read_what_single_steps_read(case: Case, delta: int, apart: int) -> None:
    found = selection(case.rows)
    whens = np.arange(case.start, case.start + 12 * apart, apart, dtype=np.int64)
    for timestamps in (False, True):
        values, present = newest_by_row(found, whens, delta, timestamps)
        for i, when in enumerate(whens.tolist()):
            at, wanted, here = newest(found, when, delta)
            assert present[:, i].tolist() == here.tolist()
            column = at / 1000 if timestamps else wanted
            assert repr(values[here, i].tolist()) == repr(column[here].tolist())
