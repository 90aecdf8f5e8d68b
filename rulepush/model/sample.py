"""Sample: one value of one series at one time; and the stale marker, the NaN that marks the end of a series."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.model.labels import Labels

# Prometheus model/value/value.go. Arithmetic does not preserve signalling NaNs: compare the bits, before computing.
STALE_BITS: Final = 0x7FF0000000000002
STALE: Final[float] = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]


@dataclass(frozen=True, slots=True)
class Sample:
    """`ts` in milliseconds since the epoch."""

    labels: Labels
    ts: int
    value: float


def is_stale(value: float) -> bool:
    """Whether this one float is the stale marker."""
    return value != value and struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_BITS


def stale_mask(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Where an array (any shape) holds the stale marker. `values` must be float64."""
    mask: npt.NDArray[np.bool_] = values.view(np.int64) == np.int64(STALE_BITS)
    return mask
