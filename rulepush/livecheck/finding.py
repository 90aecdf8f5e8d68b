"""The findings of `check live` about a rule."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """PROBLEM: the rule cannot work. FIRES: it would fire now. NEVER: it cannot fire on these servers, and is marked as
    one for others. NOTE: worth knowing, nothing to change."""

    PROBLEM = "problem"
    FIRES = "fires"
    NEVER = "never"
    NOTE = "note"


class FindingKind(Enum):
    """The reason, for machines."""

    UNKNOWN_METRIC = "unknown-metric"
    UNKNOWN_LABEL = "unknown-label"
    UNKNOWN_VALUE = "unknown-label-value"
    NO_SUCH_SERIES = "no-such-series"
    NEVER_COUNTED = "never-counted"
    NOT_THERE_YET = "not-there-yet"
    OTHER_RELEASE = "other-release"
    RATE_ON_GAUGE = "rate-on-gauge"
    DELTA_ON_COUNTER = "delta-on-counter"
    NO_BUCKETS = "no-buckets"
    BUCKETS_LOST = "buckets-lost"
    HISTOGRAM_COMPARED = "histogram-compared"
    DIVISION_BY_NEGATIVE = "division-by-negative"
    PER_POOL = "per-pool"
    ABSENT_NEVER = "absent-never-true"
    NEVER_TRUE = "never-true"
    ALWAYS_TRUE = "always-true"
    INVERTED = "inverted"
    NO_MATCH = "sides-never-match"
    FAILS = "evaluation-fails"
    FIRES_NOW = "fires-now"
    TARGET_LABEL = "target-label"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `message` is a sentence on what is wrong, `suggestion` one on what to do, or ""."""

    kind: FindingKind
    level: Level
    message: str
    suggestion: str = ""


def problem(kind: FindingKind, message: str, suggestion: str = "") -> Finding:
    """A finding that makes `check live` fail."""
    return Finding(kind, Level.PROBLEM, message, suggestion)


def note(kind: FindingKind, message: str, suggestion: str = "") -> Finding:
    """A finding that does not."""
    return Finding(kind, Level.NOTE, message, suggestion)
