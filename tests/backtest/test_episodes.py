"""Episodes of small recordings by hand: their times, values, notifications, and why they ended."""

from __future__ import annotations

import pytest

from rulepush.backtest import BacktestReport, Episode
from rulepush.model.block import block_of
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import Sample
from rulepush.recorded.events import Origin, RecordedBlock, RecordedStart
from rulepush.rules.transition import ChangeReason
from tests.backtest.world import LATENCY, T0, M, S, marks, merged, one_rule, run, scrapes, specs

START = RecordedStart(T0 - 1 * S)


def only(report: BacktestReport) -> Episode:
    """Its one episode."""
    (episode,) = report.episodes
    return episode


def after(ms: int | None) -> int | None:
    """In seconds after T0."""
    return None if ms is None else (ms - T0) // S


def test_an_alert_without_for_fires_at_the_evaluation_that_sees_it_and_ends_at_the_one_that_does_not() -> None:
    events = merged([START], scrapes({'m{i="0"}': "1x3 9x3 1x9"}), marks(4 * M))
    episode = only(run(events, one_rule("{alert: A, expr: m > 5, annotations: {summary: 'is {{ $value }}'}}")))
    assert episode.labels == Labels({"alertname": "A", "i": "0"})
    assert (after(episode.pending_since), after(episode.fired_at), after(episode.ended_at)) == (60, 60, 120)
    assert (episode.peak, episode.last) == (9, 9)
    assert dict(episode.annotations) == {"summary": "is 9"}
    assert episode.reason is ChangeReason.CONDITION_FALSE
    assert episode.why == "the condition is no longer true: 1 > 5 is not true"
    assert not episode.since_before


def test_for_is_waited_for_and_an_alert_that_ends_before_was_pending_only() -> None:
    events = merged([START], scrapes({"m": "1 1 9x3 1 9x5 1x9"}), marks(6 * M))
    report = run(events, one_rule("{alert: A, expr: m > 5, for: 1m}"))
    short, long = report.episodes
    assert (after(short.pending_since), short.fired_at, after(short.ended_at)) == (30, None, 90)
    assert (after(long.pending_since), after(long.fired_at), after(long.ended_at)) == (105, 165, 195)
    (rule,) = report.rules
    assert (rule.fired, rule.longest_firing_ms, rule.pending_only, rule.longest_pending_ms) == (1, 30 * S, 1, 60 * S)


def test_keep_firing_for_bridges_a_gap_and_ends_later() -> None:
    events = merged([START], scrapes({"m": "1 9 9 1 9 1x12"}), marks(4 * M))
    episode = only(run(events, one_rule("{alert: A, expr: m > 5, keep_firing_for: 1m}")))
    assert (after(episode.fired_at), after(episode.ended_at)) == (15, 135)
    assert "kept for 1m" in episode.why


def test_an_alert_of_a_target_that_cannot_be_scraped_is_held() -> None:
    down = {
        'm{instance="x",job="j"}': f"9x3 {' '.join(['stale'] * 4)} 1x9",
        'up{instance="x",job="j"}': "1x3 0x3 1x9",
    }
    events = merged([START], scrapes(down), marks(4 * M))
    rule = one_rule("{alert: A, expr: m > 5}")
    assert after(only(run(events, rule)).ended_at) == 60
    assert only(run(events, rule)).reason is ChangeReason.TARGET_DOWN
    held = only(run(events, rule, hold_ms=5 * M))
    assert after(held.ended_at) == 120


def test_notifications_are_those_of_the_sending_rules() -> None:
    events = merged([START], scrapes({"m": "9x12 1x100"}), marks(25 * M))
    episode = only(run(events, one_rule("{alert: A, expr: m > 5}"), resend_delay_ms=1 * M))
    # Firing at 0, 75, 150 s: it is sent again when more than a minute has passed. Resolved at 195 s, and then for 15
    # minutes in the same rhythm.
    assert episode.sent_firing == 3
    assert episode.sent_resolved == 13
    assert run(events, one_rule("{alert: A, expr: m > 5}")).rules[0].notifications == 16


