"""Whether a result is what a case expects. Source: Prometheus promql/promqltest/test.go, compareResult."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.histogram.text import histogram_literal
from rulepush.model.floats import format_float_g
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample, is_stale
from rulepush.promql.eval.result import QueryResult, ResultSeries
from rulepush.promql.syntax.signature import ValueType
from rulepush.promql.testscript.script import Eval, Expectation, ExpectedSeries, StepRange
from rulepush.promql.testscript.series import Cell, Gap, NativeCell

_EPSILON: Final = 1e-6
_MIN_NORMAL: Final = 2.2250738585072014e-308
_MAX: Final = 1.7976931348623157e308


class Mismatch(Exception):
    """`expected` and `got` are one line each, for the report; `variant` is how the query was rewritten, if it was."""

    def __init__(self, expected: str, got: str):
        self.expected = expected
        self.got = got
        self.variant = ""
        super().__init__(f"expected {expected}, got {got}")


def almost_equal(a: float, b: float) -> bool:
    """util/almost.Equal: relative to the sum, with NaN equal to NaN, but a stale marker only to itself."""
    if is_stale(a) or is_stale(b):
        return is_stale(a) and is_stale(b)
    if a != a or b != b:
        return a != a and b != b
    if a == b:
        return True
    total = abs(a) + abs(b)
    if a == 0 or b == 0 or total < _MIN_NORMAL:
        return abs(a - b) < _EPSILON * _MIN_NORMAL
    return abs(a - b) / min(total, _MAX) < _EPSILON


def compare(case: Eval, result: QueryResult) -> None:
    """Raises Mismatch."""
    match result.value_type:
        case ValueType.STRING:
            compare_string(case, result.string)
        case ValueType.SCALAR:
            compare_scalar(case, result.scalar)
        case ValueType.VECTOR:
            compare_vector(case, result.samples())
        case ValueType.MATRIX:
            compare_matrix(case, result.series())


def compare_string(case: Eval, text: str) -> None:
    """Raises Mismatch."""
    if case.string is None:
        raise Mismatch(_wanted(case), f"the string {text!r}")
    if case.string != text:
        raise Mismatch(f"the string {case.string!r}", repr(text))


def compare_scalar(case: Eval, value: float) -> None:
    """Raises Mismatch."""
    if case.scalar is None:
        raise Mismatch(_wanted(case), f"the scalar {format_float_g(value)}")
    if not almost_equal(case.scalar, value):
        raise Mismatch(f"the scalar {format_float_g(case.scalar)}", format_float_g(value))


def compare_vector(case: Eval, samples: Sequence[Sample]) -> None:
    """Raises Mismatch."""
    if case.scalar is not None or case.string is not None:
        raise Mismatch(_wanted(case), f"a vector of {len(samples)} series")
    expected = {series.labels: series for series in case.series}
    ordered = bool(case.expecting(Expectation.ORDERED))
    seen: set[Labels] = set()
    for place, sample in enumerate(samples, 1):
        own = sample.labels
        wanted = expected.get(own)
        if wanted is None:
            raise Mismatch("no such series", f"{own} {_value(sample)}")
        if ordered and wanted.position != place:
            raise Mismatch(f"{own} at position {wanted.position}", f"it at position {place}")
        cell = wanted.cells[0]
        if not _same(cell, sample):
            raise Mismatch(f"{own} {_cell(cell)}", _value(sample))
        seen.add(own)
    for labels, series in expected.items():
        if labels not in seen:
            raise Mismatch(f"{labels} {_cell(series.cells[0])}", "no such series")


def compare_matrix(case: Eval, found: Sequence[ResultSeries]) -> None:
    """Raises Mismatch."""
    if case.scalar is not None or case.string is not None:
        raise Mismatch(_wanted(case), f"a matrix of {len(found)} series")
    if case.expecting(Expectation.ORDERED):
        raise Mismatch("an ordered vector", "a matrix")
    expected = {series.labels: series for series in case.series}
    seen: set[Labels] = set()
    for series in found:
        points = series.samples()
        own = series.labels
        wanted = expected.get(own)
        if wanted is None:
            raise Mismatch("no such series", f"{own} {_points(points)}")
        _compare_points(wanted, points, case.result)
        seen.add(own)
    for labels, wanted in expected.items():
        if labels not in seen:
            raise Mismatch(f"{labels} {' '.join(_cell(c) for c in wanted.cells)}", "no such series")


def _compare_points(wanted: ExpectedSeries, points: list[Sample], grid: StepRange) -> None:
    expected: list[tuple[int, Cell]] = []
    for i, cell in enumerate(wanted.cells):
        ts = grid.start + i * grid.step
        if ts > grid.end:
            raise Mismatch(
                f"{wanted.labels} with {len(wanted.cells)} points",
                "a query time range that cannot return as many",
            )
        if not isinstance(cell, Gap):
            expected.append((ts, cell))
    same = len(expected) == len(points) and all(
        ts == point.ts and _same(cell, point) for (ts, cell), point in zip(expected, points, strict=True)
    )
    if not same:
        cells = " ".join(f"{_cell(cell)}@{ts / 1000:g}s" for ts, cell in expected)
        raise Mismatch(f"{wanted.labels} {cells or 'no points'}", _points(points))


def _points(points: Sequence[Sample]) -> str:
    return " ".join(f"{_value(point)}@{point.ts / 1000:g}s" for point in points) or "no points"


def _same(cell: Cell, sample: Sample) -> bool:
    if isinstance(cell, NativeCell):
        return isinstance(sample, HistogramSample) and same_histogram(
            cell.histogram, sample.histogram, hint=cell.hint_set
        )
    return isinstance(cell, float) and not isinstance(sample, HistogramSample) and almost_equal(cell, sample.value)


def same_histogram(expected: FloatHistogram, got: FloatHistogram, *, hint: bool) -> bool:
    """compareNativeHistogram: counts and sums about equal, the counter reset hint only where `hint`."""
    a, b = expected.compacted(), got.compacted()
    if a.schema != b.schema or a.zero_threshold != b.zero_threshold or a.custom_values != b.custom_values:
        return False
    if not all(map(almost_equal, (a.count, a.sum, a.zero_count), (b.count, b.sum, b.zero_count))):
        return False
    for mine, other in ((a.negative, b.negative), (a.positive, b.positive)):
        if not mine.same_layout(other):
            return False
        if not all(map(almost_equal, mine.counts.tolist(), other.counts.tolist())):
            return False
    return not hint or a.counter_reset_hint is b.counter_reset_hint


def _value(sample: Sample) -> str:
    if isinstance(sample, HistogramSample):
        return _hinted(sample.histogram)
    return format_float_g(sample.value)


def _hinted(histogram: FloatHistogram) -> str:
    return histogram_literal(histogram)


def _cell(cell: Cell) -> str:
    match cell:
        case NativeCell(histogram):
            return _hinted(histogram)
        case Gap():
            return cell.value
        case _:
            return format_float_g(cell)


def _wanted(case: Eval) -> str:
    if case.scalar is not None:
        return f"the scalar {format_float_g(case.scalar)}"
    if case.string is not None:
        return f"the string {case.string!r}"
    return f"{len(case.series)} series"
