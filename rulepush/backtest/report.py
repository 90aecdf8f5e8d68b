"""BacktestReport: what rules would have done, and what that cannot know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from rulepush.backtest.episodes import Episode, RuleFailure, RulePlace, RuleRun
from rulepush.backtest.replay import Replay
from rulepush.model.durations import format_duration
from rulepush.model.matcher import Matcher, exact_metric_name, selector_text
from rulepush.model.timestamps import format_rfc3339
from rulepush.rules.specs import AlertingSpec


class Stopped(Enum):
    """Why a backtest ended before the end of its range. The value is the name in JSON."""

    ASKED = "interrupted"
    SECONDS = "out_of_time"
    EVALUATIONS = "too_many_evaluations"


class CaveatKind(Enum):
    """What an answer cannot know. The value is the name in JSON."""

    BEGINS_LATER = "begins_later"  # the data begin after the start that was asked for
    ENDS_EARLIER = "ends_earlier"
    GAP = "gap"  # the service was down: nothing was seen, and nothing was evaluated
    DAMAGED = "damaged"  # something of the recording could not be read
    STOPPED = "stopped"  # the backtest itself ended early


@dataclass(frozen=True, slots=True)
class Caveat:
    """`start` and `end` (ms) are the time of which nothing is known, None where that cannot be said."""

    kind: CaveatKind
    text: str
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class MissingSeries:
    """A selector of a rule for which there never was a series. `is_name`: no series has the name of the metric,
    whatever its labels."""

    selector: str
    metric: str
    is_name: bool

    def __str__(self) -> str:
        if self.is_name:
            return f"no sample of {self.metric} in the recording"
        others = f": {self.metric} is there, with other labels" if self.metric else ""
        return f"no series matches {self.selector}{others}"


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """What one rule did in the range. Durations in ms, counted to the end of the range where an alert goes on.

    `fired` and `pending_only` are numbers of episodes: those that fired, and those that were pending and did not.
    `labels` are the names that the rule sets; `failed` counts evaluations, of which `failures` has the first errors.
    """

    place: RulePlace
    is_alert: bool
    expr: str
    for_ms: int
    keep_firing_ms: int
    fired: int
    longest_firing_ms: int
    pending_only: int
    longest_pending_ms: int
    notifications: int
    labels: tuple[str, ...]
    failed: int
    failures: tuple[RuleFailure, ...]
    missing: tuple[MissingSeries, ...]


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """`start`..`end` (ms) is the range that was asked for, `first`..`last` the first and last evaluation in it, None
    where there was none. `recorded` is what there is of data; None: nothing. `episodes` are those that touch the range,
    by the time at which they began. `evaluations` are counted by rule groups, and `intervals` (ms) is how often each
    (file, group) was evaluated.
    """

    start: int
    end: int
    first: int | None
    last: int | None
    recorded: tuple[int, int] | None
    episodes: tuple[Episode, ...]
    rules: tuple[RuleSummary, ...]
    caveats: tuple[Caveat, ...]
    stopped: Stopped | None
    evaluations: int
    intervals: Mapping[tuple[str, str], int]

    @property
    def until(self) -> int:
        """To where the range was evaluated (ms): what goes on then has no end."""
        return self.end if self.last is None else self.last

    @property
    def rule_labels(self) -> list[str]:
        """The names of the labels that its rules set."""
        return [name for rule in self.rules for name in rule.labels]

    @property
    def fired(self) -> list[Episode]:
        """The episodes that fired."""
        return [e for e in self.episodes if e.fired_at is not None]


def report_of(
    replay: Replay,
    start: int,
    end: int,
    recorded: tuple[int, int] | None,
    problems: Sequence[object],
    stopped: Stopped | None,
    reached: int,
) -> BacktestReport:
    """What came of a replay that was to go from `start` to `end` (ms) and went to `reached`."""
    first = replay.first_evaluation
    last = None if first is None else replay.last_evaluation
    until = end if last is None else last
    unseen = replay.unseen()
    episodes: list[Episode] = []
    rules: list[RuleSummary] = []
    for run in replay.rules:
        own = [e for e in run.episodes() if e.pending_since <= end and (e.ended_at is None or e.ended_at >= start)]
        episodes += own
        rules.append(_summary(run, own, until, unseen, replay.metric_names))
    episodes.sort(key=lambda e: (e.pending_since, e.rule.file, e.rule.group, e.rule.index, e.labels))
    return BacktestReport(
        start=start,
        end=end,
        first=first,
        last=last,
        recorded=recorded,
        episodes=tuple(episodes),
        rules=tuple(rules),
        caveats=tuple(_caveats(replay, start, end, recorded, problems, stopped, reached)),
        stopped=stopped,
        evaluations=replay.evaluations,
        intervals={group.spec.key: group.interval_ms for group in replay.groups},
    )


def _summary(
    run: RuleRun, episodes: Sequence[Episode], until: int, unseen: set[tuple[Matcher, ...]], names: set[str]
) -> RuleSummary:
    spec = run.spec
    is_alert = isinstance(spec, AlertingSpec)
    fired = [e for e in episodes if e.fired_at is not None]
    waited = [e for e in episodes if e.fired_at is None]
    missing = dict.fromkeys(_missing(use.matchers, names) for use in spec.query.selectors() if use.matchers in unseen)
    return RuleSummary(
        place=run.place,
        is_alert=is_alert,
        expr=str(spec.query),
        for_ms=spec.for_ms if isinstance(spec, AlertingSpec) else 0,
        keep_firing_ms=spec.keep_firing_ms if isinstance(spec, AlertingSpec) else 0,
        fired=len(fired),
        longest_firing_ms=max((e.firing_ms(until) for e in fired), default=0),
        pending_only=len(waited),
        longest_pending_ms=max((e.pending_ms(until) for e in waited), default=0),
        notifications=sum(e.sent_firing + e.sent_resolved for e in episodes),
        labels=tuple(name for name, _ in spec.labels),
        failed=run.failed,
        failures=tuple(run.failures.values()),
        missing=tuple(missing),
    )


def _missing(matchers: tuple[Matcher, ...], names: set[str]) -> MissingSeries:
    metric = exact_metric_name(matchers) or ""
    return MissingSeries(selector_text(matchers), metric, bool(metric) and metric not in names)


def _caveats(
    replay: Replay,
    start: int,
    end: int,
    recorded: tuple[int, int] | None,
    problems: Iterable[object],
    stopped: Stopped | None,
    reached: int,
) -> Iterable[Caveat]:
    slack = max((group.interval_ms for group in replay.groups), default=0) * 2
    if recorded is not None and recorded[0] - start > slack:
        text = (
            f"the data begin at {format_rfc3339(recorded[0])}, {format_duration(_seconds(recorded[0] - start))} later"
        )
        yield Caveat(CaveatKind.BEGINS_LATER, f"{text} than asked for", start, recorded[0])
    for since, until in replay.gaps:
        if until > start:
            text = f"nothing was recorded from {format_rfc3339(since)} to {format_rfc3339(until)}"
            length = format_duration(_seconds(until - since))
            yield Caveat(CaveatKind.GAP, f"{text} ({length}): the service was down", since, until)
    if recorded is not None and end - recorded[1] > slack:
        text = f"the data end at {format_rfc3339(recorded[1])}, {format_duration(_seconds(end - recorded[1]))} earlier"
        yield Caveat(CaveatKind.ENDS_EARLIER, f"{text} than asked for", recorded[1], end)
    for problem in problems:
        yield Caveat(CaveatKind.DAMAGED, str(problem))
    if stopped is not None:
        why = {
            Stopped.ASKED: "interrupted",
            Stopped.SECONDS: "it took too long",
            Stopped.EVALUATIONS: "too many evaluations",
        }[stopped]
        text = f"stopped at {format_rfc3339(reached)} ({why}): what came later is not known"
        yield Caveat(CaveatKind.STOPPED, text, reached, end)


def _seconds(ms: int) -> int:
    return max(1000, ms // 1000 * 1000)
