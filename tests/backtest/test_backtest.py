"""A backtest as a whole: its range, what it cannot know, where it stops, and how two versions differ."""

from __future__ import annotations

import pytest

from rulepush.backtest import (
    BacktestOptions,
    Comparison,
    Progress,
    ReplayOptions,
    Stopped,
    backtest,
    backtests,
    compare,
)
from rulepush.recorded.events import RecordedStart
from rulepush.rules.specs import RuleGroup
from tests.backtest.world import T0, ListSource, M, S, marks, merged, one_rule, run, scrapes, specs

START = RecordedStart(T0 - 1 * S)
HIGH = one_rule("{alert: A, expr: m > 5, for: 30s}")
VALUES = "1x9 9x9 1x60"
EVENTS = merged([START], scrapes({"m": VALUES}), marks(18 * M))


def test_data_are_read_from_before_the_range_as_far_as_the_rules_look_back() -> None:
    rules = specs(
        """
        groups:
        - name: g
          rules:
          - {record: r, expr: 'max_over_time(m[10m])'}
          - {alert: A, expr: r offset 2m > 1, for: 5m, keep_firing_for: 1m}
        """
    )
    source = ListSource(EVENTS)
    backtest(source, rules, BacktestOptions(T0 + 60 * M, T0 + 70 * M))
    # The instant selector of r looks back 5 minutes, from 2 minutes ago; r itself 10 more; the alert may be 6 old.
    assert T0 + 60 * M - source.asked[0][0] == (5 + 2 + 10 + 5 + 1) * M


def test_a_range_that_begins_before_the_data_and_ends_after_them_says_so() -> None:
    report = run(EVENTS, HIGH, start=-60 * M, end=60 * M)
    assert [(c.kind.value, c.text) for c in report.caveats] == [
        ("begins_later", "the data begin at 2023-11-14T22:13:19Z, 59m59s later than asked for"),
        ("ends_earlier", "the data end at 2023-11-14T22:33:20.04Z, 39m59s earlier than asked for"),
    ]
    assert report.recorded == (T0 - 1 * S, max(e.at for e in EVENTS))


def test_what_could_not_be_read_is_told() -> None:
    source = ListSource(EVENTS, problems=["1.seg: cut off"])
    (caveat,) = backtest(source, HIGH).caveats
    assert (caveat.kind.value, caveat.text) == ("damaged", "1.seg: cut off")


def test_without_data_nothing_is_evaluated() -> None:
    report = backtest(ListSource([]), HIGH)
    assert (report.first, report.last, report.recorded, report.episodes) == (None, None, None, ())
    assert report.rules[0].fired == 0


def test_it_stops_when_asked_and_tells_what_was_found_so_far() -> None:
    calls: list[int] = []

    def should_stop() -> bool:
        calls.append(1)
        return len(calls) > 3

    report = backtest(ListSource(EVENTS), HIGH, should_stop=should_stop)
    assert report.stopped is Stopped.ASKED
    assert report.caveats[-1].kind.value == "stopped"
    assert report.last is not None
    assert report.last < T0 + 18 * M
    assert [e.fired_at for e in report.episodes] == [T0 + 180 * S]


@pytest.mark.parametrize(
    ("options", "stopped"),
    [
        (BacktestOptions(max_evaluations=10), Stopped.EVALUATIONS),
        (BacktestOptions(max_seconds=5), Stopped.SECONDS),
        (BacktestOptions(max_seconds=5000, max_evaluations=5000), None),
    ],
)
def test_its_limits_are_kept(options: BacktestOptions, stopped: Stopped | None) -> None:
    now = [0.0]

    def monotonic() -> float:
        now[0] += 2.0
        return now[0]

    report = backtest(ListSource(EVENTS), HIGH, options, monotonic=monotonic)
    assert report.stopped is stopped
    assert (report.evaluations < 73) == (stopped is not None)


def test_the_progress_goes_from_nothing_to_all() -> None:
    told: list[Progress] = []
    backtest(ListSource(EVENTS), HIGH, on_progress=told.append)
    parts = [progress.part for progress in told]
    assert parts == sorted(parts)
    assert 0 <= parts[0] < 0.1
    assert parts[-1] > 0.95


def tried(new: tuple[RuleGroup, ...], old: tuple[RuleGroup, ...], values: str = VALUES) -> Comparison:
    """How two versions differ."""
    source = ListSource(merged([START], scrapes({"m": values}), marks(18 * M)))
    reports = backtests(source, [new, old])
    assert len(source.asked) == 1
    return compare(*reports)


