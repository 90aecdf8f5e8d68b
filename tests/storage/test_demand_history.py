"""Since when a selector is kept, over reloads and restarts."""

from __future__ import annotations

import pytest

from rulepush.promql import parse_selector
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.demand_history import MAX_EPOCHS, DemandHistory
from rulepush.storage.table import MARGIN_MS

M = 60_000
H = 60 * M
T0 = 1_700_000_000_000


def keeping(minutes: int, *selectors: str, since: int | None = None) -> Demand:
    return Demand.of([ManualDemand(parse_selector(text), minutes * M, since) for text in selectors])


def since(history: DemandHistory, selector: str, now: int) -> tuple[int, int] | None:
    """Minutes after T0: recorded, dropped (without the margin)."""
    kept = history.view(now).kept(parse_selector(selector))
    if kept is None:
        return None
    return (kept.recorded - T0) // M, (kept.dropped + MARGIN_MS - T0) // M


def test_a_selector_is_recorded_since_the_demand_that_covered_it_first() -> None:
    history = DemandHistory(keeping(60, 'up{job="a"}'), T0)
    history.change(keeping(60, 'up{job="a"}', "memory"), T0 + 5 * M)
    history.change(keeping(60, "up", "memory"), T0 + 7 * M)
    assert since(history, 'up{job="a"}', T0 + 10 * M) == (0, -50)
    assert since(history, "memory", T0 + 10 * M) == (5, -50)
    assert since(history, "up", T0 + 10 * M) == (7, -50)
    assert since(history, "other", T0 + 10 * M) is None


def test_what_a_reload_left_out_begins_anew() -> None:
    history = DemandHistory(keeping(5, "x"), T0)
    history.change(keeping(5, "y"), T0 + 2 * M)
    history.change(keeping(5, "x"), T0 + 3 * M)
    assert since(history, "x", T0 + 4 * M) == (3, -1)


def test_a_longer_look_back_does_not_bring_back_what_the_shorter_one_dropped() -> None:
    history = DemandHistory(keeping(5, "x"), T0)
    history.change(keeping(60, "x"), T0 + 30 * M)
    assert since(history, "x", T0 + 40 * M) == (0, 25)
    assert since(history, "x", T0 + 90 * M) == (0, 30)


def test_a_fixed_time_is_kept_as_long_as_each_demand_names_it() -> None:
    fixed = keeping(5, "x", since=T0 + M)
    history = DemandHistory(fixed, T0)

    def windows() -> tuple[tuple[int, int], ...]:
        kept = history.view(T0 + 2 * H).kept(parse_selector("x"))
        assert kept is not None
        return kept.windows

    assert windows() == ((T0 - 4 * M, T0 + 6 * M),)
    history.change(keeping(7, "x"), T0 + 30 * M)
    assert windows() == ()
    history.change(fixed, T0 + 31 * M)
    assert windows() == ()


def test_the_same_demand_again_changes_nothing() -> None:
    history = DemandHistory(keeping(5, "x"), T0)
    for minute in range(2 * MAX_EPOCHS):
        history.change(keeping(5, "x"), T0 + minute * M)
    assert history.version == 0
    assert since(history, "x", T0 + 200 * M) == (0, 195)


def test_the_history_is_bounded_and_then_claims_less() -> None:
    history = DemandHistory(keeping(60, "x"), T0)
    for minute in range(1, 2 * MAX_EPOCHS):
        history.change(keeping(60, "x", f"y{minute % 2}"), T0 + minute * M)
    assert len(history.view(T0 + 200 * M).epochs) == MAX_EPOCHS
    assert since(history, "x", T0 + 200 * M) == (MAX_EPOCHS, 140)


def test_a_clock_that_was_set_back_makes_nothing_missing() -> None:
    history = DemandHistory(keeping(5, "x"), T0)
    history.change(keeping(60, "x"), T0 + 10 * M)
    assert since(history, "x", T0 - 30 * M) == (-30, -35)
    assert since(history, "x", T0 + 30 * M) == (-30, -30)


# --- restarts


def restarted(demand: Demand, *, until: int, now: int, before: DemandHistory) -> DemandHistory:
    history = DemandHistory(demand, now)
    history.restore(before.as_text(), until, 5 * M)
    return history


def test_a_short_restart_is_as_if_there_had_been_none() -> None:
    before = DemandHistory(keeping(60, "x"), T0)
    after = restarted(keeping(60, "x"), until=T0 + 10 * M, now=T0 + 12 * M, before=before)
    assert since(after, "x", T0 + 20 * M) == (0, -40)
    assert len(after.view(T0 + 20 * M).epochs) == 1


def test_a_restart_with_other_rules_is_a_change_of_the_demand() -> None:
    before = DemandHistory(keeping(5, 'x{job="a"}', "y"), T0)
    after = restarted(keeping(60, "x", "y"), until=T0 + 10 * M, now=T0 + 10 * M, before=before)
    assert since(after, "x", T0 + 20 * M) == (10, -40)
    assert since(after, 'x{job="a"}', T0 + 20 * M) == (0, 5)


def test_what_came_while_it_did_not_run_is_missing() -> None:
    before = DemandHistory(keeping(60, "x"), T0)
    after = restarted(keeping(60, "x"), until=T0 + 10 * M, now=T0 + 16 * M, before=before)
    assert since(after, "x", T0 + 20 * M) == (16, -40)


def test_a_history_of_everything_comes_back_too() -> None:
    fixed = [ManualDemand(parse_selector(r'{a=~"ü.*",b!="\""}'), 5 * M, T0)]
    before = DemandHistory(Demand.keep_all(15 * M, fixed), T0)
    after = restarted(Demand.keep_all(15 * M, fixed), until=T0 + M, now=T0 + M, before=before)
    assert after.as_text() == before.as_text()
    assert since(after, "anything", T0 + 20 * M) == (0, 5)


@pytest.mark.parametrize(
    "text", ["", "7", "[[1]]", '[["a", null, []]]', '[[1, null, [[[["a", "=~", "("]], 1, null]]]]']
)
def test_a_damaged_history_is_refused(text: str) -> None:
    history = DemandHistory(keeping(5, "x"), T0)
    with pytest.raises(ValueError, match="not a history of demands"):
        history.restore(text, T0, 0)
    assert since(history, "x", T0 + M) == (0, -4)
