"""What rules may believe after a restart, after an interruption, and after a state file that was read late.

An evaluation draws two conclusions: what is in the result is true, and what is not in the result is over. While
rulepush runs, both follow from the scrapes. After a gap neither does, for three things may be out of date, each in a
way of its own:

- the alerts: the state file says how they were at the last evaluation that was saved;
- the samples: the journal is written once a second, so a crash loses up to the last second of them, and what happened
  during the gap is in no window at all;
- the time: a `for` clock measures how long a condition held, and whether it held during the gap is not known.

So there are two permissions, which `service/warm_up.py` gives (`RuleContext.may_fire`, `may_resolve`):

- may fire: every target was scraped once since, or twice for a rule that needs two samples in a range. Before, the
  newest sample of a series may be the one before the sample that was lost, and an alert that was over would fire once
  more; `absent(rate(...))` would fire for want of a second sample. No alert begins, and no PENDING one fires.
- may resolve: every target was scraped twice, or the look-back delta has passed. Before, a series may be missing only
  because it was not scraped yet. A restored alert that is missing from the result stays as it is (unconfirmed); one
  that is in the result is no more certain, for the sample may still be one from before the gap.

And the times of every restored alert are set once, at the first evaluation after the gap (`restored`). Case by case:

Clean stop      All is saved. What was missed is the downtime: a downtime that PromQL's look-back bridges counts as
                none; after a longer one the `for` clock stood still, and at least the grace period is left
                (Prometheus' RestoreForState); after the outage tolerance a PENDING alert starts over.
Crash           The same. States and resolutions are written in one transaction, before anything leaves the process,
                so the file holds the last evaluation or the one before it. What was sent last may not have arrived:
                a FIRING alert is sent at once, a resolved one on its rhythm until its 15 minutes are over.
Crash, and the  Alert states are newer than the samples. Without `may fire`, an evaluation before the first scrape
journal lags    would believe samples that the states have already overtaken.
Long outage     FIRING stays FIRING with its `startsAt`, however long it took: only Alertmanager has forgotten it, and a
                new `startsAt` would tell a second incident. If the condition is over it resolves, and the resolution
                is sent.
Clock set back  The times of an alert go back by as much, or it would end before it starts, and a `for` clock that began
                in the future would never be over. It is sent again, because Alertmanager has the former times.
Pause           A suspended machine or container, or a clock set forward: the alerts are in memory and true as of the
                last evaluation, but what they are seen against is not. The same as a restart with nothing lost.
State file      Alerting begins without it, and every evaluation tries to read it again; nothing is written meanwhile,
unreadable      so nothing is lost. When it is read, an alert of the file may have a successor here that began since:
                the one that is further on stays (a resolved or FIRING one of here is not set back), and a PENDING one
                keeps the older of the two `for` clocks.
Disk full       Alerting goes on from memory; when the file can be written again, it is written whole. A crash before
                finds the states from before the disk filled: an alert that has resolved since would be sent as FIRING,
                a resolved one that has fired again would end its successor. SQLite cannot write that it is out of
                date, so a mark beside the file is removed instead (`storage/saved_mark.py`). Without the mark
                every alert is doubtful: it is not sent before the result of new data has it (may fire), or it is over
                (may resolve). One that is in the result may have resolved and begun again, so it is sent with a new
                `startsAt`: Alertmanager keeps the earliest of an alert that it still knows as firing. The mark comes
                back when all is saved and nothing is doubtful. An alert that began and fired while nothing could be
                saved is not known: it starts over, as without a state file.

A reload is no gap: the new rule takes over the alerts with what is still doubtful about them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from rulepush.model.labels import Labels
from rulepush.rules.alert import Alert, AlertState, Timing, worst
from rulepush.rules.state import RuleKey, SavedAlert

_Element = TypeVar("_Element")


@dataclass(frozen=True, slots=True)
class RestorePolicy:
    """What a restart does to `for` clocks, in ms. Written down in docs/restart.md.

    `bridged_ms`            a downtime up to this counts as none: PromQL too bridges gaps of this length
    `outage_tolerance_ms`   --rules.alert.for-outage-tolerance: after a longer one, pending alerts start over
    `grace_period_ms`       --rules.alert.for-grace-period: after a downtime that is not bridged, nothing fires sooner
    """

    bridged_ms: int = 5 * 60 * 1000
    outage_tolerance_ms: int = 60 * 60 * 1000
    grace_period_ms: int = 10 * 60 * 1000


def restored(alert: Alert, seen_at: int, ts: int, timing: Timing, policy: RestorePolicy) -> Alert | None:
    """A saved alert at the first evaluation `ts` after a restart; `seen_at` is the last evaluation before it.

    FIRING and INACTIVE alerts are what they were; a FIRING one is sent at once, for whether the last sending before
    the crash arrived is not known. The `for` clock of a PENDING one stands still meanwhile, and
    at least the grace period remains (or `for`, if shorter): Prometheus' `RestoreForState`. None: it starts over.
    When the clock was set back meanwhile, the alert's times go back with it, or it would end before it starts.
    """
    if ts < seen_at:
        return _shifted(alert, ts - seen_at)
    if alert.state is AlertState.FIRING:
        return replace(alert, last_sent_at=None)
    downtime = ts - seen_at
    if alert.state is not AlertState.PENDING or downtime <= policy.bridged_ms:
        return alert
    if downtime > policy.outage_tolerance_ms:
        return None
    remaining = timing.for_ms - (seen_at - alert.active_at)
    remaining = max(remaining, min(policy.grace_period_ms, timing.for_ms))
    return replace(alert, active_at=ts + remaining - timing.for_ms)


def _shifted(alert: Alert, by_ms: int) -> Alert:
    """Shift every timestamp by `by_ms` (the wall clock stepped) and mark the alert as unsent."""
    return replace(
        alert,
        active_at=alert.active_at + by_ms,
        fired_at=_plus(alert.fired_at, by_ms),
        resolved_at=_plus(alert.resolved_at, by_ms),
        keep_firing_since=_plus(alert.keep_firing_since, by_ms),
        held_since=_plus(alert.held_since, by_ms),
        last_sent_at=None,
    )


def _plus(ts: int | None, by_ms: int) -> int | None:
    return None if ts is None else ts + by_ms


class Recovery:
    """What one rule has to doubt of its alerts. The rule owns it, and hands it the alerts by labels at each call.

    `restore` and `interrupt` begin it, `set_times` and `confirm` at each evaluation end it.
    """

    def __init__(self) -> None:
        self._last_seen: dict[Labels, int] = {}  # alerts whose times are not set yet: the last evaluation before
        self._began_since: dict[Labels, Alert] = {}  # what a saved alert was here before the file could be read
        self._unconfirmed: set[Labels] = set()  # restored alerts, until rules may resolve
        self._doubtful: set[Labels] = set()  # alerts whose saved state may be out of date

    @property
    def has_doubtful(self) -> bool:
        """Whether an alert may not be sent yet, because its saved state may be out of date."""
        return bool(self._doubtful)

    def restore(self, alerts: dict[Labels, Alert], saved: Iterable[tuple[Alert, int]], *, doubtful: bool) -> None:
        """Put saved alerts into `alerts`, each with the time of the last evaluation before the restart. `doubtful`:
        their states may be out of date."""
        for alert, seen_at in saved:
            since = alerts.get(alert.labels)
            if since is not None:  # the file could not be read at the start, and alerting began without it
                if since.state is AlertState.INACTIVE or worst([alert.state, since.state]) is not alert.state:
                    continue
                self._began_since[alert.labels] = since
            alerts[alert.labels] = alert
            self._last_seen[alert.labels] = seen_at
            if doubtful:
                self._doubtful.add(alert.labels)
            if doubtful or alert.state is not AlertState.INACTIVE:
                self._unconfirmed.add(alert.labels)

    def interrupt(self, alerts: Mapping[Labels, Alert], seen_at: int) -> None:
        """Doubt the alerts as after a restart; `seen_at` is the last evaluation."""
        for alert in alerts.values():
            self._last_seen.setdefault(alert.labels, seen_at)
            if alert.state is not AlertState.INACTIVE:
                self._unconfirmed.add(alert.labels)

    def take_over(self, other: Recovery) -> None:
        """Go on for the rule that takes the place of `other`'s by a reload."""
        self._last_seen, self._unconfirmed = dict(other._last_seen), set(other._unconfirmed)
        self._began_since, self._doubtful = dict(other._began_since), set(other._doubtful)

    def set_times(
        self, alerts: Mapping[Labels, Alert], ts: int, timing: Timing, policy: RestorePolicy
    ) -> dict[Labels, Alert | None]:
        """At the first evaluation after the gap: what `restored` makes of the alerts. Returns those that it changes,
        None for one that starts over."""
        changed: dict[Labels, Alert | None] = {}
        for labels, seen_at in self._last_seen.items():
            old = alerts[labels]
            since = self._began_since.get(labels)
            back_at = ts if since is None else since.active_at
            new = restored(old, seen_at, back_at, timing, policy)
            if since is not None and (new is None or since.active_at < new.active_at):
                new = since
            if new is not old:
                changed[labels] = new
        self._last_seen.clear()
        self._began_since.clear()
        return changed

    def confirm(self, may_resolve: Callable[[], bool]) -> None:
        """Let alerts end if rules may resolve; asked only where one may not yet."""
        if self._unconfirmed and may_resolve():
            self._unconfirmed.clear()

    def seen(self, alert: Alert, ts: int) -> Alert:
        """New data has this alert. One that is doubtful fires since `ts`: its former start may have been resolved."""
        if alert.labels not in self._doubtful:
            return alert
        self._doubtful.discard(alert.labels)
        return replace(alert, fired_at=ts) if alert.state is AlertState.FIRING else alert

    def resolved(self, labels: Labels) -> None:
        """Complete data has shown that this alert is over."""
        self._doubtful.discard(labels)

    def withholds(self, labels: Labels) -> bool:
        """Whether this alert must not be sent: its saved state may be out of date."""
        return labels in self._doubtful

    def keeps(self, labels: Labels) -> bool:
        """Whether this alert stays as it is although it is missing from the result."""
        return labels in self._unconfirmed

    def forget(self, labels: Labels) -> None:
        """The alert is gone."""
        self._unconfirmed.discard(labels)
        self._doubtful.discard(labels)

    def seen_at(self, alert: Alert, last_ts: int | None) -> int:
        """The last evaluation that covered this alert, to save with it. `last_ts` is the group's last."""
        return self._last_seen.get(alert.labels, alert.active_at if last_ts is None else last_ts)


