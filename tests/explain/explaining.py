"""A rule over a few samples, explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rulepush.explain import (
    Bounds,
    ExplainedNode,
    Explanation,
    Focus,
    Reason,
    ReasonKind,
    RecordedMetric,
    RuleFacts,
    Surroundings,
    TargetView,
    explain,
)
from rulepush.livecheck import LiveData
from rulepush.model.labels import METRIC_NAME, Labels
from tests.livecheck.bodies import answer
from tests.rules.world import T0, World, one_rule

NODE_A = TargetView("app", "http://a:1/metrics", Labels.of(job="app", instance="a:1"))
NODE_B = TargetView("app", "http://b:1/metrics", Labels.of(job="app", instance="b:1"))


def alert(expr: str, more: str = "") -> str:
    """A rule file with one alert called X."""
    return one_rule("{alert: X, expr: '" + expr.replace("'", "''") + "'" + (f", {more}" if more else "") + "}")


def world(expr: str, *samples: tuple[str, Mapping[str, str], float], more: str = "", at: int = 0) -> World:
    """The alert X over (metric, labels, value) at T0 + at, evaluated once."""
    made = World(alert(expr, more))
    for metric, labels, value in samples:
        assert made.head.append(Labels({METRIC_NAME: metric, **labels}), T0 + at, value)
    made.tick(at)
    return made


def explained(
    made: World,
    at: int = 0,
    around: Surroundings | None = None,
    focus: Mapping[str, str] | None = None,
    bounds: Bounds | None = None,
    rule: int = 0,
) -> Explanation:
    """What is said of a rule at T0 + at."""
    facts = RuleFacts.of(made.group, made.group.rules[rule])
    querier = made.head.querier()
    around = around or Surroundings()
    return explain(facts, made.engine, querier, T0 + at, around, focus=Focus(focus or {}), bounds=bounds or Bounds())


def around_body(
    *bodies: bytes,
    targets: Sequence[TargetView] = (NODE_A,),
    recorded: Mapping[str, RecordedMetric] | None = None,
    relabelled: frozenset[str] = frozenset(),
) -> Surroundings:
    """The targets expose these bodies, in their order."""
    pairs = zip(bodies, targets, strict=True)
    answers = [answer(body, target=target.labels) for body, target in pairs]
    return Surroundings(tuple(targets), LiveData(answers), recorded or {}, relabelled)


def node(found: Explanation, head: str) -> ExplainedNode:
    """The one node with this head."""
    (one,) = [n for n in found.tree.walk() if n.head == head]
    return one


def of_kind(reasons: Sequence[Reason], kind: ReasonKind) -> Reason:
    """The one reason of this kind."""
    found = [r for r in reasons if r.kind is kind]
    assert len(found) == 1, [r.message for r in reasons]
    return found[0]


def messages(reasons: Sequence[Reason]) -> list[str]:
    return [r.message for r in reasons]
