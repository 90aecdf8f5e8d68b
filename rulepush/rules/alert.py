"""The life of an alert: its states and every change between them. Nothing else decides about an alert's state.

    (seen) -> PENDING --for is over--> FIRING --gone--> INACTIVE --15 minutes--> (forgotten)
                 │ <-- `for` is longer now --┘
                 └─gone--> (forgotten)

The semantics are those of Prometheus' rules/alerting.go. All times are evaluation times in ms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, assert_never

from rulepush.errors import IllegalTransition
from rulepush.model.durations import format_duration
from rulepush.model.labels import Labels

# A resolved alert is kept and resent for this long, so that no Alertmanager that was away misses the resolution.
RESOLVED_RETENTION_MS: Final = 15 * 60 * 1000

Annotations = tuple[tuple[str, str], ...]


class AlertState(Enum):
    """The value is the name in the API and in ALERTS{alertstate=...}."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


_SEVERITY: Final = {AlertState.INACTIVE: 0, AlertState.PENDING: 1, AlertState.FIRING: 2}


def worst(states: list[AlertState]) -> AlertState:
    """The state of a rule whose alerts are in these states."""
    return max(states, key=_SEVERITY.__getitem__, default=AlertState.INACTIVE)


@dataclass(frozen=True, slots=True)
class Timing:
    """`for` and `keep_firing_for` of a rule, in ms."""

    for_ms: int = 0
    keep_firing_ms: int = 0


@dataclass(frozen=True, slots=True)
class Alert:
    """One element of a rule's result, over time. Immutable: every method returns the alert as it is afterwards.

    `active_at`          when it was first seen; a restart may move it (docs/restart.md)
    `fired_at`           when it became FIRING: `startsAt`
    `resolved_at`        when a FIRING alert was first gone: `endsAt`
    `last_sent_at`       when it was last handed to the notifier
    `valid_until`        `endsAt` while FIRING: four intervals beyond the last sending
    `keep_firing_since`  when it went missing, while `keep_firing_for` holds it
    `held_since`         when it went missing because its target could not be scraped, while that holds it
    """

    labels: Labels
    annotations: Annotations
    state: AlertState
    active_at: int
    value: float
    fired_at: int | None = None
    resolved_at: int | None = None
    last_sent_at: int | None = None
    valid_until: int | None = None
    keep_firing_since: int | None = None
    held_since: int | None = None

    def seen(self, annotations: Annotations, value: float) -> Alert:
        """In the result again: value and annotations follow."""
        if self.state is AlertState.INACTIVE:
            raise IllegalTransition(
                f"a resolved alert cannot come back, the same labels are a new alert: {self.labels}"
            )
        missed = self.keep_firing_since is not None or self.held_since is not None
        if not missed and value == self.value and annotations == self.annotations:
            return self
        return replace(self, annotations=annotations, value=value, keep_firing_since=None, held_since=None)

    def fire(self, ts: int) -> Alert:
        """PENDING => FIRING."""
        if self.state is not AlertState.PENDING:
            raise IllegalTransition(f"only a pending alert can fire, this one is {self.state.value}: {self.labels}")
        return replace(self, state=AlertState.FIRING, fired_at=ts)

    def wait_again(self) -> Alert:
        """FIRING => PENDING: a reload made `for` longer than the alert is active. The `for` clock goes on. As an
        Alertmanager may know it as firing, `resolve` of the alert as it was has to be sent."""
        if self.state is not AlertState.FIRING:
            raise IllegalTransition(f"only a firing alert can wait again, this is {self.state.value}: {self.labels}")
        return replace(
            self,
            state=AlertState.PENDING,
            fired_at=None,
            last_sent_at=None,
            valid_until=None,
            keep_firing_since=None,
        )

    def resolve(self, ts: int) -> Alert:
        """FIRING => INACTIVE."""
        if self.state is not AlertState.FIRING:
            raise IllegalTransition(f"only a firing alert can resolve, this one is {self.state.value}: {self.labels}")
        return replace(self, state=AlertState.INACTIVE, resolved_at=ts, keep_firing_since=None, held_since=None)

    def keep(self, ts: int) -> Alert:
        """Missing, and FIRING goes on for `keep_firing_for`, which counts from the first time it was missing."""
        if self.state is not AlertState.FIRING:
            raise IllegalTransition(f"only a firing alert can be kept, this one is {self.state.value}: {self.labels}")
        return self if self.keep_firing_since is not None else replace(self, keep_firing_since=ts)

    def hold(self, ts: int) -> Alert:
        """Missing because its target cannot be scraped: the state stays as it is."""
        if self.state is AlertState.INACTIVE:
            raise IllegalTransition(f"a resolved alert cannot be held: {self.labels}")
        return self if self.held_since is not None else replace(self, held_since=ts)

    def sent(self, ts: int, validity_ms: int) -> Alert:
        """Handed to the notifier; Alertmanager ends it `validity_ms` later unless it is sent again."""
        if self.state is AlertState.PENDING:
            raise IllegalTransition(f"a pending alert cannot be sent: {self.labels}")
        return replace(self, last_sent_at=ts, valid_until=ts + validity_ms)

    def runs_out(self, ts: int) -> bool:
        """Whether it fires and will not hold until `ts` unless it is sent before."""
        return self.state is AlertState.FIRING and self.valid_until is not None and self.valid_until < ts

    def needs_sending(self, ts: int, resend_delay_ms: int) -> bool:
        """Whether it must be sent at `ts`: never sent, resolved since, or more than the resend delay ago."""
        if self.state is AlertState.PENDING:
            return False
        last = self.last_sent_at
        if last is None or ts < last:  # the clock was set back: Alertmanager may have forgotten it meanwhile
            return True
        if self.resolved_at is not None and last < self.resolved_at <= ts:
            return True
        return ts - last > resend_delay_ms


