"""The histogram_*() functions, for classic histograms, and together with the native ones in the same vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.model.columns import each_distinct, first_rows, only, without
from rulepush.model.floats import format_float_g, parse_float
from rulepush.model.index import LabelIndex
from rulepush.model.labels import BUCKET, quote_label_value
from rulepush.promql.functions.buckets import ForcedBuckets, fractions, quantiles
from rulepush.promql.functions.native_histograms import (
    NATIVE_HISTOGRAM,
    Statistic,
    fraction_statistic,
    native_statistics,
    quantile_statistic,
)
from rulepush.promql.functions.quantile import quantile_warning
from rulepush.promql.functions.registry import CallContext, Function, VectorFunction
from rulepush.promql.syntax.signature import SCALAR, STRING, VECTOR, Signature
from rulepush.promql.vectors.matching import concatenated, recent
from rulepush.promql.vectors.native import floats_of, histograms_in
from rulepush.promql.vectors.values import Scalar, Vector, drop_names, everywhere

_DOCS: Final = "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile"


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Which rows of a vector are the buckets of which histogram; depends on labels alone.

    `index`   g histograms: the labels without `le`
    `bounds`  float64[g, b] ascending, distinct; padded with +Inf
    `rows`    int64[g, b]: the row of each bucket; -1 for padding
    `extras`  (row, histogram, bucket) of rows whose `le` is a bound that is already there: `1` and `1.0`
    `bad`     (metric name, `le`, rows) where `le` is missing or not a number
    `whole`   whether there is no padding and there are no extras
    """

    index: LabelIndex
    bounds: Floats
    rows: npt.NDArray[np.int64]
    extras: tuple[tuple[int, int, int], ...]
    bad: tuple[tuple[str, str, npt.NDArray[np.intp]], ...]
    whole: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Histograms:
    """The histograms of all steps, one under the other: row g * T + t is histogram g at step t.

    `bounds`, `counts` float64[g * T, b], left-aligned; `sizes` int64[g * T] >= 1 (meaningless where not present);
    `present` bool[g, T]
    """

    bounds: Floats
    counts: Floats
    sizes: Ints
    present: Bools


def _layout(index: LabelIndex) -> _Layout:
    """The layout of a vector, memoised on its index."""
    return index.memo("buckets", lambda: _make_layout(index))


def _make_layout(index: LabelIndex) -> _Layout:
    pool, texts = index.reduced(only((BUCKET,)))
    found, of_row = each_distinct(texts, lambda code: _bound(pool.labels[code].get(BUCKET)))
    malformed = np.array([bound is None for bound in found], np.bool_)[of_row]
    keys = index.reduced(without((BUCKET,)), pool)[1]
    good = np.flatnonzero(~malformed)
    firsts, groups = first_rows(keys[good])
    limits = np.array([0.0 if bound is None else bound for bound in found])[of_row[good]]
    order = np.lexsort((limits, groups))  # stable, and NaN last
    own, bounds_of, rows_of = groups[order], limits[order], good[order]
    new_group = np.ones(len(order), np.bool_)
    new_group[1:] = own[1:] != own[:-1]
    again = np.zeros(len(order), np.bool_)  # a bound that the group has already: the first row stands for it
    again[1:] = ~new_group[1:] & (bounds_of[1:] == bounds_of[:-1])
    place = np.cumsum(~again) - 1
    place -= place[np.maximum.accumulate(np.where(new_group, np.arange(len(order)), 0))]
    width = int(place.max(initial=-1)) + 1
    bounds, rows = np.full((len(firsts), width), np.inf), np.full((len(firsts), width), -1, np.int64)
    bounds[own[~again], place[~again]] = bounds_of[~again]
    rows[own[~again], place[~again]] = rows_of[~again]
    extras = sorted(zip(rows_of[again].tolist(), own[again].tolist(), place[again].tolist(), strict=True))
    bad: dict[tuple[str, str], list[int]] = {}
    for row in np.flatnonzero(malformed).tolist():
        labels = index.row(row)
        bad.setdefault((labels.name, labels.get(BUCKET)), []).append(row)
    return _Layout(
        LabelIndex.pooled(pool, keys[good[firsts]], distinct=True),
        bounds,
        rows,
        tuple(extras),
        tuple((name, text, np.array(at, np.intp)) for (name, text), at in bad.items()),
        not extras and bool((rows >= 0).all()),
    )


def _bound(text: str) -> float | None:
    try:
        return parse_float(text)
    except ValueError:
        return None


