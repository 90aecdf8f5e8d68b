"""Episodes: what the alerts of a test went through, each from its first evaluation to its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rulepush.model.labels import Labels
from rulepush.rules.alert import Alert, AlertState, Annotations
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.health import RuleHealthState
from rulepush.rules.specs import AlertingSpec, RuleGroup, RuleSpec
from rulepush.rules.thresholds import thresholds
from rulepush.rules.transition import WORDS, ChangeReason, Transition

_INACTIVE: Final = AlertState.INACTIVE.value
_FIRING: Final = AlertState.FIRING.value
_ERRORS_KEPT: Final = 5  # of a rule


@dataclass(frozen=True, slots=True)
class RulePlace:
    """Which rule of a test: its file, group and line, its place in the group, and its name."""

    file: str
    group: str
    index: int
    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert from when its condition became true to its end. Times are those of evaluations, in ms.

    `annotations`    as they were rendered when it fired; of one that did not, at its end
    `fired_at`       None: it was pending only
    `ended_at`       when it resolved, or was pending no longer; None: it goes on at the end of the test
    `peak`           the value that was the furthest beyond the threshold: the lowest where the expression asks for less
    `last`           the last value
    `sent_firing`, `sent_resolved`   how often it would have been sent to each Alertmanager in either state
    `reason`         why it ended, None while it goes on; `detail` says more
    `since_before`   its condition was true already at the first evaluation that could know, of the data or after a gap:
                     it may have begun earlier
    """

    rule: RulePlace
    labels: Labels
    annotations: Annotations
    pending_since: int
    fired_at: int | None
    ended_at: int | None
    peak: float
    last: float
    sent_firing: int
    sent_resolved: int
    reason: ChangeReason | None
    detail: str
    since_before: bool

    @property
    def why(self) -> str:
        """Why it ended, in words; "" while it goes on."""
        if self.reason is None:
            return ""
        return f"{WORDS[self.reason]}: {self.detail}" if self.detail else WORDS[self.reason]

    def pending_ms(self, until: int) -> int:
        """How long it was pending; `until` is the end of the test."""
        return (self.fired_at or self.ended_at or until) - self.pending_since

    def firing_ms(self, until: int) -> int:
        """How long it fired, 0 when it did not."""
        return 0 if self.fired_at is None else (self.ended_at or until) - self.fired_at


@dataclass(frozen=True, slots=True)
class RuleFailure:
    """An error with which a rule failed: how often, and when first and last (ms)."""

    error: str
    count: int
    first: int
    last: int


@dataclass(slots=True)
class _Open:
    """An episode as it grows."""

    rule: RulePlace
    alert: Alert
    since_before: bool
    peak: float
    less: bool
    pending_since: int
    annotations: Annotations
    fired_at: int | None = None
    ended_at: int | None = None
    sent_firing: int = 0
    sent_resolved: int = 0
    reason: ChangeReason | None = None
    detail: str = ""

    def saw(self, alert: Alert) -> None:
        """The alert after an evaluation at which it goes on."""
        self.alert = alert
        if alert.keep_firing_since is None and alert.held_since is None:
            value = alert.value
            if value == value and (self.peak != self.peak or (value < self.peak if self.less else value > self.peak)):
                self.peak = value

    def episode(self) -> Episode:
        """As it is now."""
        return Episode(
            rule=self.rule,
            labels=self.alert.labels,
            annotations=self.annotations if self.fired_at is not None else self.alert.annotations,
            pending_since=self.pending_since,
            fired_at=self.fired_at,
            ended_at=self.ended_at,
            peak=self.peak,
            last=self.alert.value,
            sent_firing=self.sent_firing,
            sent_resolved=self.sent_resolved,
            reason=self.reason,
            detail=self.detail,
            since_before=self.since_before,
        )


