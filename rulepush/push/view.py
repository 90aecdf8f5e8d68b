"""The groups as `GET /api/v1/metrics` of Pushgateway shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rulepush.exposition.families import Metric, MetricFamily
from rulepush.model.floats import format_float_g
from rulepush.model.timestamps import format_rfc3339
from rulepush.push.group import PushedGroup
from rulepush.push.groups import PushedGroups

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

_NEVER: Final = "0001-01-01T00:00:00Z"  # Go's zero time


def metrics_view(groups: PushedGroups) -> list[dict[str, Any]]:
    """The `data` of the answer. Values are strings, as Prometheus' APIs have them."""
    return [_group(groups, group) for group in groups]


def _group(groups: PushedGroups, group: PushedGroup) -> dict[str, Any]:
    view: dict[str, Any] = {
        "labels": dict(group.key),
        "last_push_successful": group.pushed_at > group.failed_at,
    }
    ttl = groups.ttl_of(group)
    if ttl:
        view["lifetime_seconds"] = ttl / 1000
    push_time, failure_time = group.meta_families()
    view[push_time.name] = _family(push_time, group.pushed_at)
    view[failure_time.name] = _family(failure_time, group.failed_at)
    for pushed in group.families.values():
        view[pushed.family.name] = _family(pushed.family, pushed.pushed_at)
    return view


def _family(family: MetricFamily, ts: int) -> dict[str, Any]:
    view: dict[str, Any] = {"time_stamp": format_rfc3339(ts) if ts else _NEVER, "type": family.type.value}
    if family.help:
        view["help"] = family.help
    view["metrics"] = [_metric(family, m) for m in family.metrics]
    return view


def _metric(family: MetricFamily, metric: Metric) -> dict[str, Any]:
    labels = dict(metric.pairs)
    if not family.type.compound:
        return {"labels": labels, "value": format_float_g(metric.value)}
    native = metric.native
    parts: dict[str, str] | list[list[Any]]
    if native is not None and len(native.positive) + len(native.negative):
        parts = _native_buckets(native)
    else:
        parts = {format_float_g(bound): format_float_g(value) for bound, value in metric.parts}
    return {
        "labels": labels,
        "count": format_float_g(metric.count),
        "sum": format_float_g(metric.value),
        "buckets" if family.type.has_buckets else "quantiles": parts,
    }


def _native_buckets(native: FloatHistogram) -> list[list[Any]]:
    """Pushgateway's histogram/prometheus_model.go, BucketsAsJson: as Prometheus' API has them."""
    from rulepush.histogram.text import api_buckets

    return [[kind, *map(format_float_g, numbers)] for kind, *numbers in api_buckets(native)]
