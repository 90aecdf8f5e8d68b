"""Transition: a change in the life of an alert or of a rule, with its reason, as it is kept and shown.

The rules hand their transitions to `RuleContext.record` when they happen; who keeps them is not their business. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rulepush.model.durations import format_duration
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.rules.alert import Alert, AlertState, Timing


class ChangeReason(Enum):
    """Why something changed. The value is the name in the API; `WORDS` has it in words."""

    # an alert begins or goes on
    CONDITION_TRUE = "condition_true"
    FOR_ELAPSED = "for_elapsed"
    FOR_LONGER = "for_longer"
    RESTORED = "restored"
    # it is missing, and something keeps it
    KEPT_FIRING = "kept_firing"
    TARGET_DOWN_HELD = "held"
    SEEN_AGAIN = "seen_again"
    # it ends
    CONDITION_FALSE = "condition_false"
    NOT_IN_RESULT = "not_in_result"
    SERIES_GONE = "series_gone"
    TARGET_DOWN = "target_down"
    TARGET_REMOVED = "target_removed"
    OVER_LIMIT = "over_limit"
    STARTED_OVER = "started_over"
    RULE_REMOVED = "rule_removed"
    OTHER_SHARD = "other_shard"
    # of a rule
    RULE_CHANGED = "rule_changed"
    EVALUATION_FAILED = "evaluation_failed"
    EVALUATION_WORKS = "evaluation_works"
    HOLD_ENDED = "hold_ended"


WORDS: Final = {
    ChangeReason.CONDITION_TRUE: "the condition became true",
    ChangeReason.FOR_ELAPSED: "the condition has been true for as long as `for` asks",
    ChangeReason.FOR_LONGER: "a reload made `for` longer than the condition has been true",
    ChangeReason.RESTORED: "taken up again after a restart",
    ChangeReason.KEPT_FIRING: "the condition is no longer true, `keep_firing_for` goes on",
    ChangeReason.TARGET_DOWN_HELD: "held: its target cannot be scraped",
    ChangeReason.SEEN_AGAIN: "the condition is true again",
    ChangeReason.CONDITION_FALSE: "the condition is no longer true",
    ChangeReason.NOT_IN_RESULT: "no longer in the result of the expression",
    ChangeReason.SERIES_GONE: "its series is gone",
    ChangeReason.TARGET_DOWN: "its series is gone: its target cannot be scraped",
    ChangeReason.TARGET_REMOVED: "its series is gone: its target is no longer among the targets",
    ChangeReason.OVER_LIMIT: "more alerts than the `limit` of the group allows: all are dropped",
    ChangeReason.STARTED_OVER: "rulepush was down for too long: the `for` clock starts over",
    ChangeReason.RULE_REMOVED: "a reload removed its rule",
    ChangeReason.OTHER_SHARD: "another shard evaluates its rule now",
    ChangeReason.RULE_CHANGED: "a reload changed the rule",
    ChangeReason.EVALUATION_FAILED: "the rule cannot be evaluated",
    ChangeReason.EVALUATION_WORKS: "the rule can be evaluated again",
    ChangeReason.HOLD_ENDED: "its alerts are no longer sent on, for its datasource gives no answer",
}


@dataclass(frozen=True, slots=True)
class RuleRef:
    """Which rule: its file, its group, its name."""

    file: str
    group: str
    name: str


@dataclass(frozen=True, slots=True)
class Transition:
    """`ts` is the time of the evaluation or the reload (ms). Of a rule itself, `labels` are empty, and `was` and `now`
    are its health. `value` is that of the expression without its comparison, None where it is not known. `detail` says
    more than the reason's words, "" when there is no more to say."""

    ts: int
    rule: RuleRef
    labels: Labels
    was: str
    now: str
    reason: ChangeReason
    value: float | None = None
    detail: str = ""

    @property
    def described(self) -> str:
        """The reason and the detail in words."""
        words = WORDS[self.reason]
        return f"{words}: {self.detail}" if self.detail else words


Record = Callable[[Sequence[Transition]], None]
"""Takes transitions in the order in which they happened. It must not block."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why an alert is not in the result."""

    reason: ChangeReason
    value: float | None = None
    detail: str = ""


NOT_IN_RESULT: Final = Ending(ChangeReason.NOT_IN_RESULT)


def transitions(
    rule: RuleRef, old: Alert | None, new: Alert | None, ts: int, timing: Timing, why: Callable[[Alert], Ending]
) -> list[Transition]:
    """What happened to an alert at the evaluation at `ts`, [] when nothing that is told of. `why` is asked with an
    alert that is missing from the result."""
    was = AlertState.INACTIVE if old is None else old.state
    now = AlertState.INACTIVE if new is None else new.state
    subject = new if new is not None else old
    if subject is None:
        return []

    def told(reason: ChangeReason, value: float | None, detail: str = "") -> list[Transition]:
        return [Transition(ts, rule, subject.labels, was.value, now.value, reason, value, detail)]

    if new is None or now is AlertState.INACTIVE:
        if old is None or was is AlertState.INACTIVE:
            return []  # resolved long ago, and forgotten now
        end = why(old)
        return told(end.reason, end.value, _joined(end.detail, _kept_until_now(old, ts)))
    if was is AlertState.INACTIVE:
        if now is AlertState.PENDING:
            detail = f"fires after {format_duration(timing.for_ms)}"
        elif timing.for_ms:  # another process has seen it before
            detail = f"true for {format_duration(ts - new.active_at)}"
        else:
            detail = "there is no `for`: it fires at once"
        return told(ChangeReason.CONDITION_TRUE, new.value, detail)
    if (was, now) == (AlertState.PENDING, AlertState.FIRING):
        return told(ChangeReason.FOR_ELAPSED, new.value, f"true for {format_duration(ts - new.active_at)}")
    if (was, now) == (AlertState.FIRING, AlertState.PENDING):
        return told(ChangeReason.FOR_LONGER, new.value, f"`for` is {format_duration(timing.for_ms)} now")
    if old is None:
        return []
    if new.held_since is not None:
        return told(ChangeReason.TARGET_DOWN_HELD, None) if old.held_since is None else []
    if new.keep_firing_since is not None:
        if old.keep_firing_since is not None:
            return []
        end = why(old)
        until = f"until {format_duration(timing.keep_firing_ms)} have passed"
        return told(ChangeReason.KEPT_FIRING, end.value, _joined(end.detail, until))
    if old.held_since is not None or old.keep_firing_since is not None:
        return told(ChangeReason.SEEN_AGAIN, new.value)
    return []


def _kept_until_now(old: Alert, ts: int) -> str:
    if old.keep_firing_since is not None:
        return f"`keep_firing_for` is over, kept for {format_duration(ts - old.keep_firing_since)}"
    if old.held_since is not None:
        return f"held for {format_duration(ts - old.held_since)}"
    return ""


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def of_rule(ts: int, rule: RuleRef, was: str, now: str, reason: ChangeReason, detail: str = "") -> Transition:
    """A change of the rule itself."""
    return Transition(ts, rule, EMPTY_LABELS, was, now, reason, None, detail)
