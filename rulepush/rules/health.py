"""How the last evaluation of a rule went; what the API shows of it."""

from __future__ import annotations

from enum import Enum


class RuleHealthState(Enum):
    """The value is Prometheus' name."""

    UNKNOWN = "unknown"
    OK = "ok"
    ERR = "err"


class RuleHealth:
    """`evaluation_seconds` and `last_evaluation` (wall time in ms) are of the last evaluation."""

    __slots__ = ("evaluation_seconds", "health", "last_error", "last_evaluation")

    def __init__(self) -> None:
        self.health = RuleHealthState.UNKNOWN
        self.last_error = ""
        self.evaluation_seconds = 0.0
        self.last_evaluation: int | None = None

    def good(self) -> None:
        """The evaluation succeeded."""
        self.health, self.last_error = RuleHealthState.OK, ""

    def bad(self, error: str) -> None:
        """The evaluation failed."""
        self.health, self.last_error = RuleHealthState.ERR, error
