"""Fields of protobuf messages that are written byte by byte."""

from __future__ import annotations

from typing import Final


def field(tag: bytes, content: bytes) -> bytes:
    """A field with a length; `tag` is its number << 3 | 2, as a varint."""
    return tag + varint(len(content)) + content


_SMALL: Final = tuple(bytes((n,)) for n in range(128))


def varint(n: int) -> bytes:
    """A whole number, negative ones as 64-bit two's complement."""
    if 0 <= n < 128:
        return _SMALL[n]
    n &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while n > 127:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)
