"""One pushed group: what was pushed under one grouping key, and when. Immutable: each push makes a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from rulepush.exposition.families import FamilyType, LabelPairs, Metric, MetricFamily, ParsedFamilies
from rulepush.histogram.histogram import FloatHistogram
from rulepush.model.labels import Labels
from rulepush.push.url import GroupKey

PUSH_TIME: Final = "push_time_seconds"
PUSH_FAILURE_TIME: Final = "push_failure_time_seconds"
PUSH_UP: Final = "rulepush_push_up"
RESERVED: Final = frozenset((PUSH_TIME, PUSH_FAILURE_TIME, PUSH_UP))

HELP: Final = {
    PUSH_TIME: "Last Unix time when changing this group in the Pushgateway succeeded.",
    PUSH_FAILURE_TIME: "Last Unix time when changing this group in the Pushgateway failed.",
    PUSH_UP: "1 while pushes to this group arrive within its lifetime, 0 when they stopped.",
}


@dataclass(frozen=True, slots=True)
class PushedFamily:
    """A family, and the time (ms) of the push that brought it."""

    family: MetricFamily
    pushed_at: int


@dataclass(frozen=True, slots=True)
class PushedGroup:
    """Times are in ms, 0 for never. `ttl_ms` is None when the push named no lifetime, 0 for no limit.

    `pushed_at`   the last push that was accepted, as Pushgateway counts
    `renewed_at`  the last one with at least one metric: the lifetime starts here, because a collector that fails often
                  pushes nothing at all (`collector | curl --data-binary @- ...`)
    """

    key: GroupKey
    families: Mapping[str, PushedFamily] = field(default_factory=dict)
    pushed_at: int = 0
    failed_at: int = 0
    ttl_ms: int | None = None
    renewed_at: int = 0

    def pushed(self, families: Mapping[str, MetricFamily], all_new: bool, ts: int, ttl_ms: int | None) -> PushedGroup:
        """The group after a push of families from `grouped`. `all_new` is PUT: it replaces all families; else only
        those of the same names."""
        kept = {} if all_new else dict(self.families)
        new = {f.name: PushedFamily(f, ts) for f in families.values() if f.name not in RESERVED}
        if not any(family.metrics for family in families.values()):
            lifetime = self.ttl_ms if self.renewed_at else ttl_ms
            return replace(self, families={**kept, **new}, pushed_at=ts, ttl_ms=lifetime)
        return replace(self, families={**kept, **new}, pushed_at=ts, renewed_at=ts, ttl_ms=ttl_ms)

    def series(self) -> Iterator[tuple[Labels, float]]:
        """Every series of the group, without its push times."""
        for pushed in self.families.values():
            yield from pushed.family.series()

    def natives(self) -> Iterator[tuple[Labels, FloatHistogram]]:
        """Every native histogram of the group."""
        for pushed in self.families.values():
            yield from pushed.family.natives()

    def meta_families(self) -> tuple[MetricFamily, MetricFamily]:
        """push_time_seconds and push_failure_time_seconds."""
        return self._gauge(PUSH_TIME, self.pushed_at / 1000), self._gauge(PUSH_FAILURE_TIME, self.failed_at / 1000)

    def up_family(self, up: bool) -> MetricFamily:
        """rulepush_push_up."""
        return self._gauge(PUSH_UP, float(up))

    def _gauge(self, name: str, value: float) -> MetricFamily:
        pairs = tuple(sorted({"instance": "", **dict(self.key)}.items()))
        return MetricFamily(name, FamilyType.GAUGE, HELP[name], (Metric(pairs, value),))


def grouped(body: ParsedFamilies, key: GroupKey) -> ParsedFamilies:
    """The body as it is kept in the group `key`, with all its series made: a thread may do that for a large one."""
    families = {name: _sanitised(family, key) for name, family in body.families.items()}
    for family in families.values():
        family.by_metric  # noqa: B018  # computed once, and kept
    return ParsedFamilies(families, body.timestamps)


def _sanitised(family: MetricFamily, key: GroupKey) -> MetricFamily:
    """The family with the grouping labels on every metric, in place of its own, and an `instance` in any case.

    Pushgateway adds `instance=""` so that a scraper with honor_labels does not add its own.
    """
    fixed = dict(key)
    return replace(family, metrics=tuple(replace(m, pairs=_grouped(m.pairs, fixed)) for m in family.metrics))


def _grouped(pairs: LabelPairs, fixed: Mapping[str, str]) -> LabelPairs:
    """Pairs in the group with these labels. A name that comes twice stays, for the consistency check: of a grouping
    label the first one is replaced (prometheus/pushgateway storage/diskmetricstore.go sanitizeLabels)."""
    own = dict(pairs)
    if len(own) == len(pairs):
        return tuple(sorted({"instance": "", **own, **fixed}.items()))
    missing = dict(fixed)
    replaced = [(name, missing.pop(name, value)) for name, value in pairs]
    missing.update({} if "instance" in own or "instance" in fixed else {"instance": ""})
    return tuple(sorted([*replaced, *missing.items()], key=lambda pair: pair[0]))
