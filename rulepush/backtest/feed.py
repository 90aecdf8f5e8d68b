"""From recorded blocks to the samples in memory: what no rule of the test reads costs nothing after the first time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rulepush.histogram.sample import HistogramBlock, boxed_values
from rulepush.model.labels import INSTANCE, JOB, Labels
from rulepush.recorded.events import Origin, RecordedBlock
from rulepush.rules.context import TargetStates
from rulepush.scrape.layout import Placement, TargetSeries
from rulepush.storage.head import Head

# Tuples of series that are remembered: of a source, and of what has none. The labels of each stay in memory.
_PLANS: Final = 4
_ANONYMOUS_PLANS: Final = 1024
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
        # By source and whether a rule is it, then by the identity of the tuple.
        self._plans: dict[tuple[str, bool], dict[int, BlockPlan]] = {}
        self._used: set[tuple[str, bool]] = set()

    def plan(self, recorded: RecordedBlock) -> BlockPlan:
        """What is to be done with a block."""
        series = recorded.block.series
        key = recorded.source, recorded.origin is Origin.RULE
        self._used.add(key)
        known = self._plans.get(key)
        if known is None:
            known = self._plans[key] = {}
        plan = known.get(id(series))
        if plan is None:
            if len(known) >= (_PLANS if recorded.source else _ANONYMOUS_PLANS):
                del known[next(iter(known))]
            plan = known[id(series)] = self._plan(series, by_rule=key[1])
        return plan

    def forget_unused(self) -> None:
        """Forget the sources of which nothing came since the last call."""
        for key in self._plans.keys() - self._used:
            del self._plans[key]
        self._used.clear()

    def append(self, plan: BlockPlan, recorded: RecordedBlock) -> None:
        """Store what is wanted of a block."""
        block = recorded.block
        late = self._insert_late and recorded.origin is Origin.REMOTE_WRITE
        histograms = block.histograms if isinstance(block, HistogramBlock) else None
        if isinstance(block.ts, int) and plan.placement is not None and not late:
            values, boxes = boxed_values(block) if isinstance(block, HistogramBlock) else (block.values, None)
            plan.placement.append(block.ts, values, boxes)
            return
        put = self._head.insert if late else self._head.append
        values, times = block.values, block.ts
        for position, labels in plan.wanted:
            ts = times if isinstance(times, int) else int(times[position])
            histogram = None if histograms is None else histograms[position]
            if histogram is None:
                put(labels, ts, float(values[position]))
            else:
                self._head.append_histogram(labels, ts, histogram, in_order=not late)

    def _plan(self, series: tuple[Labels, ...], *, by_rule: bool) -> BlockPlan:
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
