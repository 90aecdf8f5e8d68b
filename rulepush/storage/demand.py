"""Demand: what the rules need, and so what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, Protocol

from rulepush.model.durations import format_duration
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher, MatchOp, exact_metric_name, may_name, selector_text
from rulepush.storage.coverage import Conditions, covering

_NAMES_REMEMBERED: Final = 65_536
_SELECTORS_REMEMBERED: Final = 4096
_MAX_NAMES: Final = 64  # names of one selector that are checked one by one


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
        return cls((exactly_named(name),), lookback_ms)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a metric's samples are needed.

    `lookback_ms`  up to this long before the newest
    `windows`      and, whatever their age, inside these (from, to), inclusive, which fixed `@` times ask for
    """

    lookback_ms: int
    windows: tuple[tuple[int, int], ...] = ()

    def common(self, other: Retention) -> Retention:
        """What both keep."""
        windows = tuple(w for w in self.windows if w in other.windows)
        return Retention(min(self.lookback_ms, other.lookback_ms), windows)


_FOR_EVER: Final = Retention(1 << 62)  # of a selector that no series satisfies


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
        self._merged = _merge(uses)
        self._uses = tuple(self._merged.values())
        self._named: dict[str, list[SelectorDemand]] = {}
        self._nameless: list[SelectorDemand] = []
        for use in self._uses:
            name = exact_metric_name(use.matchers)
            if name is None:
                self._nameless.append(use)
            else:
                self._named.setdefault(name, []).append(use)
        self._by_name: dict[str, tuple[SelectorDemand, ...]] = {}
        self._compared: dict[str, frozenset[str]] = {}
        self._covered: dict[tuple[Matcher, ...], Retention | None] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Demand) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self._retention_ms, *self._merged))

    def _key(self) -> object:
        return self._retention_ms, {key: use.lookback_ms for key, use in self._merged.items()}

    @property
    def retention_ms(self) -> int | None:
        """For how long everything is kept; None when only what `uses` need is."""
        return self._retention_ms

    @property
    def uses(self) -> tuple[SelectorDemand, ...]:
        """The selectors that it is made of, each set of matchers (and fixed time) once."""
        return self._uses

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

    def names_compared(self, name: str) -> frozenset[str]:
        """The labels that decide which series of this metric are wanted, the name of the metric itself included."""
        known = self._compared.get(name)
        if known is None:
            uses = () if self._retention_ms is not None else self._uses_of(name)
            if len(self._compared) >= _NAMES_REMEMBERED:
                self._compared.clear()
            known = self._compared[name] = frozenset(m.name for use in uses for m in use.matchers)
        return known

    def keep(self, name: str) -> Retention:
        """How long samples of this metric are needed."""
        uses = self._uses_of(name)
        return _longest(uses, self._retention_ms or 0)

    def retention_of(self, matchers: Sequence[Matcher]) -> Retention | None:
        """How long the samples of every series that satisfies `matchers` are kept, whatever series there are; None
        when some might be dropped, or when that would take too long to find out."""
        key = tuple(matchers)
        if key not in self._covered:
            if len(self._covered) >= _SELECTORS_REMEMBERED:
                self._covered.clear()
            self._covered[key] = self._retention_of(key)
        return self._covered[key]

    def _retention_of(self, matchers: tuple[Matcher, ...]) -> Retention | None:
        names = Conditions(matchers).values(METRIC_NAME)
        if names is None or len(names) > _MAX_NAMES:
            parts = covering(matchers, [use.matchers for use in self._nameless])
            if parts is None:
                return None if self._retention_ms is None else Retention(self._retention_ms)
            kept = [_longest([self._nameless[i] for i in part], self._retention_ms or 0) for part in parts]
            return reduce(Retention.common, kept)
        for name in names:
            found = [use.matchers for use in self._uses_of(name)]
            if self._retention_ms is None and covering((*matchers, exactly_named(name)), found) is None:
                return None
        # All series of a metric are kept for equally long, whichever selector needs that.
        return reduce(Retention.common, map(self.keep, names)) if names else _FOR_EVER

    def kept_of(self, matchers: Sequence[Matcher]) -> list[tuple[Matcher, ...]]:
        """The selectors that keep series which may satisfy `matchers`, in the order of their texts."""
        conditions = Conditions(matchers)
        names = conditions.values(METRIC_NAME)
        uses = self._uses if names is None else [use for name in names for use in self._uses_of(name)]
        found = dict.fromkeys(use.matchers for use in uses if not any(map(conditions.exclude, use.matchers)))
        return sorted(found, key=selector_text)

    def describe(self) -> list[KeptSelector]:
        """What is kept, one line a selector, sorted; for `check config` and the log."""
        found = [KeptSelector(selector_text(use.matchers), use.lookback_ms) for use in self._uses]
        if self._retention_ms is not None:
            found.append(KeptSelector("everything", self._retention_ms))
        return sorted(found, key=lambda k: (k.selector, k.lookback_ms))

    def _uses_of(self, name: str) -> tuple[SelectorDemand, ...]:
        known = self._by_name.get(name)
        if known is None:
            nameless = [use for use in self._nameless if may_name(use.matchers, name)]
            known = (*self._named.get(name, ()), *nameless)
            if len(self._by_name) >= _NAMES_REMEMBERED:
                self._by_name.clear()
            self._by_name[name] = known
        return known


def exactly_named(name: str) -> Matcher:
    """The matcher of one metric."""
    return Matcher(METRIC_NAME, MatchOp.EQUAL, name)


def _merge(uses: Iterable[SelectorDemand]) -> dict[tuple[frozenset[Matcher], int | None], SelectorDemand]:
    """One use a set of matchers (and fixed time), with the longest look-back."""
    longest: dict[tuple[frozenset[Matcher], int | None], SelectorDemand] = {}
    for use in uses:
        key = (frozenset(use.matchers), use.since_ms)
        if key not in longest or longest[key].lookback_ms < use.lookback_ms:
            longest[key] = use
    return longest


def _longest(uses: Iterable[SelectorDemand], at_least_ms: int = 0) -> Retention:
    """What is kept for several selectors of the same series."""
    rolling, windows = at_least_ms, set()
    for use in uses:
        if use.since_ms is None:
            rolling = max(rolling, use.lookback_ms)
        else:  # it may be the start or the end of what is needed: the window covers both readings
            windows.add((use.since_ms - use.lookback_ms, use.since_ms + use.lookback_ms))
    return Retention(rolling, tuple(sorted(windows)))
