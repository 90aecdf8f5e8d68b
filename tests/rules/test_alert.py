"""The state machine alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rulepush.errors import IllegalTransition
from rulepush.model.labels import Labels
from rulepush.rules.alert import (
    RESOLVED_RETENTION_MS,
    Alert,
    AlertState,
    Timing,
    advance,
    describe_change,
    pending,
    worst,
)

L = Labels.of(alertname="a")
S, M = 1000, 60_000
NOW = Timing(0, 0)


def fresh(ts: int = 0) -> Alert:
    return pending(L, (), 1.0, ts)


def firing(ts: int = 0) -> Alert:
    return fresh(ts).fire(ts)


@pytest.mark.parametrize(
    ("alert", "call"),
    [
        (firing(), lambda a: a.fire(1)),
        (firing().resolve(1), lambda a: a.fire(2)),
        (fresh(), lambda a: a.resolve(1)),
        (firing().resolve(1), lambda a: a.resolve(2)),
        (firing().resolve(1), lambda a: a.seen((), 1.0)),
        (fresh(), lambda a: a.keep(1)),
        (firing().resolve(1), lambda a: a.keep(2)),
        (firing().resolve(1), lambda a: a.hold(2)),
        (fresh(), lambda a: a.sent(1, 1)),
        (fresh(), lambda a: a.wait_again()),
        (firing().resolve(1), lambda a: a.wait_again()),
    ],
)
def test_an_illegal_transition_raises_and_changes_nothing(alert: Alert, call: Callable[[Alert], Alert]) -> None:
    before = replace(alert)
    with pytest.raises(IllegalTransition):
        call(alert)
    assert alert == before


def test_without_for_it_fires_at_once() -> None:
    alert = advance(fresh(5), 5, NOW, present=True)
    assert alert is not None
    assert (alert.state, alert.active_at, alert.fired_at) == (AlertState.FIRING, 5, 5)


@pytest.mark.parametrize(("elapsed", "state"), [(59_999, AlertState.PENDING), (60_000, AlertState.FIRING)])
def test_it_fires_when_for_is_over_to_the_millisecond(elapsed: int, state: AlertState) -> None:
    alert = advance(fresh(), elapsed, Timing(M), present=True)
    assert alert is not None
    assert alert.state is state


def test_a_missing_pending_alert_is_forgotten() -> None:
    assert advance(fresh(), 1, Timing(M), present=False) is None


def test_a_missing_firing_alert_resolves() -> None:
    alert = advance(firing(), 7, NOW, present=False)
    assert alert is not None
    assert (alert.state, alert.resolved_at, alert.fired_at) == (AlertState.INACTIVE, 7, 0)


def test_a_resolved_alert_is_kept_for_fifteen_minutes_and_no_longer() -> None:
    alert = firing().resolve(10)
    assert advance(alert, 10 + RESOLVED_RETENTION_MS, NOW, present=False) is alert
    assert advance(alert, 11 + RESOLVED_RETENTION_MS, NOW, present=False) is None


def test_keep_firing_for_counts_from_the_first_time_it_was_missing() -> None:
    timing = Timing(0, 2 * M)
    alert = advance(firing(), 100, timing, present=False)
    assert alert is not None
    assert (alert.state, alert.keep_firing_since) == (AlertState.FIRING, 100)
    alert = advance(alert, 99 + 2 * M, timing, present=False)
    assert alert is not None
    assert alert.state is AlertState.FIRING
    alert = advance(alert, 100 + 2 * M, timing, present=False)
    assert alert is not None
    assert (alert.state, alert.resolved_at) == (AlertState.INACTIVE, 100 + 2 * M)


def test_keep_firing_ends_at_once_when_it_comes_back() -> None:
    timing = Timing(0, 2 * M)
    alert = advance(firing(), 100, timing, present=False)
    assert alert is not None
    back = alert.seen((), 2.0)
    assert back.keep_firing_since is None
    again = advance(back, 300, timing, present=False)
    assert again is not None
    assert again.keep_firing_since == 300


def test_a_firing_alert_waits_again_when_for_is_longer_than_it_is_active() -> None:
    alert = firing().sent(0, 4 * M)
    again = advance(alert, 2 * M - 1, Timing(2 * M), present=True)
    assert again == fresh()
    assert advance(alert, 2 * M, Timing(2 * M), present=True) is alert


def test_a_firing_alert_that_is_kept_waits_again_too_and_is_then_forgotten() -> None:
    timing = Timing(5 * M, 2 * M)
    again = advance(firing(), M, timing, present=False)
    assert again == fresh()
    assert advance(fresh(), 2 * M, timing, present=False) is None


def test_a_firing_alert_whose_target_is_down_does_not_wait_again() -> None:
    held = advance(firing(), M, Timing(5 * M), present=False, held=True)
    assert held is not None
    assert held.state is AlertState.FIRING


def test_a_clock_set_back_does_not_make_a_firing_alert_wait_again() -> None:
    timing = Timing(5 * M)
    alert = replace(fresh(100 * M), state=AlertState.FIRING, fired_at=105 * M)
    for ts in (102 * M, 50 * M):
        after = advance(alert, ts, timing, present=True)
        assert after is not None
        assert after.state is AlertState.FIRING


def test_pending_is_never_sent() -> None:
    assert not fresh().needs_sending(10 * M, M)


def test_it_is_sent_first_at_once_and_then_when_more_than_the_delay_has_passed() -> None:
    alert = firing()
    assert alert.needs_sending(0, M)
    sent = alert.sent(0, 4 * M)
    assert sent.valid_until == 4 * M
    assert not sent.needs_sending(M, M)
    assert sent.needs_sending(M + 1, M)


def test_a_resolution_is_sent_at_once_and_then_on_the_same_rhythm() -> None:
    alert = firing().sent(0, 1).resolve(10)
    assert alert.needs_sending(10, M)
    again = alert.sent(10, 1)
    assert not again.needs_sending(10 + M, M)
    assert again.needs_sending(11 + M, M)


def test_a_clock_set_back_neither_silences_nor_floods() -> None:
    alert = firing(100 * M).sent(100 * M, M)
    assert alert.needs_sending(50 * M, M)
    resolved = firing(100 * M).sent(100 * M, M).resolve(101 * M).sent(50 * M, M)
    assert not resolved.needs_sending(50 * M + 30 * S, M)
    assert resolved.needs_sending(51 * M + 1, M)
    moved = advance(fresh(100 * M), 50 * M, Timing(M), present=True)
    assert moved is not None
    assert moved.active_at == 50 * M


def test_held_keeps_either_state() -> None:
    for alert in (fresh(), firing()):
        held = advance(alert, 5, Timing(M), present=False, held=True)
        assert held is not None
        assert (held.state, held.held_since) == (alert.state, 5)
        assert held.seen((), 1.0).held_since is None


def test_the_worst_state_of_a_rule() -> None:
    assert worst([]) is AlertState.INACTIVE
    assert worst([AlertState.PENDING, AlertState.INACTIVE]) is AlertState.PENDING
    assert worst([AlertState.PENDING, AlertState.FIRING]) is AlertState.FIRING


def test_a_change_is_reported_with_its_reason() -> None:
    timing = Timing(M)
    assert describe_change(None, fresh(), 0, timing) == "INACTIVE => PENDING (in the result, fires after 1m)"
    assert describe_change(fresh(), fresh().fire(M), M, timing) == "PENDING => FIRING (active for 1m)"
    assert describe_change(firing(), firing().resolve(5), 5, timing) == "FIRING => INACTIVE (no longer in the result)"
    assert describe_change(fresh(), None, 5, timing) == "PENDING => INACTIVE (no longer in the result)"
    assert describe_change(firing(), firing(), 5, timing) is None
    assert describe_change(firing(), fresh(), 5 * S, timing) == (
        "FIRING => PENDING (active for 5s, and `for` is 1m now)"
    )
