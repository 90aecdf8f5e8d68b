"""A unit test tried out before it is written: what the alerts do on the samples of its grid.

Evaluates like `rules.unittest`, and tells what alerts there are; that only compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rulepush.backtest.unittest.grid import Cells, UnitTestGrid
from rulepush.histogram import FloatHistogram
from rulepush.model.labels import Labels
from rulepush.promql import Engine, EngineOptions
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.context import RuleContext
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.specs import RuleGroup
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

_FOREVER_MS = 1 << 52


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """What a unit test file can say beside its series. `start_ms` is the time of the first evaluation."""

    external_labels: Labels
    external_url: str
    start_ms: int = 0


@dataclass(frozen=True, slots=True)
class Tried:
    """`states[k]` is the state of one alert after the k-th evaluation; `firing[k]` are all firing alerts of its name,
    at the evaluations that were asked for. `failure`: why a rule could not be evaluated, "" when all could."""

    states: tuple[AlertState, ...]
    firing: Mapping[int, tuple[Alert, ...]]
    failure: str = ""


def try_out(
    groups: Sequence[RuleGroup],
    series: Mapping[Labels, Cells],
    grid: UnitTestGrid,
    alert: tuple[str, Labels],
    asked: Sequence[int],
    options: TrialOptions,
) -> Tried:
    """Evaluate the groups at each interval of the grid. `alert` is its name and labels; `asked` are the numbers of the
    evaluations for which all alerts of that name are wanted."""
    head = Head(Demand.keep_all(_FOREVER_MS))
    engine = Engine(EngineOptions(default_step_ms=grid.interval_ms))
    context = RuleContext(
        engine, head, external_labels=options.external_labels, external_url=options.external_url, logs=False
    )
    running = [EvaluationGroup(spec, context, grid.step_ms, 0) for spec in groups]
    name, labels = alert
    states: list[AlertState] = []
    firing: dict[int, tuple[Alert, ...]] = {}
    per_interval = grid.interval_ms // grid.step_ms
    for k in range((grid.end - grid.start) // grid.interval_ms + 1):
        _feed(head, series, range((k - 1) * per_interval + 1 if k else 0, k * per_interval + 1), grid, options)
        for group in running:
            group.evaluate(options.start_ms + k * grid.interval_ms)
            for rule in group.rules:
                if rule.status.last_error:
                    return Tried(tuple(states), firing, f"{rule.spec.name}: {rule.status.last_error}")
        alerts = [a for g in running for rule in g.alerting_rules if rule.spec.name == name for a in rule.alerts]
        states.append(next((a.state for a in alerts if a.labels == labels), AlertState.INACTIVE))
        if k in asked:
            firing[k] = tuple(a for a in alerts if a.state is AlertState.FIRING)
    return Tried(tuple(states), firing)


def _feed(head: Head, series: Mapping[Labels, Cells], steps: range, grid: UnitTestGrid, options: TrialOptions) -> None:
    for labels, cells in series.items():
        for step in steps:
            value, ts = cells.get(step), options.start_ms + step * grid.step_ms
            if isinstance(value, FloatHistogram):
                head.append_histogram(labels, ts, value)
            elif value is not None:
                head.append(labels, ts, value)