def _histograms(vector: Vector, layout: _Layout) -> _Histograms:
    g, b = layout.rows.shape
    steps = vector.values.shape[1]
    if steps == 1 and layout.whole and np.count_nonzero(vector.present) == len(vector.present):
        counts = vector.values[:, 0][layout.rows]
        return _Histograms(layout.bounds, counts, np.full(g, b, np.int64), everywhere(g)[:, None])
    real = layout.rows >= 0
    counts = vector.values[layout.rows]  # [g, b, T]
    there = vector.present[layout.rows] & real[:, :, None]
    for row, group, bucket in layout.extras:
        own, other = there[group, bucket], vector.present[row]
        both = np.where(own, counts[group, bucket], 0.0) + np.where(other, vector.values[row], 0.0)
        counts[group, bucket] = both
        there[group, bucket] = own | other
    present: Bools = np.logical_or.reduce(there, axis=1)
    counts = np.ascontiguousarray(counts.transpose(0, 2, 1)).reshape(g * steps, b)
    there = there.transpose(0, 2, 1).reshape(g * steps, b)
    bounds = layout.bounds if steps == 1 else np.repeat(layout.bounds, steps, axis=0)
    sizes = np.count_nonzero(there, axis=1)
    ragged = np.flatnonzero(there[:, :-1] < there[:, 1:]) if b > 1 else np.zeros(0)
    if len(ragged):  # a bucket is missing before one that is there: close the gaps
        order = np.argsort(~there, axis=1, kind="stable")
        bounds = np.take_along_axis(bounds, order, axis=1)
        counts = np.take_along_axis(counts, order, axis=1)
    return _Histograms(bounds, counts, np.maximum(sizes, 1), present)


def _note_bad_buckets(ctx: CallContext, vector: Vector, layout: _Layout, node: Any) -> None:
    for name, text, rows in layout.bad:
        if vector.present[rows].any():
            message = (
                f'PromQL warning: bucket label "le" is missing or has a malformed value of {quote_label_value(text)}'
            )
            ctx.notes.warn(message + (_for_metric(name) if ctx.delayed_name_removal else ""), node)


def _for_metric(name: str) -> str:
    return f" for metric name {quote_label_value(name)}" if name else ""


def _note_forced(ctx: CallContext, layout: _Layout, forced: list[tuple[int, ForcedBuckets]], node: Any) -> None:
    steps = len(ctx.steps)
    for row, fix in forced:
        labels = layout.index.row(row // steps)
        name = _for_metric(labels.name) if ctx.delayed_name_removal else ""
        ctx.notes.forced_monotonicity(
            f"PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see {_DOCS}){name}",
            node,
            int(ctx.steps[row % steps]),
            fix.min_bucket,
            fix.max_bucket,
            fix.max_diff,
        )


def _quantiles_of(ctx: CallContext, q: Floats, layout: _Layout, histograms: _Histograms, node: Any) -> Floats:
    """The q[t]-quantile of each histogram: float64[g, T]."""
    shape = histograms.present.shape
    flat = np.tile(q, shape[0]) if len(q) > 1 else np.full(shape[0], q[0])
    h = histograms
    if np.count_nonzero(h.present) == len(flat):
        values, forced = quantiles(flat, h.bounds, h.counts, h.sizes)
    else:
        rows = np.flatnonzero(h.present.reshape(-1))
        values = np.full(len(flat), np.nan)
        values[rows], found = quantiles(flat[rows], h.bounds[rows], h.counts[rows], h.sizes[rows])
        forced = [(int(rows[row]), fix) for row, fix in found]
    if forced:
        _note_forced(ctx, layout, forced, node)
    return values.reshape(shape)


def _histogram_quantile(ctx: CallContext, q: Scalar, vector: Vector) -> Vector:
    for value in _distinct(q.values):
        quantile_warning(value, ctx.notes, ctx.args[0])
    classic, layout = _classic(ctx, vector, ctx.args[1])
    values = _quantiles_of(ctx, q.values, layout, classic, ctx.args[1])
    found = Vector(layout.index, values, classic.present)
    if ctx.boxes:
        statistic = quantile_statistic(ctx, q.values, ctx.args[1])
        found = _with_native(ctx, vector, statistic, found, ctx.args[1])
    return drop_names(found, ctx.delayed_name_removal)


def _classic(ctx: CallContext, vector: Vector, node: Any) -> tuple[_Histograms, _Layout]:
    """The classic histograms of a vector."""
    layout = _layout(vector.index)
    boxes = ctx.boxes
    floats = floats_of(vector, boxes) if boxes else vector
    _note_bad_buckets(ctx, floats, layout, node)
    if len(layout.index):
        return _histograms(floats, layout), layout
    steps = len(ctx.steps)
    return _Histograms(
        np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0, np.int64), np.zeros((0, steps), np.bool_)
    ), layout


