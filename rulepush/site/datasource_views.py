"""What pages show of engines that evaluate rules elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from rulepush.datasource.status import DatasourceStatus
from rulepush.model.sample import Sample
from rulepush.rules.group import EvaluationGroup


class RangeSource(Protocol):
    """An engine, asked for the values of a chart."""

    async def ask_range(self, expr: str, start: int, end: int, step: int, within_s: float) -> Sequence[Sample]:
        """The values from `start` to `end` every `step` (ms), within about `within_s` seconds. Raises
        EvaluationError."""
        ...


def _none(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class EvaluatedOn:
    """Where the rules of a group are evaluated. While there is no answer, `failing_since` (ms) and `error` say since
    when and why, and active alerts are sent on as they are until `held_until`, None where there are none."""

    name: str
    address: str
    failing_since: int | None = None
    error: str = ""
    held_until: int | None = None


@dataclass(frozen=True, slots=True)
class ShownDatasources:
    """`statuses()` are the engines in force, `source` gives the one of a name."""

    statuses: Callable[[], Iterable[DatasourceStatus]] = tuple
    source: Callable[[str], RangeSource | None] = _none

    def of(self, groups: Iterable[EvaluationGroup]) -> dict[tuple[str, str], EvaluatedOn]:
        """Where those groups are evaluated that are not evaluated in memory, by file and name."""
        by_name = {status.name: status for status in self.statuses()}
        return {g.spec.key: _evaluated_on(g, by_name.get(g.spec.datasource)) for g in groups if g.spec.datasource}

    def of_one(self, group: EvaluationGroup) -> EvaluatedOn | None:
        """Where this group is evaluated; None: in memory."""
        return self.of((group,)).get(group.spec.key)


NO_DATASOURCES: Final = ShownDatasources()


def _evaluated_on(group: EvaluationGroup, status: DatasourceStatus | None) -> EvaluatedOn:
    if status is None:  # a reload has just taken it away
        return EvaluatedOn(group.spec.datasource, "")
    hold = group.context.unanswered_hold_ms
    unanswered = [rule.unanswered_since for rule in group.alerting_rules if rule.alerts]
    until = max((since + hold for since in unanswered if since is not None), default=None)
    return EvaluatedOn(status.name, status.address, status.failing_since, status.error, until)
