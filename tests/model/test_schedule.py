from __future__ import annotations

from rulepush.model.schedule import TickGrid, next_tick, phase_ms


def test_the_next_moment_is_not_before_now() -> None:
    assert next_tick(1000, 500, 0) == 1000
    assert next_tick(1001, 500, 0) == 1500
    assert next_tick(1000, 500, 100) == 1100
    assert next_tick(1101, 500, 100) == 1600


def test_a_longer_grid_falls_on_the_shorter_one() -> None:
    grid = TickGrid("replica-1")
    moment = grid.next_tick(1_700_000_000_000, 60_000)
    assert grid.next_tick(moment, 15_000) == moment
    assert grid.next_tick(moment, 5_000) == moment


def test_replicas_do_not_scrape_in_step() -> None:
    phases = {phase_ms(f"replica-{i}", 60_000) for i in range(100)}
    assert len(phases) > 95
    assert all(0 <= p < 60_000 for p in phases)
