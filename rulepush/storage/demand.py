"""Demand: what the rules need, and so what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from rulepush.model.durations import format_duration
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher, MatchOp, exact_metric_name

_NAMES_REMEMBERED: Final = 65_536


class SelectorDemand(Protocol):
    """One selector as an expression uses it; `promql.SelectorUse` is one."""

    @property
    def matchers(self) -> tuple[Matcher, ...]: ...
    @property
    def lookback_ms(self) -> int: ...
    @property
    def since_ms(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class ManualDemand:
    """A demand made by hand: for what no expression names (`ALERTS` for the API, for instance)."""

    matchers: tuple[Matcher, ...]
    lookback_ms: int
    since_ms: int | None = None

    @classmethod
    def metric(cls, name: str, lookback_ms: int) -> ManualDemand:
        """All series of one metric."""
        return cls((Matcher(METRIC_NAME, MatchOp.EQUAL, name),), lookback_ms)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a metric's samples are needed.

    `lookback_ms`  up to this long before the newest
    `windows`      and, whatever their age, inside these (from, to), inclusive, which fixed `@` times ask for
    """

    lookback_ms: int
    windows: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class KeptSelector:
    """One line of `Demand.describe`."""

    selector: str
    lookback_ms: int

    def __str__(self) -> str:
        return f"{self.selector} for {format_duration(self.lookback_ms)}"


class Demand:
    """Which series are wanted, and how far back. Immutable; a reload makes a new one."""

    def __init__(self, uses: Iterable[SelectorDemand], retention_ms: int | None):
        """Use `of` or `keep_all`."""
        self._retention_ms = retention_ms
        self._uses = _merge(uses)
        self._named: dict[str, list[SelectorDemand]] = {}
        self._nameless: list[SelectorDemand] = []
        for use in self._uses:
            name = exact_metric_name(use.matchers)
            if name is None:
                self._nameless.append(use)
            else:
                self._named.setdefault(name, []).append(use)
        self._by_name: dict[str, tuple[SelectorDemand, ...]] = {}

    @classmethod
    def of(cls, uses: Iterable[SelectorDemand]) -> Demand:
        """What these selectors need, and nothing else."""
        return cls(uses, None)

    @classmethod
    def keep_all(cls, retention_ms: int, uses: Iterable[SelectorDemand] = ()) -> Demand:
        """Everything, for `retention_ms`, and longer where a selector of `uses` looks back further."""
        return cls(uses, retention_ms)

    @property
    def keeps_all(self) -> bool:
        """Whether it was made by `keep_all`."""
        return self._retention_ms is not None

    def wants(self, labels: Labels) -> bool:
        """Whether any selector may read this series."""
        if self._retention_ms is not None:
            return True
        return any(all(m.matches_labels(labels) for m in use.matchers) for use in self._uses_of(labels.name))

    def wants_name(self, name: str) -> bool:
        """Whether any selector may read a series of this metric; False decides without building its labels."""
        return self._retention_ms is not None or bool(self._uses_of(name))

    def keep(self, name: str) -> Retention:
        """How long samples of this metric are needed."""
        uses = self._uses_of(name)
        rolling = [use.lookback_ms for use in uses if use.since_ms is None]
        # A fixed time may be given as the start or as the end of what it needs: the window covers both readings.
        windows = {
            (use.since_ms - use.lookback_ms, use.since_ms + use.lookback_ms) for use in uses if use.since_ms is not None
        }
        return Retention(max([*rolling, self._retention_ms or 0]), tuple(sorted(windows)))

    def describe(self) -> list[KeptSelector]:
        """What is kept, one line a selector, sorted; for `check config` and the log."""
        found = [KeptSelector(_selector_text(use.matchers), use.lookback_ms) for use in self._uses]
        if self._retention_ms is not None:
            found.append(KeptSelector("everything", self._retention_ms))
        return sorted(found, key=lambda k: (k.selector, k.lookback_ms))

    def _uses_of(self, name: str) -> tuple[SelectorDemand, ...]:
        known = self._by_name.get(name)
        if known is None:
            nameless = [
                use for use in self._nameless if all(m.matches(name) for m in use.matchers if m.name == METRIC_NAME)
            ]
            known = (*self._named.get(name, ()), *nameless)
            if len(self._by_name) >= _NAMES_REMEMBERED:
                self._by_name.clear()
            self._by_name[name] = known
        return known


def _merge(uses: Iterable[SelectorDemand]) -> tuple[SelectorDemand, ...]:
    """One use a set of matchers (and fixed time), with the longest look-back."""
    longest: dict[tuple[frozenset[Matcher], int | None], SelectorDemand] = {}
    for use in uses:
        key = (frozenset(use.matchers), use.since_ms)
        if key not in longest or longest[key].lookback_ms < use.lookback_ms:
            longest[key] = use
    return tuple(longest.values())


def _selector_text(matchers: Sequence[Matcher]) -> str:
    name = exact_metric_name(matchers)
    rest = [str(m) for m in matchers if not (m.name == METRIC_NAME and m.op is MatchOp.EQUAL)]
    if name is None:
        return "{" + ",".join(rest) + "}"
    return name + ("{" + ",".join(rest) + "}" if rest else "")
