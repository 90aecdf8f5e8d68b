"""How the values of a block are written: as what changed against the former values of the same series.

    mask     n bits: which values changed (their bits, so that stale markers, -0.0 and every NaN come back as they were)
    kinds    two times c bits, of the c values that changed: how each is written, as an XOR with how the series' last
             change was, so that these bytes are nearly always 0
    columns  three, one a kind, each the number of bytes of its widest number, then all lowest bytes, all second ones...

A value is written as the difference of its whole number, or of its number of billionths (a Timer of Micrometer adds up
nanoseconds, in seconds), when that gives back the same bits; else as the XOR of both bit patterns. The differences stay
below 2^52, where doubles count exactly. The value of a
series depends on its own former one alone, but where it stands in the body on the kinds of all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rulepush.model.arrays import Bools, Floats, Ints

Kinds = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint64]

BARE: Final = 0  # the XOR of the bit patterns
_WHOLE: Final = 1
_DECIMAL: Final = 2
_DECIMALS: Final = 1e9
FACTORS: Final = np.array([1.0, 1.0, _DECIMALS, 1.0])
_EXACT: Final = float((1 << 51) - 1)  # below, the billionths of a value are found again: the error is less than 0.5
FIRST_KIND: Final = _WHOLE
"""What series have that were never seen."""


def encode_values(former: Floats, kinds: Kinds, values: Floats, *, retry: bool = True) -> tuple[bytes, Kinds]:
    """(body, new kinds) of values[n]; `former` and `kinds` are what the series had before. `values` is float64. With
    `retry`, series that had no better kind than their bits are looked at again."""
    bits = values.view(np.uint64)
    changed = bits != former.view(np.uint64)
    at = changed.nonzero()[0]
    now, then, now_bits, kind = values[at], former[at], bits[at], kinds[at]
    unused = bytes((len(at) + 7) // 8)
    low, high, made = unused, unused, kinds
    with np.errstate(all="ignore"):
        factors = FACTORS[kind]
        number = exact(now * factors)
        good = (number / factors).view(np.uint64) == now_bits
        bare = kind == BARE
        good = good & ~bare if retry else good | bare
        if not good.all():
            bad = (~good).nonzero()[0]
            found = _kinds_of(now[bad])
            diff = np.zeros(len(at), np.uint8)
            diff[bad] = kind[bad] ^ found
            low, high = np.packbits(diff & 1).tobytes(), np.packbits(diff >> 1).tobytes()
            kind ^= diff
            made = kinds.copy()
            made[at] = kind
            factors = FACTORS[kind]
            number = exact(now * factors)
        zigzag = _zigzag(number - exact(then * factors))
    others = kind == BARE
    parts = (
        np.packbits(changed).tobytes(),
        low,
        high,
        _planes(zigzag[kind == _WHOLE]),
        _planes(zigzag[kind == _DECIMAL]),
        _planes(now_bits[others] ^ then[others].view(np.uint64)),
    )
    return b"".join(parts), made


def decode_values(body: bytes, former: Floats, kinds: Kinds) -> tuple[Floats, Kinds]:
    """(values[n], new kinds): the inverse. Raises ValueError for what is not such a body."""
    reader = _Reader(body)
    at = reader.bits(len(former)).nonzero()[0]
    values, made = former.copy(), kinds
    then, kind = former[at], kinds[at]
    low, high = reader.bytes_of_bits(len(at)), reader.bytes_of_bits(len(at))
    if any(low) or any(high):
        kind ^= _unpacked(low, len(at)) | (_unpacked(high, len(at)) << 1)
        made = kinds.copy()
        made[at] = kind
    wholes, decimals, others = ((kind == k).nonzero()[0] for k in (_WHOLE, _DECIMAL, BARE))
    if len(wholes) + len(decimals) + len(others) != len(at):
        raise ValueError("values of an unknown kind")
    numbers = np.zeros(len(at), np.uint64)
    for places in (wholes, decimals, others):
        numbers[places] = reader.planes(len(places))
    with np.errstate(all="ignore"):
        factors = FACTORS[kind]
        now = (unzigzag(numbers) + exact(then * factors)) / factors
    if len(others):
        now.view(np.uint64)[others] = numbers[others] ^ then[others].view(np.uint64)
    values[at] = now
    reader.end()
    return values, made


def encode_times(times: Ints, near: int) -> bytes:
    """int64[n] times (ms), which are close to `near`."""
    return _planes(_zigzag(np.diff(times, prepend=np.int64(near))))


def decode_times(body: bytes, n: int, near: int) -> tuple[Ints, int]:
    """(times[n], bytes read): the inverse. Raises ValueError."""
    reader = _Reader(body)
    times = np.cumsum(unzigzag(reader.planes(n)), dtype=np.int64) + np.int64(near)
    return times, reader.offset


def _kinds_of(values: Floats) -> Kinds:
    """The first kind that gives back each value."""
    kind = np.zeros(len(values), np.uint8)
    for tried in (_DECIMAL, _WHOLE):
        factor = FACTORS[tried]
        kind[(exact(values * factor) / factor).view(np.uint64) == values.view(np.uint64)] = tried
    return kind


def exact(numbers: Floats) -> Ints:
    """The nearest whole numbers as integers; what is beyond where doubles count exactly, and NaN, as its bound, so that
    every machine finds the same. `numbers` is used up."""
    np.rint(numbers, out=numbers)
    np.fmin(numbers, _EXACT, out=numbers)
    np.fmax(numbers, -_EXACT, out=numbers)
    return numbers.astype(np.int64)


def _zigzag(numbers: Ints) -> Bits:
    """0, -1, 1, -2, ... as 0, 1, 2, 3, ...: small numbers of both signs have few bytes."""
    return ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)


def unzigzag(numbers: Bits) -> Ints:
    return (numbers >> np.uint64(1)).view(np.int64) ^ -(numbers & np.uint64(1)).view(np.int64)


def _planes(numbers: Bits) -> bytes:
    if not len(numbers):
        return b"\0"
    width = (int(numbers.max()).bit_length() + 7) // 8
    return bytes((width,)) + numbers.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)[:, :width].T.tobytes()


def _unpacked(packed: bytes, n: int) -> npt.NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=n)


class _Reader:
    """Takes the parts of a body, one after the other."""

    def __init__(self, body: bytes):
        self._body = body
        self.offset = 0

    def bits(self, n: int) -> Bools:
        """n bits, as booleans."""
        return _unpacked(self.bytes_of_bits(n), n).view(np.bool_)

    def bytes_of_bits(self, n: int) -> bytes:
        """n bits, as they are."""
        return self._take((n + 7) // 8)

    def planes(self, n: int) -> Bits:
        """n numbers."""
        width = self._take(1)[0]
        if width > 8:
            raise ValueError(f"numbers of {width} bytes")
        numbers = np.zeros(n, "<u8")
        if width and n:
            numbers.view(np.uint8).reshape(n, 8)[:, :width] = (
                np.frombuffer(self._take(n * width), np.uint8).reshape(width, n).T
            )
        return numbers.astype(np.uint64, copy=False)

    def end(self) -> None:
        """Raises ValueError when something is left."""
        if self.offset != len(self._body):
            raise ValueError(f"{len(self._body) - self.offset} bytes too many")

    def _take(self, size: int) -> bytes:
        part = self._body[self.offset : self.offset + size]
        if len(part) != size:
            raise ValueError("the values end too early")
        self.offset += size
        return part
