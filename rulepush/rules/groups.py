"""All groups: built from specifications, updated by a reload, saved after each evaluation."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from rulepush.errors import StorageError
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.context import RuleContext
from rulepush.rules.group import EvaluationGroup, match_rules
from rulepush.rules.recovery import assign
from rulepush.rules.specs import RuleGroup
from rulepush.rules.state import AlertStateStore, RuleKey, SavedAlert, StateChange

log = logging.getLogger("rulepush.rules")


@dataclass(frozen=True, slots=True)
class GroupDefaults:
    """`global.evaluation_interval` and `global.rule_query_offset`, in ms."""

    interval_ms: int = 60_000
    query_offset_ms: int = 0


class RuleGroups:
    """The groups in force, sorted by file and name. `store` keeps their alerts over a restart; None: nothing does."""

    def __init__(self, store: AlertStateStore | None = None):
        self._store = store
        self._groups: dict[tuple[str, str], EvaluationGroup] = {}
        self._restored = store is None
        self._complete = False  # whether what is saved differs from the truth by `changed` alone
        self._failing = False

    def all(self) -> list[EvaluationGroup]:
        """Sorted by file, then name."""
        return list(self._groups.values())

    def get(self, key: tuple[str, str]) -> EvaluationGroup | None:
        """The group of (file, name)."""
        return self._groups.get(key)

    def alerting_rules(self) -> list[AlertingRule]:
        """Of all groups, in order."""
        return [rule for group in self._groups.values() for rule in group.alerting_rules]

    def active_alerts(self) -> list[Alert]:
        """Pending and firing ones."""
        return [alert for rule in self.alerting_rules() for alert in rule.alerts]

    def update(self, specs: Iterable[RuleGroup], context: RuleContext, defaults: GroupDefaults, ts: int) -> None:
        """Put these groups in force at `ts`: at start, where they take up the saved alerts, and at a reload, where
        every rule that is still there goes on with its alerts, also in a file with another name."""
        wanted = sorted(specs, key=lambda s: s.key)
        old = dict(self._groups)
        stay = {spec.key: old.pop(spec.key) for spec in wanted if spec.key in old}
        new: dict[tuple[str, str], EvaluationGroup] = {}
        for spec in wanted:
            group = EvaluationGroup(spec, context, defaults.interval_ms, defaults.query_offset_ms)
            before = stay.get(spec.key) or _moved(spec, old)
            if before is not None:
                group.take_over(before)
            new[spec.key] = group
        self._groups = new
        for group in old.values():
            group.leave(ts)
        self._save_all()

    def evaluate(self, group: EvaluationGroup, ts: int, now: int | None = None) -> None:
        """Evaluate a group and save what changed. A store that fails is reported and tried again next time."""
        if not self._restored:
            self._restore()
        if self._store is None:
            group.evaluate(ts, now)
        else:
            # A crash must not come between what is sent and what is remembered of it: a resolution that is kept to be
            # sent, of an alert that is remembered as firing, would end a later episode too.
            try:
                with self._store.transaction():
                    group.evaluate(ts, now)
                    self._save(self._store, group, ts)
            except StorageError as e:
                self._failed(e)
        for rule in group.alerting_rules:
            rule.changed.clear()

    def interrupted(self) -> None:
        """The time jumped, or stood still for this process: go on with the alerts as after a restart."""
        for group in self._groups.values():
            if group.last_ts is not None:
                for rule in group.alerting_rules:
                    rule.interrupted(group.last_ts)

    def _save(self, store: AlertStateStore, group: EvaluationGroup, ts: int) -> None:
        if not self._complete:
            self._save_all()
            return
        rules = group.alerting_rules
        changes = [
            StateChange(_key(group, rule), labels, alert) for rule in rules for labels, alert in rule.changed.items()
        ]
        # Without a pending alert nobody will ask when this group was last evaluated.
        if not changes and not any(a.state is AlertState.PENDING for rule in rules for a in rule.alerts):
            return
        store.save(changes, group.file, group.name, ts)

    def _save_all(self) -> None:
        """After a change of the rules, and after a failure: the file may be a new one now."""
        if self._store is None or not (self._restored or self._restore()):
            return  # what is saved must not be lost to what it was not read for
        everything = [
            SavedAlert(_key(group, rule), alert, seen_at)
            for group in self._groups.values()
            for rule in group.alerting_rules
            for alert, seen_at in rule.to_save(group.last_ts)
        ]
        try:
            self._store.replace(everything)
        except StorageError as e:
            self._failed(e)
            return
        self._complete = True
        if self._failing:
            self._failing = False
            log.info("alert states are saved again")

    def _restore(self) -> bool:
        """Give the saved alerts to their rules; False when they cannot be read now."""
        if self._store is None:
            return True
        try:
            saved = self._store.load()
        except StorageError as e:
            self._failed(e)
            return False
        self._restored = True
        taken = assign(saved, [(_key(group, rule), rule) for group in self.all() for rule in group.alerting_rules])
        for group in self._groups.values():
            group.restored()
        if saved:
            active = sum(s.alert.state is not AlertState.INACTIVE for s in saved)
            text = "alert states restored: active=%d resolved=%d without_rule=%d"
            log.info(text, active, len(saved) - active, len(saved) - taken)
        return True

    def _failed(self, error: StorageError) -> None:
        self._complete = False
        if not self._failing:
            log.error("alert states cannot be saved or read, alerting goes on without: err=%s", error)
        self._failing = True


def _moved(spec: RuleGroup, gone: dict[tuple[str, str], EvaluationGroup]) -> EvaluationGroup | None:
    """Take from `gone` the group of the same name that has the most rules of this one: its file was renamed."""
    same = {key: len(match_rules(g.spec.rules, spec.rules)) for key, g in gone.items() if g.name == spec.name}
    best = max(same, key=same.__getitem__, default=None)
    return gone.pop(best) if best is not None and same[best] else None


def _key(group: EvaluationGroup, rule: AlertingRule) -> RuleKey:
    return RuleKey(group.file, group.name, rule.spec.id)
