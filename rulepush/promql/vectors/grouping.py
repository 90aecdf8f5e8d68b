"""Which rows an aggregation takes together: computed from labels alone, once for an index and a by/without clause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rulepush.model.arrays import Bools, Floats
from rulepush.model.columns import RowNumbers, first_rows, only
from rulepush.model.columns import without as drop_labels
from rulepush.model.index import LabelIndex
from rulepush.model.labels import METRIC_NAME
from rulepush.promql.vectors.matching import recent


@dataclass(frozen=True, slots=True, eq=False)
class GroupRectangle:
    """Groups of about the same size as one rectangle.

    `groups` intp[g] their numbers; `rows` intp[g, k] the rows of each in order, padded with its first row;
    `real` bool[g, k] or None: what is not padding, None when nothing is. `whole`: the rows are 0..n-1 in order, so that
    nothing has to be gathered.
    """

    groups: RowNumbers
    rows: RowNumbers
    real: Bools | None
    whole: bool


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """`index` one row a group, in order of first appearance; `codes` intp[n] the group of each row."""

    index: LabelIndex
    codes: RowNumbers
    blocks: tuple[GroupRectangle, ...]


def group(index: LabelIndex, names: tuple[str, ...], without: bool) -> Grouping:
    """Memoised."""

    def compute() -> Grouping:
        pool, keys = index.reduced(drop_labels((*names, METRIC_NAME)) if without else only(names))
        firsts, codes = first_rows(keys)
        return Grouping(LabelIndex.pooled(pool, keys[firsts], distinct=True), codes, _blocks(codes, len(firsts)))

    return recent(index, "group", (names, without), compute)


def _blocks(codes: RowNumbers, count: int) -> tuple[GroupRectangle, ...]:
    """Groups whose sizes have the same power of two share a block, so that at most half of it is padding."""
    if not len(codes):
        return ()
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=count)
    starts = np.cumsum(sizes) - sizes
    widest = int(sizes.max())
    if count * widest <= 2 * len(codes) + 64:
        classes = np.zeros(count, np.int64)
    else:
        classes = np.frexp(sizes - 0.5)[1]
    blocks = []
    for cls in sorted(set(classes.tolist())):  # np.unique would import numpy.ma, 1.5 MiB
        groups = np.flatnonzero(classes == cls)
        size = sizes[groups]
        columns = np.arange(int(size.max()))
        real = columns < size[:, None]
        rows = order[starts[groups][:, None] + np.where(real, columns, 0)]
        real.flags.writeable = False  # it is handed out as a mask
        whole = count == 1  # then the sort was stable: rows are 0..n-1
        blocks.append(GroupRectangle(groups, rows, None if real.all() else real, whole))
    return tuple(blocks)


def gather(block: GroupRectangle, values: Floats, present: Bools) -> tuple[Floats, Bools | None]:
    """(values[g, k], mask[g, k] or None when all are there) of one step: values float64[n], present bool[n]."""
    if block.whole:
        return values[None, :], None if _all(present) else present[None, :]
    if _all(present):
        return values[block.rows], block.real
    here = present[block.rows]
    if block.real is not None:
        here &= block.real
    return values[block.rows], None if _all(here) else here


def _all(rows: Bools) -> bool:
    return bool(np.count_nonzero(rows) == rows.size)  # costs a third of rows.all()


def sorted_rank(index: LabelIndex) -> RowNumbers:
    """intp[n]: the place of each row in the order of labels, which is the order of Prometheus' storage. Memoised."""

    def compute() -> RowNumbers:
        rank = np.empty(len(index), np.intp)
        pairs = [labels.pairs for labels in index.labels]  # tuples compare faster than Labels
        rank[sorted(range(len(index)), key=pairs.__getitem__)] = np.arange(len(index))
        return rank

    return index.memo("sorted rank", compute)
