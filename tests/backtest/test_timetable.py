"""When the groups of a test are evaluated: at the service's own moments, at those of others, or on a grid."""

from __future__ import annotations

from collections.abc import Sequence

from rulepush.backtest import Replay, ReplayOptions, Survey
from rulepush.recorded.events import RecordedEvent, RecordedStart
from rulepush.rules.specs import RuleGroup
from tests.backtest.world import T0, M, S, marks, merged, scrapes, specs

START = RecordedStart(T0 - 1 * S)


class Watched(Replay):
    """Notes the evaluations, in seconds after T0, with the name of the group."""

    def __init__(self, events: Sequence[RecordedEvent], groups: Sequence[RuleGroup], **options: object):
        self.seen: list[tuple[float, str]] = []
        super().__init__(groups, ReplayOptions(**options), Survey.of(events))  # type: ignore[arg-type]
        for event in events:
            self.take(event)
        self.finish(max(event.at for event in events))

    def _evaluate(self, step: object, found: frozenset[int] | None) -> None:
        group = self.groups[step.group]  # type: ignore[attr-defined]
        self.seen.append(((step.ts - T0) / S, group.name))  # type: ignore[attr-defined]
        super()._evaluate(step, found)  # type: ignore[arg-type]


def group(name: str, interval: str = "15s", file: str = "r.yml") -> tuple[RuleGroup, ...]:
    """A group with one rule."""
    every = f"interval: {interval}, " if interval else ""
    return specs(f"groups: [{{name: {name}, {every}rules: [{{alert: A, expr: m > 5}}]}}]", file)


def times(replay: Watched) -> list[float]:
    """When it evaluated."""
    return [at for at, _ in replay.seen]


def test_a_group_that_was_recorded_is_evaluated_at_its_own_moments_also_those_that_the_service_missed() -> None:
    own = [mark for mark in marks(2 * M) if mark.at != T0 + 45 * S]
    events = merged([START], scrapes({"m": "1x9"}), own, marks(2 * M, group="other", file="o.yml"))
    assert times(Watched(events, group("g"))) == [0, 15, 30, 60, 75, 90, 105, 120]


def test_a_recorded_group_is_known_by_its_name_when_its_file_has_another_path() -> None:
    events = merged([START], scrapes({"m": "1x3"}), marks(1 * M, 15 * S, start=7 * S), marks(1 * M, group="other"))
    assert times(Watched(events, group("g", file="/elsewhere/new.yml"))) == [7, 22, 37, 52]


def test_a_new_group_is_evaluated_when_another_one_of_its_interval_is() -> None:
    events = merged([START], scrapes({"m": "1x9"}), marks(2 * M, 30 * S, start=4 * S), marks(2 * M, group="other"))
    assert times(Watched(events, group("new", "30s"))) == [4, 34, 64, 94]


def test_a_group_of_another_interval_is_evaluated_on_the_same_grid() -> None:
    events = merged(scrapes({"m": "1x9"}, step_ms=5 * S), marks(1 * M, start=4 * S))
    assert times(Watched(events, group("new", "5s"))) == [4, 9, 14, 19, 24, 29, 34, 39, 44, 49]


def test_the_interval_is_that_of_the_option_of_the_group_of_the_configuration_or_of_the_recording() -> None:
    events = merged([START], scrapes({"m": "1x4"}), marks(1 * M, 30 * S))
    assert times(Watched(events, group("g", ""))) == [0, 30, 60]
    assert times(Watched(events, group("g", ""), default_interval_ms=15 * S)) == [0, 15, 30, 45, 60]
    assert times(Watched(events, group("g", "30s"), default_interval_ms=15 * S)) == [0, 30, 60]
    assert times(Watched(events, group("g", "30s"), interval_ms=60 * S)) == [0, 60]


def test_without_recorded_evaluations_everything_of_a_moment_is_there_when_it_comes() -> None:
    base = T0 - T0 % (60 * S) + 60 * S - T0
    events = scrapes({"m": "1x8"}, start=base)
    assert events[0].block.ts == T0 + base
    found = Watched(events, group("new"))
    assert [at * S - base for at in times(found)] == [
        0,
        15 * S,
        30 * S,
        45 * S,
        60 * S,
        75 * S,
        90 * S,
        105 * S,
        120 * S,
    ]


def test_nothing_is_evaluated_while_the_service_was_down() -> None:
    base = T0 - T0 % (60 * S) + 60 * S - T0
    first = scrapes({"m": "1x3"}, start=base)
    again = scrapes({"m": "1x3"}, start=base + 10 * M)
    events: list[RecordedEvent] = [*first, RecordedStart(T0 + base + 10 * M - 5 * S), *again]
    found = [at - base // S for at in times(Watched(events, group("new")))]
    assert found == [0, 15, 30, 45, 600, 615, 630, 645]


def test_a_group_whose_evaluations_end_in_the_recording_goes_on_with_those_of_others() -> None:
    own = marks(2 * M)
    others = marks(6 * M, group="other")
    found = times(Watched(merged([START], scrapes({"m": "1x24"}), own, others), group("g")))
    assert found[:9] == [0, 15, 30, 45, 60, 75, 90, 105, 120]
    assert found[9:] == [float(at) for at in range(int(found[9]), 361, 15)]
    assert 120 < found[9] <= 120 + 5 * 15


def test_a_group_goes_on_by_the_grid_when_no_evaluations_are_recorded_any_more() -> None:
    found = times(Watched(merged([START], scrapes({"m": "1x40"}), marks(2 * M)), group("g")))
    rest = [at for at in found if at > 120]
    assert rest
    assert all(at % 15 == 0 for at in rest)
    assert rest[-1] == 600


def test_groups_of_one_moment_are_evaluated_in_the_order_of_the_recording() -> None:
    b_first = [mark for pair in zip(marks(30 * S, group="b"), marks(30 * S, group="a"), strict=True) for mark in pair]
    found = Watched(merged([START], scrapes({"m": "1x3"}), b_first), group("a") + group("b", file="s.yml"))
    assert found.seen[:4] == [(0, "b"), (0, "a"), (15, "b"), (15, "a")]


def test_the_scrapes_of_a_moment_come_before_its_evaluation_on_the_grid() -> None:
    base = T0 - T0 % (60 * S) + 60 * S - T0
    found = Watched(scrapes({"m": "1 1 1 1 9 9 9"}, start=base), group("new"))
    (episode,) = found.rules[0].episodes()
    assert episode.pending_since == T0 + base + 60 * S
    assert not episode.since_before
