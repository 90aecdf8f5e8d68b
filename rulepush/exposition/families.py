"""Metric families: what a body is to a Pushgateway, whose groups hold and replace a family as a whole.

The model is io.prometheus.client's (client_model metrics.proto), without exemplars and created timestamps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Final

from rulepush.exposition.entries import FamilyMetadata
from rulepush.gotext.goquote import go_quote
from rulepush.model.floats import format_float_g, format_float_openmetrics
from rulepush.model.labels import METRIC_NAME, Labels, quote_label_value

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

LabelPairs = tuple[tuple[str, str], ...]


class FamilyType(Enum):
    """As in io.prometheus.client.MetricType."""

    COUNTER = "COUNTER"
    GAUGE = "GAUGE"
    SUMMARY = "SUMMARY"
    UNTYPED = "UNTYPED"
    HISTOGRAM = "HISTOGRAM"
    GAUGE_HISTOGRAM = "GAUGE_HISTOGRAM"

    @property
    def compound(self) -> bool:
        """Whether a metric of this type is several series."""
        return self in _BOUND_LABELS

    @property
    def has_buckets(self) -> bool:
        """Whether it is a histogram, of either kind."""
        return self in (FamilyType.HISTOGRAM, FamilyType.GAUGE_HISTOGRAM)

    @property
    def bound_label(self) -> str | None:
        """The label that tells the parts of a metric from each other; None when the type is not compound."""
        return _BOUND_LABELS.get(self)


_BOUND_LABELS: Final = {
    FamilyType.SUMMARY: "quantile",
    FamilyType.HISTOGRAM: "le",
    FamilyType.GAUGE_HISTOGRAM: "le",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a family.

    `pairs`  its labels sorted by name, without the metric name, `le` and `quantile` of compound types
    `value`  the value; of a compound type the sum
    `count`  compound types only: the number of observations
    `parts`  compound types only: (bound, cumulative count) of buckets, or (quantile, value)
    `native` the native histogram of a histogram that has one; only protobuf brings it
    `foreign` None but for a metric in protobuf that lacks the value of its family's type: what it has instead, as text.
              Its `pairs` may have a name twice, and texts that are no UTF-8 (surrogates); no check lets it pass
    """

    pairs: LabelPairs
    value: float
    count: float = 0.0
    parts: tuple[tuple[float, float], ...] = ()
    native: FloatHistogram | None = None
    foreign: str | None = None


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

    def natives(self) -> Iterator[tuple[Labels, FloatHistogram]]:
        """The native histograms of the family, under its own name: beside `series`, whose names have suffixes."""
        for metric in self.metrics:
            if metric.native is not None:
                yield Labels({**dict(metric.pairs), METRIC_NAME: self.name}), metric.native

    @cached_property
    def by_metric(self) -> tuple[tuple[tuple[Labels, float], ...], ...]:
        """The same, apart for each of `metrics`."""
        return tuple(tuple(self._expand(metric)) for metric in self.metrics)

    def metadata(self) -> FamilyMetadata:
        """The metadata that a scrape of the family would give."""
        kind = "unknown" if self.type is FamilyType.UNTYPED else self.type.value.lower().replace("_", "")
        return FamilyMetadata(kind, self.help)

    def _expand(self, metric: Metric) -> Iterator[tuple[Labels, float]]:
        pairs = dict(metric.pairs)
        bound_label = self.type.bound_label
        if bound_label is None:
            yield Labels({**pairs, METRIC_NAME: self.name}), metric.value
            return
        part_name = self.name + ("_bucket" if self.type.has_buckets else "")
        for bound, value in self.all_parts(metric):
            yield Labels({**pairs, METRIC_NAME: part_name, bound_label: format_float_openmetrics(bound)}), value
        yield Labels({**pairs, METRIC_NAME: self.name + "_sum"}), metric.value
        yield Labels({**pairs, METRIC_NAME: self.name + "_count"}), metric.count

    def all_parts(self, metric: Metric) -> tuple[tuple[float, float], ...]:
        """The parts as they are exposed: a histogram always has a last bucket without bound."""
        if self.type.has_buckets and not any(bound == float("inf") for bound, _ in metric.parts):
            return (*metric.parts, (float("inf"), metric.count))
        return metric.parts

    def describe(self, metric: Metric) -> str:
        """A metric as Pushgateway's error texts print it."""
        quoted = [(go_quote(n), go_quote(v)) for n, v in metric.pairs]
        labels = "".join(f"label:{{name:{n} value:{v}}} " for n, v in quoted)
        kind = "histogram" if self.type.has_buckets else self.type.value.lower()
        if metric.foreign is not None:
            return f"collected metric {quote_label_value(self.name)} {{ {labels}{metric.foreign}".rstrip() + "}"
        if self.type.compound:
            body = f"sample_count:{format_float_g(metric.count)} sample_sum:{format_float_g(metric.value)}"
        else:
            body = f"value:{format_float_g(metric.value)}"
        return f"collected metric {quote_label_value(self.name)} {{ {labels}{kind}:{{{body}}}}}"


@dataclass(frozen=True, slots=True)
class ParsedFamilies:
    """The families of a body by name, and whether any sample had a timestamp (which a push must not have)."""

    families: dict[str, MetricFamily]
    timestamps: bool


@dataclass(slots=True)
class MetricBuilder:
    """A `Metric` while its body is read."""

    pairs: LabelPairs
    value: float = 0.0
    count: float = 0.0
    parts: list[tuple[float, float]] = field(default_factory=list)


class FamilyBuilder:
    """A `MetricFamily` while its body is read. `type` and `help` are None until a line gives them."""

    def __init__(self, name: str, type_: FamilyType | None = None, help_: str | None = None):
        self.name = name
        self.type = type_
        self.help = help_
        self._metrics: list[MetricBuilder] = []
        self._compound: dict[LabelPairs, MetricBuilder] = {}

    def metric(self, pairs: LabelPairs) -> MetricBuilder:
        """The metric with these labels: of a compound type the one that is there already, else a new one each time."""
        if self.type is None or not self.type.compound:
            metric = MetricBuilder(pairs)
        elif pairs in self._compound:
            return self._compound[pairs]
        else:
            metric = self._compound[pairs] = MetricBuilder(pairs)
        self._metrics.append(metric)
        return metric

    def build(self) -> MetricFamily | None:
        """The family; None without metrics."""
        if not self._metrics:
            return None
        metrics = tuple(Metric(m.pairs, m.value, m.count, tuple(m.parts)) for m in self._metrics)
        return MetricFamily(self.name, self.type or FamilyType.UNTYPED, self.help or "", metrics)


def build_families(builders: Mapping[str, FamilyBuilder]) -> dict[str, MetricFamily]:
    """The families that have metrics, by name."""
    built = {name: builder.build() for name, builder in builders.items()}
    return {name: family for name, family in built.items() if family is not None}
