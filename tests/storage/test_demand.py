from __future__ import annotations

from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.storage.demand import Demand, ManualDemand, Retention

MINUTE = 60_000


def m(name: str, op: MatchOp, value: str) -> Matcher:
    return Matcher(name, op, value)


def test_a_demand_wants_what_its_selectors_match() -> None:
    demand = Demand.of(
        [
            ManualDemand((m("__name__", MatchOp.EQUAL, "http"), m("code", MatchOp.REGEX, "5..")), 5 * MINUTE),
            ManualDemand((m("__name__", MatchOp.REGEX, "jvm_.+"),), MINUTE),
        ]
    )
    assert demand.wants(Labels({"__name__": "http", "code": "500"}))
    assert not demand.wants(Labels({"__name__": "http", "code": "200"}))
    assert not demand.wants(Labels({"__name__": "other"}))
    assert demand.wants(Labels({"__name__": "jvm_x"}))
    assert demand.wants_name("http")
    assert not demand.wants_name("other")


def test_the_longest_look_back_of_a_metric_counts() -> None:
    demand = Demand.of(
        [ManualDemand.metric("x", MINUTE), ManualDemand.metric("x", 3 * MINUTE), ManualDemand.metric("y", MINUTE)]
    )
    assert tuple(demand.keep(name).lookback_ms for name in "xyz") == (3 * MINUTE, MINUTE, 0)
    assert [str(k) for k in demand.describe()] == ["x for 3m", "y for 1m"]


def test_keep_all_keeps_longer_where_a_rule_looks_back_further() -> None:
    demand = Demand.keep_all(15 * MINUTE, [ManualDemand.metric("x", 60 * MINUTE)])
    assert demand.wants(Labels.of(anything="1"))
    assert tuple(demand.keep(name).lookback_ms for name in ("x", "other")) == (60 * MINUTE, 15 * MINUTE)
    assert "everything for 15m" in [str(k) for k in demand.describe()]


def test_a_fixed_time_is_a_window() -> None:
    demand = Demand.of([ManualDemand(ManualDemand.metric("x", 0).matchers, MINUTE, since_ms=10 * MINUTE)])
    assert demand.keep("x") == Retention(0, ((9 * MINUTE, 11 * MINUTE),))
