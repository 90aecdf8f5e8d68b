"""The samples that decided an episode, out of the source of the backtest."""

from __future__ import annotations

from typing import Final

from rulepush.backtest.source import EventSource
from rulepush.backtest.unittest.grid import Cell
from rulepush.backtest.unittest.involved import InvolvedRules
from rulepush.errors import SampleSourceError
from rulepush.histogram.sample import HistogramBlock
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation

_MAX_SERIES: Final = 20_000
_MAX_SAMPLES: Final = 5_000_000


def collected(
    source: EventSource, rules: InvolvedRules, start: int, end: int, interval_ms: int
) -> dict[Labels, list[tuple[int, Cell]]]:
    """(time in ms, value) of all samples with start <= time <= end that the rules read, by series.

    The order of events says what an evaluation saw: a scrape that has its time, and came in before it; not one that
    came in later, which gets a time behind it. `end` is the time of an evaluation, and `interval_ms` the time between
    two. Raises SampleSourceError when there are too many.
    """
    found: dict[Labels, list[tuple[int, Cell]]] = {}
    wanted: dict[int, list[tuple[int, Labels]]] = {}
    tuples: list[tuple[Labels, ...]] = []  # kept, so that no other gets their identity
    evaluated, count = start - 1, 0
    for event in source.events(start, end + interval_ms):  # what has the time of the last evaluation came in later
        if isinstance(event, RecordedEvaluation) and (end - event.at) % interval_ms == 0:
            evaluated = event.at
            if evaluated >= end:
                break
        if not isinstance(event, RecordedBlock) or event.origin is Origin.RULE:
            continue
        block = event.block
        positions = wanted.get(id(block.series))
        if positions is None:
            positions = [(i, labels) for i, labels in enumerate(block.series) if rules.reads(labels)]
            wanted[id(block.series)] = positions
            tuples.append(block.series)
        times = block.times() if positions else []
        histograms = block.histograms if isinstance(block, HistogramBlock) else None
        for i, labels in positions:
            ts = max(times[i], evaluated + 1)
            if ts <= end:
                histogram = None if histograms is None else histograms[i]
                cell: Cell = float(block.values[i]) if histogram is None else histogram
                if histogram is not None and histogram.is_stale:
                    cell = STALE
                found.setdefault(labels, []).append((ts, cell))
                count += 1
        if len(found) > _MAX_SERIES or count > _MAX_SAMPLES:
            raise SampleSourceError(
                f"its rules read {len(found)} series with {count} samples in that time: too many for a unit test"
            )
    for samples in found.values():
        samples.sort(key=lambda s: s[0])
    return found
