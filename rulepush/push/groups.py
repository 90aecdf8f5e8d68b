"""The pushed groups: Pushgateway's state, with lifetimes. Pure, but for the store that gets every change."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from rulepush.errors import PushError, StorageError
from rulepush.exposition import FamilyMetadata
from rulepush.exposition.families import MetricFamily, ParsedFamilies
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample
from rulepush.push.consistency import Index, refusal, timestamps_refused
from rulepush.push.group import HELP, PUSH_UP, PushedGroup, grouped
from rulepush.push.url import GroupKey
from rulepush.slices import Slices, at_once

log = logging.getLogger("rulepush.push")

FORGET_AFTER_MS: Final = 7 * 24 * 3600 * 1000
_FAMILIES_A_SLICE: Final = 50


class GroupStore(Protocol):
    """Keeps the groups across restarts. Raises StorageError."""

    def load(self) -> list[PushedGroup]: ...
    def save(self, group: PushedGroup) -> Slices[None]: ...
    def delete(self, key: GroupKey) -> None: ...


@dataclass(slots=True)
class PushStats:
    """Counters since the start: requests, and groups whose lifetime ended."""

    pushes: int = 0
    refused: int = 0
    deletes: int = 0
    expired: int = 0


class PushedGroups:
    """Not thread-safe: it lives in the event loop.

    `default_ttl_ms`  the lifetime of groups that set none; 0 for no limit
    `max_series`      a push that would take the receiver over this many series is refused
    `forget_after_ms` a group is forgotten this long after its lifetime ended (its `rulepush_push_up` is 0 till then)
    """

    def __init__(
        self,
        store: GroupStore,
        default_ttl_ms: int = 0,
        max_series: int = 1_000_000,
        forget_after_ms: int = FORGET_AFTER_MS,
    ):
        self.default_ttl_ms = default_ttl_ms
        self.counts = PushStats()
        self._max_series = max_series
        self._forget_after_ms = forget_after_ms
        self._store = store
        self._groups: dict[GroupKey, PushedGroup] = {}
        self._expired: set[GroupKey] = set()
        self._index = Index()
        self._series: dict[GroupKey, tuple[tuple[Labels, float], ...]] = {}  # computed at a push, not at every tick
        self._natives: dict[GroupKey, tuple[tuple[Labels, FloatHistogram], ...]] = {}  # of groups that have some
        self._emitted: set[Labels] = set()
        for group in self._load():
            at_once(self._hold(group))
            # A series from before the restart that is not collected again gets its stale marker.
            self._emitted.update(labels for labels, _ in self._series[group.key])
            self._emitted.update(labels for labels, _ in self._natives.get(group.key, ()))

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[PushedGroup]:
        """The groups, in the order in which they were first pushed."""
        return iter(self._groups.values())

    @property
    def series_count(self) -> int:
        """Series held, push times included."""
        return len(self._index)

    def series_of(self, group: PushedGroup) -> int:
        """Series of one group that is held, without its push times."""
        return len(self._series.get(group.key, ()))

    def push(self, key: GroupKey, body: ParsedFamilies, all_new: bool, ts: int, ttl_ms: int | None) -> None:
        """PUT (`all_new`) or POST. Raises PushError when the group would be inconsistent; then it stays as it was,
        but for its failure time."""
        at_once(self.push_in_slices(key, grouped(body, key), all_new, ts, ttl_ms))

    def push_in_slices(
        self, key: GroupKey, body: ParsedFamilies, all_new: bool, ts: int, ttl_ms: int | None
    ) -> Slices[None]:
        """`push` of a body from `grouped`. Until it is done `collect` gives what was there before. No other push and no
        deletion may be begun meanwhile, and it must be done to its end."""
        old = self._groups.get(key, PushedGroup(key))
        new = old.pushed(body.families, all_new, ts, ttl_ms)
        yield
        try:
            yield from self._check(new, body)
        except PushError:
            self.counts.refused += 1
            # Unlike in Pushgateway, a key that collides by itself is not stored: every later push would fail.
            if not self._index.meta_collides(new):
                yield from self._put(replace(old, failed_at=ts))
            raise
        self.counts.pushes += 1
        yield from self._put(new)

    def delete(self, key: GroupKey) -> None:
        """DELETE. A group that is not there is deleted already."""
        at_once(self.delete_in_slices(key))

    def delete_in_slices(self, key: GroupKey) -> Slices[None]:
        """`delete`. The group is gone with the first slice; else as with `push_in_slices`."""
        self.counts.deletes += 1
        yield from self._drop(key)

    def collect(self, ts: int) -> list[Sample]:
        """What a scrape of this receiver with honor_labels sees at `ts`, and stale markers for series that are gone.

        Groups whose lifetime is over give only their push times and `rulepush_push_up` 0.
        """
        samples: list[Sample] = []
        for group in list(self._groups.values()):
            ttl = self.ttl_of(group)
            if ttl and ts - max(group.pushed_at, group.failed_at) > ttl + self._forget_after_ms:
                at_once(self._drop(group.key))
                continue
            alive = not ttl or ts - group.renewed_at <= ttl
            if alive:
                self._expired.discard(group.key)
                samples += [Sample(labels, ts, value) for labels, value in self._series[group.key]]
                natives = self._natives.get(group.key, ())
                samples += [HistogramSample(labels, ts, 0.0, histogram) for labels, histogram in natives]
            elif group.pushed_at:
                self._expire(group, ttl)
            extra: tuple[MetricFamily, ...] = group.meta_families()
            if ttl and group.pushed_at:
                extra += (group.up_family(alive),)
            samples += [Sample(labels, ts, value) for family in extra for labels, value in family.series()]
        now = {s.labels for s in samples}
        samples += [Sample(labels, ts, STALE) for labels in self._emitted - now]
        self._emitted = now
        return samples

    def metadata(self) -> dict[str, FamilyMetadata]:
        """Type and help of every pushed family, those of the group that was pushed first where groups differ."""
        known = {name: FamilyMetadata("gauge", text) for name, text in HELP.items()} if self._groups else {}
        for group in self._groups.values():
            for name, pushed in group.families.items():
                known.setdefault(name, pushed.family.metadata())
        return known

    def ttl_of(self, group: PushedGroup) -> int:
        """The lifetime of a group in ms, 0 for no limit."""
        return self.default_ttl_ms if group.ttl_ms is None else group.ttl_ms

    def _check(self, new: PushedGroup, body: ParsedFamilies) -> Slices[None]:
        if body.timestamps:
            raise timestamps_refused()
        errors = yield from self._index.problems(new)
        if errors:
            raise refusal(errors)
        others = len(self._index) - len(self._series.get(new.key, ()))
        series = sum(len(expanded) for pushed in new.families.values() for expanded in pushed.family.by_metric)
        if others + series > self._max_series:
            raise PushError(413, f"the push receiver would hold more than its limit of {self._max_series} series")

    def _put(self, group: PushedGroup) -> Slices[None]:
        old = self._groups.get(group.key)
        if old is not None:
            yield from self._index.remove(old)
        yield from self._hold(group)
        try:
            yield from self._store.save(group)
        except StorageError as e:
            log.error("a pushed group is not saved and would be lost by a restart: group=%s err=%s", group.key, e)

    def _hold(self, group: PushedGroup) -> Slices[None]:
        series: list[tuple[Labels, float]] = []
        natives: list[tuple[Labels, FloatHistogram]] = []
        for number, pushed in enumerate(group.families.values()):
            series += pushed.family.series()
            natives += pushed.family.natives()
            if number % _FAMILIES_A_SLICE == 0:
                yield
        yield from self._index.add(group)
        # All three change between two slices: `collect` sees the group as it was, or as it is.
        self._groups[group.key] = group
        self._series[group.key] = tuple(series)
        if natives:
            self._natives[group.key] = tuple(natives)
        else:
            self._natives.pop(group.key, None)

    def _drop(self, key: GroupKey) -> Slices[None]:
        group = self._groups.pop(key, None)
        self._series.pop(key, None)
        self._natives.pop(key, None)
        self._expired.discard(key)
        if group is None:
            return
        yield from self._index.remove(group)
        try:
            self._store.delete(key)
        except StorageError as e:
            log.error("a deleted group would come back after a restart: group=%s err=%s", key, e)

    def _load(self) -> list[PushedGroup]:
        try:
            return self._store.load()
        except StorageError as e:
            log.error("pushed groups from before the restart are not available: err=%s", e)
            return []

    def _expire(self, group: PushedGroup, ttl: int) -> None:
        if group.key in self._expired:
            return
        self._expired.add(group.key)
        self.counts.expired += 1
        at_once(self._put(replace(group, families={})))
        log.warning(
            "pushes stopped, the group goes stale and %s is 0: group=%s lifetime=%dms", PUSH_UP, dict(group.key), ttl
        )
