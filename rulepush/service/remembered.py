"""What is in memory when a recording begins or goes on: rules read it, so the recording must have it.

After `kill -9` the journal gives back samples whose recording had not been written yet; and where a reload switches the
recording on, rules look back on what came before.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final

import numpy as np

from rulepush.histogram.boxes import box_mask
from rulepush.model.block import SampleBlock
from rulepush.storage.head import Head

_MANY: Final = 2_000_000  # samples
_FEW_MS: Final = 300_000  # of many samples, those are passed on that an instant selector finds


def remembered(
    head: Head, after: int, now: int, written_by_rules: Container[str], many: int = _MANY
) -> Iterator[SampleBlock]:
    """The samples later than `after` (ms), in the order of time within each series, but for the metrics that rules
    write: a replay makes those itself. Where there are more than `many`, only those of the last five minutes before
    `now`."""
    if head.sample_count > many:
        after = max(after, now - _FEW_MS)
    for table in head.tables():
        if table.name in written_by_rules:
            continue
        times, values, counts = table.columns()
        everything = tuple(table.labels)
        for column in range(times.shape[1]):
            here = (counts > column) & (times[:, column] > after)
            if table.boxes is not None:
                here &= ~box_mask(values[:, column])  # a replay is of floats
            rows = np.flatnonzero(here)
            if len(rows):
                series = everything if len(rows) == len(everything) else tuple(everything[i] for i in rows.tolist())
                yield SampleBlock(series, times[rows, column], values[rows, column])