def believable(
    found: Mapping[Labels, _Element], alerts: Iterable[Alert], *, may_fire: bool
) -> Mapping[Labels, _Element]:
    """What of a result counts: all of it, or while rules may not fire the elements of `alerts`, the active ones."""
    if may_fire:
        return found
    known = {alert.labels for alert in alerts}
    return {labels: element for labels, element in found.items() if labels in known}


class RestoresAlerts(Protocol):
    """`AlertingRule` is one."""

    def restore(self, saved: Iterable[tuple[Alert, int]], *, doubtful: bool) -> None: ...


def assign(saved: Sequence[SavedAlert], rules: Iterable[tuple[RuleKey, RestoresAlerts]], *, doubtful: bool) -> int:
    """Give saved alerts to the rules that they belong to; `doubtful`: they may be out of date. Returns how many found
    one.

    The best match first: the same file and expression; then another file; then another expression, as in Prometheus.
    """
    by_rule: dict[RuleKey, list[SavedAlert]] = {}
    for one in saved:
        by_rule.setdefault(one.key, []).append(one)
    waiting = list(rules)
    free, taken = dict(by_rule), 0
    for same_file, same_expr in ((True, True), (False, True), (True, False), (False, False)):
        known = {_match_by(key, same_file, same_expr): key for key in free}
        left = []
        used = set()
        for own, rule in waiting:
            key = known.get(_match_by(own, same_file, same_expr))
            if key is None:
                left.append((own, rule))
                continue
            rule.restore(((s.alert, s.seen_at) for s in by_rule[key]), doubtful=doubtful)
            used.add(key)
        taken += sum(len(free.pop(key)) for key in used)
        waiting = left
    return taken


def _match_by(key: RuleKey, same_file: bool, same_expr: bool) -> object:
    return (key.file if same_file else "", key.group, key.rule if same_expr else key.rule.loose)
