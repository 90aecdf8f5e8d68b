"""The native histograms of a body among its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rulepush.histogram.boxes import Boxes
from rulepush.histogram.sample import unboxed_block
from rulepush.model.arrays import Floats
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.storage.table import Int64s

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram


class BodyHistograms:
    """The lines of a body know floats. Where a sample is a native histogram, a box takes the place of its value."""

    __slots__ = ("_at", "_boxed", "boxes")

    def __init__(self, histograms: Mapping[int, FloatHistogram]):
        """`histograms` by the number of their sample in the body, from 0."""
        self.boxes = Boxes()
        self._at = np.array(list(histograms), np.int64)
        self._boxed = np.array([self.boxes.box(histogram) for histogram in histograms.values()])

    def put(self, numbers: Floats) -> None:
        """Into float64[n], the values of all samples of the body in their order."""
        numbers[self._at] = self._boxed


def sample_block(
    series: tuple[Labels, ...], ts: int | Int64s, values: Floats, found: BodyHistograms | None
) -> SampleBlock:
    """A block of values in which there may be boxes."""
    if found is None:
        return SampleBlock(series, ts, values)
    block = unboxed_block(series, ts, values, found.boxes)
    return block if any(block.histograms) else SampleBlock(series, ts, values)
