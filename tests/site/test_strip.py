"""The strip: the states of an alert over the last hours."""

from __future__ import annotations

from dataclasses import replace

from rulepush.model.labels import Labels
from rulepush.rules.alert import AlertState, pending
from rulepush.site.strip import AlertChange, bands, changes_of

HOUR = 3_600_000
NOW = 1_700_000_000_000


def shown(*changes: tuple[int, str]) -> list[tuple[float, float, str]]:
    """Changes given in hours before now, of a strip of ten hours."""
    found = bands([AlertChange(NOW - hours * HOUR, state) for hours, state in changes], NOW, 10 * HOUR)
    return [(band.start, band.width, band.state) for band in found]


def test_a_state_lasts_until_the_next() -> None:
    assert shown((8, "pending"), (6, "firing"), (3, "inactive"), (1, "pending")) == [
        (20, 20, "pending"),
        (40, 30, "firing"),
        (90, 10, "pending"),
    ]


def test_changes_may_come_in_any_order() -> None:
    assert shown((1, "firing"), (2, "pending")) == [(80, 10, "pending"), (90, 10, "firing")]


def test_what_began_before_the_strip_begins_with_it() -> None:
    assert shown((30, "pending"), (20, "firing")) == [(0, 100, "firing")]
    assert shown((30, "firing"), (20, "inactive")) == []


def test_the_last_change_may_be_just_now() -> None:
    assert shown((0, "firing")) == [(99.5, 0.5, "firing")]
    assert shown() == []


def test_an_alert_tells_of_its_own_life() -> None:
    alert = pending(Labels(), (), 1.0, NOW)
    assert changes_of(alert) == [AlertChange(NOW, "pending")]
    fired = replace(alert, state=AlertState.FIRING, fired_at=NOW + HOUR)
    over = fired.resolve(NOW + 2 * HOUR)
    assert changes_of(over)[1:] == [AlertChange(NOW + HOUR, "firing"), AlertChange(NOW + 2 * HOUR, "inactive")]
