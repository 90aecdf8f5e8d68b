"""When an alert was pending, firing, held."""

from __future__ import annotations

from rulepush.history.spans import SpanKind, StateSpan, state_spans
from rulepush.rules.alert import Alert, pending
from rulepush.rules.transition import ChangeReason, Transition
from tests.history.telling import LABELS, T0, moved

PENDING, FIRING, HELD, KEPT = SpanKind.PENDING, SpanKind.FIRING, SpanKind.HELD, SpanKind.KEPT


def spans(
    found: list[Transition], current: Alert | None, start: int = 0, end: int = 100
) -> list[tuple[int, int, SpanKind]]:
    """`found` as they happened."""
    got = state_spans(found[::-1], current, T0 + start, T0 + end)
    return [(span.start - T0, span.end - T0, span.kind) for span in got]


def alert(active_at: int = 0) -> Alert:
    return pending(LABELS, (), 1.0, T0 + active_at)


def test_a_whole_life() -> None:
    life = [moved(10, "inactive", "pending"), moved(30, "pending", "firing"), moved(60, "firing", "inactive")]
    assert spans(life, None) == [(10, 30, PENDING), (30, 60, FIRING)]


def test_what_goes_on_reaches_the_end() -> None:
    assert spans([moved(10)], alert(10).fire(T0 + 10)) == [(10, 100, FIRING)]


def test_what_was_before_the_start_is_what_the_first_transition_changed() -> None:
    assert spans([moved(60, "firing", "inactive")], None, start=50) == [(50, 60, FIRING)]


def test_an_alert_that_did_not_change_is_what_it_is() -> None:
    assert spans([], alert(-50)) == [(0, 100, PENDING)]
    assert spans([], alert(20).fire(T0 + 40)) == [(20, 40, PENDING), (40, 100, FIRING)]
    assert spans([], alert(-9).fire(T0 - 9).hold(T0 + 70)) == [(0, 100, FIRING), (70, 100, HELD)]
    assert spans([], None) == []


def test_holding_and_keeping_lie_within_a_state() -> None:
    life = [
        moved(10),
        moved(20, "firing", "firing", reason=ChangeReason.TARGET_DOWN_HELD),
        moved(40, "firing", "firing", reason=ChangeReason.SEEN_AGAIN),
        moved(50, "firing", "firing", reason=ChangeReason.KEPT_FIRING),
        moved(70, "firing", "inactive", reason=ChangeReason.CONDITION_FALSE),
    ]
    assert spans(life, None) == [(10, 70, FIRING), (20, 40, HELD), (50, 70, KEPT)]


def test_transitions_of_one_time_happened_in_the_order_in_which_they_were_recorded() -> None:
    life = [
        moved(10, "inactive", "pending"),
        moved(40, "pending", "inactive", reason=ChangeReason.STARTED_OVER),
        moved(40, "inactive", "pending"),
    ]
    assert spans(life, alert(40)) == [(10, 40, PENDING), (40, 100, PENDING)]


def test_a_span_that_nothing_ends_is_cut_where_the_alert_is_gone() -> None:
    assert spans([moved(10, "inactive", "pending"), moved(30, "pending", "firing")], None) == [(10, 30, PENDING)]


def test_the_type_of_a_span() -> None:
    assert state_spans([moved(5)], alert(5).fire(T0 + 5), T0, T0 + 9) == [StateSpan(T0 + 5, T0 + 9, FIRING)]
