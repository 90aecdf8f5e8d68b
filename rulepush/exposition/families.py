"""Metric families as Pushgateway holds them: pushed and replaced as a whole, told apart by name and type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final

from rulepush.exposition import FamilyMetadata
from rulepush.model.floats import format_float_g, format_float_openmetrics
from rulepush.model.labels import METRIC_NAME, Labels, quote_label_value

Pairs = tuple[tuple[str, str], ...]

_PART_LABEL: Final = {"SUMMARY": "quantile", "HISTOGRAM": "le"}


class FamilyType(Enum):
    """As in io.prometheus.client.MetricType."""

    COUNTER = "COUNTER"
    GAUGE = "GAUGE"
    SUMMARY = "SUMMARY"
    UNTYPED = "UNTYPED"
    HISTOGRAM = "HISTOGRAM"

    @property
    def compound(self) -> bool:
        """Whether a metric of this type is several series."""
        return self in (FamilyType.SUMMARY, FamilyType.HISTOGRAM)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a family.

    `pairs`  its labels sorted by name, without the metric name, `le` and `quantile` of compound types
    `value`  the value; of a compound type the sum
    `count`  compound types only: the number of observations
    `parts`  compound types only: (bound, cumulative count) of buckets, or (quantile, value)
    """

    pairs: Pairs
    value: float
    count: float = 0.0
    parts: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class MetricFamily:
    """All metrics of one name that one push brought."""

    name: str
    type: FamilyType
    help: str
    metrics: tuple[Metric, ...]

    def series(self) -> Iterator[tuple[Labels, float]]:
        """Every series of the family as a scraper sees it, its value with it."""
        for of_metric in self.by_metric:
            yield from of_metric

    @cached_property
    def by_metric(self) -> tuple[tuple[tuple[Labels, float], ...], ...]:
        """The same, apart for each of `metrics`."""
        return tuple(tuple(self._expand(metric)) for metric in self.metrics)

    def metadata(self) -> FamilyMetadata:
        """As a scrape would tell of it."""
        kind = "unknown" if self.type is FamilyType.UNTYPED else self.type.value.lower()
        return FamilyMetadata(kind, self.help)

    def _expand(self, metric: Metric) -> Iterator[tuple[Labels, float]]:
        pairs = dict(metric.pairs)
        if not self.type.compound:
            yield Labels({**pairs, METRIC_NAME: self.name}), metric.value
            return
        part_label = _PART_LABEL[self.type.value]
        part_name = self.name + ("_bucket" if self.type is FamilyType.HISTOGRAM else "")
        for bound, value in self.all_parts(metric):
            yield Labels({**pairs, METRIC_NAME: part_name, part_label: format_float_openmetrics(bound)}), value
        yield Labels({**pairs, METRIC_NAME: self.name + "_sum"}), metric.value
        yield Labels({**pairs, METRIC_NAME: self.name + "_count"}), metric.count

    def all_parts(self, metric: Metric) -> tuple[tuple[float, float], ...]:
        """The parts as they are exposed: a histogram always has a last bucket without bound."""
        if self.type is FamilyType.HISTOGRAM and not any(bound == float("inf") for bound, _ in metric.parts):
            return (*metric.parts, (float("inf"), metric.count))
        return metric.parts

    def describe(self, metric: Metric) -> str:
        """A metric as Pushgateway's error texts print it."""
        quoted = [(quote_label_value(n), quote_label_value(v)) for n, v in metric.pairs]
        labels = "".join(f"label:{{name:{n} value:{v}}} " for n, v in quoted)
        kind = self.type.value.lower()
        if self.type.compound:
            body = f"sample_count:{format_float_g(metric.count)} sample_sum:{format_float_g(metric.value)}"
        else:
            body = f"value:{format_float_g(metric.value)}"
        return f"collected metric {quote_label_value(self.name)} {{ {labels}{kind}:{{{body}}}}}"
