"""Pushgateway's consistency check of a pushed group against all others, by an index instead of a full gather.

Source: client_golang prometheus/registry.go, Gatherers.Gather and checkMetricConsistency, whose texts are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rulepush.errors import PushError
from rulepush.exposition.families import FamilyType, Metric, MetricFamily
from rulepush.gotext.goquote import go_quote
from rulepush.model.labels import Labels, is_valid_utf8_name, quote_label_value
from rulepush.push.group import PushedGroup
from rulepush.push.url import GroupKey
from rulepush.slices import Slices

_PREFIX: Final = "pushed metrics are invalid or inconsistent with existing metrics: "
_MAX_ERRORS: Final = 20
_METRICS_A_SLICE: Final = 50
_Expanded = tuple[tuple[Labels, float], ...]
_TIMESTAMPS: Final = "pushed metrics must not have timestamps"


def refusal(errors: list[str]) -> PushError:
    """Pushgateway's answer with these reasons (at least one)."""
    if len(errors) == 1:
        return PushError(400, _PREFIX + errors[0])
    lines = "".join(f"\n* {e}" for e in errors[:_MAX_ERRORS])
    return PushError(400, f"{_PREFIX}{len(errors)} error(s) occurred:{lines}")


def timestamps_refused() -> PushError:
    """The answer to a body with timestamps."""
    return PushError(400, _PREFIX + _TIMESTAMPS)


class Index:
    """Which group holds which series and which family types, over all groups.

    What goes over all of a group comes in slices of about a millisecond. Between them the index may be changed for
    other groups, and asked about all but the group in work.
    """

    def __init__(self) -> None:
        self._owners: dict[Labels, GroupKey] = {}
        self._types: dict[str, dict[GroupKey, FamilyType]] = {}

    def __len__(self) -> int:
        """Series held."""
        return len(self._owners)

    def add(self, group: PushedGroup) -> Slices[None]:
        """Add a group that passed `problems` and is not in the index."""
        for family in _families(group):
            if family.metrics:
                self._types.setdefault(family.name, {})[group.key] = family.type
            for number, expanded in enumerate(family.by_metric):
                for labels, _ in expanded:
                    self._owners[labels] = group.key
                if number % _METRICS_A_SLICE == 0:
                    yield

    def remove(self, group: PushedGroup) -> Slices[None]:
        """Remove a group. What other groups hold by now stays theirs."""
        for family in _families(group):
            types = self._types.get(family.name, {})
            types.pop(group.key, None)
            if not types:
                self._types.pop(family.name, None)
            for number, expanded in enumerate(family.by_metric):
                for labels, _ in expanded:
                    if self._owners.get(labels) == group.key:
                        del self._owners[labels]
                if number % _METRICS_A_SLICE == 0:
                    yield

    def meta_collides(self, group: PushedGroup) -> bool:
        """Whether even the group's own push times would be the series of another group (`a=""` beside no `a`)."""
        return any(self._taken(labels, group.key) for f in group.meta_families() for labels, _ in f.series())

    def problems(self, group: PushedGroup) -> Slices[list[str]]:
        """Why this group, as the push would leave it, is inconsistent; empty when it is consistent."""
        errors: list[str] = []
        names = {f.name: f.type for f in _families(group)}
        seen: set[Labels] = set()
        for family in _families(group):
            if not family.metrics:
                continue  # only protobuf brings such a one
            collision = self._collision(family, group.key, names)
            if collision is not None:
                errors.append(collision)
                continue
            others = {t for key, t in self._types.get(family.name, {}).items() if key != group.key}
            errors.extend(
                f"{family.describe(family.metrics[0])} is not a {other.value}" for other in others - {family.type}
            )
            for number, (metric, expanded) in enumerate(zip(family.metrics, family.by_metric, strict=True)):
                problem = self._metric_problem(family, metric, expanded, group.key, seen)
                if problem:
                    errors.append(problem)
                if number % _METRICS_A_SLICE == 0:
                    yield
        return errors

    def _metric_problem(
        self, family: MetricFamily, metric: Metric, expanded: _Expanded, key: GroupKey, seen: set[Labels]
    ) -> str:
        flaw = _flaw(family, metric)
        if flaw:
            return f"{family.describe(metric)} {flaw}"
        # Like Pushgateway, compare whole metrics; unlike it, an empty label counts as absent, as for any scraper.
        ours = [labels for labels, _ in expanded]
        collected = any(labels in seen or self._taken(labels, key) for labels in ours) or len(set(ours)) < len(ours)
        seen.update(ours)
        return (
            f"{family.describe(metric)} was collected before with the same name and label values" if collected else ""
        )

    def _taken(self, labels: Labels, key: GroupKey) -> bool:
        return self._owners.get(labels, key) != key

    def _collision(self, family: MetricFamily, key: GroupKey, ours: Mapping[str, FamilyType]) -> str | None:
        """Pushgateway's text when a name collides with the series of a histogram or summary; None when it does not."""

        def types(name: str) -> set[FamilyType]:
            found = {t for k, t in self._types.get(name, {}).items() if k != key}
            return found | ({ours[name]} if name in ours else set())

        name = family.name
        for suffix in ("_count", "_sum", "_bucket"):
            base = name.removesuffix(suffix)
            if base in (name, ""):
                continue
            for kind in types(base):
                if kind is FamilyType.HISTOGRAM or (kind is FamilyType.SUMMARY and suffix != "_bucket"):
                    text = f"collected metric named {quote_label_value(name)} collides with previously collected"
                    return f"{text} {kind.value.lower()} named {quote_label_value(base)}"
        if not family.type.compound:
            return None
        parts = ["_count", "_sum"] + (["_bucket"] if family.type is FamilyType.HISTOGRAM else [])
        for suffix in parts:
            if types(name + suffix):
                what = "histogram" if suffix == "_bucket" else "histogram or summary"
                text = f"collected {what} named {quote_label_value(name)} collides with previously collected"
                return f"{text} metric named {quote_label_value(name + suffix)}"
        return None


def _flaw(family: MetricFamily, metric: Metric) -> str:
    """What is wrong with a metric by itself; "" when nothing is."""
    if metric.foreign is not None:
        return f"is not a {family.type.value}"
    previous = ""
    for name, value in metric.pairs:
        if name == previous:
            return f"has two or more labels with the same name: {name}"
        if name.startswith("__") or not is_valid_utf8_name(name):
            return f"has a label with an invalid name: {_replaced(name)}"
        if family.type is FamilyType.SUMMARY and name == "quantile":
            return 'must not have an explicit "quantile" label'
        if not _is_utf8(value):
            return f"has a label named {go_quote(name)} whose value is not utf8: {go_quote(value)}"
        previous = name
    return ""


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\udc80" <= char <= "\udcff" for char in text)


def _replaced(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _families(group: PushedGroup) -> list[MetricFamily]:
    return [p.family for p in group.families.values()] + list(group.meta_families())
