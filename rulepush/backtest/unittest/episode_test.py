"""From an episode to one entry under `tests`: its series on a grid, and its alerts at the moments that mattered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from rulepush.backtest.episodes import Episode
from rulepush.backtest.source import EventSource
from rulepush.backtest.unittest.collect import collected
from rulepush.backtest.unittest.grid import Cells, RawSeries, UnitTestGrid, step_for
from rulepush.backtest.unittest.involved import InvolvedRules, involved_rules, without_conflict
from rulepush.backtest.unittest.trial import TrialOptions, Tried, try_out
from rulepush.errors import SampleSourceError
from rulepush.model.durations import format_duration
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.rules.alert import Alert, AlertState, Annotations
from rulepush.rules.specs import RuleGroup
from rulepush.rules.transition import ChangeReason

MAX_SERIES: Final = 500
_MAX_EVALUATIONS: Final = 5_000
_FINE_MS: Final = 1000
_BEFORE: Final = 4  # evaluations before the alert is pending, at least
_SHOWN: Final = 3

ExpectedAlerts = tuple[tuple[Labels, Annotations], ...]


@dataclass(frozen=True, slots=True)
class EpisodeTest:
    """`checks` are the alerts of the name of the rule that fire at a time (ms from the start). With `start_ms` the test
    begins at that time, else at 0. `problem`: why the alert is another one in the test, "" when it is the same."""

    episode: Episode
    rules: InvolvedRules
    grid: UnitTestGrid
    series: dict[Labels, Cells]
    checks: tuple[tuple[int, ExpectedAlerts], ...]
    start_ms: int | None
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class UnitTestSettings:
    """What the backtest was run with. `until` (ms) is its end."""

    until: int
    external_labels: Labels = EMPTY_LABELS
    external_url: str = ""


@dataclass(slots=True)
class _Plan:
    """The evaluations of the test by their number: `firing` from the first on and before the second."""

    grid_start: int
    interval_ms: int
    last: int
    firing: tuple[int, int] | None
    asked: list[int]
    notes: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The time of the last evaluation (ms)."""
        return self.grid_start + self.last * self.interval_ms

    def expects(self, k: int) -> bool:
        return self.firing is not None and self.firing[0] <= k < self.firing[1]


