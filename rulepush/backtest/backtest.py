"""Backtest: rules tried on what was recorded, from the start of a range to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from rulepush.backtest.replay import Replay, ReplayOptions
from rulepush.backtest.report import BacktestReport, Stopped, report_of
from rulepush.backtest.source import EventSource
from rulepush.backtest.timetable import Survey, time_of
from rulepush.model.matcher import exact_metric_name
from rulepush.recorded.events import RecordedEvent, RecordedStart
from rulepush.rules.specs import AlertingSpec, RecordingSpec, RuleGroup

_ARRIVE_MS: Final = 60_000  # in which the scrapes of the last moment are over
_SURVEY_MS: Final = 180_000
_SURVEY_EVENTS: Final = 2_000
_LOOK_EVERY: Final = 32  # events
_LONGEST_PAUSE_MS: Final = 3600_000
_STEPS: Final = 500  # of the progress


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """`start` and `end` (ms) are the range, None for all that is recorded; without `end` it ends at `latest` at the
    latest: one sample with a wrong time must not make it last for centuries. `max_seconds` and `max_evaluations` (of
    groups) end a backtest early; 0 for no limit."""

    start: int | None = None
    end: int | None = None
    replay: ReplayOptions = field(default_factory=ReplayOptions)
    max_seconds: float = 0.0
    max_evaluations: int = 0
    latest: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A backtest has come to `at`, on its way from `begin` to `end` (ms)."""

    begin: int
    end: int
    at: int

    @property
    def part(self) -> float:
        """0 to 1."""
        whole = self.end - self.begin
        return 1.0 if whole <= 0 else min(1.0, max(0.0, (self.at - self.begin) / whole))


def backtest(
    source: EventSource,
    groups: Sequence[RuleGroup],
    options: BacktestOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    monotonic: Callable[[], float] = time.monotonic,
) -> BacktestReport:
    """What these rules would have done. Blocks for seconds: a service runs it in a thread. `should_stop` is asked some
    times a second; the report tells then what was found so far. Raises what `source` does."""
    return backtests(source, [groups], options, on_progress, should_stop, monotonic)[0]


def backtests(
    source: EventSource,
    versions: Sequence[Sequence[RuleGroup]],
    options: BacktestOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    monotonic: Callable[[], float] = time.monotonic,
) -> list[BacktestReport]:
    """The same for several versions of rules, which do not know of each other; the data are read once."""
    options = options or BacktestOptions()
    recorded = source.bounds()
    start, end = range_of(options, recorded)
    begin = min(start, *(needed_from(groups, start, options.replay) for groups in versions)) if versions else start
    survey, events = surveyed(source.events(begin, end + _ARRIVE_MS))
    replays = [Replay(groups, options.replay, survey, start=start) for groups in versions]
    stopped, reached = None, begin
    began_at = monotonic()
    data_begin = begin if recorded is None else max(begin, recorded[0])
    step = max(1, (end - data_begin) // _STEPS)
    told = data_begin
    pause = min((replay.ahead_ms for replay in replays), default=_LONGEST_PAUSE_MS)
    for i, (moment, event) in enumerate(_with_pauses((e for e in events if time_of(e) <= end), pause)):
        for replay in replays:
            if event is None:
                replay.wait(moment)
            else:
                replay.take(event)
        reached = max(reached, moment)
        if on_progress is not None and reached - told >= step:
            told = reached
            on_progress(Progress(data_begin, end, reached))
        if event is None or i % _LOOK_EVERY == 0:
            stopped = _stop(replays, options, should_stop, monotonic() - began_at)
            if stopped is not None:
                break
    for replay in replays:
        if stopped is None:
            replay.finish(end)
        else:
            replay.catch_up()
    problems = [str(problem) for problem in source.problems]
    return [report_of(replay, start, end, recorded, problems, stopped, reached) for replay in replays]


def _with_pauses(events: Iterable[RecordedEvent], longest_ms: int) -> Iterator[tuple[int, RecordedEvent | None]]:
    """The events with their times, and None so often that no more than `longest_ms` pass at once: of years without
    samples not all evaluations are planned together, and they can be interrupted. None while the service was down."""
    last: int | None = None
    for event in events:
        at = time_of(event)
        if last is not None and not isinstance(event, RecordedStart):
            for moment in range(last + longest_ms, at, longest_ms):
                yield moment, None
        last = at if last is None else max(last, at)
        yield at, event


def _stop(
    replays: Iterable[Replay], options: BacktestOptions, should_stop: Callable[[], bool], seconds: float
) -> Stopped | None:
    if should_stop():
        return Stopped.ASKED
    if 0 < options.max_seconds <= seconds:
        return Stopped.SECONDS
    if 0 < options.max_evaluations <= sum(replay.evaluations for replay in replays):
        return Stopped.EVALUATIONS
    return None


def range_of(options: BacktestOptions, recorded: tuple[int, int] | None) -> tuple[int, int]:
    """The range (ms): what is not given is that of the data."""
    first, last = recorded or (options.start or 0, options.latest or 0)
    if options.latest is not None:
        last = min(last, options.latest)
    return (
        first if options.start is None else options.start,
        last if options.end is None else options.end,
    )


def surveyed(events: Iterator[RecordedEvent]) -> tuple[Survey, Iterator[RecordedEvent]]:
    """What the first minutes say of the evaluations, and all events once more."""
    first: list[RecordedEvent] = []
    for event in events:
        first.append(event)
        if event.at - first[0].at > _SURVEY_MS or len(first) >= _SURVEY_EVENTS:
            break
    return Survey.of(first), chain(first, events)


def needed_from(groups: Sequence[RuleGroup], start: int, options: ReplayOptions) -> int:
    """From when on (ms) data are needed, so that alerts and recorded series are at `start` what they would be: the
    longest look-back, of rules through the series that other rules record, and the longest life of an alert without its
    condition, or before it fires."""
    recorded = {rule.name: rule for group in groups for rule in group.rules if isinstance(rule, RecordingSpec)}
    delta = options.lookback_delta_ms
    back, fixed = 0, start

    def reach(rule: AlertingSpec | RecordingSpec, seen: frozenset[str]) -> int:
        nonlocal fixed
        longest = 0
        for use in rule.query.selectors(delta):
            name = exact_metric_name(use.matchers)
            below = 0
            if name in recorded and name not in seen:
                below = reach(recorded[name], seen | {name})
            if use.since_ms is not None:
                fixed = min(fixed, use.since_ms - use.lookback_ms - below)
            else:
                longest = max(longest, use.lookback_ms + below)
        return longest

    for group in groups:
        offset = options.query_offset_ms if group.query_offset_ms is None else group.query_offset_ms
        for rule in group.rules:
            held = 0
            if isinstance(rule, AlertingSpec):
                held = rule.for_ms + rule.keep_firing_ms + options.hold_ms
            back = max(back, reach(rule, frozenset()) + held + offset)
    return min(start - back, fixed)
