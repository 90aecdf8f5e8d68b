"""Own metrics of the rule groups and their alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rulepush.rules.group import EvaluationGroup
from rulepush.rules.groups import RuleGroups
from rulepush.rules.sharding import RuleShard
from rulepush.telemetry import MetricReading, Readings, Telemetry, for_each, single


def expose_rules(t: Telemetry, groups: RuleGroups) -> None:
    """Evaluations by group, labelled as in Prometheus (`<file>;<name>`), and the number of active alerts."""

    def each(number: Callable[[EvaluationGroup], float]) -> Readings:
        return for_each(groups.all, lambda g: f"{g.file};{g.name}", number)

    group = ("rule_group",)
    t.counter("rulepush_rule_evaluations", "Rule evaluations.", each(lambda g: g.counters.evaluations), group)
    t.counter(
        "rulepush_rule_evaluation_failures", "Rule evaluations that failed.", each(lambda g: g.counters.failures), group
    )
    t.counter(
        "rulepush_rule_group_iterations",
        "Evaluations due, missed ones included.",
        each(lambda g: g.counters.iterations),
        group,
    )
    t.counter(
        "rulepush_rule_group_iterations_missed",
        "Evaluations left out: the group was late.",
        each(lambda g: g.counters.iterations_missed),
        group,
    )
    t.counter(
        "rulepush_rule_evaluation_seconds",
        "Time that evaluations took.",
        each(lambda g: g.counters.seconds_total),
        group,
    )
    t.gauge(
        "rulepush_rule_group_last_duration_seconds",
        "Time of the last evaluation.",
        each(lambda g: g.evaluation_seconds),
        group,
    )
    t.gauge(
        "rulepush_rule_group_interval_seconds", "Interval of the group.", each(lambda g: g.interval_ms / 1000), group
    )
    t.gauge("rulepush_rule_group_rules", "Rules of the group.", each(lambda g: len(g.rules)), group)
    t.gauge(
        "rulepush_rule_group_last_evaluation_timestamp_seconds",
        "When the group was last evaluated; 0 before the first time.",
        each(lambda g: (g.last_evaluation or 0) / 1000),
        group,
    )

    def alerts() -> Iterable[MetricReading]:
        active = groups.active_alerts()
        return [MetricReading((state,), sum(a.state.value == state for a in active)) for state in ("pending", "firing")]

    t.gauge("rulepush_alerts", "Pending and firing alerts.", alerts, ("state",))


def expose_rule_shard(t: Telemetry, shard: RuleShard, of_others: Callable[[], int]) -> None:
    """Which shard of the rules this process is, and how many groups it leaves to others."""
    t.gauge("rulepush_rule_shard", "Index of this shard of the rules, from 0.", single(lambda: shard.index))
    t.gauge("rulepush_rule_shards", "Shards that share the rule groups.", single(lambda: shard.count))
    t.gauge("rulepush_rule_groups_of_other_shards", "Groups that only other shards evaluate.", single(of_others))
