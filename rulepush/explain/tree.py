"""The data of an explanation: frozen, and bounded whatever the rule reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rulepush.explain.reasons import Reason, ReasonKind, because, number, percent
from rulepush.model.labels import Labels

_SIDE: Final = {
    ">": ReasonKind.UNDER,
    ">=": ReasonKind.UNDER,
    "<": ReasonKind.OVER,
    "<=": ReasonKind.OVER,
}


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One element of a vector. A native histogram is `histogram`, its text as promtool prints it, and `value`
    is NaN."""

    labels: Labels
    value: float
    histogram: str = ""

    @property
    def text(self) -> str:
        """The value for people."""
        return self.histogram or number(self.value)


@dataclass(frozen=True, slots=True)
class MissedRow:
    """An element that a comparison dropped: `value` `op` `threshold` does not hold."""

    labels: Labels
    value: float
    op: str
    threshold: float

    @property
    def difference(self) -> float:
        """By how much it missed; NaN where one of the two is NaN."""
        return 0.0 if self.value == self.threshold else abs(self.value - self.threshold)

    @property
    def relative(self) -> float | None:
        """The difference as a part of the threshold; None where that says nothing."""
        ratio = self.difference / abs(self.threshold) if self.threshold else math.nan
        return ratio if math.isfinite(ratio) else None

    @property
    def reason(self) -> Reason:
        """By how much it missed, in a sentence."""
        value, threshold = number(self.value), number(self.threshold)
        if math.isnan(self.value) or math.isnan(self.threshold):
            return because(ReasonKind.NOT_COMPARABLE, value=value, threshold=threshold)
        if self.value == self.threshold:
            return because(ReasonKind.EQUAL, value=value, op=self.op)
        kind = _SIDE.get(self.op, ReasonKind.AWAY)
        relative = f" ({percent(self.relative)})" if self.relative is not None else ""
        return because(kind, value=value, difference=number(self.difference), threshold=threshold, relative=relative)

    @property
    def text(self) -> str:
        """`0.72 is 0.13 under 0.85 (15.3 %)`."""
        return self.reason.message


@dataclass(frozen=True, slots=True)
class ExplainedNode:
    """One sub-expression and its value now.

    `expr`      its canonical text; `head` what it adds to its parts: `> 0.85`, `sum by (job)`, a selector itself
    `kind`      selector, range, subquery, comparison, set, arithmetic, aggregation, function
    `series`    how many elements (of a range: series) it has; None for a scalar, and where it failed
    `value`     of a scalar
    `samples`   of a range: how many in all
    `rows`      some of the elements
    `dropped`   of a comparison: how many elements it dropped, and in `missed` the nearest of them, nearest first
    `reasons`   why it has fewer elements than its parts
    `error`     why it cannot be evaluated, "" when it can
    """

    expr: str
    head: str
    kind: str
    series: int | None = None
    value: float | None = None
    samples: int | None = None
    rows: tuple[ValueRow, ...] = ()
    dropped: int = 0
    missed: tuple[MissedRow, ...] = ()
    reasons: tuple[Reason, ...] = ()
    error: str = ""
    parts: tuple[ExplainedNode, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it is a vector without elements."""
        return self.series == 0

    def walk(self) -> Iterator[ExplainedNode]:
        """This node and all below it, in the order of the text."""
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(frozen=True, slots=True)
class ExplainedAlert:
    """One alert of the rule: its state and why. Times in ms; None where there is none."""

    labels: Labels
    state: str
    value: float
    active_at: int
    fired_at: int | None = None
    resolved_at: int | None = None
    fires_at: int | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """All about one rule at `ts` (ms).

    `summary`   the shortest answer to why it has a result, or none
    `findings`  what `check live` says of the expression as a whole
    `alerts`    some of its alerts, the active ones first; `alert_count` is how many it has
    `next_ts`   its next evaluation, None when it was never evaluated
    """

    name: str
    alerting: bool
    group: str
    file: str
    line: int
    expr: str
    ts: int
    state: str
    health: str
    last_error: str
    for_ms: int
    keep_firing_ms: int
    interval_ms: int
    last_ts: int | None
    next_ts: int | None
    summary: tuple[Reason, ...]
    findings: tuple[Reason, ...]
    alerts: tuple[ExplainedAlert, ...]
    alert_count: int
    tree: ExplainedNode
