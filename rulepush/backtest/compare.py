"""What two versions of rules do otherwise on the same data: episodes that only one has, and those that moved."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from rulepush.backtest.episodes import Episode
from rulepush.backtest.report import BacktestReport
from rulepush.model.labels import ALERT_NAME


@dataclass(frozen=True, slots=True)
class MovedEpisode:
    """An episode that both versions have, at other times. In ms; positive is later, or longer, in the new version.

    `fired_by` is None where one of them did not fire, `ended_by` where one of them goes on.
    """

    old: Episode
    new: Episode
    fired_by: int | None
    ended_by: int | None
    longer_by: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`only_new` and `only_old` are episodes that fired in one version alone; `moved` fired in both, or in one of them
    while the other was pending only. `same` is how many fired alike."""

    only_new: tuple[Episode, ...]
    only_old: tuple[Episode, ...]
    moved: tuple[MovedEpisode, ...]
    same: int

    @property
    def is_same(self) -> bool:
        """Whether both versions fire alike."""
        return not (self.only_new or self.only_old or self.moved)


def compare(new: BacktestReport, old: BacktestReport) -> Comparison:
    """By alert name and labels; where the rules set other labels than before, by those of the series."""
    pairs: list[tuple[Episode, Episode]] = []
    left_new, left_old = list(new.episodes), list(old.episodes)
    set_by_rules = frozenset(new.rule_labels) | frozenset(old.rule_labels)
    for key in (_exact, lambda e: _of_series(e, set_by_rules)):
        found = _pairs(left_new, left_old, key, new.until, old.until)
        pairs += found
        taken_new, taken_old = {id(a) for a, _ in found}, {id(b) for _, b in found}
        left_new = [e for e in left_new if id(e) not in taken_new]
        left_old = [e for e in left_old if id(e) not in taken_old]
    moved, same = [], 0
    for a, b in sorted(pairs, key=lambda pair: pair[0].pending_since):
        if a.fired_at is None and b.fired_at is None:
            continue
        if a.fired_at == b.fired_at and a.ended_at == b.ended_at:
            same += 1
        else:
            moved.append(_moved(a, b, new.until, old.until))
    return Comparison(
        tuple(e for e in left_new if e.fired_at is not None),
        tuple(e for e in left_old if e.fired_at is not None),
        tuple(moved),
        same,
    )


def _exact(episode: Episode) -> Hashable:
    return episode.labels


def _of_series(episode: Episode, set_by_rules: frozenset[str]) -> Hashable:
    return episode.labels.get(ALERT_NAME), episode.labels.without(set_by_rules)


def _pairs(
    new: Sequence[Episode], old: Sequence[Episode], key: Callable[[Episode], Hashable], until_new: int, until_old: int
) -> list[tuple[Episode, Episode]]:
    """Those of the same key that overlap, the first with the first."""
    waiting: dict[Hashable, list[Episode]] = {}
    for episode in old:
        waiting.setdefault(key(episode), []).append(episode)
    found = []
    for episode in new:
        candidates = waiting.get(key(episode), [])
        for i, other in enumerate(candidates):
            begins_before = episode.pending_since <= (other.ended_at or until_old)
            if begins_before and other.pending_since <= (episode.ended_at or until_new):
                found.append((episode, candidates.pop(i)))
                break
    return found


def _moved(new: Episode, old: Episode, until_new: int, until_old: int) -> MovedEpisode:
    fired = None if new.fired_at is None or old.fired_at is None else new.fired_at - old.fired_at
    ended = None if new.ended_at is None or old.ended_at is None else new.ended_at - old.ended_at
    return MovedEpisode(old, new, fired, ended, new.firing_ms(until_new) - old.firing_ms(until_old))
