"""Annotations about native histograms, in Prometheus' words (util/annotations/annotations.go)."""

from __future__ import annotations

from typing import Final

from rulepush.model.labels import quote_label_value
from rulepush.promql.vectors.annotations import INFO, WARNING

ADDITION: Final = "addition"
SUBTRACTION: Final = "subtraction"
AGGREGATION: Final = "aggregation"
MIXED_IN_AGGREGATION: Final = f"{WARNING}encountered a mix of histograms and floats for aggregation"


def mixed_floats_and_histograms(name: str) -> str:
    """A range has samples of both kinds, for a function that takes only one kind."""
    return f"{WARNING}encountered a mix of histograms and floats for metric name {quote_label_value(name)}"


def mixed_classic_and_native(name: str) -> str:
    """There are classic buckets and a native histogram of the same labels. `name` may be empty."""
    return f"{WARNING}vector contains a mix of classic and native histograms{for_metric(name)}"


def not_a_counter(name: str) -> str:
    """A gauge histogram where a counter is wanted."""
    return f"{WARNING}this native histogram metric is not a counter: {quote_label_value(name)}"


def not_a_gauge(name: str) -> str:
    """A counter histogram where a gauge is wanted."""
    return f"{WARNING}this native histogram metric is not a gauge: {quote_label_value(name)}"


def mixed_schemas(name: str) -> str:
    """Exponential and custom buckets together."""
    return (
        f"{WARNING}vector contains a mix of histograms with exponential and custom buckets schemas for metric name "
        f"{quote_label_value(name)}"
    )


def incompatible_buckets(op: str) -> str:
    """The same of the two sides of an operator."""
    return f"{WARNING}incompatible bucket layout encountered for binary operator {op}"


def incompatible_types(left: str, op: str, right: str) -> str:
    """An operator that the kinds of its sides do not have: each is `float` or `histogram`."""
    return (
        f"{INFO}incompatible sample types encountered for binary operator {quote_label_value(op)}: {left} {op} {right}"
    )


def ignored_in_aggregation(op: str) -> str:
    """An aggregation that takes only floats."""
    return f"{INFO}ignored histogram in {op} aggregation"


def ignored_in_range(name: str) -> str:
    """A function that takes only the floats of a range that has both."""
    return (
        f"{INFO}ignored histograms in a range containing both floats and histograms for metric name "
        f"{quote_label_value(name)}"
    )


def conflicting_resets(operation: str) -> str:
    """Of two histograms one says that there was a counter reset, and one that there was none."""
    return f"{WARNING}conflicting counter resets during histogram {operation}"


def reconciled_bounds(operation: str) -> str:
    """Custom buckets with different bounds were brought to those that they share."""
    return f"{INFO}mismatched custom buckets were reconciled during {operation}"


def nan_quantile(name: str) -> str:
    """The quantile is above all buckets, where NaN observations are."""
    return f"{INFO}input to histogram_quantile has NaN observations, result is NaN{for_metric(name)}"


def skewed_quantile(name: str) -> str:
    """NaN observations count as the greatest."""
    return f"{INFO}input to histogram_quantile has NaN observations, result is skewed higher{for_metric(name)}"


def nan_fraction(name: str) -> str:
    """NaN observations are in no fraction."""
    return (
        f"{INFO}input to histogram_fraction has NaN observations, which are excluded from all fractions"
        f"{for_metric(name)}"
    )


def for_metric(name: str) -> str:
    """maybeAddMetricName."""
    return f" for metric name {quote_label_value(name)}" if name else ""
