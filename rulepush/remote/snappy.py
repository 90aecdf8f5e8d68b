"""The snappy block format, guarded against decompression bombs. Beside push/snappy_stream.py the only file that imports
cramjam.

Source: google/snappy format_description.txt. A block starts with its uncompressed length as a varint (at most
2^32 - 1); the densest element, a copy of 64 bytes, takes 3 bytes, so no honest block grows more than about 22 times.
"""

from __future__ import annotations

from typing import Final

import cramjam

from rulepush.errors import RemoteWriteError

_MAX_GROWTH: Final = 22
_MAX_VARINT_BYTES: Final = 5


def compress(data: bytes) -> bytes:
    """One snappy block."""
    return bytes(cramjam.snappy.compress_raw(data))


def decompress(data: bytes, limit: int) -> bytes:
    """The content of one snappy block.

    Raises RemoteWriteError 413 when it says that it holds more than `limit` bytes, 400 when it is not snappy; both
    before anything is allocated.
    """
    length = _claimed_length(data)
    if length > limit:
        raise RemoteWriteError(413, f"the body holds {length} bytes uncompressed, more than the limit of {limit}")
    if length > _MAX_GROWTH * len(data):
        raise RemoteWriteError(400, "snappy: corrupt input: the claimed length does not fit the size of the body")
    try:
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as e:
        raise RemoteWriteError(400, str(e)) from None


def _claimed_length(data: bytes) -> int:
    length = 0
    for i, byte in enumerate(data[:_MAX_VARINT_BYTES]):
        length |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if length > 0xFFFFFFFF:
                break
            return length
    raise RemoteWriteError(400, "snappy: corrupt input: no length at the start of the block")
