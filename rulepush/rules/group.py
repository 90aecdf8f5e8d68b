"""A group: its rules in order, all at one time, each seeing what the earlier ones wrote.

Source: Prometheus rules/group.go. Synchronous; the clock and the waiting are in `loop.py`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Container, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from rulepush.errors import DatasourceError, RulepushError
from rulepush.model.durations import format_duration
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import STALE, Sample
from rulepush.promql import SharedResults, repeated
from rulepush.recorded.events import RecordedEvaluation
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.asking import Answers, AnswersMissing
from rulepush.rules.context import RuleContext, Tick, refused
from rulepush.rules.health import RuleHealthState
from rulepush.rules.own_records import OwnRecords
from rulepush.rules.recording import RecordingRule, storable
from rulepush.rules.specs import AlertingSpec, RuleGroup, RuleSpec
from rulepush.rules.transition import ChangeReason, RuleRef, of_rule

log = logging.getLogger("rulepush.rules")

Rule = AlertingRule | RecordingRule
ALERT_SERIES: Final = ("ALERTS", "ALERTS_FOR_STATE")


@dataclass(slots=True)
class GroupStats:
    """Plain numbers, for `/metrics`."""

    evaluations: int = 0
    failures: int = 0
    iterations: int = 0
    iterations_missed: int = 0
    samples: int = 0  # of the last evaluation
    seconds_total: float = 0.0


class EvaluationGroup:
    """`interval_ms` and `query_offset_ms` are resolved: the group's own, or the global ones. `alerting_rules` are those
    of `rules` that alert, in order."""

    def __init__(self, spec: RuleGroup, context: RuleContext, interval_ms: int, query_offset_ms: int):
        self.spec = spec
        self.context = context
        self.interval_ms = spec.interval_ms or interval_ms
        self.query_offset_ms = query_offset_ms if spec.query_offset_ms is None else spec.query_offset_ms
        self.rules: list[Rule] = [_build(rule, spec) for rule in spec.rules]
        self.alerting_rules = [rule for rule in self.rules if isinstance(rule, AlertingRule)]
        self.counters = GroupStats()
        self.evaluation_seconds = 0.0
        self.last_evaluation: int | None = None
        self.last_ts: int | None = None
        self._written: list[dict[Labels, None]] = [{} for _ in self.rules]  # by each rule, at its last evaluation
        self._orphans: dict[Labels, None] = {}  # written by rules that a reload took away
        self._read_within = _read_within(self.rules)
        self._own: OwnRecords | None = None
        recorded = [rule.spec.name for rule in self.rules if isinstance(rule, RecordingRule)]
        if context.datasource is not None and recorded:
            self._own = OwnRecords(recorded, (rule.query for rule in spec.rules))
        asks = any(rule.asks_storage for rule in self.alerting_rules)  # each alert asks the same queries
        self._worth_sharing = None if asks else repeated(rule.query for rule in spec.rules)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def file(self) -> str:
        return self.spec.file

    @property
    def limit(self) -> int:
        return self.spec.limit

    def rehearsal(self, ts: int) -> Iterator[None]:
        """Evaluate the queries of the rules at `ts`, one a step, without effect on anything but what is computed once
        and kept: the engine derives much from the labels of the series alone."""
        tick = self._tick(ts)
        for rule in self.rules:
            with contextlib.suppress(Exception):  # the evaluation will report it
                tick.run(rule.spec.query)
            yield

    def evaluate(self, ts: int, now: int | None = None, only: Container[int] | None = None) -> None:
        """Evaluate every rule at `ts`. A rule that fails shows its error and keeps its alerts; the others go on.

        `now` is the wall time shown as last evaluation; `ts` where it is not given. `only` are the places of the rules
        to evaluate, for a caller who knows that the others have no result at `ts`, and had none the last time.
        """
        tick = self._tick(ts)
        if self.context.mark is not None:
            self.context.mark(self._as_recorded(tick))
        for _ in self._steps(tick, ts if now is None else now, only):
            raise AssertionError("what is in memory needs no answers")

    def asking(self, ts: int, answers: Answers, now: int | None = None) -> Generator[None, None, None]:
        """The same for the rules of a datasource, rule by rule. Whenever it yields, `answers` wants something: bring it
        and go on. Between two steps each rule is whole; what a step has changed is to be saved before the next."""
        tick = self._tick(ts)
        tick.answers, tick.own = answers, self._own
        yield from self._steps(tick, ts if now is None else now, None)

    def _steps(self, tick: Tick, now: int, only: Container[int] | None) -> Iterator[None]:
        """Evaluate; yields while answers are missing."""
        stopwatch = self.context.stopwatch
        start = stopwatch()
        samples = 0
        for i, rule in enumerate(self.rules):
            if only is not None and i not in only:
                continue
            begun = stopwatch()
            self.counters.evaluations += 1
            while (written := self._evaluate_rule(i, rule, tick)) is None:
                yield
            samples += written
            rule.status.evaluated(now, stopwatch() - begun, written)
        self._end_orphans(tick.query_ts)
        if self._own is not None:
            self._own.truncate(tick.ts)
        self.counters.samples = samples
        self.counters.iterations += 1
        self.last_evaluation, self.last_ts = now, tick.ts
        self.evaluation_seconds = stopwatch() - start
        self.counters.seconds_total += self.evaluation_seconds

    def _tick(self, ts: int) -> Tick:
        query_ts = ts - self.query_offset_ms
        return Tick(self.context, ts, query_ts, self.interval_ms, self.spec.limit, SharedResults(self._worth_sharing))

    def _as_recorded(self, tick: Tick) -> RecordedEvaluation:
        context, query_ts = self.context, tick.query_ts
        return RecordedEvaluation(
            at=tick.ts,
            file=self.file,
            group=self.name,
            interval_ms=self.interval_ms,
            query_offset_ms=self.query_offset_ms,
            may_fire=context.may_fire(query_ts, False),
            may_fire_with_range=context.may_fire(query_ts, True),
            may_resolve=context.may_resolve(query_ts),
        )

    def _evaluate_rule(self, i: int, rule: Rule, tick: Tick) -> int | None:
        """How many samples it wrote; None when it is to be evaluated again with more answers, and did nothing yet."""
        try:
            samples = rule.evaluate(tick)
        except AnswersMissing:
            return None
        except DatasourceError as e:
            self._failed(rule, str(e), tick.ts)
            if isinstance(rule, AlertingRule) and rule.holds_unanswered(tick):
                self._send(rule, tick, answered=False)
            elif isinstance(rule, AlertingRule) and rule.hold_has_just_ended():
                held = f"after {format_duration(tick.context.unanswered_hold_ms)}"
                self._record_health(rule, tick.ts, RuleHealthState.ERR, ChangeReason.HOLD_ENDED, held)
            return 0
        except RulepushError as e:
            self._failed(rule, str(e), tick.ts)
            return 0
        except Exception as e:  # a bug in rulepush must stop neither the other rules nor the process
            log.exception("Evaluating rule crashed: file=%s group=%s rule=%s", self.file, self.name, rule.spec.name)
            self._failed(rule, f"internal error: {type(e).__name__}: {e}", tick.ts)
            return 0
        if isinstance(rule, AlertingRule):
            if rule.moved:
                self._record(rule)
            self._send(rule, tick)
        error = self._write(i, rule, samples, tick)
        if error:
            self._failed(rule, error, tick.ts)
        else:
            if rule.status.health is RuleHealthState.ERR:
                self._record_health(rule, tick.ts, RuleHealthState.OK, ChangeReason.EVALUATION_WORKS)
            rule.status.good()
        return len(samples)

    def _send(self, rule: AlertingRule, tick: Tick, *, answered: bool = True) -> None:
        due = rule.to_send(tick, answered=answered)
        if due:
            self.context.notify(due, str(rule.spec.query), tick.ts)

    def _record(self, rule: AlertingRule) -> None:
        moved, rule.moved = rule.moved, []
        self.context.record(moved)

    def _record_health(self, rule: Rule, ts: int, now: RuleHealthState, reason: ChangeReason, detail: str = "") -> None:
        self.context.record([of_rule(ts, self._ref(rule), rule.status.health.value, now.value, reason, detail)])

    def _ref(self, rule: Rule) -> RuleRef:
        return RuleRef(self.file, self.name, rule.spec.name)

    def _failed(self, rule: Rule, error: str, ts: int) -> None:
        """Counts every failure, but warns only of a new one: it repeats at every evaluation until the rule is fixed."""
        if isinstance(rule, AlertingRule) and rule.moved:  # over the limit of the group
            self._record(rule)
        is_known = error == rule.status.last_error
        level = logging.DEBUG if is_known else logging.WARNING
        if not is_known:
            self._record_health(rule, ts, RuleHealthState.ERR, ChangeReason.EVALUATION_FAILED, error)
        rule.status.bad(error)
        self.counters.failures += 1
        if not self.context.logs:
            return
        text = "Evaluating rule failed: file=%s group=%s rule=%s err=%s"
        log.log(level, text, self.file, self.name, rule.spec.name, error)

    def _write(self, i: int, rule: Rule, samples: list[Sample], tick: Tick) -> str:
        """Store the samples, and a stale marker for each series that the rule no longer gives. Returns what was
        refused, "" when nothing was."""
        samples, discarded = storable(samples)
        before = self._written[i]
        if not samples and not before:
            return discarded
        written = dict.fromkeys(s.labels for s in samples)
        ended = [Sample(labels, tick.query_ts, STALE) for labels in before if labels not in written]
        self._written[i] = written
        store = self.context.samples
        error = refused(store.append_many(samples)) if samples else ""
        if ended:
            store.append_many(ended)  # refused where another rule has written the same series meanwhile
        if self._own is not None and isinstance(rule, RecordingRule):
            as_written = self.context.as_written
            self._own.append([replace(s, labels=as_written(s.labels)) for s in (*samples, *ended)])
        names = ALERT_SERIES if isinstance(rule, AlertingRule) else (rule.spec.name,)
        read = [name for name in names if name in self._read_within]
        tick.shared.forget(read)
        if read and tick.answers is not None:
            tick.answers.forget()
        return error or discarded

    def _end_orphans(self, ts: int) -> None:
        """Stale markers for the series of rules that are gone, unless another rule gives them now."""
        if not self._orphans:
            return
        alive = {labels for written in self._written for labels in written}
        self.context.samples.append_many([Sample(labels, ts, STALE) for labels in self._orphans if labels not in alive])
        self._orphans.clear()

    # --- restart and reload

    def restored(self, ts: int) -> None:
        """Rules go on at `ts` with saved alerts: their series were written before the restart, and must end if they
        do."""
        for i, rule in enumerate(self.rules):
            if isinstance(rule, AlertingRule) and rule.alerts:
                self._written[i] |= dict.fromkeys(rule.written())
                self.context.record(rule.taken_up(ts))

    def take_over(self, old: EvaluationGroup, ts: int) -> None:
        """Go on at `ts` where `old` stands: the state of every rule that is still there, also when others were
        inserted.

        A rule is the same by name, labels and expression; what is left over then by name and labels, as in Prometheus.
        """
        self.counters = old.counters
        if self._own is not None and old._own is not None:
            self._own.take_over(old._own)
        self.evaluation_seconds, self.last_evaluation, self.last_ts = (
            old.evaluation_seconds,
            old.last_evaluation,
            old.last_ts,
        )
        self._orphans = dict(old._orphans)
        successors = match_rules([r.spec for r in old.rules], [r.spec for r in self.rules])
        for i, (rule, written) in enumerate(zip(old.rules, old._written, strict=True)):
            j = successors.get(i)
            if j is None:
                self._orphans |= written
                self._gone(rule, old, ts)
                continue
            new = self.rules[j]
            self._written[j] = written
            new.status = rule.status
            if isinstance(rule, AlertingRule) and isinstance(new, AlertingRule):
                new.take_over(rule)
            changes = _changes(rule.spec, new.spec)
            if changes:
                self._record_health(new, ts, new.status.health, ChangeReason.RULE_CHANGED, changes)

    def _gone(self, rule: Rule, group: EvaluationGroup, ts: int, why: ChangeReason = ChangeReason.RULE_REMOVED) -> None:
        """Record that a reload removed this rule of `group`."""
        ref, health = RuleRef(group.file, group.name, rule.spec.name), rule.status.health.value
        alerts = rule.leave(ts, why) if isinstance(rule, AlertingRule) else []
        self.context.record([*alerts, of_rule(ts, ref, health, "", why)])

    def hand_over(self, ts: int) -> None:
        """Another process evaluates the group from now on: what that one writes into the same series must not be ended
        here. Nothing is sent either; the alerts are sent from there, or run out."""
        for rule in self.rules:
            self._gone(rule, self, ts, ChangeReason.OTHER_SHARD)

    def leave(self, ts: int) -> None:
        """The group is gone by a reload: its series end at `ts`."""
        for rule in self.rules:
            self._gone(rule, self, ts)
        ended = {labels: None for written in (*self._written, self._orphans) for labels in written}
        if ended:
            self.context.samples.append_many([Sample(labels, ts, STALE) for labels in ended])


def match_rules(old: Iterable[RuleSpec], new: Iterable[RuleSpec]) -> dict[int, int]:
    """Position of a rule before -> its position now, for those that are still there."""
    before, after = list(old), list(new)
    matched: dict[int, int] = {}
    for loose in (False, True):
        free: dict[object, list[int]] = {}
        for j, spec in enumerate(after):
            if j not in matched.values():
                free.setdefault(_identity(spec, loose), []).append(j)
        for i, spec in enumerate(before):
            candidates = free.get(_identity(spec, loose)) if i not in matched else None
            if candidates:
                matched[i] = candidates.pop(0)
    return matched


def _changes(old: RuleSpec, new: RuleSpec) -> str:
    """What a reload changed in a rule, in words; "" when nothing."""
    changes = []
    if str(old.query) != str(new.query):
        changes.append(f"expr was {old.query}")
    if isinstance(old, AlertingSpec) and isinstance(new, AlertingSpec):
        for key, before, after in (
            ("for", old.for_ms, new.for_ms),
            ("keep_firing_for", old.keep_firing_ms, new.keep_firing_ms),
        ):
            if before != after:
                changes.append(f"{key} was {format_duration(before)}, is {format_duration(after)}")
        if old.annotations != new.annotations:
            changes.append("annotations")
    return "; ".join(changes)


def _identity(spec: RuleSpec, loose: bool) -> object:
    return (type(spec), spec.id.loose if loose else spec.id)


def _build(spec: RuleSpec, group: RuleGroup) -> Rule:
    if isinstance(spec, AlertingSpec):
        return AlertingRule(spec, RuleRef(group.file, group.name, spec.name))
    return RecordingRule(spec)


class _Everything:
    """Contains every name."""

    def __contains__(self, name: object) -> bool:
        return True


def _read_within(rules: list[Rule]) -> frozenset[str] | _Everything:
    """Of the metrics that these rules write, those that one of them may read: what is shared must be forgotten then."""
    if any(isinstance(rule, AlertingRule) and rule.asks_storage for rule in rules):
        return _Everything()
    written = {rule.spec.name for rule in rules if isinstance(rule, RecordingRule)} | set(ALERT_SERIES)
    uses = [[m for m in use.matchers if m.name == METRIC_NAME] for rule in rules for use in rule.spec.query.selectors()]
    return frozenset(name for name in written if any(all(m.matches(name) for m in on_name) for on_name in uses))
