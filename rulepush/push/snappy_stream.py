"""The snappy framing format (google/snappy framing_format.txt), which Pushgateway reads and remote write does not."""

from __future__ import annotations

from typing import Final

import cramjam

from rulepush.errors import BodyError
from rulepush.http_request import body_too_large

_STREAM_BEGINS: Final = b"\xff\x06\x00\x00sNaPpY"
_COMPRESSED, _UNCOMPRESSED, _FIRST_SKIPPABLE, _IDENTIFIER = 0x00, 0x01, 0x80, 0xFF
_CHUNK_CONTENT: Final = 65536  # of one chunk, uncompressed
_CORRUPT: Final = "snappy: corrupt input"


def unsnap_stream(data: bytes, limit: int) -> bytes:
    """The content of a stream of frames. Raises BodyError: 413 when it may hold more than `limit` bytes, 400 when it is
    no such stream; both before anything is unpacked."""
    if not data:
        return b""
    if not data.startswith(_STREAM_BEGINS):
        raise BodyError(400, _CORRUPT)
    pos = size = 0
    while pos < len(data):
        header = data[pos : pos + 4]
        length = int.from_bytes(header[1:], "little")
        pos += 4 + length
        if len(header) < 4 or pos > len(data):
            raise BodyError(400, "unexpected EOF")
        kind = header[0]
        if kind in (_COMPRESSED, _UNCOMPRESSED):
            size += _CHUNK_CONTENT if kind == _COMPRESSED else length
        elif kind < _FIRST_SKIPPABLE:
            raise BodyError(400, "snappy: unsupported input")
    if size > limit + _CHUNK_CONTENT:
        raise body_too_large(limit)
    try:
        content = bytes(cramjam.snappy.decompress(data))
    except cramjam.DecompressionError:
        raise BodyError(400, _CORRUPT) from None
    if len(content) > limit:
        raise body_too_large(limit)
    return content
