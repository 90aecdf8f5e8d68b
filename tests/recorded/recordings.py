"""What the tests of the recording share: blocks, a writer with a fake clock, and how events are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvent
from rulepush.recorded.recording import RecordedSamples, Recording
from rulepush.recorded.writer import RecordingWriter
from tests.fakes import FakeClock

DAY = 86_400_000
MIB = 1 << 20
EVER = (-(1 << 62), 1 << 62)
ANY = Matcher("__name__", MatchOp.REGEX, ".*")


def equal(name: str, value: str) -> Matcher:
    return Matcher(name, MatchOp.EQUAL, value)


def series(count: int, **labels: str) -> tuple[Labels, ...]:
    return tuple(Labels({"__name__": f"m{i % 7}", "i": str(i), **labels}) for i in range(count))


def scrape(
    at: int,
    of: tuple[Labels, ...],
    values: Sequence[float],
    source: str = "a",
    ts: int | Sequence[int] | None = None,
    origin: Origin = Origin.SCRAPE,
) -> RecordedBlock:
    when = at if ts is None else ts if isinstance(ts, int) else np.array(ts, np.int64)
    return RecordedBlock(at, origin, source, SampleBlock(of, when, np.array(values, np.float64)))


def writer(directory: Path, clock: FakeClock, retention_ms: int = DAY, max_size: int = 64 * MIB) -> RecordingWriter:
    return RecordingWriter(directory, retention_ms, max_size, clock)


def write(directory: Path, events: Iterable[RecordedEvent]) -> None:
    """Record events, one flush each."""
    made = writer(directory, FakeClock())
    for event in events:
        made.record(event)
        made.flush()
    made.close()


def plain(event: RecordedEvent) -> object:
    """An event as something that can be compared, values by their bits."""
    if not isinstance(event, RecordedBlock):
        return event
    block = event.block
    return event.at, event.origin, event.source, block.series, block.times(), block.values.view(np.int64).tolist()


def read(directory: Path, start: int = EVER[0], end: int = EVER[1]) -> list[object]:
    return [plain(event) for event in Recording(directory).events(start, end)]


def rows(samples: RecordedSamples) -> dict[Labels, list[tuple[int, int]]]:
    """(time, bits of the value) of each series."""
    return {
        labels: list(zip(times.tolist(), values.view(np.int64).tolist(), strict=True))
        for labels, times, values in samples
    }
