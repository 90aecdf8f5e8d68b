"""Aggregations over groups of rows, after Prometheus' promql/engine.go: a few numpy calls a step for all groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.errors import EvaluationError
from rulepush.histogram.boxes import Boxes
from rulepush.model.arrays import Bools, Floats
from rulepush.model.columns import RowNumbers
from rulepush.model.floats import format_float, format_float_g
from rulepush.model.index import LabelIndex
from rulepush.model.kahan import kahan_step, kahan_sum
from rulepush.model.labels import METRIC_NAME, is_valid_utf8_name
from rulepush.promql.eval.binary import stack_steps
from rulepush.promql.functions.quantile import quantile_rows
from rulepush.promql.functions.welford import variances
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.strings import quote_go
from rulepush.promql.vectors.annotations import AnnotationSet, invalid_quantile, invalid_ratio
from rulepush.promql.vectors.grouping import Grouping, GroupRectangle, gather, group, sorted_rank
from rulepush.promql.vectors.histogram_notes import ignored_in_aggregation
from rulepush.promql.vectors.native import histograms_in
from rulepush.promql.vectors.series_hash import sample_offsets
from rulepush.promql.vectors.values import Scalar, String, Value, Vector, empty_vector, everywhere, with_present

_FLOATS_ONLY: Final = frozenset(("min", "max", "stddev", "stdvar", "quantile", "topk", "bottomk"))
NO_BOXES: Final = Boxes()
Reduce = Callable[[Floats, Bools | None], Floats]  # (values[g, k], mask[g, k] or None) -> values[g]


def aggregate(node: ast.Aggregate, param: Value | None, vector: Vector, notes: AnnotationSet, boxes: Boxes) -> Vector:
    """The aggregation of `vector`. Raises EvaluationError for an impossible parameter."""
    op = node.op
    if boxes and (native := histograms_in(vector, boxes)) is not None:
        if op in ("sum", "avg"):
            floats = aggregate(node, param, with_present(vector, vector.present & ~native), notes, NO_BOXES)
            from rulepush.promql.eval.histogram_aggregations import with_histogram_groups

            floats.drop_name = _group_drops(node, vector, group(vector.index, node.grouping, node.without))
            return with_histogram_groups(node, vector, native, floats, notes, boxes)
        if op in _FLOATS_ONLY:
            if op not in ("topk", "bottomk"):
                notes.info(ignored_in_aggregation(op), node.expr)
            elif isinstance(param, Scalar) and (native & (param.values >= 1)).any():
                notes.info(ignored_in_aggregation(op), node)
            vector = with_present(vector, vector.present & ~native)
    if (reduce := REDUCTIONS.get(op)) is not None:
        return _reduced(node, vector, [reduce] * vector.values.shape[1])
    if op == "count_values":
        assert isinstance(param, String)
        return _count_values(node, param.text, vector, boxes)
    assert isinstance(param, Scalar)
    match op:
        case "quantile":
            _warn_quantile(param.values, node, notes)
            return _quantiles(node, vector, param.values)
        case "limit_ratio":
            return _limit_ratio(node, param.values, vector, notes)
        case "topk" | "bottomk" | "limitk":
            return _selected(node, param.values, vector)
        case _:
            raise EvaluationError(f"expected aggregation operator but got {op!r}")


# One value a group.


def _reduced(node: ast.Aggregate, vector: Vector, reduce: Sequence[Reduce]) -> Vector:
    """`reduce[step]` at each step."""
    grouping = group(vector.index, node.grouping, node.without)
    steps, count = vector.values.shape[1], len(grouping.index)
    if steps == 1 and len(grouping.blocks) == 1:  # its groups are all there are, in order
        x, mask = gather(grouping.blocks[0], vector.values[:, 0], vector.present[:, 0])
        found = reduce[0](x, mask)
        here: Bools = everywhere(count) if mask is None else np.logical_or.reduce(mask, axis=1)
        return Vector(grouping.index, found[:, None], here[:, None], _group_drops(node, vector, grouping))
    values, present = np.empty((steps, count)), np.empty((steps, count), np.bool_)
    for step in range(steps):
        column, here = vector.values[:, step], vector.present[:, step]
        for block in grouping.blocks:
            x, mask = gather(block, column, here)
            values[step, block.groups] = reduce[step](x, mask)
            present[step, block.groups] = True if mask is None else mask.any(axis=1)
    return Vector(grouping.index, values.T, present.T, _group_drops(node, vector, grouping))


def _quantiles(node: ast.Aggregate, vector: Vector, quantiles: Floats) -> Vector:
    return _reduced(node, vector, [partial(_quantile, q) for q in quantiles.tolist()])


def _group_drops(node: ast.Aggregate, vector: Vector, grouping: Grouping) -> Bools | None:
    """A group that keeps the metric name loses it in the end if one of its rows does."""
    if vector.drop_name is None or node.without or METRIC_NAME not in node.grouping:
        return None
    drop = np.zeros(len(grouping.index), np.bool_)
    drop[grouping.codes[vector.drop_name & vector.present.any(axis=1)]] = True
    return drop


def _sizes(x: Floats, mask: Bools | None) -> Floats:
    if mask is None:
        return np.full(len(x), float(x.shape[1]))
    sizes: Floats = mask.sum(axis=1, dtype=np.float64)
    return sizes


def _sum(x: Floats, mask: Bools | None) -> Floats:
    total, rest = kahan_sum(x, mask)
    return total + rest


def _avg(x: Floats, mask: Bools | None) -> Floats:
    total, rest = kahan_sum(x, mask)
    sizes = _sizes(x, mask)
    mean = total / sizes + rest / sizes
    for row in np.flatnonzero(~np.isfinite(total)).tolist():
        mean[row] = _incremental_mean(x[row] if mask is None else x[row, mask[row]])
    return mean


def _incremental_mean(values: Floats) -> float:
    """The mean where the sum overflows: from there on, Prometheus moves the mean instead of adding to the sum."""
    if not len(values):
        return math.nan
    numbers = values.tolist()
    total, rest, mean, incremental = numbers[0], 0.0, 0.0, False
    for i, value in enumerate(numbers[1:], 2):
        if not incremental:
            next_total, next_rest = kahan_step(value, total, rest)
            if not math.isinf(next_total):
                total, rest = next_total, next_rest
                continue
            incremental = True
            mean, rest = total / (i - 1), rest / (i - 1)
        q = (i - 1) / i
        mean, rest = kahan_step(value / i, q * mean, q * rest)
    return mean + rest if incremental else total / len(numbers) + rest / len(numbers)


def _min(x: Floats, mask: Bools | None) -> Floats:
    least: Floats = np.fmin.reduce(x if mask is None else np.where(mask, x, np.nan), axis=1)
    return least


def _max(x: Floats, mask: Bools | None) -> Floats:
    most: Floats = np.fmax.reduce(x if mask is None else np.where(mask, x, np.nan), axis=1)
    return most


REDUCTIONS: Final[dict[str, Reduce]] = {
    "sum": _sum,
    "avg": _avg,
    "min": _min,
    "max": _max,
    "count": _sizes,
    "group": lambda x, _: np.ones(len(x)),
    "stdvar": variances,
    "stddev": lambda x, mask: np.sqrt(variances(x, mask)),
}


def _quantile(q: float, x: Floats, mask: Bools | None) -> Floats:
    if mask is None:
        return quantile_rows(q, x, np.full(len(x), x.shape[1], np.int64))
    order = np.argsort(~mask, axis=1, kind="stable")
    return quantile_rows(q, np.take_along_axis(x, order, axis=1), mask.sum(axis=1, dtype=np.int64))


def _warn_quantile(quantiles: Floats, node: ast.Aggregate, notes: AnnotationSet) -> None:
    assert node.param is not None
    if not len(quantiles):
        return
    if np.isnan(quantiles).any():
        notes.warn(invalid_quantile(math.nan), node.param)
    if quantiles.max() > 1:
        notes.warn(invalid_quantile(float(quantiles.max())), node.param)
    if quantiles.min() < 0:
        notes.warn(invalid_quantile(float(quantiles.min())), node.param)


# Some rows of a group.


def _selected(node: ast.Aggregate, limits: Floats, vector: Vector) -> Vector:
    """topk, bottomk, limitk: the first rows of each group in an order. The index stays, only presence changes."""
    if not len(limits) or limits.max() < 1:
        return empty_vector(len(limits))
    if np.isnan(limits).any():
        raise EvaluationError("Parameter value is NaN")
    if limits.min() <= -(2.0**63):
        raise EvaluationError(f"Scalar value {format_float_g(float(limits.min()))} underflows int64")
    if limits.max() >= 2.0**63:
        raise EvaluationError(f"Scalar value {format_float_g(float(limits.max()))} overflows int64")
    grouping = group(vector.index, node.grouping, node.without)
    present = np.zeros(vector.present.shape, np.bool_)
    listed: list[npt.NDArray[np.intp]] = []
    for step, limit in enumerate(limits.tolist()):
        column, here = vector.values[:, step], vector.present[:, step]
        for block in grouping.blocks:
            x, mask = gather(block, column, here)
            k = max(0, min(int(limit), x.shape[1]))
            order = _ranking(node.op, x, mask, k, partial(_label_ranks, vector.index, block))
            rows = np.take_along_axis(block.rows, order, axis=1)
            rows = rows[np.take_along_axis(mask, order, axis=1)] if mask is not None else rows.reshape(-1)
            present[rows, step] = True
            listed.append(rows)
    order_out = None
    if len(limits) == 1 and node.op != "limitk" and listed:
        rows = np.concatenate(listed)
        order_out = rows[np.argsort(grouping.codes[rows], kind="stable")]
    return replace(vector, present=present, order=order_out)


def _ranking(op: str, x: Floats, mask: Bools | None, k: int, labels: Callable[[], RowNumbers]) -> RowNumbers:
    """intp[g, k]: the columns of each group that are selected, in the order of listing: NaN after all numbers, the
    absent after everything. `labels()` ranks the entries by their labels, which settles ties."""
    if op == "limitk":
        return (np.argsort(labels(), axis=1) if mask is None else np.lexsort((labels(), ~mask), axis=1))[:, :k]
    key = -x if op == "topk" else x
    order = np.argsort(key, axis=1, kind="stable") if mask is None else np.lexsort((key, ~mask), axis=1)
    if 0 < k < x.shape[1]:
        inside, outside = order[:, k - 1 : k], order[:, k : k + 1]
        last, next_ = np.take_along_axis(key, inside, axis=1), np.take_along_axis(key, outside, axis=1)
        tied = (last == next_) | (np.isnan(last) & np.isnan(next_))
        if mask is not None:
            tied &= np.take_along_axis(mask, outside, axis=1)
        for row in np.flatnonzero(tied).tolist():
            here = np.arange(x.shape[1]) if mask is None else np.flatnonzero(mask[row])
            here = here[np.argsort(labels()[row, here])]
            chosen = here[heap_selection(key[row, here].tolist(), k)]
            order[row, :k] = chosen[np.argsort(key[row, chosen], kind="stable")]
    return order[:, :k]


def _label_ranks(index: LabelIndex, block: GroupRectangle) -> RowNumbers:
    return sorted_rank(index)[block.rows]


def heap_selection(keys: list[float], k: int) -> list[int]:
    """Which k of `keys` Prometheus selects, the smaller the better, NaN last: of equal ones, those that its heap
    (Go's container/heap) happens to keep."""
    heap: list[int] = []

    def worse(a: int, b: int) -> bool:
        return keys[a] != keys[a] or keys[a] > keys[b]

    def down(at: int) -> None:
        while (child := 2 * at + 1) < len(heap):
            if child + 1 < len(heap) and worse(heap[child + 1], heap[child]):
                child += 1
            if not worse(heap[child], heap[at]):
                return
            heap[at], heap[child] = heap[child], heap[at]
            at = child

    for i, key in enumerate(keys):
        if len(heap) < k:
            heap.append(i)
            at = len(heap) - 1
            while at > 0 and worse(heap[at], heap[(at - 1) // 2]):
                parent = (at - 1) // 2
                heap[at], heap[parent] = heap[parent], heap[at]
                at = parent
        elif keys[heap[0]] > key or (keys[heap[0]] != keys[heap[0]] and key == key):
            heap[0] = i
            down(0)
    return heap


def _limit_ratio(node: ast.Aggregate, ratios: Floats, vector: Vector, notes: AnnotationSet) -> Vector:
    """Rows by the hash of their labels: r > 0 takes those below r, r < 0 those from 1 + r, so that they complement."""
    assert node.param is not None
    if np.isnan(ratios).any():
        raise EvaluationError("Ratio value is NaN")
    if not len(ratios) or not ratios.any():
        return empty_vector(len(ratios))
    if ratios.max() > 1:
        notes.warn(invalid_ratio(float(ratios.max()), 1.0), node.param)
    if ratios.min() < -1:
        notes.warn(invalid_ratio(float(ratios.min()), -1.0), node.param)
    ratios = np.clip(ratios, -1, 1)
    offsets = sample_offsets(vector.index)[:, None]
    taken = np.where(ratios >= 0, offsets < ratios, offsets >= 1.0 + ratios)
    return replace(vector, present=vector.present & taken)


# count_values: the values are labels.


def _count_values(node: ast.Aggregate, label: str, vector: Vector, boxes: Boxes) -> Vector:
    if not is_valid_utf8_name(label):
        raise EvaluationError(f"invalid label name {quote_go(label)}")
    steps = vector.values.shape[1]
    if not steps:
        return empty_vector(0)
    return stack_steps(list(_counted_steps(node, label, vector, boxes)))


def _counted_steps(node: ast.Aggregate, label: str, vector: Vector, boxes: Boxes) -> Iterator[Vector]:
    names = node.grouping if node.without else (*node.grouping, label)
    for step in range(vector.values.shape[1]):
        rows = np.flatnonzero(vector.present[:, step])
        texts = [_spelled(v, boxes) for v in vector.values[rows, step].tolist()]
        plain = vector.index.some(rows)
        labels = [of_row.with_({label: text}) for of_row, text in zip(plain, texts, strict=True)]
        grouping = group(LabelIndex(labels), names, node.without)
        counts = np.bincount(grouping.codes, minlength=len(grouping.index)).astype(np.float64)
        drop = None
        if vector.drop_name is not None:
            inner = replace(vector, index=grouping.index, drop_name=vector.drop_name[rows])
            drop = _group_drops(node, replace(inner, present=np.ones((len(rows), 1), np.bool_)), grouping)
        yield Vector(grouping.index, counts[:, None], np.ones((len(counts), 1), np.bool_), drop)


def _spelled(value: float, boxes: Boxes) -> str:
    histogram = boxes.unbox(value) if boxes else None
    if histogram is None:
        return format_float(value)
    from rulepush.histogram.text import format_histogram

    return format_histogram(histogram)
