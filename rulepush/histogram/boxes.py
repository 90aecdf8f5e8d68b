"""Boxes: histograms in columns of floats.

Where most samples are floats, a histogram among them is a NaN of its own kind, as the stale marker is one: a signalling
NaN whose low bits number it in a `Boxes`. All that moves samples (columns, windows, matching) moves it as it is, and
float arrays stay what they are. Arithmetic makes a quiet NaN of it, which is no box: never another histogram.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from rulepush.model.arrays import Bools, Floats, Ints

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

_PREFIX: Final = 0x7FF4  # the first 16 bits; the stale marker begins with 0x7FF0
_FIRST: Final = _PREFIX << 48
_NUMBER: Final = (1 << 48) - 1
# Measured with tracemalloc for one of the storage: the object, a Buckets and its array of counts, but for the counts
# themselves. It shares its array of indexes with the others of its series.
_HISTOGRAM_BYTES: Final = 430


class Boxes(list["FloatHistogram"]):
    """Histograms by number. They are only added, by `box` and `adopted`. A list, for each operator over floats asks
    whether it is empty, and that of a list is answered without a call."""

    __slots__ = ()

    def box(self, histogram: FloatHistogram) -> float:
        """What stands for it in a column. Keep it as a float: no arithmetic."""
        self.append(histogram)
        return box_of(len(self) - 1)

    def unbox(self, value: float) -> FloatHistogram | None:
        """The histogram that `value` stands for; None when it is a float like others."""
        if value == value:
            return None
        bits: int = struct.unpack("<Q", struct.pack("<d", value))[0]
        return self[bits & _NUMBER] if bits >> 48 == _PREFIX else None

    def drop_last(self) -> None:
        """Take back the box that was made last."""
        self.pop()

    def adopted(self, values: Floats, source: Boxes) -> Floats:
        """`values`, of any shape, whose boxes are those of `source`, with boxes of this one; the same array when it has
        none. What has no histogram in `source` (padding) may become anything."""
        mask = box_mask(values)
        if not np.count_nonzero(mask):
            return values
        values = values.copy()
        numbers = box_numbers(values[mask])
        if source is self:
            return values
        known = numbers < len(source)
        used = np.zeros(len(source), np.bool_)
        used[numbers[known]] = True
        number_of = np.cumsum(used) - 1 + len(self)
        self.extend([source[i] for i in np.flatnonzero(used).tolist()])
        made = np.full(len(numbers), np.nan)
        made[known] = boxed_numbers(number_of[numbers[known]])
        values[mask] = made
        return values

    @property
    def nbytes(self) -> int:
        """About the bytes of all of them; one that is there several times counts once."""
        return sum(_HISTOGRAM_BYTES + 8 * h.bucket_count for h in {id(h): h for h in self}.values())


def box_of(number: int) -> float:
    """The box with a number."""
    value: float = struct.unpack("<d", struct.pack("<Q", _FIRST | number))[0]
    return value


def box_mask(values: Floats) -> Bools:
    """Where an array (any shape) holds a box. `values` must be float64."""
    mask: Bools = values.view(np.int64) >> 48 == _PREFIX
    return mask


def box_numbers(values: Floats) -> Ints:
    """The numbers of float64[k] boxes."""
    numbers: Ints = values.view(np.int64) & _NUMBER
    return numbers


def boxed_numbers(numbers: Ints) -> Floats:
    """The inverse of `box_numbers`."""
    values: Floats = (numbers.astype(np.int64) | _FIRST).view(np.float64)
    return values