def _with_native(ctx: CallContext, vector: Vector, statistic: Statistic, classic: Vector, node: Any) -> Vector:
    """`classic` is of the classic histograms in `vector`; here with those of the native ones."""
    native = histograms_in(vector, ctx.boxes)
    if native is None:
        return classic
    return together(*native_statistics(ctx, vector, native, statistic, classic, node))


def together(*parts: Vector) -> Vector:
    """The rows of all of them, none of which has marks or an order that matters."""
    index = parts[0].index
    for part in parts[1:]:
        index = concatenated(index, part.index)
    values, present = [part.values for part in parts], [part.present for part in parts]
    return Vector(index, np.concatenate(values), np.concatenate(present))


def _histogram_quantiles(ctx: CallContext, vector: Vector, label: str, *qs: Scalar) -> Vector:
    for node, q in zip(ctx.args[2:], qs, strict=True):
        for value in _distinct(q.values):
            quantile_warning(value, ctx.notes, node)
    classic, layout = _classic(ctx, vector, ctx.args[0])
    native = histograms_in(vector, ctx.boxes)
    parts: list[Vector] = []
    for q in qs:
        found = Vector(layout.index, _quantiles_of(ctx, q.values, layout, classic, ctx.args[0]), classic.present)
        of_both = [found]
        if native is not None:
            statistic = quantile_statistic(ctx, q.values, ctx.args[0])
            of_both = list(native_statistics(ctx, vector, native, statistic, found, ctx.args[0]))
        parts += [part for one in of_both for part in _under_quantiles(one, label, q.values)]
    return drop_names(together(*parts), ctx.delayed_name_removal)


def _under_quantiles(found: Vector, label: str, q: Floats) -> Iterator[Vector]:
    """The quantiles q[t] with `label` saying which: a block of rows for each way in which a quantile is written, for it
    may change from step to step."""
    spelled = [_open_metrics_float(v) for v in q.tolist()]
    for text in dict.fromkeys(spelled):
        index = recent(found.index, "histogram_quantiles", (label, text), partial(_labelled, found.index, label, text))
        yield Vector(index, found.values, found.present & np.array([s == text for s in spelled]))


def _labelled(index: LabelIndex, label: str, text: str) -> LabelIndex:
    return LabelIndex([labels.with_({label: text}) for labels in index.labels])


def _histogram_fraction(ctx: CallContext, lower: Scalar, upper: Scalar, vector: Vector) -> Vector:
    h, layout = _classic(ctx, vector, ctx.args[2])
    g = len(layout.index)
    values = np.zeros(h.present.shape)
    if g:
        flat = fractions(np.tile(lower.values, g), np.tile(upper.values, g), h.bounds, h.counts, h.sizes)
        values = flat.reshape(h.present.shape)
    found = Vector(layout.index, values, h.present)
    if ctx.boxes:
        statistic = fraction_statistic(ctx, lower.values, upper.values, ctx.args[2])
        found = _with_native(ctx, vector, statistic, found, ctx.args[2])
    return drop_names(found, ctx.delayed_name_removal)


def _distinct(values: Floats) -> list[float]:
    return list(dict.fromkeys(values.tolist())) if len(values) > 1 else values.tolist()


def _open_metrics_float(value: float) -> str:
    """labels.FormatOpenMetricsFloat: always with a point or an exponent."""
    text = format_float_g(value)
    return text if any(c in text for c in ".enN") else text + ".0"


HISTOGRAM: Final[dict[str, Function]] = {
    **NATIVE_HISTOGRAM,
    "histogram_fraction": VectorFunction(
        "histogram_fraction", Signature((SCALAR, SCALAR, VECTOR)), _histogram_fraction
    ),
    "histogram_quantile": VectorFunction("histogram_quantile", Signature((SCALAR, VECTOR)), _histogram_quantile),
    "histogram_quantiles": VectorFunction(
        "histogram_quantiles",
        Signature((VECTOR, STRING, SCALAR, SCALAR), variadic=9, experimental=True),
        _histogram_quantiles,
    ),
}
