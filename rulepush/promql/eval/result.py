"""What a query answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rulepush.histogram.boxes import Boxes, box_mask
from rulepush.histogram.sample import HistogramSample, sample_of
from rulepush.model.arrays import Floats, Ints
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.model.sample import Sample
from rulepush.promql.syntax.strings import printable
from rulepush.promql.vectors.annotations import AnnotationSet
from rulepush.promql.vectors.values import Matrix, Scalar, String, Value, ValueType, Vector

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram


@dataclass(frozen=True, slots=True, eq=False)
class ResultSeries:
    """`times` int64[k] ms ascending, `values` float64[k]. `histograms` are those of the samples that are one, by place,
    None without any; their values mean nothing."""

    labels: Labels
    times: Ints
    values: Floats
    histograms: Mapping[int, FloatHistogram] | None = None

    @property
    def floats(self) -> ResultSeries:
        """The same without the samples that are histograms."""
        if not self.histograms:
            return self
        plain = np.ones(len(self.times), np.bool_)
        plain[list(self.histograms)] = False
        return ResultSeries(self.labels, self.times[plain], self.values[plain])

    def samples(self) -> list[Sample]:
        """All of its samples."""
        return [self.sample(place) for place in range(len(self.times))]

    def sample(self, place: int) -> Sample:
        """One of its samples."""
        ts = int(self.times[place])
        if self.histograms and place in self.histograms:
            return HistogramSample(self.labels, ts, 0.0, self.histograms[place])
        return Sample(self.labels, ts, float(self.values[place]))


@dataclass(frozen=True, slots=True)
class Annotations:
    """Texts as Prometheus prints them, each ending in its ` (line:column)`."""

    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


class QueryResult:
    """The value of a query at its steps (int64[T] ms), names removed where they are to be."""

    __slots__ = ("_boxes", "_notes", "_query", "is_range", "steps", "value")

    def __init__(
        self, value: Value, steps: Ints, is_range: bool, query: str, notes: AnnotationSet, boxes: Boxes | None = None
    ):
        self.value = value
        self.steps = steps
        self.is_range = is_range
        self._query = query
        self._notes = notes
        self._boxes = boxes

    @property
    def boxes(self) -> Boxes | None:
        """The native histograms among the values of `value`; None without any."""
        return self._boxes

    @property
    def value_type(self) -> ValueType:
        """The type as Prometheus' API names it: a range query answers a matrix."""
        if self.is_range or isinstance(self.value, Matrix):
            return ValueType.MATRIX
        if isinstance(self.value, Scalar):
            return ValueType.SCALAR
        return ValueType.STRING if isinstance(self.value, String) else ValueType.VECTOR

    @property
    def annotations(self) -> Annotations:
        """What the evaluation wants to say beside the result."""
        notes, query = self._notes, self._query
        return Annotations(notes.texts(query, True), notes.texts(query, False))

    @property
    def scalar(self) -> float:
        """The number that an instant query for a scalar answers. Raises TypeError for another type."""
        if not isinstance(self.value, Scalar):
            raise TypeError(f"not a scalar: {self.value_type.value}")
        return float(self.value.values[0])

    @property
    def string(self) -> str:
        """The text that a query for a string answers. Raises TypeError for another type."""
        if not isinstance(self.value, String):
            raise TypeError(f"not a string: {self.value_type.value}")
        return printable(self.value.text)

    def samples(self) -> list[Sample]:
        """The samples of an instant query, in the order of the query (sort, topk). A scalar is one sample without
        labels; one that is a histogram is a HistogramSample. Raises TypeError for a matrix or a string."""
        match self.value:
            case Vector() as vector:
                if not np.count_nonzero(vector.present):
                    return []
                ts, rows = int(self.steps[0]), _listed(vector)
                labels, values = vector.index.some(rows), vector.values[rows, 0].tolist()
                if self._boxes is not None:
                    return [sample_of(self._boxes, of_row, ts, v) for of_row, v in zip(labels, values, strict=True)]
                return [Sample(of_row, ts, v) for of_row, v in zip(labels, values, strict=True)]
            case Scalar(values):
                return [Sample(EMPTY_LABELS, int(self.steps[0]), float(values[0]))]
            case _:
                raise TypeError(f"no samples in a {self.value_type.value}")

    def series(self) -> list[ResultSeries]:
        """The series of a range query, or of a range selector at one time; those without samples are left out.
        Sorted by labels for a range query. Raises TypeError for an instant string or vector."""
        of_series = ResultSeries if self._boxes is None else self._series
        match self.value:
            case Matrix(index, times, values, counts):
                found = [
                    of_series(labels, times[i, :k], values[i, :k])
                    for i, (labels, k) in enumerate(zip(index.labels, counts.tolist(), strict=True))
                    if k
                ]
            case Scalar(numbers) if self.is_range:
                return [ResultSeries(EMPTY_LABELS, self.steps, numbers)]
            case Vector(index, values, present) if self.is_range:
                found = [
                    of_series(index.row(i), self.steps[present[i]], values[i, present[i]])
                    for i in np.flatnonzero(present.any(axis=1)).tolist()
                ]
            case _:
                raise TypeError(f"no series in a {self.value_type.value}")
        return sorted(found, key=lambda s: s.labels)

    def _series(self, labels: Labels, times: Ints, values: Floats) -> ResultSeries:
        boxes = self._boxes
        assert boxes is not None
        at = np.flatnonzero(box_mask(values))
        held = zip(at.tolist(), values[at].tolist(), strict=True)
        return ResultSeries(labels, times, values, {i: h for i, v in held if (h := boxes.unbox(v)) is not None})


def _listed(vector: Vector) -> npt.NDArray[np.intp]:
    """The rows that are present, in the order of listing."""
    if vector.order is None:
        return np.flatnonzero(vector.present[:, 0])
    rows: npt.NDArray[np.intp] = vector.order[vector.present[vector.order, 0]]
    return rows
