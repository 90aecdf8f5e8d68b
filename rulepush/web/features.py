"""`/api/v1/features`: what this server can do, by Prometheus' names.

Sources: prometheus util/features/features.go, promql/parser/features.go, and the places that register features.
"""

from __future__ import annotations

from collections.abc import Mapping

from rulepush.model.feature_flags import TYPE_AND_UNIT_FEATURE, ZERO_AT_START_FEATURE
from rulepush.promql.functions import FUNCTIONS
from rulepush.promql.syntax.ast import AGGREGATORS, COMPARISONS, SET_OPERATORS

_ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2", "=~", "!~", "@")
_KEYWORDS = ("anchored", "bool", "by", "fill", "fill_left", "fill_right", "group_left", "group_right", "ignoring")
_MORE_KEYWORDS = ("offset", "on", "smoothed", "without")


def features_json(flags: Mapping[str, str]) -> dict[str, dict[str, bool]]:
    """By category and name. `flags` are those of the command line."""
    names = frozenset(flags.get("enable-feature", "").split(","))
    api = dict.fromkeys(
        (
            "exclude_alerts",
            "label_values_match",
            "query_stats",
            "query_warnings",
            "time_range_labels",
            "time_range_series",
        ),
        True,
    )
    promql = dict.fromkeys(
        (
            "at_modifier",
            "duration_expr",
            "negative_offset",
            "per_query_lookback_delta",
            "per_step_stats",
            "subqueries",
            *_KEYWORDS,
            *_MORE_KEYWORDS,
        ),
        True,
    )
    return {
        "api": {
            **api,
            "admin": False,
            "lifecycle": flags.get("web.enable-lifecycle") == "true",
            "otlp_write_receiver": False,
            "remote_write_receiver": flags.get("web.enable-remote-write-receiver") == "true",
            "search": False,
        },
        "prometheus": {"agent_mode": False, "rulepush": True, "server_mode": True},
        "promql": {
            **promql,
            "delayed_name_removal": "promql-delayed-name-removal" in names,
            "type_and_unit_labels": TYPE_AND_UNIT_FEATURE in names,
        },
        "promql_functions": dict.fromkeys(sorted(FUNCTIONS), True),
        "promql_operators": dict.fromkeys(sorted({*_ARITHMETIC, *COMPARISONS, *SET_OPERATORS, *AGGREGATORS}), True),
        "rules": {"concurrent_rule_eval": False, "keep_firing_for": True, "query_offset": True},
        "scrape": {
            "extra_scrape_metrics": True,
            "start_timestamp_zero_ingestion": ZERO_AT_START_FEATURE in names,
            "type_and_unit_labels": TYPE_AND_UNIT_FEATURE in names,
        },
        "service_discovery_providers": dict.fromkeys(("dns", "file", "http", "nacos", "static"), True),
    }