def test_the_peak_of_an_alert_that_asks_for_less_is_its_lowest_value() -> None:
    events = merged([START], scrapes({"m": "9 4 2 3 9"}), marks(1 * M))
    episode = only(run(events, one_rule("{alert: A, expr: m < 5}")))
    assert (episode.peak, episode.last) == (2, 3)


def test_a_block_that_came_after_an_evaluation_is_not_seen_by_it() -> None:
    blocks = scrapes({"m": "1 1 9 9 9"})
    late = RecordedBlock(blocks[2].at + 5 * S, Origin.SCRAPE, "t", blocks[2].block)
    events = merged([START], [*blocks[:2], late, *blocks[3:]], marks(1 * M))
    assert after(only(run(events, one_rule("{alert: A, expr: m > 5}"))).fired_at) == 45
    assert after(only(run(merged([START], blocks, marks(1 * M)), one_rule("{alert: A, expr: m > 5}"))).fired_at) == 30


def test_an_alert_whose_condition_is_true_at_the_first_evaluation_may_have_begun_before() -> None:
    events = merged([START], scrapes({'m{i="0"}': "9x9", 'm{i="1"}': "1 9x9"}), marks(2 * M))
    before, since = run(events, one_rule("{alert: A, expr: m > 5}")).episodes
    assert (before.labels.get("i"), before.since_before, since.labels.get("i"), since.since_before) == (
        *("0", True),
        *("1", False),
    )
    assert (before.ended_at, before.reason, before.why) == (None, None, "")


def test_after_a_restart_alerts_go_on_and_nothing_is_evaluated_in_between() -> None:
    first = merged([START], scrapes({"m": "1 9x40"}, start=0), marks(3 * M))
    first = [e for e in first if e.at <= T0 + 3 * M + S]
    again = T0 + 8 * M
    second = merged(
        [RecordedStart(again - S)],
        scrapes({"m": "9x3 1x9"}, start=8 * M),
        marks(8 * M, start=8 * M, may_fire=False, may_fire_with_range=False, may_resolve=False),
        marks(11 * M, start=8 * M + 15 * S),
    )
    report = run([*first, *second], one_rule("{alert: A, expr: m > 5, for: 10m}"))
    episode = only(report)
    assert after(episode.pending_since) == 15
    assert episode.fired_at is None
    assert after(episode.ended_at) == 8 * 60 + 60
    (gap,) = [c for c in report.caveats if c.kind.value == "gap"]
    assert (gap.start, gap.end) == (T0 + 3 * M + LATENCY, again - S)
    assert "the service was down" in gap.text


def test_a_recorded_series_is_made_anew_by_a_rule_of_the_test_and_read_as_it_is_otherwise() -> None:
    wrote = [
        RecordedBlock(at + LATENCY + 2, Origin.RULE, "r", block_of([Sample(Labels({METRIC_NAME: "r"}), at, 100.0)]))
        for at in range(T0, T0 + 2 * M, 15 * S)
    ]
    events = merged([START], scrapes({"m": "1 1 1 9x9"}), marks(2 * M), wrote)
    alert = "{alert: A, expr: r > 50}"
    assert after(only(run(events, one_rule(alert))).fired_at) == 15  # at 0 it was not written yet
    anew = specs(f"groups: [{{name: g, interval: 15s, rules: [{{record: r, expr: m * 10}}, {alert}]}}]")
    assert after(only(run(events, anew)).fired_at) == 45


def test_what_a_rule_of_the_service_wrote_after_an_evaluation_is_not_seen_by_it() -> None:
    series = Labels({METRIC_NAME: "r"})
    wrote = [
        RecordedBlock(T0 + at + LATENCY + 2, Origin.RULE, "r", block_of([Sample(series, T0 + at, value)]))
        for at, value in ((0, 1.0), (15 * S, 1.0), (30 * S, 1.0), (45 * S, 1.0), (60 * S, 100.0), (75 * S, 1.0))
    ]
    events = merged([START], scrapes({"m": "1x9"}), marks(2 * M), wrote)
    episode = only(run(events, one_rule("{alert: A, expr: r > 50}")))
    assert (after(episode.fired_at), after(episode.ended_at)) == (75, 90)


