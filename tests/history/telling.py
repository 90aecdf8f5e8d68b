"""Transitions and attempts for tests."""

from __future__ import annotations

from typing import Any

from rulepush.history.deliveries import Attempt, Outcome
from rulepush.model.labels import Labels
from rulepush.rules.transition import ChangeReason, RuleRef, Transition

T0 = 1_700_000_000_000
RULE = RuleRef("r.yml", "g", "A")
LABELS = Labels.of(alertname="A", severity="page")
AM = "http://am:9093/api/v2/alerts"


def moved(at: int, was: str = "inactive", now: str = "firing", **fields: Any) -> Transition:
    """A transition `at` ms after T0."""
    known: dict[str, Any] = {
        "rule": RULE,
        "labels": LABELS,
        "reason": ChangeReason.CONDITION_TRUE,
        "value": 1.0,
    }
    return Transition(T0 + at, was=was, now=now, **{**known, **fields})


def tried(at: int, outcome: Outcome = Outcome.ACCEPTED, status: int = 200, words: str = "", url: str = AM) -> Attempt:
    """An attempt `at` ms after T0."""
    return Attempt(url, T0 + at, outcome, status, words)