def episode_test(
    source: EventSource, groups: Sequence[RuleGroup], episode: Episode, interval_ms: int, settings: UnitTestSettings
) -> EpisodeTest:
    """The test of one episode. `groups` are those of the backtest; `interval_ms` is that of the rule's group.

    It begins shortly before the alert was pending, series that belong to other alerts are left out, and the samples lie
    on a coarse grid, as long as the alert stays the same; else it begins a look-back earlier, all series are taken, and
    a fine grid. Raises SampleSourceError.
    """
    rules = involved_rules(groups, episode.rule)
    whole = _plan(episode, rules, rules.lookback_ms // interval_ms + 2, interval_ms, settings.until)
    raw = collected(source, rules, whole.grid_start - interval_ms, whole.end, interval_ms)
    made: EpisodeTest | None = None
    for plan, series, step_ms, start_ms in _variants(raw, episode, rules, whole, settings.until):
        grid = UnitTestGrid(plan.grid_start, plan.end, interval_ms, step_ms)
        tried = _tried(episode, rules, plan, grid, series, start_ms, settings)
        if made is None or not tried.problem:
            made = tried
        if not made.problem:
            break
    if made is None:
        raise SampleSourceError(
            f"{len(raw)} series matter for {episode.labels}, more than the {MAX_SERIES} that a unit test may have: "
            "narrow the selectors of the rule"
        )
    left_out = [labels for labels in raw if labels not in made.series]
    return made if not left_out else _with_note(made, _left_out(left_out, same=not made.problem))


def _variants(
    raw: RawSeries, episode: Episode, rules: InvolvedRules, whole: _Plan, until: int
) -> Iterator[tuple[_Plan, RawSeries, int, int | None]]:
    """What is tried, the most readable first: (plan, series, step of the grid, start)."""
    interval_ms = whole.interval_ms
    own = {labels: raw[labels] for labels in without_conflict(raw, episode.labels)}
    choices: list[RawSeries] = [own] if len(own) == len(raw) else [own, raw]
    short = _plan(episode, rules, -(-rules.ranges_ms // interval_ms) + _BEFORE, interval_ms, until)
    if short.grid_start > whole.grid_start and not rules.reads_clock:
        for series in (c for c in choices if len(c) <= MAX_SERIES):
            yield short, series, step_for(series, interval_ms), None
    if episode.since_before:  # the backtest knew nothing at first, a test believes its first samples
        since = episode.pending_since - interval_ms
        choices += [{labels: [s for s in samples if s[0] > since] for labels, samples in c.items()} for c in choices]
    by_clock = rules.reads_clock or _to_align(rules, whole.grid_start, interval_ms) != 0
    for series in (c for c in choices if len(c) <= MAX_SERIES):
        coarse = step_for(series, interval_ms)
        fine = math.gcd(interval_ms, _FINE_MS)
        steps = (coarse, fine) if fine < coarse else (coarse,)
        for step_ms, start_ms in product(steps, (None, whole.grid_start) if by_clock else (None,)):
            yield whole, series, step_ms, start_ms


def _plan(episode: Episode, rules: InvolvedRules, back: int, interval_ms: int, until: int) -> _Plan:
    """`back` is how many evaluations there are at least before the one at which the alert was pending."""
    since = episode.pending_since
    back += _to_align(rules, since - back * interval_ms, interval_ms) or 0
    start = since - back * interval_ms

    def number_of(ts: int) -> int:
        return back + round((ts - since) / interval_ms)

    notes = []
    last = number_of(episode.ended_at if episode.ended_at is not None else until)
    fired = None if episode.fired_at is None else number_of(episode.fired_at)
    if last > _MAX_EVALUATIONS:
        short = min(last, (back if fired is None else fired) + 2)
        if short > _MAX_EVALUATIONS:
            raise SampleSourceError(
                f"the test would have {short} evaluations, more than {_MAX_EVALUATIONS}: the rule looks too far back"
            )
        notes.append(f"the test ends {format_duration(2 * interval_ms)} after the alert fired: it would be too long")
        last, ended = short, None
    elif fired is not None and episode.reason is ChangeReason.OVER_LIMIT:
        notes.append(
            "the test ends before the alert was dropped: a rule beyond its `limit` fails, and so does its test"
        )
        last, ended = last - 1, None
    else:
        ended = None if episode.ended_at is None else last
    firing = None if fired is None else (fired, last + 1 if ended is None else ended)
    edges = (back, last) if firing is None else firing
    asked = sorted({k for edge in edges for k in (edge - 1, edge) if 0 <= k <= last})
    return _Plan(start, interval_ms, last, firing, asked, notes)


def _to_align(rules: InvolvedRules, start: int, interval_ms: int) -> int | None:
    """By how many intervals a test must begin earlier than `start`, so that its subqueries are taken at the same times
    although its clock begins at 0; None when no number does it."""
    grid = math.lcm(*(step or interval_ms for step in rules.subqueries))
    for count in range(grid // math.gcd(grid, interval_ms)):
        if (start - count * interval_ms) % grid == 0:
            return count
    return None


def _tried(
    episode: Episode,
    rules: InvolvedRules,
    plan: _Plan,
    grid: UnitTestGrid,
    raw: RawSeries,
    start_ms: int | None,
    settings: UnitTestSettings,
) -> EpisodeTest:
    series = {labels: cells for labels, samples in sorted(raw.items()) if (cells := grid.cells(samples))}
    options = TrialOptions(settings.external_labels, settings.external_url, start_ms or 0)
    tried = try_out(rules.groups, series, grid, (episode.rule.name, episode.labels), plan.asked, options)
    checks = tuple(
        (k * grid.interval_ms, _expected(episode, plan.expects(k), tried.firing.get(k, ()))) for k in plan.asked
    )
    problem = _difference(plan, grid, tried)
    return EpisodeTest(episode, rules, grid, series, checks, start_ms, tuple(plan.notes), problem)


def _expected(episode: Episode, fires: bool, firing: Sequence[Alert]) -> ExpectedAlerts:
    """What the test asks for: this alert as the backtest has it, and others of its name as the test has them."""
    found = {a.labels: a.annotations for a in firing if fires or a.labels != episode.labels}
    if fires:
        found.setdefault(episode.labels, episode.annotations)
    return tuple(sorted(found.items()))


def _difference(plan: _Plan, grid: UnitTestGrid, tried: Tried) -> str:
    """The first evaluation since the alert became pending at which its state is another one."""
    if tried.failure:
        return f"a rule fails in the test: {tried.failure}"
    for k, state in enumerate(tried.states):
        fires = state is AlertState.FIRING
        if fires != plan.expects(k) and plan.asked[0] <= k:  # before, an earlier episode may have its end
            was = "fires in the backtest" if plan.expects(k) else "does not fire in the backtest"
            return f"after {format_duration(k * grid.interval_ms)} the alert is {state.value} in the test, and {was}"
    return ""


def _with_note(test: EpisodeTest, note: str) -> EpisodeTest:
    return EpisodeTest(
        test.episode,
        test.rules,
        test.grid,
        test.series,
        test.checks,
        test.start_ms,
        (*test.notes, note),
        test.problem,
    )


def _left_out(series: Sequence[Labels], *, same: bool) -> str:
    named = ", ".join(str(labels) for labels in series[:_SHOWN])
    more = f" and {len(series) - _SHOWN} more" if len(series) > _SHOWN else ""
    why = ", because the alert is the same without them" if same else ""
    return f"left out{why}: {named}{more}"
