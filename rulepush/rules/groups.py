"""All groups: built from specifications, updated by a reload, saved after each evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from rulepush.errors import StorageError
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.asking import Answers, Datasource, bring_wanted
from rulepush.rules.context import RuleContext
from rulepush.rules.group import EvaluationGroup, match_rules
from rulepush.rules.recovery import assign
from rulepush.rules.sharding import GroupKey
from rulepush.rules.specs import RuleGroup
from rulepush.rules.state import AlertStateStore, RuleKey, SavedAlert, SaveReport, StateChange

log = logging.getLogger("rulepush.rules")

_ENDED: Final = object()


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
        self._marked = False  # whether the next start may believe what is saved
        self._report = SaveReport()

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

    def update(
        self,
        specs: Iterable[RuleGroup],
        context: RuleContext,
        defaults: GroupDefaults,
        ts: int,
        elsewhere: Mapping[str, tuple[RuleContext, GroupDefaults]] = MappingProxyType({}),
        other_shards: Container[GroupKey] = (),
    ) -> None:
        """Put these groups in force at `ts`: at start, where they take up the saved alerts, and at a reload, where
        every rule that is still there goes on with its alerts, also in a file with another name. `elsewhere` has the
        context and the defaults for the groups of each datasource, by its name; `other_shards` are the groups that
        other processes evaluate: one that goes there ends nothing."""
        wanted = sorted(specs, key=lambda s: s.key)
        old = dict(self._groups)
        stay = {spec.key: old.pop(spec.key) for spec in wanted if spec.key in old}
        new: dict[tuple[str, str], EvaluationGroup] = {}
        for spec in wanted:
            of_group, default = elsewhere[spec.datasource] if spec.datasource else (context, defaults)
            group = EvaluationGroup(spec, of_group, default.interval_ms, default.query_offset_ms)
            before = stay.get(spec.key) or _moved(spec, old)
            if before is not None:
                group.take_over(before, ts)
            new[spec.key] = group
        self._groups = new
        for key, group in old.items():
            if key in other_shards:
                group.hand_over(ts)
            else:
                group.leave(ts)
        if self._store is not None and (self._restored or self._restore(self._store, ts)):
            try:
                self._save_all(self._store)
            except StorageError as e:
                self._failed(self._store, e, ts)
            else:
                self._saved(self._store, ts)

    def evaluate(self, group: EvaluationGroup, ts: int, now: int | None = None) -> None:
        """Evaluate a group and save what changed. A store that fails is reported and tried again next time."""

        def evaluate() -> bool:
            group.evaluate(ts, now)
            return True

        self._and_save(group, ts, evaluate)

    async def evaluate_on(
        self, datasource: Datasource, group: EvaluationGroup, ts: int, now: int | None = None
    ) -> None:
        """The same for a group whose rules a datasource answers. What a rule changes is saved before the next one
        asks; when a reload replaces the group meanwhile, the rest of its rules is left to the new one."""
        answers = Answers()
        steps = group.asking(ts, answers, now)
        stopwatch, interval_s = group.context.stopwatch, group.interval_ms / 1000
        began = stopwatch()
        asks = next(steps, _ENDED) is not _ENDED  # without answers nothing changes: there is nothing to save

        def step() -> bool:
            nonlocal asks
            asks = next(steps, _ENDED) is not _ENDED
            return not asks

        while asks:
            # A rule whose turn comes too late has a fair part: an engine that hangs must not delay what is sent on.
            left = began + interval_s - stopwatch()
            await bring_wanted(answers, datasource, max(left, interval_s / len(group.rules)))
            if self.get(group.spec.key) is not group:
                return
            self._and_save(group, ts, step)

    def _and_save(self, group: EvaluationGroup, ts: int, evaluate: Callable[[], bool]) -> None:
        """`evaluate` says whether all rules of the group are evaluated by then."""
        if self._store is None:
            evaluate()
        else:
            self._in_transaction(self._store, group, ts, evaluate)
        for rule in group.alerting_rules:
            rule.changed.clear()

    def _in_transaction(
        self, store: AlertStateStore, group: EvaluationGroup, ts: int, evaluate: Callable[[], bool]
    ) -> None:
        restored = self._restored or self._restore(store, ts)
        # A crash must not come between what is sent and what is remembered of it: a resolution that is kept to be
        # sent, of an alert that is remembered as firing, would end a later episode too.
        try:
            with store.transaction():
                whole = evaluate()
                if restored:  # what is saved must not be lost to what it was not read for
                    self._save(store, group, ts, whole=whole)
        except StorageError as e:
            self._failed(store, e, ts)
        else:
            if restored:
                self._saved(store, ts)

    def interrupted(self) -> None:
        """The time jumped, or stood still for this process: go on with the alerts as after a restart."""
        for group in self._groups.values():
            if group.last_ts is not None:
                for rule in group.alerting_rules:
                    rule.interrupted(group.last_ts)

    def _save(self, store: AlertStateStore, group: EvaluationGroup, ts: int, *, whole: bool) -> None:
        if not self._complete or not store.is_whole:
            self._complete = self._marked = False
            self._save_all(store)
            return
        rules = group.alerting_rules
        changes = [
            StateChange(_key(group, rule), labels, alert) for rule in rules for labels, alert in rule.changed.items()
        ]
        # Only pending alerts need the time of the last evaluation after a restart.
        if not changes and not (whole and any(rule.has_pending for rule in rules)):
            return
        store.save(changes, group.file, group.name, ts)

    def _save_all(self, store: AlertStateStore) -> None:
        """After a change of the rules, and after a failure: the file may be a new one now."""
        store.replace(
            [
                SavedAlert(_key(group, rule), alert, seen_at)
                for group in self._groups.values()
                for rule in group.alerting_rules
                for alert, seen_at in rule.to_save(group.last_ts)
            ]
        )

    def _restore(self, store: AlertStateStore, ts: int) -> bool:
        """Give the saved alerts to their rules; False when they cannot be read now."""
        try:
            saved = store.load()
        except StorageError as e:
            self._failed(store, e, ts)
            return False
        self._restored = True
        doubtful = store.is_incomplete
        rules = [(_key(group, rule), rule) for group in self.all() for rule in group.alerting_rules]
        taken = assign(saved, rules, doubtful=doubtful)
        for group in self._groups.values():
            group.restored(ts)
        if saved:
            active = sum(s.alert.state is not AlertState.INACTIVE for s in saved)
            text = "alert states restored: active=%d resolved=%d without_rule=%d"
            log.info(text, active, len(saved) - active, len(saved) - taken)
        if doubtful:
            log.warning(
                "alert states may be out of date, not all could be saved before the last stop: "
                "each is sent once new data confirms it"
            )
        return True

    def _saved(self, store: AlertStateStore, ts: int) -> None:
        """All is saved. The next start may know so when no restored alert is in doubt any longer."""
        self._complete = True
        self._report.saved(ts)
        if not self._marked and not any(rule.has_doubtful for rule in self.alerting_rules()):
            self._marked = store.mark(complete=True)

    def _failed(self, store: AlertStateStore, error: StorageError, ts: int) -> None:
        self._complete = self._marked = False
        store.mark(complete=False)
        self._report.failed(error, ts)


def _moved(spec: RuleGroup, gone: dict[tuple[str, str], EvaluationGroup]) -> EvaluationGroup | None:
    """Take from `gone` the group of the same name that has the most rules of this one: its file was renamed."""
    same = {key: len(match_rules(g.spec.rules, spec.rules)) for key, g in gone.items() if g.name == spec.name}
    best = max(same, key=same.__getitem__, default=None)
    return gone.pop(best) if best is not None and same[best] else None


def _key(group: EvaluationGroup, rule: AlertingRule) -> RuleKey:
    return RuleKey(group.file, group.name, rule.spec.id)
