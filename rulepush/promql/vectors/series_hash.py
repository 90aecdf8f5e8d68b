"""The hash of a label set as Prometheus computes it: xxHash64 over its string encoding. limit_ratio() samples by it."""

from __future__ import annotations

from typing import Final

import numpy as np

from rulepush.model.arrays import Floats
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels

_M: Final = (1 << 64) - 1
_P1: Final = 0x9E3779B185EBCA87
_P2: Final = 0xC2B2AE3D27D4EB4F
_P3: Final = 0x165667B19E3779F9
_P4: Final = 0x85EBCA77C2B2AE63
_P5: Final = 0x27D4EB2F165667C5


def _rotate(x: int, by: int) -> int:
    return ((x << by) | (x >> (64 - by))) & _M


def _round(acc: int, lane: int) -> int:
    return _rotate((acc + lane * _P2) & _M, 31) * _P1 & _M


def xxhash64(data: bytes) -> int:
    """xxHash64 with seed 0 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md)."""
    at, size = 0, len(data)
    if size >= 32:
        accs = [(_P1 + _P2) & _M, _P2, 0, -_P1 & _M]
        while at + 32 <= size:
            for i in range(4):
                accs[i] = _round(accs[i], int.from_bytes(data[at : at + 8], "little"))
                at += 8
        h = sum(_rotate(acc, by) for acc, by in zip(accs, (1, 7, 12, 18), strict=True)) & _M
        for acc in accs:
            h = ((h ^ _round(0, acc)) * _P1 + _P4) & _M
    else:
        h = _P5
    h = (h + size) & _M
    while at + 8 <= size:
        h ^= _round(0, int.from_bytes(data[at : at + 8], "little"))
        h = (_rotate(h, 27) * _P1 + _P4) & _M
        at += 8
    if at + 4 <= size:
        h ^= int.from_bytes(data[at : at + 4], "little") * _P1 & _M
        h = (_rotate(h, 23) * _P2 + _P3) & _M
        at += 4
    for byte in data[at:]:
        h ^= byte * _P5 & _M
        h = _rotate(h, 11) * _P1 & _M
    h = (h ^ (h >> 33)) * _P2 & _M
    h = (h ^ (h >> 29)) * _P3 & _M
    return h ^ (h >> 32)


def series_hash(labels: Labels) -> int:
    """labels.Hash() of Prometheus' default build (model/labels/labels_stringlabels.go)."""
    out = bytearray()
    for pair in labels:
        for text in pair:
            data = text.encode("utf-8", "surrogatepass")
            out += bytes((len(data),)) if len(data) < 255 else b"\xff" + len(data).to_bytes(3, "little")
            out += data
    return xxhash64(bytes(out))


def sample_offsets(index: LabelIndex) -> Floats:
    """float64[n] in 0..1: where each row stands in the order of sampling. Memoised."""
    top = float(_M)
    return index.memo("sample offsets", lambda: np.array([series_hash(ls) / top for ls in index.labels]))
