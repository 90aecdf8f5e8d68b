"""An alerting rule: from the elements of a result to alerts. Source: Prometheus rules/alerting.go.

What an alert's state becomes is decided in `alert.py`, and in `recovery.py` after a restart; here it is found out which
alerts are there.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Container, Iterable, Mapping
from functools import lru_cache
from typing import Final

from rulepush.errors import DatasourceError, EvaluationError
from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import ALERT_NAME, INSTANCE, JOB, METRIC_NAME, Labels
from rulepush.model.matcher import MatchOp
from rulepush.model.sample import Sample
from rulepush.promql import Query, parse_expr
from rulepush.rules.absence import Absence
from rulepush.rules.alert import (
    Alert,
    AlertState,
    Annotations,
    Timing,
    advance,
    describe_change,
    pending,
    worst,
)
from rulepush.rules.asking import AnswersMissing
from rulepush.rules.context import RuleContext, Tick
from rulepush.rules.for_state import active_since, for_state_question
from rulepush.rules.health import RuleHealth
from rulepush.rules.recovery import Recovery, believable
from rulepush.rules.specs import AlertingSpec
from rulepush.rules.transition import ChangeReason, Ending, RuleRef, Transition, transitions
from rulepush.template import AlertTemplateData, expand_alert_template
from rulepush.template.histogram import template_value

log = logging.getLogger("rulepush.rules")

_DUPLICATE_LABELS: Final = "vector contains metrics with the same labelset after applying alert labels"
# They give nothing for a series with one sample in the range.
_NEED_TWO: Final = frozenset(
    ("rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear", "double_exponential_smoothing")
)
# How long a sent alert holds, in intervals or resend delays: two evaluations or sendings may fail. On a datasource that
# hangs, an evaluation takes up to two intervals, and what is held is sent at the end of it.
_VALIDITY: Final = 4
_VALIDITY_UNANSWERED: Final = 6
_ACTION: Final = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_Element = tuple[Labels, Annotations, float]
"""What an element of the result says: the alert's labels, its annotations, its value."""


