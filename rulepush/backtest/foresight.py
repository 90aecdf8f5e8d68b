"""Foresight: at which of many moments a rule has a result at all, asked of all of them at once.

Most rules have none at most moments. An evaluation that finds nothing, of a rule that has no alert, changes nothing, so
that it need not be done. Which moments these are is exact: the engine computes a range query as it does an instant one,
all steps side by side, and a moment that it finds something at is evaluated like in the service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Final

import numpy as np

from rulepush.model.arrays import Bools
from rulepush.model.labels import METRIC_NAME
from rulepush.promql import Engine, Query
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.values import Vector
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.health import RuleHealthState
from rulepush.rules.specs import result_fault
from rulepush.storage.head import Head

_WORTH_IT: Final = 6  # moments


class Foresight:
    """Of the rules of one group. `active` are the places of the rules that are evaluated at each moment: those that
    have alerts, or wrote something or failed the last time, or read what is only there when its moment has come."""

    def __init__(self, group: EvaluationGroup, engine: Engine, head: Head, written: Iterable[str]):
        """`written` are the metrics that rules write."""
        self._group = group
        self._engine = engine
        self._head = head
        names = list(written)
        self._asked = [i for i, rule in enumerate(group.rules) if _can_be_asked(rule.spec.query, names)]
        self._always = frozenset(range(len(group.rules))) - frozenset(self._asked)
        self.active = self._always
        self.evaluated()

    def evaluated(self) -> None:
        """The group was evaluated."""
        rules = self._group.rules
        self.active = self._always.union(i for i in self._asked if _is_active(rules[i]))

    def needed(self, times: Sequence[int]) -> Iterator[frozenset[int] | None]:
        """For each of these times of evaluation, in their order, the rules that have a result; None: it is not known.
        The samples of all of them must be there."""
        if len(times) < _WORTH_IT:
            return repeat(None)
        found = np.zeros((len(self._group.rules), len(times)), np.bool_)
        at = np.array(times, np.int64) - self._group.query_offset_ms
        for first, last in _runs(times):
            start, end = int(at[first]), int(at[last - 1])
            step = int(at[first + 1]) - start if last - first > 1 else 1
            for i in self._asked:
                found[i, first:last] = self._present(self._group.rules[i].spec.query, start, end, step, last - first)
        return iter([frozenset(np.flatnonzero(column).tolist()) for column in found.T])

    def _present(self, query: Query, start: int, end: int, step: int, count: int) -> Bools:
        """bool[count]: whether the query has a result, also where that cannot be told."""
        try:
            value = self._engine.range(query, start, end, step, self._head).value
        except Exception:  # whatever it is, a bug included: at which of the moments, is found out at each
            return np.ones(count, np.bool_)
        if not isinstance(value, Vector):
            return np.ones(count, np.bool_)
        present: Bools = np.zeros(count, np.bool_)
        value.present.any(axis=0, out=present)
        return present


def _is_active(rule: Rule) -> bool:
    if rule.status.health is not RuleHealthState.OK:  # nor unknown: it is told when a rule begins to fail
        return True
    if isinstance(rule, AlertingRule):
        return bool(rule.remembered)
    recent = rule.status.recent
    return bool(recent) and recent[-1].samples > 0


def _runs(times: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The parts (from, to) of ascending times that have equal steps."""
    first = 0
    while first < len(times):
        last = first + 1
        while last < len(times) and times[last] > times[last - 1]:
            if last > first + 1 and times[last] - times[last - 1] != times[first + 1] - times[first]:
                break
            last += 1
        yield first, last
        first = last


def _can_be_asked(query: Query, written: Sequence[str]) -> bool:
    """Whether the result at many times depends neither on what is written meanwhile nor on being that of a range."""
    if result_fault(query) or query.misuse is not None or query.depends_on_query or _knows_the_range(query.root):
        return False
    uses = [[m for m in use.matchers if m.name == METRIC_NAME] for use in query.selectors()]
    return not any(all(m.matches(name) for m in on_name) for on_name in uses for name in written)


def _knows_the_range(node: ast.Node) -> bool:
    """`@ start()` and `@ end()`; and `info`, whose selection depends on all series of the range."""
    if isinstance(node, ast.Call) and node.name == "info":
        return True
    at = getattr(node, "at", None)
    if isinstance(node, ast.MatrixSelector):
        at = node.selector.at
    return isinstance(at, ast.At) or any(map(_knows_the_range, ast.children(node)))
