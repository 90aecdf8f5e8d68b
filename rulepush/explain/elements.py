"""The elements of vectors at one time: which are there, and a bounded number of them with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.model.arrays import Bools, Floats
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.promql.vectors.values import Vector

Rows = npt.NDArray[np.intp]
LOOKED_AT: Final = 2_000  # elements whose labels are made to choose from
MAX_SEARCHED: Final = 50_000  # elements among which that of an alert is looked for


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an explanation lists."""

    rows: int = 5
    missed: int = 5
    alerts: int = 20


@dataclass(frozen=True, slots=True)
class Focus:
    """The labels that the reader asks about. An element that has one of them with another value is not meant; one
    without it, such as an aggregation over all instances, is."""

    labels: Mapping[str, str]

    def means(self, labels: Labels) -> bool:
        """Whether an element may be about these labels."""
        return all(labels.get(name) in ("", value) for name, value in self.labels.items())


ANY_LABELS: Final = Focus({})


def present_rows(vector: Vector) -> Rows:
    """The rows that are there at the one step."""
    return np.flatnonzero(vector.present[:, 0])


def present(vector: Vector) -> Bools:
    """bool[n]: whether each row is there."""
    here: Bools = vector.present[:, 0]
    return here


def values_at(vector: Vector) -> Floats:
    """float64[n], meaningless where a row is not there."""
    values: Floats = vector.values[:, 0]
    return values


def chosen(index: LabelIndex, rows: Rows, focus: Focus, count: int) -> list[tuple[int, Labels]]:
    """At most `count` of `rows`, in their order, with their labels; those that are not meant are left out. Looks at
    LOOKED_AT rows at most."""
    if not focus.labels:
        rows = rows[:count]
        return list(zip(rows.tolist(), index.some(rows), strict=True)) if len(rows) else []
    rows = rows[:LOOKED_AT]
    labels = index.some(rows) if len(rows) else []
    return [pair for pair in zip(rows.tolist(), labels, strict=True) if focus.means(pair[1])][:count]


def labels_of(index: LabelIndex, rows: Rows) -> Sequence[Labels]:
    """The labels of at most LOOKED_AT rows."""
    rows = rows[:LOOKED_AT]
    return index.some(rows) if len(rows) else ()
