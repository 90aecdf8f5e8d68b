"""Counter reset hints of histograms that are read, where they are not those that the storage gives."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from rulepush.histogram.boxes import Boxes, box_mask
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.resets import detect_reset
from rulepush.model.arrays import Floats
from rulepush.promql.syntax import ast
from rulepush.storage.selection import Selection

_STATISTICS: Final = frozenset(("histogram_count", "histogram_sum", "histogram_avg"))
_WHOLE: Final = frozenset(("histogram_quantile", "histogram_quantiles", "histogram_fraction"))
_NOTHING: Final[frozenset[ast.VectorSelector]] = frozenset()


def without_reset_hints(values: Floats, boxes: Boxes) -> Floats:
    """The values of a subquery, whose hints say nothing: it may leave out samples, or have one of them several times
    (promql/engine.go, evalSubquery)."""
    mask = box_mask(values)
    if not np.count_nonzero(mask):
        return values
    values = np.array(values)
    values[mask] = [boxes.box(_unknown(h)) for h in map(boxes.unbox, values[mask].tolist()) if h is not None]
    return values


def _unknown(h: FloatHistogram) -> FloatHistogram:
    return h if h.counter_reset_hint is CounterResetHint.GAUGE else h.with_hint(CounterResetHint.UNKNOWN)


def reads_statistics(node: ast.VectorSelector, root: ast.Node | None) -> bool:
    """Whether only count and sum of the histograms are asked for. Prometheus reads their buckets then just to say
    whether there was a counter reset (promql/engine.go, detectHistogramStatsDecoding)."""
    return root is not None and node in _selectors_of_statistics(root)


@lru_cache(maxsize=1_024)
def _selectors_of_statistics(root: ast.Node) -> frozenset[ast.VectorSelector]:
    return _found(root, statistics=False)


def _found(node: ast.Node, *, statistics: bool) -> frozenset[ast.VectorSelector]:
    match node:
        case ast.VectorSelector():
            return frozenset((node,)) if statistics else _NOTHING
        case ast.MatrixSelector():
            return frozenset((node.selector,)) if statistics else _NOTHING
        case ast.Subquery():
            return _NOTHING
        case ast.Binary(op) if op in ast.TRIMS:
            return _NOTHING
        case ast.Call(name):
            if name in _WHOLE:
                return _NOTHING
            statistics = statistics or name in _STATISTICS
    return _NOTHING.union(*(_found(child, statistics=statistics) for child in ast.children(node)))


def with_reset_hints(selection: Selection) -> Selection:
    """The selection with the hints that comparing each histogram with the one before gives (HistogramStatsIterator)."""
    known, times, values, counts = selection.boxes, selection.times, selection.values, selection.counts
    assert known is not None
    boxes, hinted = Boxes(), np.array(values)
    for row, count in enumerate(counts.tolist()):
        previous: FloatHistogram | None = None
        for column in np.flatnonzero(box_mask(values[row, :count])).tolist():
            h = known.unbox(float(values[row, column]))
            if h is None:
                continue
            if h.counter_reset_hint is CounterResetHint.UNKNOWN and previous is not None:
                fell = detect_reset(h, previous)
                h = h.with_hint(CounterResetHint.RESET if fell else CounterResetHint.NOT_RESET)
            hinted[row, column] = boxes.box(h)
            previous = h
    return Selection(selection.index, times, hinted, counts, boxes=boxes)
