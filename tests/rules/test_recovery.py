"""What rules may believe after a restart, of one alert."""

from __future__ import annotations

from rulepush.rules.alert import Timing
from rulepush.rules.recovery import RestorePolicy, restored
from tests.rules.test_alert import M, firing, fresh


class TestRestart:
    """docs/restart.md, line by line."""

    policy = RestorePolicy()

    def test_firing_stays_firing_however_long_it_took(self) -> None:
        alert = firing(3)
        assert restored(alert, 10, 100 * 60 * M, Timing(30 * M), self.policy) == alert

    def test_firing_is_sent_again_at_once_for_the_last_sending_may_have_been_lost(self) -> None:
        alert = firing(3).sent(5, 4 * M)
        again = restored(alert, 10, 20, Timing(30 * M), self.policy)
        assert again is not None
        assert (again.state, again.fired_at, again.needs_sending(20, M)) == (alert.state, alert.fired_at, True)

    def test_a_short_downtime_leaves_the_clock_alone(self) -> None:
        alert = fresh()
        assert restored(alert, 2 * M, 7 * M, Timing(30 * M), self.policy) is alert

    def test_the_clock_stands_still_during_a_longer_one(self) -> None:
        alert = restored(fresh(), 5 * M, 25 * M, Timing(30 * M), self.policy)
        assert alert is not None
        assert alert.active_at + 30 * M == 25 * M + 25 * M  # 25 minutes were left

    def test_at_least_the_grace_period_is_left(self) -> None:
        alert = restored(fresh(), 29 * M, 49 * M, Timing(30 * M), self.policy)
        assert alert is not None
        assert alert.active_at + 30 * M == 49 * M + 10 * M

    def test_a_for_below_the_grace_period_has_to_wait_for_itself(self) -> None:
        alert = restored(fresh(), 4 * M, 24 * M, Timing(5 * M), self.policy)
        assert alert is not None
        assert alert.active_at == 24 * M

    def test_beyond_the_tolerance_it_starts_anew(self) -> None:
        assert restored(fresh(), 0, 60 * M, Timing(90 * M), self.policy) is not None
        assert restored(fresh(), 0, 60 * M + 1, Timing(90 * M), self.policy) is None
