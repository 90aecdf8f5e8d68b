"""How the last evaluation of a rule went; what the API shows of it."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

RECENT_EVALUATIONS: Final = 8  # of each rule that are remembered


class RuleHealthState(Enum):
    """The value is Prometheus' name."""

    UNKNOWN = "unknown"
    OK = "ok"
    ERR = "err"


class RuleEvaluation(NamedTuple):
    """One evaluation: its time (wall, ms), how long it took, how many samples the rule wrote, and its error or ""."""

    at: int
    seconds: float
    samples: int
    error: str


class RuleHealth:
    """`evaluation_seconds` and `last_evaluation` (wall time in ms) are of the last evaluation; `recent` are the last
    few, the oldest first."""

    __slots__ = ("evaluation_seconds", "health", "last_error", "last_evaluation", "recent")

    def __init__(self) -> None:
        self.health = RuleHealthState.UNKNOWN
        self.last_error = ""
        self.evaluation_seconds = 0.0
        self.last_evaluation: int | None = None
        self.recent: list[RuleEvaluation] = []  # a deque takes 64 places for its 8

    def good(self) -> None:
        """The evaluation succeeded."""
        self.health, self.last_error = RuleHealthState.OK, ""

    def bad(self, error: str) -> None:
        """The evaluation failed."""
        self.health, self.last_error = RuleHealthState.ERR, error

    def evaluated(self, at: int, seconds: float, samples: int) -> None:
        """An evaluation has ended, and `good` or `bad` said how."""
        self.evaluation_seconds, self.last_evaluation = seconds, at
        if len(self.recent) >= RECENT_EVALUATIONS:
            del self.recent[0]
        self.recent.append(RuleEvaluation(at, seconds, samples, self.last_error))
