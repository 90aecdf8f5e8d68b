"""Sums and means of groups that have native histograms. Source: Prometheus promql/engine.go, aggregation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from rulepush.histogram.boxes import Boxes
from rulepush.histogram.errors import IncompatibleSchemas
from rulepush.histogram.histogram import FloatHistogram
from rulepush.model.arrays import Bools
from rulepush.model.labels import Labels
from rulepush.promql.functions.histogram_sums import mean_of, sum_of
from rulepush.promql.syntax import ast
from rulepush.promql.vectors import histogram_notes as words
from rulepush.promql.vectors.annotations import AnnotationSet
from rulepush.promql.vectors.grouping import group
from rulepush.promql.vectors.values import Vector


def with_histogram_groups(
    node: ast.Aggregate, vector: Vector, native: Bools, floats: Vector, notes: AnnotationSet, boxes: Boxes
) -> Vector:
    """`floats` is the aggregation (sum or avg) of the samples that are floats; here with those of the histograms,
    `native` bool[n, T]. A group that has both at a step has none in the result."""
    grouping = group(vector.index, node.grouping, node.without)
    values, present = np.array(floats.values), np.array(floats.present)
    members: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, step in np.argwhere(native).tolist():
        members[step, int(grouping.codes[row])].append(row)
    for (step, at), rows in sorted(members.items()):
        if present[at, step]:
            notes.warn(words.MIXED_IN_AGGREGATION, node.expr)
            present[at, step] = False
            continue
        held = [h for h in map(boxes.unbox, vector.values[rows, step].tolist()) if h is not None]
        try:
            found = (sum_of if node.op == "sum" else mean_of)(held)
        except IncompatibleSchemas:
            notes.warn(words.mixed_schemas(_odd_name(vector.index.some(np.array(rows)), held)), node.expr)
            continue
        found.note(notes, node.expr)
        values[at, step], present[at, step] = boxes.box(found.histogram.compacted()), True
    return Vector(floats.index, values, present, floats.drop_name)


def _odd_name(labels: Sequence[Labels], held: Sequence[FloatHistogram]) -> str:
    """The metric of the first histogram that does not fit, in the order of labels."""
    ordered = sorted(zip(labels, held, strict=True), key=lambda pair: pair[0])
    custom = ordered[0][1].uses_custom_buckets
    return next(of.name for of, h in ordered if h.uses_custom_buckets is not custom)
