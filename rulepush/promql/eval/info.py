"""info(): labels of info metrics joined to series by their identifying labels. After Prometheus' promql/info.go."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np

from rulepush.errors import EvaluationError
from rulepush.histogram.boxes import box_mask
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
    asked = _asked_for(base, selection, reads)
    parts = []
    for step, when in enumerate(times):
        rows = np.flatnonzero(base.present[:, step])
        infos = _newest_infos(selection, asked, when, delta)
        candidates = _candidates(infos) if len(rows) else {}
        labels, kept = _joined(base, rows.tolist(), candidates, reads)
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


def _asked_for(base: Vector, selection: Selection, reads: InfoSelector) -> list[int]:
    """The rows of the info series that Prometheus would fetch: for each identifying label that some series of `base`
    has, in the whole range of the query, those with one of its values. What the others hold is no error."""
    values: dict[str, set[str]] = {}
    for row in np.flatnonzero(base.present.any(axis=1)).tolist():
        labels = base.index.labels[row]
        if not _is_info(labels, reads):
            for name in _IDENTIFYING:
                if labels.get(name):
                    values.setdefault(name, set()).add(labels.get(name))
    if not values:
        return []
    return [
        row
        for row, labels in enumerate(selection.index.labels)
        if all(labels.get(name) in known for name, known in values.items())
    ]


def _is_info(labels: Labels, reads: InfoSelector) -> bool:
    return all(m.matches(labels.name) for m in reads.names)


def _newest_infos(selection: Selection, asked: list[int], when: int, delta: int) -> list[tuple[int, Labels]]:
    """(time, labels) of each info series at `when`."""
    times, values, present = newest(selection, when, delta)
    boxed = box_mask(values) & present
    found = []
    for row in asked:
        labels = selection.index.labels[row]
        if boxed[row]:
            raise EvaluationError(f"this should be an info metric, with float samples: {labels_text(labels)}")
        if present[row]:
            found.append((int(times[row]), labels))
    return found


def _candidates(infos: list[tuple[int, Labels]]) -> dict[tuple[str, ...], dict[str, Labels]]:
    """The info series of each signature by metric name; of several, the one with the newest sample."""
    best: dict[tuple[str, ...], dict[str, tuple[int, Labels]]] = defaultdict(dict)
    for at, labels in infos:
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
        if _is_info(labels, reads):
            out.append(labels)
            kept.append(place)
            continue
        found = candidates.get(_signature(labels), {})
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
