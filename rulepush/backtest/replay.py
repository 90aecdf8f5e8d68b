"""Replay: rules evaluated over recorded events, as a running service would have. Pure: the events bring the time.

The rule groups, the state machine, templates, sending rules and what a restart means are those of the service itself
(`rulepush.rules`); here the samples come from a recording and the time from its events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from rulepush.backtest.episodes import EpisodeBook, RuleRun
from rulepush.backtest.feed import BlockPlan, HeadFeed
from rulepush.backtest.foresight import Foresight
from rulepush.backtest.timetable import Survey, Timetable, time_of
from rulepush.model.labels import ALERT_NAME, EMPTY_LABELS, Labels
from rulepush.model.matcher import Matcher
from rulepush.promql import Engine, EngineOptions
from rulepush.promql.query import DEFAULT_LOOKBACK_MS
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedEvent, RecordedStart
from rulepush.rules.alert import Alert
from rulepush.rules.context import DEFAULT_RESEND_DELAY_MS, HoldPolicy, RuleContext
from rulepush.rules.group import ALERT_SERIES, EvaluationGroup
from rulepush.rules.groups import GroupDefaults, RuleGroups
from rulepush.rules.recovery import RestorePolicy, assign
from rulepush.rules.specs import AlertingSpec, RecordingSpec, RuleGroup, demanded
from rulepush.rules.state import RuleKey, SavedAlert
from rulepush.rules.transition import Transition
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head

USUAL_INTERVAL_MS: Final = 60_000  # Prometheus' global.evaluation_interval, where nothing says another
_TRUNCATE_MS: Final = 300_000
_AHEAD_TICKS: Final = 120
_AHEAD_MS: Final = 3600_000
_LONGEST_WARM_UP_MS: Final = 120_000


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What the configuration of a service would say. Times in ms.

    `interval_ms`         every group is evaluated so often, whatever its file says; None: as the file says
    `default_interval_ms` of groups that have none of their own; None: as the recording has it, or a minute
    `hold_ms`             `alerting.hold_on_scrape_failure`, 0 for none
    `out_of_order_ms`     `storage.tsdb.out_of_order_time_window`; None: samples received late are taken as recorded
    """

    interval_ms: int | None = None
    default_interval_ms: int | None = None
    query_offset_ms: int = 0
    external_labels: Labels = EMPTY_LABELS
    external_url: str = ""
    hold_ms: int = 0
    out_of_order_ms: int | None = None
    resend_delay_ms: int = DEFAULT_RESEND_DELAY_MS
    lookback_delta_ms: int = DEFAULT_LOOKBACK_MS
    delayed_name_removal: bool = False
    restore: RestorePolicy = field(default_factory=RestorePolicy)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A group is to be evaluated at `ts`; `mark` is the last evaluation of the recording until then."""

    group: int
    ts: int
    mark: RecordedEvaluation | None


@dataclass(frozen=True, slots=True)
class _Scraped:
    """`up` of a target."""

    target: tuple[str, str]
    up: float


@dataclass(frozen=True, slots=True)
class _Wrote:
    """A rule of the service wrote what a rule of the test reads."""

    plan: BlockPlan
    event: RecordedBlock


_Step = _Planned | _Scraped | _Wrote
OnMoved = Callable[[Sequence[Transition]], None]


class Replay:
    """Takes the events of a recording in their order. `rules` is what came of it so far.

    Evaluations are planned and done later, many together, when the samples of up to half an hour after them are there:
    a query over a range finds the moments at which a rule has a result, at a tenth of the cost of asking at each, and
    only there is the rule evaluated as in the service. No evaluation sees a sample that was not there at its moment:
    what comes later is newer than its time, and where it is not, the evaluations are done before it is stored.
    """

    def __init__(
        self,
        groups: Sequence[RuleGroup],
        options: ReplayOptions,
        survey: Survey,
        on_moved: OnMoved | None = None,
        start: int = 0,
    ):
        """`on_moved` gets every transition, as `RuleContext.record` does. `start` (ms) is the first moment that is
        asked about: events before it only bring the rules to where they stand then."""
        self._options = options
        self._specs = [self._with_interval(spec, survey) for spec in sorted(groups, key=lambda g: g.key)]
        self._on_moved = on_moved
        self._start_ms = start
        intervals = [spec.interval_ms for spec in self._specs]
        # What is planned at most before it is done.
        self.ahead_ms = min(_AHEAD_TICKS * min(intervals, default=_AHEAD_MS), _AHEAD_MS)
        wants = demanded(self._specs, options.query_offset_ms, options.lookback_delta_ms)
        self._head = Head(Demand.of(ManualDemand(w.matchers, w.lookback_ms + self.ahead_ms, w.since_ms) for w in wants))
        late = options.out_of_order_ms is None or options.out_of_order_ms > 0
        self._feed = HeadFeed(self._head, MadeHere(self._specs), insert_late=late)
        self._engine = Engine(
            EngineOptions(
                lookback_delta_ms=options.lookback_delta_ms,
                default_step_ms=options.default_interval_ms or survey.usual_interval or USUAL_INTERVAL_MS,
                delayed_name_removal=options.delayed_name_removal,
            )
        )
        self._books = {spec.key: EpisodeBook(spec, start) for spec in self._specs}
        self._groups = RuleGroups()
        self._groups.update(self._specs, self._context(), self._defaults, 0)
        self._in_order: list[EvaluationGroup] = self._groups.all()
        self._written = {rule.name for spec in self._specs for rule in spec.rules if isinstance(rule, RecordingSpec)}
        self._written |= set(ALERT_SERIES)
        self._foresight = self._foresights()
        self._timetable = Timetable([(g.file, g.name, g.interval_ms) for g in self._in_order], survey)
        self._current: EvaluationGroup | None = None
        self._mark: RecordedEvaluation | None = None  # the last one, of whatever group
        self._step_mark: RecordedEvaluation | None = None  # the same for the evaluation that goes on
        self._planned: list[_Step] = []
        self._planned_since = self._planned_until = 0
        self._needs_two = False  # of the rule that is evaluated
        self._first_known: dict[tuple[tuple[str, str], bool], int] = {}
        self._began: int | None = None  # when the data begin, or go on after a gap
        self._from_start = False  # the data begin with the service
        self._now = 0
        self._tick = 0  # the time of the evaluation that goes on
        self._truncated_at = 0
        self._unseen = {u.matchers for spec in self._specs for rule in spec.rules for u in rule.query.selectors()}
        self.evaluations = 0  # of groups, with those that are planned
        self.first_evaluation: int | None = None  # that is asked about
        self.last_evaluation: int | None = None
        self.gaps: list[tuple[int, int]] = []  # (from, to) in which the service was down

    def _with_interval(self, spec: RuleGroup, survey: Survey) -> RuleGroup:
        options = self._options
        chosen = options.interval_ms or spec.interval_ms or options.default_interval_ms
        if not chosen:
            chosen = survey.interval_of(spec.file, spec.name) or survey.usual_interval or USUAL_INTERVAL_MS
        return replace(spec, interval_ms=chosen)

    @property
    def _defaults(self) -> GroupDefaults:
        return GroupDefaults(USUAL_INTERVAL_MS, self._options.query_offset_ms)

    def _context(self) -> RuleContext:
        options = self._options
        return RuleContext(
            engine=self._engine,
            samples=self._head,
            notify=self._notify,
            external_labels=options.external_labels,
            external_url=options.external_url,
            resend_delay_ms=options.resend_delay_ms,
            hold=HoldPolicy(options.hold_ms, self._feed.targets.down) if options.hold_ms else None,
            restore=options.restore,
            may_fire=self._may_fire,
            may_resolve=self._may_resolve,
            record=self._record,
            targets=self._feed.targets.states,
            logs=False,
        )

    def _foresights(self) -> list[Foresight]:
        return [Foresight(group, self._engine, self._head, self._written) for group in self._in_order]

    # --- what came of it

    @property
    def groups(self) -> list[EvaluationGroup]:
        """As they are now."""
        return self._in_order

    @property
    def head(self) -> Head:
        """The samples that are still needed."""
        return self._head

    @property
    def rules(self) -> list[RuleRun]:
        """All rules, in the order of their files and groups."""
        return [run for spec in self._specs for run in self._books[spec.key].rules]

    @property
    def metric_names(self) -> set[str]:
        """The metrics of the recording, needed or not."""
        return self._feed.metric_names

    def unseen(self) -> set[tuple[Matcher, ...]]:
        """The selectors of the rules for which there never was a series."""
        self._look_for_unseen()
        return set(self._unseen)

    # --- events

    def take(self, event: RecordedEvent) -> None:
        """The next event."""
        for ts, i in self._timetable.before(event):
            self._plan(i, ts)
        if self._planned and time_of(event) - self._planned_since > self.ahead_ms:
            self.catch_up()
        match event:
            case RecordedBlock():
                self._saw(event.at, starts=False)
                self._put(event)
            case RecordedEvaluation():
                self._saw(event.at, starts=False)
                self._mark = event
                for i in self._timetable.at(event):
                    self._plan(i, event.at)
            case RecordedStart():
                self.catch_up()
                self._start(event.at)
        self._now = max(self._now, event.at)

    def wait(self, until: int) -> None:
        """No event comes before `until` (ms): evaluate what is due before it."""
        for ts, i in self._timetable.until(until - 1):
            self._plan(i, ts)
        if self._planned and until - self._planned_since > self.ahead_ms:
            self.catch_up()

    def finish(self, end: int) -> None:
        """The last event was taken: evaluate what is due up to `end`."""
        for ts, i in self._timetable.finish(end):
            self._plan(i, ts)
        self.catch_up()

    def _put(self, event: RecordedBlock) -> None:
        plan = self._feed.plan(event)
        for position, target in plan.ups:
            up = float(event.block.values[position])
            if self._planned:
                self._planned.append(_Scraped(target, up))
            else:
                self._feed.targets.scraped(target, up)
        if not plan.wanted:
            return
        if event.origin is Origin.RULE:
            names = {labels.name for _, labels in plan.wanted}
            if not names <= self._written:
                self.catch_up()
                self._written |= names
                self._foresight = self._foresights()
            if self._planned:
                self._planned.append(_Wrote(plan, event))
                return
        elif self._planned and _oldest(event, plan) <= self._planned_until:
            self.catch_up()  # what was planned must not see it
        self._feed.append(plan, event)

    def _plan(self, i: int, ts: int) -> None:
        if not self._planned:
            self._planned_since = self._planned_until = ts
        self._planned_until = max(self._planned_until, ts)
        self._planned.append(_Planned(i, ts, self._mark))
        self.evaluations += 1

    def catch_up(self) -> None:
        """Do the evaluations that are planned."""
        if not self._planned:
            return
        planned, self._planned = self._planned, []
        times: list[list[int]] = [[] for _ in self._in_order]
        for step in planned:
            if isinstance(step, _Planned):
                times[step.group].append(step.ts)
        foreseen = [foresight.needed(of_group) for foresight, of_group in zip(self._foresight, times, strict=True)]
        for step in planned:
            match step:
                case _Planned():
                    self._evaluate(step, next(foreseen[step.group]))
                case _Scraped():
                    self._feed.targets.scraped(step.target, step.up)
                case _Wrote():
                    self._feed.append(step.plan, step.event)
                case _:
                    assert_never(step)
        if self._tick - self._truncated_at >= _TRUNCATE_MS:
            self._look_for_unseen()
            self._head.truncate(self._tick)
            self._feed.forget_unused()
            self._truncated_at = self._tick

    def _saw(self, at: int, *, starts: bool) -> None:
        if self._began is None:
            self._began, self._from_start = at, starts

    def _start(self, at: int) -> None:
        if self._began is None:
            self._saw(at, starts=True)
            return
        self.gaps.append((self._now, at))
        self._began, self._from_start, self._mark = at, True, None
        self._first_known.clear()
        self._restart(at)

    def _restart(self, ts: int) -> None:
        """As after a stop of the service: the alerts were saved, all else of the groups is new."""
        saved = [
            SavedAlert(RuleKey(group.file, group.name, rule.spec.id), alert, seen_at)
            for group in self._in_order
            for rule in group.alerting_rules
            for alert, seen_at in rule.to_save(group.last_ts)
        ]
        saved.sort(key=lambda s: str(s.alert.labels))  # the order of the state database
        self._groups = RuleGroups()
        self._groups.update(self._specs, self._context(), self._defaults, ts)
        self._in_order = self._groups.all()
        for book in self._books.values():
            book.restarted()
        rules = [
            (RuleKey(group.file, group.name, rule.spec.id), rule)
            for group in self._in_order
            for rule in group.alerting_rules
        ]
        assign(saved, rules, doubtful=False)
        for group in self._in_order:
            self._current = group
            group.restored(ts)
        self._foresight = self._foresights()

    # --- evaluations

    def _evaluate(self, step: _Planned, found: frozenset[int] | None) -> None:
        """`found` are the rules that have a result, None where that is not known."""
        group = self._current = self._in_order[step.group]
        self._tick, self._step_mark = step.ts, step.mark
        self._note_first_known(group)
        if self.first_evaluation is None and step.ts >= self._start_ms:
            self.first_evaluation = step.ts
        self.last_evaluation = step.ts
        only = None if found is None else found | self._foresight[step.group].active
        if only is not None and not only:
            return
        group.evaluate(step.ts, only=only)
        for rule in group.alerting_rules:
            rule.changed.clear()
        self._books[group.spec.key].evaluated(group, step.ts)
        self._foresight[step.group].evaluated()

    def _look_for_unseen(self) -> None:
        self._unseen -= {matchers for matchers in self._unseen if self._head.series(matchers)}

    def _note_first_known(self, group: EvaluationGroup) -> None:
        for needs_two in (False, True):
            key = group.spec.key, needs_two
            if key not in self._first_known and self._may_fire(self._tick, needs_two):
                self._first_known[key] = self._tick

    def _may_fire(self, ts: int, needs_two: bool) -> bool:
        self._needs_two = needs_two
        mark = self._step_mark
        if mark is not None:
            good = mark.may_fire_with_range if needs_two else mark.may_fire
            return good and (self._from_start or self._is_warm(ts, needs_two))
        return self._is_warm(ts, needs_two)

    def _is_warm(self, ts: int, needs_two: bool) -> bool:
        """Whether the data have gone on for long enough that every target came by; the recording may not say it: it
        begins in the middle, or nothing was evaluated then."""
        if self._began is None or self._current is None:
            return False
        rounds = 4 if needs_two else 2
        return ts - self._began >= min(rounds * self._current.interval_ms, _LONGEST_WARM_UP_MS)

    def _may_resolve(self, ts: int) -> bool:
        if self._step_mark is not None:
            return self._step_mark.may_resolve
        return self._began is None or ts - self._began > self._options.lookback_delta_ms

    def _record(self, moved: Sequence[Transition]) -> None:
        group = self._current
        if group is not None:
            first_known = self._first_known.get((group.spec.key, self._needs_two))
            self._books[group.spec.key].record(group, moved, first_known)
        if self._on_moved is not None:
            self._on_moved(moved)

    def _notify(self, alerts: Sequence[Alert], _expr: str, _ts: int) -> None:
        if self._current is not None:
            self._books[self._current.spec.key].notified(alerts)


class MadeHere:
    """Says of a series that a rule of the service wrote whether a rule of the test writes it anew."""

    def __init__(self, groups: Sequence[RuleGroup]):
        rules = [rule for group in groups for rule in group.rules]
        self._recorded = {rule.name for rule in rules if isinstance(rule, RecordingSpec)}
        self._alerts = {rule.name for rule in rules if isinstance(rule, AlertingSpec)}

    def __call__(self, labels: Labels) -> bool:
        if labels.name in ALERT_SERIES:
            return labels.get(ALERT_NAME) in self._alerts
        return labels.name in self._recorded


def _oldest(event: RecordedBlock, plan: BlockPlan) -> int:
    """The time of the oldest sample that is wanted of a block."""
    ts = event.block.ts
    return ts if isinstance(ts, int) else min(int(ts[position]) for position, _ in plan.wanted)
