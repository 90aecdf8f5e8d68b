"""Why an alert is missing from the result of its rule: asked only when an alert ends, which is rare."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final, assert_never

from rulepush.errors import RulepushError
from rulepush.model.floats import format_float
from rulepush.model.labels import ALERT_NAME, INSTANCE, JOB, METRIC_NAME, Labels
from rulepush.promql import Query
from rulepush.rules.alert import Alert
from rulepush.rules.context import TargetState, TargetStates, Tick
from rulepush.rules.thresholds import Threshold, thresholds
from rulepush.rules.transition import NOT_IN_RESULT, ChangeReason, Ending

_MAX_SEARCHED: Final = 200  # alerts of one evaluation whose element is looked for among those with more labels


class Absence:
    """Of one rule at one evaluation. The value of the expression without its comparison is computed when first asked
    for; the group's evaluation has mostly computed it already, and shares it."""

    def __init__(self, tick: Tick, query: Query, rule_labels: frozenset[str], fixed: Mapping[str, str]):
        """`rule_labels` are the names that the rule sets in its alerts; `fixed` are `job` and `instance` where the
        expression names them."""
        self._tick = tick
        self._query = query
        self._not_series = frozenset((METRIC_NAME, ALERT_NAME, *rule_labels))
        self._fixed = fixed
        self._searched = 0

    def ending(self, alert: Alert) -> Ending:
        """Why this alert is missing. Never raises: an expression whose parts cannot be evaluated explains nothing."""
        if self._compared is None:
            return NOT_IN_RESULT
        comparison, values = self._compared
        key = self._key(alert.labels)
        value = values[key] if key in values else self._found(key, values)
        if value is None:
            return self._without_series(alert)
        threshold = comparison.constant
        if threshold is None:
            return Ending(ChangeReason.CONDITION_FALSE, value, f"value {format_float(value)}")
        compared = f"{format_float(value)} {comparison.op} {format_float(threshold)}"
        if comparison.holds(value, threshold):
            return Ending(
                ChangeReason.NOT_IN_RESULT, value, f"{compared} is true, another part of the expression is not"
            )
        return Ending(ChangeReason.CONDITION_FALSE, value, f"{compared} is not true")

    def prepare(self) -> None:
        """An ending may be asked for: have the answers of a datasource by then."""
        for deciding in [c for c in thresholds(self._query) if c.decides][:1]:
            self._tick.prepare(deciding.value)

    @cached_property
    def _compared(self) -> tuple[Threshold, dict[Labels, float]] | None:
        """The comparison whose elements become alerts, and the values that it compares."""
        deciding = [c for c in thresholds(self._query) if c.decides]
        if not deciding:
            return None
        values: dict[Labels, float] = {}
        try:
            for sample in self._tick.run(deciding[0].value):
                values[self._key(sample.labels)] = sample.value
        except RulepushError:
            return None
        return deciding[0], values

    @cached_property
    def _targets(self) -> TargetStates:
        return self._tick.context.targets()

    def _key(self, labels: Labels) -> Labels:
        return labels.without(self._not_series)

    def _found(self, key: Labels, values: Mapping[Labels, float]) -> float | None:
        """The value of the one element that has these labels and more: `on (x)` keeps some labels only."""
        self._searched += 1
        if self._searched > _MAX_SEARCHED or not len(key):
            return None
        wanted = set(key)
        found = [value for labels, value in values.items() if wanted <= set(labels)]
        return found[0] if len(found) == 1 else None

    def _without_series(self, alert: Alert) -> Ending:
        """What has become of its target, where its labels tell which that is."""
        labels = alert.labels
        job, instance = (
            ("" if name in self._not_series else labels.get(name)) or self._fixed.get(name, "")
            for name in (JOB, INSTANCE)
        )
        state = self._targets.state(job, instance) if job and instance else TargetState.UNKNOWN
        match state:
            case TargetState.DOWN:
                return Ending(ChangeReason.TARGET_DOWN, None, instance)
            case TargetState.GONE:
                return Ending(ChangeReason.TARGET_REMOVED, None, instance)
            case TargetState.UP | TargetState.UNKNOWN:
                return Ending(ChangeReason.SERIES_GONE)
            case _:
                assert_never(state)
