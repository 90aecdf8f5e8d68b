"""Which samples of a vector are native histograms, and vectors without them."""

from __future__ import annotations

import numpy as np

from rulepush.histogram.boxes import Boxes, box_mask
from rulepush.model.arrays import Bools
from rulepush.promql.vectors.values import Vector, with_present


def histograms_in(vector: Vector, boxes: Boxes) -> Bools | None:
    """bool[n, T]: which samples are histograms; None when none is."""
    if not boxes:
        return None
    mask = box_mask(vector.values)
    mask &= vector.present
    return mask if np.count_nonzero(mask) else None


def floats_of(vector: Vector, boxes: Boxes) -> Vector:
    """The vector without its histograms."""
    mask = histograms_in(vector, boxes)
    return vector if mask is None else with_present(vector, vector.present & ~mask)


def histograms_of(vector: Vector, boxes: Boxes) -> Vector:
    """The vector without its floats."""
    mask = histograms_in(vector, boxes)
    return with_present(vector, np.zeros_like(vector.present) if mask is None else mask)
