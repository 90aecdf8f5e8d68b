"""From recorded blocks to the samples in memory: what no rule of the test reads costs nothing after the first time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rulepush.model.labels import INSTANCE, JOB, Labels
from rulepush.recorded.events import Origin, RecordedBlock
from rulepush.rules.context import TargetStates
from rulepush.scrape.layout import Placement, TargetSeries
from rulepush.storage.head import Head

_PLANS: Final = 4096  # tuples of series that are remembered
_UP: Final = "up"


@dataclass(slots=True)
class BlockPlan:
    """What is done with the blocks of one tuple of series, which it keeps: the tuple is known by its identity.

    `wanted` are the positions and series that a rule reads; `placement` takes them together where each is there once.
    `ups` are the positions of `up`, and which target they are about.
    """

    series: tuple[Labels, ...]
    wanted: list[tuple[int, Labels]]
    placement: Placement | None
    ups: list[tuple[int, tuple[str, str]]]


class RecordedTargets:
    """How the targets stand, by their `up`: what the service knew from its scrapes."""

    def __init__(self) -> None:
        self._up: dict[tuple[str, str], bool] = {}
        self._jobs: set[str] = set()

    def scraped(self, target: tuple[str, str], up: float) -> None:
        """`up` of a target, by job and instance; a stale marker when it is a target no longer."""
        self._jobs.add(target[0])
        if up != up:
            self._up.pop(target, None)
        else:
            self._up[target] = up > 0

    def down(self, labels: Labels) -> bool:
        """`HoldPolicy.target_down`."""
        job, instance = labels.get(JOB), labels.get(INSTANCE)
        return any(
            not up
            for (of_job, of_instance), up in self._up.items()
            if (not job or of_job == job) and (not instance or of_instance == instance)
        )

    def states(self) -> TargetStates:
        """`RuleContext.targets`."""
        return TargetStates(dict(self._up), frozenset(self._jobs))


class HeadFeed:
    """Appends recorded blocks to a head, as the service did."""

    def __init__(self, head: Head, made_here: Callable[[Labels], bool], *, insert_late: bool):
        """`made_here` says of a series that a rule wrote whether a rule of the test writes it, too. `insert_late`:
        samples that remote write received may be older than the newest of their series."""
        self.targets = RecordedTargets()
        self.metric_names: set[str] = set()  # of all series that came by
        self._head = head
        self._made_here = made_here
        self._insert_late = insert_late
        self._plans: dict[tuple[int, bool], BlockPlan] = {}

    def plan(self, recorded: RecordedBlock) -> BlockPlan:
        """What is to be done with a block."""
        by_rule = recorded.origin is Origin.RULE
        plan = self._plans.get((id(recorded.block.series), by_rule))
        return self._remember(recorded.block.series, by_rule) if plan is None else plan

    def append(self, plan: BlockPlan, recorded: RecordedBlock) -> None:
        """Store what is wanted of a block."""
        block = recorded.block
        late = self._insert_late and recorded.origin is Origin.REMOTE_WRITE
        if isinstance(block.ts, int) and plan.placement is not None and not late:
            plan.placement.append(block.ts, block.values)
            return
        put = self._head.insert if late else self._head.append
        values, ts = block.values, block.ts
        for position, labels in plan.wanted:
            put(labels, ts if isinstance(ts, int) else int(ts[position]), float(values[position]))

    def _remember(self, series: tuple[Labels, ...], by_rule: bool) -> BlockPlan:
        if len(self._plans) >= _PLANS:
            del self._plans[next(iter(self._plans))]
        plan = self._plans[id(series), by_rule] = self._plan(series, by_rule)
        return plan

    def _plan(self, series: tuple[Labels, ...], by_rule: bool) -> BlockPlan:
        wants = self._head.demand.wants
        wanted: list[tuple[int, Labels]] = []
        ups: list[tuple[int, tuple[str, str]]] = []
        for position, labels in enumerate(series):
            name = labels.name
            self.metric_names.add(name)
            if by_rule and self._made_here(labels):
                continue
            if wants(labels):
                wanted.append((position, labels))
            if name == _UP and not by_rule and labels.get(INSTANCE):
                ups.append((position, (labels.get(JOB), labels.get(INSTANCE))))
        placement = None
        if len({labels for _, labels in wanted}) == len(wanted):
            epoch = self._head.epoch
            placement = Placement(self._head, [(TargetSeries(labels, epoch), position) for position, labels in wanted])
        return BlockPlan(series, wanted, placement, ups)
