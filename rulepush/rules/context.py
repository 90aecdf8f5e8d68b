"""What the evaluation of rules needs from the rest of the service, as small protocols."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from rulepush.errors import EvaluationError
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.model.sample import Sample
from rulepush.promql import Query, QueryResult, SharedResults
from rulepush.recorded.events import RecordedEvaluation
from rulepush.rules.alert import Alert
from rulepush.rules.asking import Answers, AnswersMissing, Datasource, Question
from rulepush.rules.own_records import OwnRecords
from rulepush.rules.recovery import RestorePolicy
from rulepush.rules.specs import result_fault
from rulepush.rules.transition import Record, Transition
from rulepush.storage.selection import Querier
from rulepush.storage.table import AppendOutcome

DEFAULT_RESEND_DELAY_MS: Final = 60_000

Notify = Callable[[Sequence[Alert], str, int], None]
"""Takes alerts to send, the expression of their rule, and the evaluation time."""


class QueryEngine(Protocol):
    """`promql.Engine` is one."""

    def instant(self, query: Query, ts: int, querier: Querier, shared: SharedResults | None = None) -> QueryResult: ...


class Samples(Protocol):
    """`storage.Head` is one."""

    def querier(self) -> Querier: ...
    def append_many(self, samples: Iterable[Sample]) -> Mapping[AppendOutcome, int]: ...


def _nothing(_alerts: Sequence[Alert], _expr: str, _ts: int) -> None:
    return None


def _always(_ts: int) -> bool:
    return True


def _as_they_are(labels: Labels) -> Labels:
    return labels


def _unrecorded(_transitions: Sequence[Transition]) -> None:
    return None


class TargetState(Enum):
    """How the target of a series stands; UNKNOWN where no scrape is its source, or nobody is there to tell."""

    UP = "up"
    DOWN = "down"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TargetStates:
    """How all targets stand: `up` by the (job, instance) of their series, and the names of all jobs."""

    up: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    jobs: frozenset[str] = frozenset()

    def state(self, job: str, instance: str) -> TargetState:
        """That of one target."""
        up = self.up.get((job, instance))
        if up is not None:
            return TargetState.UP if up else TargetState.DOWN
        return TargetState.GONE if job in self.jobs else TargetState.UNKNOWN


@dataclass(frozen=True, slots=True)
class HoldPolicy:
    """`alerting.hold_on_scrape_failure`: an alert whose series are missing because their target cannot be scraped keeps
    its state for up to `duration_ms`.

    `target_down` is asked with the labels of the series (`job` and `instance` name the target; without `instance`, any
    target of the job; without both, any target).
    """

    duration_ms: int
    target_down: Callable[[Labels], bool]


@dataclass(frozen=True, slots=True)
class RuleContext:
    """Everything that rules need beside their specification. A reload makes a new one.

    `may_fire`     whether what is in a result is true: asked with the time of evaluation, the query offset subtracted,
                   and whether the rule needs two samples in a range. Until it is, no alert begins or starts to fire
    `may_resolve`  whether what is missing from a result is gone: asked with the same time. Until it is, a restored
                   alert that is missing stays as it is
    `record`       takes what changes, with its reason; it decides nothing
    `mark`         takes what an evaluation of a group is about to read, before it writes anything; None: nobody wants
                   to know. It decides nothing
    `targets`      how the targets stand now, for these reasons
    `stopwatch`    seconds of a monotonic clock, for the durations in the API; decides nothing
    `datasource`   evaluates the queries; None: `engine` does, on `samples`
    `unanswered_hold_ms`  how long alerts are sent on as they are while the datasource gives no answer
    `as_written`   the labels that a recorded series has on the datasource: its remote write may add and change some
    `shares_for_state`  whether the datasource has the ALERTS_FOR_STATE of other processes with these rules
    `logs`         whether changes and failures are logged: a backtest, which may run in a service, has a report instead

    Why a restart needs the two is in `recovery.py`.
    """

    engine: QueryEngine
    samples: Samples
    notify: Notify = _nothing
    external_labels: Labels = EMPTY_LABELS
    external_url: str = ""
    resend_delay_ms: int = DEFAULT_RESEND_DELAY_MS
    hold: HoldPolicy | None = None
    restore: RestorePolicy = field(default_factory=RestorePolicy)
    may_fire: Callable[[int, bool], bool] = lambda _ts, _needs_two: True
    may_resolve: Callable[[int], bool] = _always
    record: Record = _unrecorded
    mark: Callable[[RecordedEvaluation], None] | None = None
    targets: Callable[[], TargetStates] = TargetStates
    stopwatch: Callable[[], float] = lambda: 0.0
    datasource: Datasource | None = None
    unanswered_hold_ms: int = 0
    as_written: Callable[[Labels], Labels] = _as_they_are
    shares_for_state: bool = False
    logs: bool = True


@dataclass(slots=True)
class Tick:
    """One evaluation of a group: `ts` is its time, `query_ts` the time at which it reads and writes. `down` is what was
    found out of (job, instance): all alerts of a target go missing at once, and there may be many of both.

    `answers` are those of the datasource of the group; None where the rules read what is in memory. `own` is what the
    group has recorded lately, where the rules of a datasource read that.
    """

    context: RuleContext
    ts: int
    query_ts: int
    interval_ms: int
    limit: int
    shared: SharedResults
    answers: Answers | None = None
    own: OwnRecords | None = None
    down: dict[tuple[str, str], bool] = field(default_factory=dict)

    def run(self, query: Query, ts: int | None = None) -> list[Sample]:
        """The result as samples; a scalar is one without labels. Raises PromQLError, also for other types, and
        AnswersMissing where a datasource must be asked."""
        fault = result_fault(query)
        if fault:
            raise EvaluationError(fault)
        at = self.query_ts if ts is None else ts
        if self.answers is None:
            shared = self.shared if at == self.query_ts else None
            return self.context.engine.instant(query, at, self.context.samples.querier(), shared).samples()
        if self.own is None or not self.own.may_answer(query):
            return self.answers.get(Question(query.text, at))
        return self.context.engine.instant(query, at, self.own.samples(query, at, self.answers).querier()).samples()

    def run_in_template(self, query: Query) -> list[Sample]:
        """The same for a query of a template. What a datasource must be asked is empty for now, so that the other
        templates can say what they need; `check_answers` raises then."""
        if self.answers is None:
            return self.run(query, self.ts)
        try:
            return self.run(query)  # Prometheus asks at `ts`, for which an engine that lags has nothing yet
        except AnswersMissing:
            return []

    def prepare(self, query: Query) -> None:
        """`query` may be run after the alerts have changed: have its answers by then."""
        if self.answers is not None:
            with contextlib.suppress(AnswersMissing, EvaluationError):
                self.run(query)

    def check_answers(self) -> None:
        """Raises AnswersMissing where a datasource must be asked before anything may change."""
        if self.answers is not None:
            self.answers.check()


def refused(outcomes: Mapping[AppendOutcome, int]) -> str:
    """Why samples of a rule could not be stored, in Prometheus' words; "" when all could."""
    for outcome in (AppendOutcome.OUT_OF_ORDER, AppendOutcome.DUPLICATE):
        if outcomes.get(outcome, 0):
            return str(outcome.value)
    return ""
