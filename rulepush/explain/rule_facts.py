"""The rule that is explained, copied from the running groups: immutable, so that a thread may read it."""

from __future__ import annotations

from dataclasses import dataclass

from rulepush.livecheck.rules import LiveRule
from rulepush.model.labels import ALERT_NAME, METRIC_NAME, Labels
from rulepush.promql import Query
from rulepush.rules.alert import Alert
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.specs import AlertingSpec, RecordingSpec


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """`alerts` are all that are remembered; `last_ts` is the time of the last evaluation, None before the first;
    `label_names` are those that the rule itself sets. Durations in ms."""

    spec: AlertingSpec | RecordingSpec
    group: str = ""
    file: str = ""
    interval_ms: int = 60_000
    query_offset_ms: int = 0
    hold_ms: int = 0
    last_ts: int | None = None
    state: str = "inactive"
    health: str = "unknown"
    last_error: str = ""
    alerts: tuple[Alert, ...] = ()

    @classmethod
    def of(cls, group: EvaluationGroup, rule: Rule) -> RuleFacts:
        """The rule as it is now."""
        hold = group.context.hold
        return cls(
            spec=rule.spec,
            group=group.name,
            file=group.file,
            interval_ms=group.interval_ms,
            query_offset_ms=group.query_offset_ms,
            hold_ms=hold.duration_ms if hold is not None else 0,
            last_ts=group.last_ts,
            state=rule.state.value if isinstance(rule, AlertingRule) else "",
            health=rule.status.health.value,
            last_error=rule.status.last_error,
            alerts=tuple(rule.remembered) if isinstance(rule, AlertingRule) else (),
        )

    @property
    def name(self) -> str:
        """The name of the alert, or of the recorded metric."""
        return self.spec.name

    @property
    def query(self) -> Query:
        """The expression."""
        return self.spec.query

    @property
    def alerting(self) -> bool:
        """Whether it is an alerting rule."""
        return isinstance(self.spec, AlertingSpec)

    @property
    def for_ms(self) -> int:
        """`for`; 0 of a recording rule."""
        return self.spec.for_ms if isinstance(self.spec, AlertingSpec) else 0

    @property
    def keep_firing_ms(self) -> int:
        """`keep_firing_for`; 0 of a recording rule."""
        return self.spec.keep_firing_ms if isinstance(self.spec, AlertingSpec) else 0

    @property
    def live_rule(self) -> LiveRule:
        """As `check live` knows it."""
        return LiveRule(self.name, self.query, self.file, self.spec.line, self.group, self.alerting, self.for_ms)

    def source_of(self, alert: Labels) -> Labels:
        """The labels of the element that an alert was made of, as far as the rule did not set them."""
        return alert.without((METRIC_NAME, ALERT_NAME, *(name for name, _ in self.spec.labels)))

    def evaluation_at(self, due: int, now: int) -> int:
        """The first evaluation at or after `due` (ms) that is still to come; `due` itself where the rule was never
        evaluated."""
        if self.last_ts is None:
            return max(due, now)
        steps = max(1, -(-(due - self.last_ts) // self.interval_ms))
        return self.last_ts + steps * self.interval_ms
