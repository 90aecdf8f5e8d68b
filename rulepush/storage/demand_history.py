"""Since when what a selector reads is kept: the demands of this run, and of those before whose samples were restored.

A demand that is wider than the former one keeps more from then on, not before; so a query needs to know both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rulepush.errors import RegexError
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.storage.demand import Demand, ManualDemand, Retention
from rulepush.storage.table import MARGIN_MS, MAX_AHEAD_MS, Table

MAX_EPOCHS: Final = 64
_NOTHING: Final = Demand.of(())


@dataclass(frozen=True, slots=True)
class Epoch:
    """The demand from `start` (ms) until the next epoch's."""

    start: int
    demand: Demand


@dataclass(frozen=True, slots=True)
class KeptSince:
    """What is certainly there of all series of a selector.

    `recorded`  samples that came later than this (ms) were kept at first,
    `dropped`   those up to this may be gone since,
    `windows`   except inside these (from, to), inclusive
    `retention` how long they are kept at present
    """

    recorded: int
    dropped: int
    windows: tuple[tuple[int, int], ...]
    retention: Retention

    @property
    def since(self) -> int:
        """The time from which on all is there."""
        return max(self.recorded, self.dropped)

    def holds(self, first: int, last: int, slack_ms: int = 0) -> bool:
        """Whether the samples after `first` and up to `last` (ms) are there. `slack_ms`: by how much the recording may
        have begun later, for a selector that reads the newest sample in that time."""
        if self.recorded > first + slack_ms:
            return False
        return self.dropped <= first or any(start <= first and last <= end for start, end in self.windows)


@dataclass(frozen=True, slots=True)
class KeptView:
    """The epochs as they are at `now` (ms); `newest` is the time of the newest sample, which may be ahead of it."""

    epochs: tuple[Epoch, ...]
    now: int
    newest: int

    @property
    def demand(self) -> Demand:
        """What is kept at present."""
        return self.epochs[-1].demand

    def kept(self, matchers: Sequence[Matcher]) -> KeptSince | None:
        """Since when all series that satisfy `matchers` are kept; None when some are not, or that is not known."""
        found: KeptSince | None = None
        ends = [*(epoch.start for epoch in self.epochs[1:]), self.now]
        for epoch, end in zip(self.epochs, ends, strict=True):
            retention = epoch.demand.retention_of(matchers)
            if retention is None:
                found = None
                continue
            # A row keeps what its look-back reaches from its newest sample, which may be ahead of the clock.
            newest = max(end, min(end + MAX_AHEAD_MS, self.newest))
            dropped = newest - retention.lookback_ms - MARGIN_MS
            if found is None:
                found = KeptSince(epoch.start, dropped, retention.windows, retention)
            else:
                windows = tuple(w for w in found.windows if w in retention.windows)
                found = KeptSince(found.recorded, max(found.dropped, dropped), windows, retention)
        return found


class DemandHistory:
    """The epochs up to now. `version` changes when they do."""

    def __init__(self, demand: Demand, now: int):
        self._epochs: list[Epoch] = [Epoch(now, demand)]
        self.version = 0

    def change(self, demand: Demand, now: int) -> None:
        """Another demand from `now` (ms) on."""
        if demand == self._epochs[-1].demand:
            return
        self._epochs = [*self._epochs, Epoch(now, demand)][-MAX_EPOCHS:]
        self.version += 1

    def view(self, now: int, tables: Iterable[Table] = ()) -> KeptView:
        """The history at `now`. `tables` tell the newest sample of what is asked for."""
        if any(epoch.start > now for epoch in self._epochs):  # the clock was set back, and samples of later went
            self._epochs = [Epoch(min(epoch.start, now), epoch.demand) for epoch in self._epochs]
            self.version += 1
        newest = max((int(table.newest().max(initial=0)) for table in tables), default=0)
        return KeptView(tuple(self._epochs), now, newest)

    def restore(self, text: str, until: int, bridged_ms: int) -> None:
        """Take over what `as_text` gave in the run before, whose samples came up to `until` (ms) and are there again.
        When it stopped for longer than `bridged_ms`, what came meanwhile is missing. Raises ValueError."""
        before = _decoded(text)
        first = self._epochs[0]
        gap = [Epoch(until, _NOTHING)] if first.start - until > bridged_ms else []
        before = [epoch for epoch in before if epoch.start <= min(until, first.start)]
        if before and not gap and before[-1].demand == first.demand:
            first = before.pop()
        self._epochs = [*before, *gap, first, *self._epochs[1:]][-MAX_EPOCHS:]
        self.version += 1

    def as_text(self) -> str:
        """For `restore` in the next run."""
        return json.dumps([[epoch.start, *_encoded(epoch.demand)] for epoch in self._epochs], ensure_ascii=False)


def _encoded(demand: Demand) -> list[Any]:
    return [
        demand.retention_ms,
        [[[[m.name, m.op.value, m.value] for m in u.matchers], u.lookback_ms, u.since_ms] for u in demand.uses],
    ]


def _decoded(text: str) -> list[Epoch]:
    try:
        return [
            Epoch(
                int(start),
                Demand(
                    [
                        ManualDemand(
                            tuple(Matcher(str(name), MatchOp(op), str(value)) for name, op, value in matchers),
                            int(lookback_ms),
                            None if since_ms is None else int(since_ms),
                        )
                        for matchers, lookback_ms, since_ms in uses
                    ],
                    None if retention_ms is None else int(retention_ms),
                ),
            )
            for start, retention_ms, uses in json.loads(text)
        ]
    except (TypeError, ValueError, RegexError) as e:
        raise ValueError(f"not a history of demands: {e}") from None
