"""info(): labels of info metrics joined to series by their identifying labels. After Prometheus' promql/info.go."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np

from rulepush.errors import EvaluationError
from rulepush.model.index import LabelIndex
from rulepush.model.labels import INSTANCE, JOB, METRIC_NAME, Labels
from rulepush.promql.eval.binary import stack_steps
from rulepush.promql.eval.evaluation import Evaluation
from rulepush.promql.eval.selectors import newest
from rulepush.promql.functions.info import InfoSelector, info_selector
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.printer import labels_text
from rulepush.promql.vectors.values import Vector, empty_vector
from rulepush.storage.selection import Selection

_IDENTIFYING: Final = (INSTANCE, JOB)


def enrich(node: ast.Call, base: Vector, ev: Evaluation) -> Vector:
    """`base` with the labels of the info series that have the same instance and job at each step."""
    reads = info_selector(node)
    if not len(ev.steps):
        return empty_vector(0)
    times = _times(reads, ev)
    delta = ev.options.lookback_delta_ms
    selection = ev.querier.select(reads.matchers, min(times) - delta + 1, max(times))
    parts = []
    for step, when in enumerate(times):
        rows = np.flatnonzero(base.present[:, step])
        labels, kept = _joined(base, rows.tolist(), _candidates(selection, when, delta), reads)
        rows = rows[kept]
        drop = None if base.drop_name is None else base.drop_name[rows]
        parts.append(Vector(LabelIndex(labels), base.values[rows, step, None], np.ones((len(rows), 1), np.bool_), drop))
    return stack_steps(parts)


def _times(reads: InfoSelector, ev: Evaluation) -> list[int]:
    """When the info series are read at each step."""
    pinned = ev.pinned(reads.at)
    if pinned is not None:
        return [pinned - reads.offset_ms] * len(ev.steps)
    return [ts - reads.offset_ms for ts in ev.moments]


def _signature(labels: Labels) -> tuple[str, ...]:
    return tuple(map(labels.get, _IDENTIFYING))


def _candidates(selection: Selection, when: int, delta: int) -> dict[tuple[str, ...], dict[str, Labels]]:
    """The info series of each signature by metric name; of several, the one with the newest sample."""
    times, _, present = newest(selection, when, delta)
    best: dict[tuple[str, ...], dict[str, tuple[int, Labels]]] = defaultdict(dict)
    for row in np.flatnonzero(present).tolist():
        labels, at = selection.index.labels[row], int(times[row])
        known = best[_signature(labels)].get(labels.name)
        if known is not None and known[0] == at:
            raise EvaluationError(
                f"found duplicate series for info metric: existing {labels_text(known[1])} @ {at}, "
                f"new {labels_text(labels)} @ {at}"
            )
        if known is None or known[0] < at:
            best[_signature(labels)][labels.name] = (at, labels)
    return {key: {name: labels for name, (_, labels) in found.items()} for key, found in best.items()}


def _joined(
    base: Vector,
    rows: list[int],
    candidates: dict[tuple[str, ...], dict[str, Labels]],
    reads: InfoSelector,
) -> tuple[list[Labels], list[int]]:
    """The labels of the rows that stay, and their places in `rows`."""
    wanted = {m.name for m in reads.data}
    needed = not all(m.matches_empty for m in reads.data)
    out: list[Labels] = []
    kept: list[int] = []
    for place, row in enumerate(rows):
        labels = base.index.labels[row]
        if all(m.matches(labels.name) for m in reads.names):  # an info series itself
            out.append(labels)
            kept.append(place)
            continue
        key = _signature(labels)
        found = candidates.get(key, {}) if any(key) else {}
        if needed and not found:
            continue
        out.append(_with_info(labels, list(found.values()), wanted))
        kept.append(place)
    return out, kept


def _with_info(labels: Labels, infos: list[Labels], wanted: set[str]) -> Labels:
    added: dict[str, str] = {}
    for info in infos:
        for name, value in info:
            if name == METRIC_NAME or (wanted and name not in wanted):
                continue
            if added.get(name, value) != value:
                raise EvaluationError(f"conflicting label: {name}")
            if name not in labels:
                added[name] = value
    return labels.with_(added) if added else labels
