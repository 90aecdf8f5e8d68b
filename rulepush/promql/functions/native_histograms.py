"""The histogram_*() functions, for native histograms; `histogram` has them for classic ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rulepush.model.arrays import Bools, Floats
from rulepush.promql.functions.registry import CallContext, VectorFunction
from rulepush.promql.syntax.signature import VECTOR, Signature
from rulepush.promql.vectors import histogram_notes as words
from rulepush.promql.vectors.native import histograms_in, histograms_of
from rulepush.promql.vectors.values import Vector, drop_names, empty_vector

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

Statistic = Callable[["FloatHistogram", int, str], float]  # (histogram, step, metric name) -> result


def native_statistics(
    ctx: CallContext, vector: Vector, native: Bools, statistic: Statistic, classic: Vector, node: Any
) -> tuple[Vector, Vector]:
    """(`statistic` of each histogram, `classic` where it is left). `native` bool[n, T] says where they are; `classic`
    has the same statistic of the classic histograms, whose labels are theirs without `le`. Where both are of the same
    labels there is neither."""
    present = np.array(native)
    left = np.array(classic.present)
    of_labels = {labels: row for row, labels in enumerate(classic.index.labels)}
    labels = vector.index.labels
    values = np.zeros(native.shape)
    for row, step in np.argwhere(native).tolist():
        name = labels[row].name if ctx.delayed_name_removal else ""
        at = of_labels.get(labels[row])
        if at is not None and classic.present[at, step]:
            ctx.notes.warn(words.mixed_classic_and_native(name), node)
            present[row, step] = left[at, step] = False
            continue
        histogram = ctx.boxes.unbox(float(vector.values[row, step]))
        if histogram is not None:
            values[row, step] = statistic(histogram, step, name)
        ctx.check_time()
    found = Vector(vector.index, values, present, vector.drop_name)
    return found, Vector(classic.index, classic.values, left)


def quantile_statistic(ctx: CallContext, q: Floats, node: Any) -> Statistic:
    """The q[t]-quantile."""
    from rulepush.histogram.statistics import QuantileNote, histogram_quantile  # only where there are histograms

    def of(histogram: FloatHistogram, step: int, name: str) -> float:
        value, note = histogram_quantile(float(q[step]), histogram)
        if note is QuantileNote.NAN_RESULT:
            ctx.notes.info(words.nan_quantile(name), node)
        elif note is QuantileNote.NAN_SKEW:
            ctx.notes.info(words.skewed_quantile(name), node)
        return value

    return of


def fraction_statistic(ctx: CallContext, lower: Floats, upper: Floats, node: Any) -> Statistic:
    """The share of observations between lower[t] and upper[t]."""
    from rulepush.histogram.statistics import histogram_fraction

    def of(histogram: FloatHistogram, step: int, name: str) -> float:
        value, with_nan = histogram_fraction(float(lower[step]), float(upper[step]), histogram)
        if with_nan:
            ctx.notes.info(words.nan_fraction(name), node)
        return value

    return of


def _statistic(name: str) -> Callable[[FloatHistogram], float]:
    from rulepush.histogram.statistics import histogram_average, histogram_deviation, histogram_variance

    statistics: dict[str, Callable[[FloatHistogram], float]] = {
        "histogram_avg": histogram_average,
        "histogram_count": lambda h: h.count,
        "histogram_stddev": histogram_deviation,
        "histogram_stdvar": histogram_variance,
        "histogram_sum": lambda h: h.sum,
    }
    return statistics[name]


def _of_native(name: str) -> VectorFunction:
    """Floats are ignored."""

    def call(ctx: CallContext, vector: Vector) -> Vector:
        native = histograms_in(vector, ctx.boxes)
        if native is None:
            return empty_vector(len(ctx.steps))
        statistic = _statistic(name)
        only = histograms_of(vector, ctx.boxes)
        values = np.zeros(native.shape)
        for row, step in np.argwhere(native).tolist():
            histogram = ctx.boxes.unbox(float(vector.values[row, step]))
            if histogram is not None:
                values[row, step] = statistic(histogram)
            ctx.check_time()
        found = Vector(only.index, values, only.present, only.drop_name)
        return drop_names(found, ctx.delayed_name_removal)

    return VectorFunction(name, Signature((VECTOR,)), call)


NATIVE_HISTOGRAM: Final = {
    name: _of_native(name)
    for name in ("histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum")
}