class AlertingRule:
    """Evaluated by its group, which also asks it what to send and what to save.

    `changed` collects what a state store must know: alerts whose state moved, None for those that are gone. Who saves
    them takes them away. Values and annotations alone do not count: they are computed again.
    `moved` collects the transitions for `RuleContext.record` in the same way, and `ref` names the rule in them.
    """

    def __init__(self, spec: AlertingSpec, ref: RuleRef | None = None):
        self.spec = spec
        self.ref = ref or RuleRef("", "", spec.name)
        self.moved: list[Transition] = []
        self.status = RuleHealth()
        self.timing = Timing(spec.for_ms, spec.keep_firing_ms)
        self.changed: dict[Labels, Alert | None] = {}
        self._alerts: dict[Labels, Alert] = {}
        self._recovery = Recovery()
        self._taken_back: list[Alert] = []  # FIRING as an Alertmanager knows them, and PENDING again
        self._elements: dict[Labels, _Element] = {}  # of the last evaluation, by the labels of the series
        self._sources: dict[Labels, Labels] = {}  # alert's labels -> series' labels, of the last time it was there
        self._series: dict[Labels, tuple[Labels, Labels, Labels]] = {}
        actions = [a for _, text in (*spec.labels, *spec.annotations) for a in _ACTION.findall(text)]
        # A template that asks the storage or the clock can change while labels and value do not.
        self._steady = not any(word in action for action in actions for word in ("query", "now"))
        self._context: RuleContext | None = None
        self._unanswered_since: int | None = None
        self._end_told: int | None = None  # the `_unanswered_since` of the hold whose end was recorded
        self._catching_up_until = 0
        self._late_until: dict[Labels, int] = {}  # alerts that are missing, which proves nothing until then
        self._is_new = True  # not evaluated yet, here or before a restart or a reload
        self._target = _fixed_target(spec.query)
        self._own_labels = frozenset(name for name, _ in spec.labels)
        self._needs_two = any(use.ranged and use.function in _NEED_TWO for use in spec.query.selectors())

    # --- what the API reads

    @property
    def alerts(self) -> list[Alert]:
        """PENDING and FIRING alerts, the oldest first."""
        return [a for a in self._alerts.values() if a.state is not AlertState.INACTIVE]

    def alert_of(self, labels: Labels) -> Alert | None:
        """The alert with these labels, also a resolved one that is still resent."""
        return self._alerts.get(labels)

    @property
    def state(self) -> AlertState:
        """The worst state of its alerts."""
        return worst([a.state for a in self._alerts.values()])

    @property
    def has_pending(self) -> bool:
        """Whether an alert of it is PENDING."""
        return any(a.state is AlertState.PENDING for a in self._alerts.values())

    @property
    def asks_storage(self) -> bool:
        """Whether a template of it runs queries, or might."""
        return not self._steady

    @property
    def unanswered_since(self) -> int | None:
        """Since which evaluation (ms) the datasource gives no answer; None while it does."""
        return self._unanswered_since

    @property
    def has_doubtful(self) -> bool:
        """Whether a restored alert may be out of date, and new data has not shown yet what it is."""
        return self._recovery.has_doubtful

    @property
    def remembered(self) -> list[Alert]:
        """All alerts, with the resolved ones that are still resent."""
        return list(self._alerts.values())

    # --- evaluating

    def evaluate(self, tick: Tick) -> list[Sample]:
        """Advance every alert to `tick.ts`; returns the samples of ALERTS and ALERTS_FOR_STATE.

        Raises PromQLError, or AnswersMissing, and then every alert is as it was. Over the limit, Prometheus drops them
        all.
        """
        result = tick.run(self.spec.query)
        if not result and not self._alerts:  # nothing there, and nothing to end: what most rules find
            self._elements, self._unanswered_since, self._is_new = {}, None, False
            return []
        may_fire = tick.context.may_fire(tick.query_ts, self._needs_two)
        found: Mapping[Labels, _Element] = self._found(tick, result)
        self._prepare_endings(tick, found)
        since = self._active_since(tick, found)
        tick.check_answers()
        self._is_new = False
        self._answered(tick, found)
        self._set_times(tick)
        found = believable(found, self.alerts, may_fire=may_fire)
        self._recovery.confirm(lambda: tick.context.may_resolve(tick.query_ts))
        after: dict[Labels, Alert] = {}
        for labels in (*self._alerts, *(labels for labels in found if labels not in self._alerts)):
            alert = self._advance(tick, labels, found.get(labels), may_fire, since.get(labels, tick.ts))
            if alert is not None:
                after[labels] = alert
        active = [a for a in after.values() if a.state is not AlertState.INACTIVE]
        if 0 < tick.limit < len(active):
            self._replace(tick, {}, "over the limit of the group", lambda _: Ending(ChangeReason.OVER_LIMIT))
            raise EvaluationError(f"exceeded limit of {tick.limit} with {len(active)} alerts")
        self._replace(tick, after)
        return [sample for alert in active for sample in self._samples(alert, tick.query_ts)]

    def _found(self, tick: Tick, result: Iterable[Sample]) -> dict[Labels, _Element]:
        """The elements by the labels of their alerts. Raises EvaluationError when two have the same."""
        known, self._elements = self._elements, {}
        if not self._steady or self._context is not tick.context:
            self._context, known = tick.context, {}
        found: dict[Labels, _Element] = {}
        for sample in result:
            element = known.get(sample.labels)
            if element is None or element[2] != sample.value or type(sample) is HistogramSample:
                element = self._expand(tick, sample)
            self._elements[sample.labels] = element
            if element[0] in found:
                tick.check_answers()  # labels may differ once their templates have their answers
                raise EvaluationError(_DUPLICATE_LABELS)
            found[element[0]] = element
            if tick.context.hold is not None:
                self._sources[element[0]] = sample.labels
        return found

    def _prepare_endings(self, tick: Tick, found: Mapping[Labels, _Element]) -> None:
        """An alert may end: why, is asked when the alerts have changed."""
        if tick.answers is not None and any(alert.labels not in found for alert in self.alerts):
            Absence(tick, self.spec.query, self._own_labels, self._target).prepare()

    def _active_since(self, tick: Tick, found: Mapping[Labels, _Element]) -> Mapping[Labels, int]:
        """At the first evaluation without a saved state: since when another process knows these alerts."""
        context = tick.context
        if not self._is_new or self._alerts or not found or not self.timing.for_ms:
            return {}
        if tick.answers is None or not context.shares_for_state:
            return {}
        try:
            answer = tick.answers.get(for_state_question(self.spec.name, tick.query_ts))
        except AnswersMissing:
            return {}
        return active_since(found, answer, context.external_labels, tick.ts)

    def _expand(self, tick: Tick, sample: Sample) -> _Element:
        context = tick.context
        data = AlertTemplateData(sample.labels, context.external_labels, context.external_url, template_value(sample))
        unanswered: list[DatasourceError] = []

        def query(text: str) -> list[Sample]:
            try:
                return tick.run_in_template(_parsed(text))
            except DatasourceError as e:
                unanswered.append(e)
                raise

        def expand(text: str) -> str:
            if "{{" not in text:
                return text
            return expand_alert_template(text, data, self.spec.name, query, tick.ts, context.external_url)

        changes = {name: expand(text) for name, text in self.spec.labels}
        if unanswered:  # the text of the error as a label would be another alert, and the end of the former one
            raise unanswered[0]
        labels = sample.labels.with_({METRIC_NAME: "", **changes, ALERT_NAME: self.spec.name})
        return labels, tuple((name, expand(text)) for name, text in self.spec.annotations), sample.value

    def _advance(
        self, tick: Tick, labels: Labels, element: _Element | None, may_fire: bool, since: int
    ) -> Alert | None:
        """`since` is when it became active, where it is not known here."""
        alert = self._alerts.get(labels)
        if element is None:
            assert alert is not None
            if self._recovery.keeps(labels) or self._may_be_late(tick, alert):
                return alert
            after = advance(alert, tick.ts, self.timing, present=False, held=self._held(tick, alert))
            if after is not None and after.state is AlertState.INACTIVE:
                self._recovery.resolved(labels)
            return after
        if alert is not None and may_fire:
            alert = self._recovery.seen(alert, tick.ts)
        _, annotations, value = element
        if alert is None or alert.state is AlertState.INACTIVE:
            alert = pending(labels, annotations, value, since)
        else:
            alert = alert.seen(annotations, value)
        return advance(alert, tick.ts, self.timing, present=True, may_fire=may_fire)

    def _held(self, tick: Tick, alert: Alert) -> bool:
        """Whether `alerting.hold_on_scrape_failure` keeps this missing alert."""
        hold = tick.context.hold
        if hold is None or alert.state is AlertState.INACTIVE:
            return False
        since = alert.held_since if alert.held_since is not None else tick.ts
        if tick.ts - since >= hold.duration_ms:
            return False
        source = self._sources.get(alert.labels)
        if source is None:  # restored: what the rule sets in the alert says nothing of its target
            source = alert.labels.with_({name: "" for name, _ in self.spec.labels})
        job, instance = (source.get(n) or self._target.get(n, "") for n in (JOB, INSTANCE))
        down = tick.down.get((job, instance))
        if down is None:
            down = tick.down[job, instance] = hold.target_down(Labels({JOB: job, INSTANCE: instance}))
        return down

    def _replace(
        self,
        tick: Tick,
        after: dict[Labels, Alert],
        reason: str = "",
        why: Callable[[Alert], Ending] | None = None,
    ) -> None:
        """Make `after` the state, note what changed, and log it. `why` says why an alert is missing."""
        before, self._alerts = self._alerts, after
        for labels in (*before, *(labels for labels in after if labels not in before)):
            old, new = before.get(labels), after.get(labels)
            if old is new:
                continue
            if new is None or old is None or _to_save(old) != _to_save(new):
                self.changed[labels] = new
                if why is None:
                    why = Absence(tick, self.spec.query, self._own_labels, self._target).ending
                self.moved += transitions(self.ref, old, new, tick.ts, self.timing, why)
            if (
                old is not None
                and new is not None
                and (old.state, new.state) == (AlertState.FIRING, AlertState.PENDING)
            ):
                self._taken_back.append(old)
            if new is None:
                self._recovery.forget(labels)
                self._series.pop(labels, None)
                self._sources.pop(labels, None)
                self._late_until.pop(labels, None)
            self._log(tick, old, new, reason)

    def _log(self, tick: Tick, old: Alert | None, new: Alert | None, reason: str) -> None:
        if not tick.context.logs:
            return
        one = new if new is not None else old
        assert one is not None
        text = describe_change(old, new, tick.ts, self.timing)
        if text is not None:
            if reason:
                log.info("%s: alert=%s reason=%s", text, one.labels, reason)
            else:
                log.info("%s: alert=%s", text, one.labels)
        if new is not None and new.held_since is not None and (old is None or old.held_since is None):
            log.info("%s held (its target cannot be scraped): alert=%s", new.state.name, new.labels)

    def _samples(self, alert: Alert, ts: int) -> tuple[Sample, Sample]:
        series = self._series.get(alert.labels)
        if series is None:
            states = (AlertState.PENDING, AlertState.FIRING)
            of_state = [alert.labels.with_({METRIC_NAME: "ALERTS", "alertstate": s.value}) for s in states]
            series = (of_state[0], of_state[1], alert.labels.with_({METRIC_NAME: "ALERTS_FOR_STATE"}))
            self._series[alert.labels] = series
        labels = series[0] if alert.state is AlertState.PENDING else series[1]
        return Sample(labels, ts, 1.0), Sample(series[2], ts, float(alert.active_at // 1000))

    # --- sending

    def to_send(self, tick: Tick, *, answered: bool = True) -> list[Alert]:
        """The alerts that are due at `tick.ts`; they count as sent. One that is PENDING again is sent as resolved:
        otherwise its end at Alertmanager would have to wait until its `endsAt` has passed. Where a datasource has not
        `answered`, they are sent sooner and hold for longer."""
        if not self._alerts and not self._taken_back:
            return []
        delay = tick.context.resend_delay_ms
        # An answered alert holds beyond `then`, unless the interval or the delay has just become longer.
        then = tick.ts + (2 if answered else 4) * tick.interval_ms
        due = [a for a in self._alerts.values() if a.needs_sending(tick.ts, delay) or a.runs_out(then)]
        due = [a for a in due if not self._recovery.withholds(a.labels)]
        validity = (_VALIDITY if answered else _VALIDITY_UNANSWERED) * max(tick.interval_ms, delay)
        out = [alert.resolve(tick.ts).sent(tick.ts, validity) for alert in self._taken_back]
        self._taken_back.clear()
        for alert in due:
            sent = alert.sent(tick.ts, validity)
            self._alerts[alert.labels] = self.changed[alert.labels] = sent
            out.append(sent)
        return out

    def holds_unanswered(self, tick: Tick) -> bool:
        """The datasource gives no answer at `tick.ts`: whether what is known of the alerts is still to be sent, so that
        Alertmanager does not end them. For at most `unanswered_hold_ms` since the first time."""
        if self._unanswered_since is None or self._unanswered_since > tick.ts:
            self._unanswered_since = tick.ts
        return tick.ts - self._unanswered_since < tick.context.unanswered_hold_ms

    def hold_has_just_ended(self) -> bool:
        """Whether it was not said yet that its alerts are no longer sent on; True once, after `holds_unanswered` was
        False."""
        told, self._end_told = self._end_told, self._unanswered_since
        return bool(self.alerts) and told != self._unanswered_since

    def _answered(self, tick: Tick, found: Container[Labels]) -> None:
        """The datasource answers at `tick.ts`. After an outage of two intervals and more it may lack what was measured
        meanwhile, or still be on the way to have it: what is missing proves nothing for as long as the outage was, and
        for no longer than PromQL looks back. A further outage does not prolong that for an alert that was missing
        before it: on an engine that fails again and again it would never end."""
        since, self._unanswered_since = self._unanswered_since, None
        outage = 0 if since is None else tick.ts - since
        if outage >= 2 * tick.interval_ms:
            self._catching_up_until = tick.ts + min(outage, tick.context.restore.bridged_ms)
        if not self._late_until and tick.ts >= self._catching_up_until:
            return
        for alert in self.alerts:
            if alert.labels in found:
                self._late_until.pop(alert.labels, None)
            elif tick.ts < self._catching_up_until:
                self._late_until.setdefault(alert.labels, self._catching_up_until)

    def _may_be_late(self, tick: Tick, alert: Alert) -> bool:
        """Whether the datasource may not have yet what makes this alert, which is missing. A clock that was set back
        does not prolong that."""
        until = self._late_until.get(alert.labels)
        return until is not None and tick.ts < until <= tick.ts + tick.context.restore.bridged_ms

    # --- going on after a reload or a restart

    def take_over(self, other: AlertingRule) -> None:
        """Go on with the alerts of the rule that this one replaces."""
        self._alerts = dict(other._alerts)
        self._recovery.take_over(other._recovery)
        self._sources = dict(other._sources)
        self._unanswered_since, self._late_until = other._unanswered_since, dict(other._late_until)
        self._catching_up_until = other._catching_up_until
        self._end_told, self._is_new = other._end_told, other._is_new
        self.changed = dict(other.changed)

    def restore(self, saved: Iterable[tuple[Alert, int]], *, doubtful: bool = False) -> None:
        """Go on with saved alerts, each with the time of the last evaluation before the restart. `doubtful`: their
        states may be out of date, and none is sent before new data has shown it."""
        self._recovery.restore(self._alerts, saved, doubtful=doubtful)

    def interrupted(self, seen_at: int) -> None:
        """Go on as after a restart with the alerts as they are; `seen_at` is the last evaluation."""
        self._recovery.interrupt(self._alerts, seen_at)

    def taken_up(self, ts: int) -> list[Transition]:
        """That its alerts go on after a restart."""
        return [
            Transition(ts, self.ref, a.labels, a.state.value, a.state.value, ChangeReason.RESTORED) for a in self.alerts
        ]

    def leave(self, ts: int, why: ChangeReason = ChangeReason.RULE_REMOVED) -> list[Transition]:
        """What a reload at `ts` that removes the rule does to its alerts."""
        inactive = AlertState.INACTIVE.value
        return [Transition(ts, self.ref, a.labels, a.state.value, inactive, why) for a in self.alerts]

    def written(self) -> list[Labels]:
        """The series of ALERTS and ALERTS_FOR_STATE that stand for its alerts as they are."""
        return [sample.labels for alert in self.alerts for sample in self._samples(alert, 0)]

    def to_save(self, last_ts: int | None) -> list[tuple[Alert, int]]:
        """All alerts, each with the last evaluation that covered it. `last_ts` is the group's last."""
        return [(alert, self._recovery.seen_at(alert, last_ts)) for alert in self.remembered]

    def _set_times(self, tick: Tick) -> None:
        """At the first evaluation after a restart or interruption: set the `for` clocks as the restart policy says."""
        for labels, alert in self._recovery.set_times(self._alerts, tick.ts, self.timing, tick.context.restore).items():
            self.changed[labels] = alert
            if alert is None:
                del self._alerts[labels]
                if tick.context.logs:
                    log.info("PENDING starts over (down for too long): alert=%s", labels)
                pending_, inactive = AlertState.PENDING.value, AlertState.INACTIVE.value
                self.moved.append(Transition(tick.ts, self.ref, labels, pending_, inactive, ChangeReason.STARTED_OVER))
            else:
                self._alerts[labels] = alert


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Query:
    """A query of a template: the same text for every alert, at every evaluation. Raises ParseError."""
    return parse_expr(text)


def _to_save(alert: Alert) -> tuple[object, ...]:
    return (
        alert.state,
        alert.active_at,
        alert.fired_at,
        alert.resolved_at,
        alert.last_sent_at,
        alert.keep_firing_since,
        alert.held_since,
    )


def _fixed_target(query: Query) -> dict[str, str]:
    """`job` and `instance` where every selector names the same one: for alerts whose labels no longer tell."""
    fixed: dict[str, str] = {}
    uses = query.selectors()
    for name in (JOB, INSTANCE):
        values = {next((m.value for m in use.matchers if m.name == name and m.op is MatchOp.EQUAL), "") for use in uses}
        if len(values) == 1 and "" not in values:
            fixed[name] = values.pop()
    return fixed