def test_failures_before_the_range_are_not_counted() -> None:
    events = merged([START], scrapes({'m{i="0"}': "1x9", 'm{i="1"}': "1x9"}), marks(1 * M))
    (bad,) = run(events, one_rule("{alert: Bad, expr: 'm > on () m'}"), start=30 * S).rules
    assert (bad.failed, bad.failures[0].count, after(bad.failures[0].first)) == (3, 3, 30)


def test_failures_and_selectors_without_a_series_are_told_of_their_rule() -> None:
    events = merged([START], scrapes({'m{i="0"}': "1x9", 'm{i="1"}': "1x9"}), marks(1 * M))
    rules = "{alert: Bad, expr: 'm > on () m'}, {alert: None, expr: 'nothing > 1 or m{i=\"7\"} > 1'}"
    bad, none = run(events, one_rule(rules)).rules
    assert (bad.failed, bad.failures[0].count, after(bad.failures[0].first)) == (5, 5, 0)
    assert "many-to-many" in bad.failures[0].error
    assert not bad.missing
    assert [str(m) for m in none.missing] == [
        "no sample of nothing in the recording",
        'no series matches m{i="7"}: m is there, with other labels',
    ]


def test_what_ended_before_the_range_is_left_out_but_its_for_counts() -> None:
    events = merged([START], scrapes({'m{i="0"}': "9x3 1x40", 'm{i="1"}': "1x8 9x40"}), marks(10 * M))
    report = run(events, one_rule("{alert: A, expr: m > 5, for: 2m}"), start=3 * M + 1)
    episode = only(report)
    assert (episode.labels.get("i"), after(episode.pending_since), after(episode.fired_at)) == ("1", 135, 255)
    assert report.first == T0 + 3 * M + 15 * S


def test_the_last_evaluation_of_a_range_has_its_scrapes_though_they_came_after_its_time() -> None:
    events = merged([START], scrapes({"m": "1 1 9 9 9"}), marks(1 * M))
    report = run(events, one_rule("{alert: A, expr: m > 5}"), end=30 * S)
    assert after(only(report).fired_at) == 30
    assert (after(report.last), report.evaluations) == (30, 3)


def test_two_rules_of_one_name_have_episodes_of_their_own() -> None:
    events = merged([START], scrapes({"m": "1 5 9 5 1"}), marks(1 * M))
    rules = "{alert: A, expr: m > 3, labels: {s: warn}}, {alert: A, expr: m > 7, labels: {s: page}}"
    report = run(events, one_rule(rules))
    assert [(e.labels.get("s"), e.rule.index, after(e.fired_at), after(e.ended_at)) for e in report.episodes] == [
        ("warn", 0, 15, 60),
        ("page", 1, 30, 45),
    ]
    assert [rule.fired for rule in report.rules] == [1, 1]


def test_templates_know_the_external_labels() -> None:
    events = merged([START], scrapes({"m": "1 9 9"}), marks(30 * S))
    rule = one_rule("{alert: A, expr: m > 5, annotations: {s: '{{ $externalLabels.site }}'}}")
    assert only(run(events, rule, external_labels=Labels.of(site="hz1"))).annotations == (("s", "hz1"),)


@pytest.mark.parametrize(("window", "fired"), [(0, []), (60 * S, [60]), (None, [60])])
def test_a_late_sample_of_remote_write_counts_as_the_configuration_says(window: int | None, fired: list[int]) -> None:
    labels = Labels({METRIC_NAME: "m"})

    def written(at: int, ts: int) -> RecordedBlock:
        return RecordedBlock(T0 + at, Origin.REMOTE_WRITE, "", block_of([Sample(labels, T0 + ts, 9.0)]))

    events = merged([START], [written(5 * S, 4 * S), written(50 * S, 50 * S), written(55 * S, 49 * S)], marks(2 * M))
    rule = one_rule("{alert: A, expr: 'count_over_time(m[5m]) > 2'}")
    assert [after(e.fired_at) for e in run(events, rule, out_of_order_ms=window).episodes] == fired