def pending(labels: Labels, annotations: Annotations, value: float, ts: int) -> Alert:
    """An alert seen for the first time, or for the first time since it resolved."""
    return Alert(labels, annotations, AlertState.PENDING, ts, value)


def advance(
    alert: Alert, ts: int, timing: Timing, *, present: bool, held: bool = False, may_fire: bool = True
) -> Alert | None:
    """The alert after the evaluation at `ts`; None when it is forgotten.

    `present`: it is in the result (`seen` was called). `held`: it is not, but its absence proves nothing. Without
    `may_fire` its presence proves nothing either: PENDING stays so.
    """
    if present:
        if ts < alert.active_at:  # the clock was set back: the `for` clock cannot have started in the future
            alert = replace(alert, active_at=ts)
        if _fired_too_soon(alert, ts, timing):
            return alert.wait_again()
        due = alert.state is AlertState.PENDING and ts - alert.active_at >= timing.for_ms
        return alert.fire(ts) if due and may_fire else alert
    match alert.state:
        case AlertState.PENDING:
            return alert.hold(ts) if held else None
        case AlertState.INACTIVE:
            since = alert.resolved_at if alert.resolved_at is not None else ts
            return None if ts - since > RESOLVED_RETENTION_MS else alert
        case AlertState.FIRING:
            if held:
                return alert.hold(ts)
            kept = alert.keep(ts)
            since = kept.keep_firing_since if kept.keep_firing_since is not None else ts
            if ts - since >= timing.keep_firing_ms:
                return alert.resolve(ts)
            return kept.wait_again() if _fired_too_soon(kept, ts, timing) else kept
        case _:
            assert_never(alert.state)


def _fired_too_soon(alert: Alert, ts: int, timing: Timing) -> bool:
    """Whether a FIRING alert would still be PENDING under `timing`: `for` is longer than it was when it fired.

    Prometheus 3.11 (rules/alerting.go, Eval) compares `ts` alone. The time of firing is compared too, because after the
    clock was set back `ts` may be close to `active_at` although `for` is what it was.
    """
    if alert.state is not AlertState.FIRING or alert.fired_at is None:
        return False
    return ts - alert.active_at < timing.for_ms and alert.fired_at - alert.active_at < timing.for_ms


def describe_change(before: Alert | None, after: Alert | None, ts: int, timing: Timing) -> str | None:
    """`PENDING => FIRING (active for 5m)`: the line for the log; None when the state did not change."""
    was = before.state if before is not None else AlertState.INACTIVE
    now = after.state if after is not None else AlertState.INACTIVE
    if before is not None and after is not None and after.active_at > before.active_at and was is AlertState.INACTIVE:
        before = None  # the same labels again: a new alert
    if was is now:
        return None
    if after is None:
        reason = "no longer in the result"
    elif now is AlertState.FIRING:
        reason = f"active for {format_duration(ts - after.active_at)}" if timing.for_ms else "in the result, no `for`"
    elif now is AlertState.PENDING and was is AlertState.FIRING:
        reason = (
            f"active for {format_duration(ts - after.active_at)}, and `for` is {format_duration(timing.for_ms)} now"
        )
    elif now is AlertState.PENDING:
        reason = f"in the result, fires after {format_duration(timing.for_ms)}"
    else:
        kept = before.keep_firing_since if before is not None else None
        reason = "no longer in the result"
        if kept is not None:
            reason += f", kept firing for {format_duration(ts - kept)}"
    return f"{was.name} => {now.name} ({reason})"
