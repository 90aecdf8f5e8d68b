"""A small world for rules: samples in, ticks, alerts out."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rulepush.errors import EvaluationError
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import STALE, Sample
from rulepush.promql import Engine, parse_expr
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.asking import Answer, Question
from rulepush.rules.context import HoldPolicy, RuleContext
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.groups import GroupDefaults, RuleGroups
from rulepush.rules.rulefmt import parse_rule_file
from rulepush.rules.specs import RuleGroup
from rulepush.rules.state import AlertStateStore
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

drive_on_datasource = False
"""Whether the rules of a World ask a datasource, which answers from the same samples; see `both_drivers`."""

T0 = 1_700_000_000_000
S = 1000
M = 60 * S


def specs(text: str, file: str = "r.yml") -> tuple[RuleGroup, ...]:
    """The groups of a rule file."""
    parsed = parse_rule_file(file, textwrap.dedent(text).encode())
    assert not parsed.problems, parsed.problems
    return parsed.groups


def one_rule(rule: str, group: str = "") -> str:
    """A file with one group `g` of one rule, given as a flow mapping."""
    return f"groups: [{{name: g, interval: 30s, {group} rules: [{rule}]}}]"


@dataclass(frozen=True)
class Sent:
    """One alert as the notifier got it."""

    ts: int
    expr: str
    alert: Alert


class HeadDatasource:
    """Answers as an engine elsewhere would that has the samples of this head. `failure` is what it answers instead;
    `asked` are the rounds of questions."""

    def __init__(self, engine: Engine, head: Head):
        self._engine = engine
        self._head = head
        self.failure: EvaluationError | None = None
        self.asked: list[Question] = []

    async def ask(self, question: Question, within_s: float) -> Answer:
        self.asked.append(question)
        if self.failure is not None:
            return self.failure
        try:
            result = self._engine.instant(parse_expr(question.expr), question.ts, self._head.querier())
        except EvaluationError as e:
            return e
        if not question.is_range:
            return result.samples()
        series = [(s.labels, zip(s.times.tolist(), s.values.tolist(), strict=True)) for s in result.series()]
        return [Sample(labels, at, value) for labels, pairs in series for at, value in pairs]


class World:
    """Everything around rules. Times of `tick` and `put` are in ms after T0."""

    def __init__(
        self,
        text: str,
        *,
        store: AlertStateStore | None = None,
        hold: HoldPolicy | None = None,
        context: Mapping[str, object] | None = None,
        start: int = 0,
        head: Head | None = None,
    ):
        self.head = head or Head(Demand.keep_all(3600 * S * 24))
        self.engine = Engine()
        self.sent: list[Sent] = []
        self.datasource = HeadDatasource(self.engine, self.head)
        base = RuleContext(
            self.engine,
            self.head,
            self._notify,
            external_url="http://x",
            hold=hold,
            datasource=self.datasource if drive_on_datasource else None,
        )
        self.context = replace(base, **dict(context or {}))  # type: ignore[arg-type]
        self.groups = RuleGroups(store)
        self.groups.update(specs(text), self.context, GroupDefaults(30 * S), T0 + start)

    def _notify(self, alerts: Sequence[Alert], expr: str, ts: int) -> None:
        self.sent += [Sent(ts - T0, expr, a) for a in alerts]

    def reload(self, text: str, at: int) -> None:
        """Put another file in force."""
        self.groups.update(specs(text), self.context, GroupDefaults(30 * S), T0 + at)

    @property
    def group(self) -> EvaluationGroup:
        return self.groups.all()[0]

    @property
    def rule(self) -> AlertingRule:
        return self.groups.alerting_rules()[0]

    @property
    def alert(self) -> Alert:
        """The only alert that the only rule remembers."""
        (alert,) = self.rule.remembered
        return alert

    def put(self, at: int, value: float | None, name: str = "m", **labels: str) -> None:
        """Append a sample; None ends the series."""
        sample = Sample(Labels({METRIC_NAME: name, **labels}), T0 + at, STALE if value is None else value)
        assert self.head.append(sample.labels, sample.ts, sample.value)

    def tick(self, at: int) -> list[Sent]:
        """Evaluate all groups; returns what was sent."""
        before = len(self.sent)
        for group in self.groups.all():
            self.evaluate(group, T0 + at)
        return self.sent[before:]

    def evaluate(self, group: EvaluationGroup, ts: int, now: int | None = None) -> None:
        """Evaluate one group, in memory or on the datasource."""
        datasource = group.context.datasource
        if datasource is None:
            self.groups.evaluate(group, ts, now)
        else:
            asyncio.run(self.groups.evaluate_on(datasource, group, ts, now))

    def step(self, at: int, *values: float | None) -> list[Sent]:
        """Series m{i="0"}, m{i="1"}, ... get these values (None: gone), then a tick."""
        for i, value in enumerate(values):
            if value is not None or self.query(f'm{{i="{i}"}}', at - 1):
                self.put(at, value, i=str(i))
        return self.tick(at)

    def query(self, expr: str, at: int) -> dict[str, float]:
        """The result of an instant query, by the text of the labels."""
        samples = self.engine.instant(parse_expr(expr), T0 + at, self.head.querier()).samples()
        return {str(s.labels): s.value for s in samples}

    def states(self) -> list[AlertState]:
        """Of all alerts that are remembered."""
        return [a.state for r in self.groups.alerting_rules() for a in r.remembered]