def test_the_same_rules_fire_alike() -> None:
    compared = tried(HIGH, HIGH)
    assert compared.is_same
    assert compared.same == 1


def test_a_longer_for_fires_later_and_shorter() -> None:
    (moved,) = tried(one_rule("{alert: A, expr: m > 5, for: 1m}"), HIGH).moved
    assert (moved.fired_by, moved.ended_by, moved.longer_by) == (30 * S, 0, -30 * S)


def test_a_for_that_is_too_long_leaves_the_alert_pending() -> None:
    (moved,) = tried(one_rule("{alert: A, expr: m > 5, for: 1h}"), HIGH).moved
    assert (moved.new.fired_at, moved.fired_by) == (None, None)
    (moved,) = tried(HIGH, one_rule("{alert: A, expr: m > 5, for: 1h}")).moved
    assert (moved.old.fired_at, moved.fired_by) == (None, None)


def test_episodes_of_one_version_alone_are_told() -> None:
    compared = tried(one_rule("{alert: A, expr: m > 50}, {alert: B, expr: m > 5}"), HIGH)
    assert [e.rule.name for e in compared.only_new] == ["B"]
    assert [e.rule.name for e in compared.only_old] == ["A"]
    assert not compared.moved


def test_an_alert_whose_rule_sets_other_labels_is_the_same() -> None:
    compared = tried(one_rule("{alert: A, expr: m > 5, for: 30s, labels: {severity: page}}"), HIGH)
    assert compared.is_same


def test_episodes_are_paired_by_their_times() -> None:
    compared = tried(
        one_rule("{alert: A, expr: m > 7}"), one_rule("{alert: A, expr: m > 5}"), "1 6 6 1 9 9 1 6 1 9 1x9"
    )
    assert compared.same == 2
    assert [e.fired_at for e in compared.only_old] == [T0 + 15 * S, T0 + 105 * S]


def test_the_versions_know_nothing_of_each_other() -> None:
    old = specs("groups: [{name: g, interval: 15s, rules: [{record: r, expr: m}, {alert: A, expr: r > 5}]}]")
    new = specs("groups: [{name: g, interval: 15s, rules: [{alert: A, expr: r > 5}]}]")
    reports = backtests(ListSource(EVENTS), [new, old])
    assert [rule.fired for rule in reports[0].rules] == [0]
    assert [str(m) for m in reports[0].rules[0].missing] == ["no sample of r in the recording"]
    assert [rule.fired for rule in reports[1].rules] == [0, 1]


def test_a_gap_of_years_is_evaluated_in_pieces_and_can_be_interrupted() -> None:
    year = 365 * 24 * 60 * M
    events = [*scrapes({"m": VALUES}), *scrapes({"m": "9x3"}, start=100 * year)]
    planned: list[int] = []

    def should_stop() -> bool:
        planned.append(1)
        return len(planned) > 50

    report = backtest(ListSource(events), HIGH, should_stop=should_stop)
    assert report.stopped is Stopped.ASKED
    assert report.last is not None
    assert T0 + 20 * M < report.last < T0 + 1 * year
    assert report.evaluations < 50_000


def test_a_gap_gives_the_same_evaluations_in_pieces_as_at_once() -> None:
    absent = one_rule("{alert: A, expr: absent(m), for: 30s}")
    events = [*scrapes({"m": "1x9"}), *scrapes({"m": "9x9"}, start=240 * M)]
    report = backtest(ListSource(events), absent, BacktestOptions(replay=ReplayOptions(interval_ms=15 * S)))
    (episode,) = report.episodes
    assert (episode.fired_at, episode.ended_at) != (None, None)
    assert report.first is not None
    assert report.last is not None
    assert report.evaluations == (report.last - report.first) // (15 * S) + 1


def test_the_range_ends_at_the_latest_moment_that_is_given() -> None:
    report = backtest(ListSource(EVENTS), HIGH, BacktestOptions(latest=T0 + 5 * M))
    assert report.end == T0 + 5 * M
    assert report.last == T0 + 5 * M


def test_a_source_that_does_not_know_its_bounds_is_read_all_the_same() -> None:
    """A server is asked for those of the first selectors only."""

    class Unbounded(ListSource):
        def bounds(self) -> None:
            return None

    options = BacktestOptions(start=T0, latest=T0 + 10 * M)
    report = backtest(Unbounded(EVENTS), HIGH, options)
    assert (report.first, report.last) == (T0, T0 + 10 * M)
    assert [e.fired_at for e in report.episodes] == [T0 + 180 * S]
