"""sort() and its relatives. They order the rows of an instant query; a range query is always ordered by labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cmp_to_key
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.promql.functions.registry import CallContext, Function, VectorFunction
from rulepush.promql.syntax.signature import STRING, VECTOR, Signature
from rulepush.promql.vectors.matching import label_names
from rulepush.promql.vectors.native import floats_of
from rulepush.promql.vectors.values import Vector

Order = npt.NDArray[np.intp]

_CHUNKS: Final = re.compile(r"[0-9]+|[^0-9]+")
_MAX_INT: Final = (1 << 63) - 1
_MAX_DIGITS: Final = len(str(_MAX_INT))


def listed(vector: Vector) -> Order:
    """The rows of an instant vector that are present, in the order in which it lists them."""
    rows = np.arange(len(vector.index)) if vector.order is None else vector.order
    present: Order = rows[vector.present[rows, 0]]
    return present


def _by_value(vector: Vector) -> Order:
    rows = listed(vector)
    return rows[np.argsort(vector.values[rows, 0], kind="stable")]  # NaN last


def _by_value_desc(vector: Vector) -> Order:
    rows = listed(vector)
    return rows[np.argsort(-vector.values[rows, 0], kind="stable")]  # NaN last here too


def _sort(name: str, order_of: Callable[[Vector], Order]) -> VectorFunction:
    def call(ctx: CallContext, vector: Vector) -> Vector:
        return _ordered(ctx, floats_of(vector, ctx.boxes), order_of)

    return VectorFunction(name, Signature((VECTOR,)), call)


def _sort_by_label(name: str, *, descending: bool) -> VectorFunction:
    def call(ctx: CallContext, vector: Vector, *names: str) -> Vector:
        return _ordered(ctx, vector, lambda v: _by_labels(ctx, v, names, descending))

    return VectorFunction(name, Signature((VECTOR, STRING), variadic=-1, experimental=True), call)


def _ordered(ctx: CallContext, vector: Vector, order_of: Callable[[Vector], Order]) -> Vector:
    if ctx.is_range:
        ctx.notes.warn(
            "PromQL warning: sort is ineffective for range queries since results are always ordered by labels", ctx.node
        )
        return vector
    if vector.present.shape[1] != 1:
        return vector
    return replace(vector, order=order_of(vector))


def _by_labels(ctx: CallContext, vector: Vector, names: tuple[str, ...], descending: bool) -> Order:
    def compare(a: str, b: str) -> int:
        ctx.check_time()  # the values may be long
        return _compare(a, b)

    natural = cmp_to_key(compare)
    labels, known = vector.index.labels, label_names(vector.index)
    names = tuple(name for name in dict.fromkeys(names) if name in known)  # others are empty in every row

    def key(row: int) -> tuple[object, ...]:
        own = labels[row]
        return (*(natural(own.get(name)) for name in names), own.pairs)

    return np.array(sorted(listed(vector).tolist(), key=key, reverse=descending), np.intp)


def natural_less(a: str, b: str) -> bool:
    """natsort.Compare of github.com/facette/natsort: numbers inside of strings compare as numbers."""
    own, other = _CHUNKS.findall(a), _CHUNKS.findall(b)
    for i, chunk in enumerate(own):
        if i >= len(other):
            return False
        x, y = _number(chunk), _number(other[i])
        if x is not None and y is not None:
            if x != y:
                return x < y
        elif chunk != other[i]:
            return bool(chunk < other[i])
        if i == len(own) - 1:
            return True
        if i == len(other) - 1:
            return False
    return False


def _number(chunk: str) -> int | None:
    """strconv.Atoi."""
    if not chunk.isascii() or not chunk.isdigit():
        return None
    digits = chunk.lstrip("0") or "0"
    if len(digits) > _MAX_DIGITS:
        return None
    value = int(digits)
    return value if value <= _MAX_INT else None


def _compare(a: str, b: str) -> int:
    if a == b:
        return 0
    return -1 if natural_less(a, b) else 1


SORTING: Final[dict[str, Function]] = {
    "sort": _sort("sort", _by_value),
    "sort_by_label": _sort_by_label("sort_by_label", descending=False),
    "sort_by_label_desc": _sort_by_label("sort_by_label_desc", descending=True),
    "sort_desc": _sort("sort_desc", _by_value_desc),
}