class RuleRun:
    """What one rule does in the course of a test."""

    def __init__(self, place: RulePlace, spec: RuleSpec):
        self.place = place
        self.spec = spec
        self.evaluations = 0
        self.written = 0  # samples of a recording rule
        self.failures: dict[str, RuleFailure] = {}
        self.failed = 0
        self.open: dict[Labels, _Open] = {}
        self.done: list[_Open] = []
        self.less = isinstance(spec, AlertingSpec) and _asks_for_less(spec)

    def failed_with(self, error: str, ts: int) -> None:
        """An evaluation failed."""
        self.failed += 1
        known = self.failures.get(error)
        if known is not None:
            self.failures[error] = RuleFailure(error, known.count + 1, known.first, ts)
        elif len(self.failures) < _ERRORS_KEPT:
            self.failures[error] = RuleFailure(error, 1, ts, ts)

    def episodes(self) -> list[Episode]:
        """All, in the order in which they began."""
        return sorted((one.episode() for one in (*self.done, *self.open.values())), key=lambda e: e.pending_since)


class EpisodeBook:
    """Follows the evaluations of one group: what its rules tell when something changes, and the values in between."""

    def __init__(self, spec: RuleGroup, start: int = 0):
        """Failures before `start` (ms) are not counted."""
        self._start_ms = start
        self.rules = [
            RuleRun(RulePlace(spec.file, spec.name, i, rule.name, rule.line), rule) for i, rule in enumerate(spec.rules)
        ]
        self._latest: dict[Labels, _Open] = {}  # by the labels of the alert, also when it has ended
        self._failures = 0

    def record(self, group: EvaluationGroup, moved: Iterable[Transition], first_known: int | None) -> None:
        """Changes at an evaluation of the group. `first_known` is the time of the first one that could know whether the
        condition is true."""
        for change in moved:
            if not change.labels:
                continue
            run, rule = self._of(group, change)
            if run is None or rule is None:
                continue
            alert = rule.alert_of(change.labels)
            known = run.open.get(change.labels)
            if change.now == _INACTIVE:
                if known is not None:
                    self._end(run, known, change)
                continue
            if alert is None:
                continue
            if known is None:
                before = first_known is not None and change.ts <= first_known
                known = _Open(run.place, alert, before, alert.value, run.less, alert.active_at, alert.annotations)
                run.open[change.labels] = self._latest[change.labels] = known
            known.alert = alert
            if change.now == _FIRING and known.fired_at is None:
                known.fired_at = alert.fired_at
                known.annotations = alert.annotations

    def _of(self, group: EvaluationGroup, change: Transition) -> tuple[RuleRun | None, AlertingRule | None]:
        """The rule that a change is of. Several may have its name: one for each severity, say."""
        named = [
            (run, rule)
            for run, rule in zip(self.rules, group.rules, strict=True)
            if isinstance(rule, AlertingRule) and rule.spec.name == change.rule.name
        ]
        for run, rule in named:
            if len(named) == 1 or change.labels in run.open or rule.alert_of(change.labels) is not None:
                return run, rule
        return None, None

    @staticmethod
    def _end(run: RuleRun, known: _Open, change: Transition) -> None:
        known.ended_at, known.reason, known.detail = change.ts, change.reason, change.detail
        run.done.append(run.open.pop(change.labels))

    def notified(self, alerts: Sequence[Alert]) -> None:
        """Alerts that a rule of the group hands to the notifier."""
        for alert in alerts:
            known = self._latest.get(alert.labels)
            if known is None:
                continue
            if alert.state is AlertState.FIRING:
                known.sent_firing += 1
            else:
                known.sent_resolved += 1

    def evaluated(self, group: EvaluationGroup, ts: int) -> None:
        """The group was evaluated at `ts`."""
        failures = group.counters.failures
        if failures != self._failures:
            self._failures = failures
            for run, rule in zip(self.rules, group.rules, strict=True):
                if rule.status.health is RuleHealthState.ERR and ts >= self._start_ms:
                    run.failed_with(rule.status.last_error, ts)
        for run, rule in zip(self.rules, group.rules, strict=True):
            if run.open:
                self._saw(run, rule)

    @staticmethod
    def _saw(run: RuleRun, rule: Rule) -> None:
        if isinstance(rule, AlertingRule):
            for labels, known in run.open.items():
                alert = rule.alert_of(labels)
                if alert is not None:
                    known.saw(alert)

    def restarted(self) -> None:
        """The groups are new ones: what they count begins at 0."""
        self._failures = 0


def _asks_for_less(spec: AlertingSpec) -> bool:
    """Whether the lowest value of an alert is its worst: `x < 5`."""
    deciding = [t for t in thresholds(spec.query) if t.decides]
    return bool(deciding) and deciding[0].op in ("<", "<=")
