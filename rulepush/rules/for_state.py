"""Since when alerts are active that another process has evaluated: from ALERTS_FOR_STATE on the datasource.

A group that moves to another shard begins there without saved states. Where the rules write to the datasource, their
`for` clocks are there, and go on (Prometheus reads the same series in RestoreForState, rules/manager.go). Only a series
that the engine still shows counts: the look-back is as long as a downtime that counts as none (`recovery.py`), and an
alert that has ended since was marked stale. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from rulepush.model.labels import ALERT_NAME, METRIC_NAME, Labels
from rulepush.model.matcher import Matcher, MatchOp, selector_text
from rulepush.model.sample import Sample
from rulepush.rules.asking import Question

FOR_STATE_SERIES: Final = "ALERTS_FOR_STATE"


def for_state_question(alert_name: str, ts: int) -> Question:
    """What to ask for the alerts of a rule with this name at `ts` (ms)."""
    matchers = (Matcher(METRIC_NAME, MatchOp.EQUAL, FOR_STATE_SERIES), Matcher(ALERT_NAME, MatchOp.EQUAL, alert_name))
    return Question(selector_text(matchers), ts)


def active_since(
    alerts: Iterable[Labels], answer: Iterable[Sample], external_labels: Labels, ts: int
) -> Mapping[Labels, int]:
    """When (ms, before `ts`) each of these alerts became active, for those of which the answer tells. Remote write has
    added external labels, of which replicas and shards have different ones: they do not count. Of several times the
    latest does, so that no alert fires too soon."""
    external = {name: "" for name, _ in external_labels} | {METRIC_NAME: ""}
    known: dict[Labels, int] = {}
    for sample in answer:
        if math.isfinite(sample.value) and 0 < sample.value * 1000 <= ts:
            labels = sample.labels.with_(external)
            known[labels] = max(round(sample.value * 1000), known.get(labels, 0))
    found = {labels: known.get(labels.with_(external)) for labels in alerts}
    return {labels: since for labels, since in found.items() if since is not None}
