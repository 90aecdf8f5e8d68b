"""Families and metrics of a body, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rulepush.errors import ProtobufError
from rulepush.exposition.protobuf.messages import MetricFamilyMessage, MetricMessage
from rulepush.message_types import DecodeError

MAX_METRIC_BYTES: Final = 4 << 20
"""Of one metric: parsed, a message may take twenty times its bytes. A histogram of a thousand buckets has 30 KB."""

_MAX_LENGTH_BYTES: Final = 10  # a varint of 64 bits
MALFORMED: Final = "proto: cannot parse invalid wire-format data"
"""What Go's protobuf library says of everything that is no message."""


def each_family(body: bytes) -> Iterator[Any]:
    """The MetricFamily messages of a body (MetricFamilyMessage: its metrics are unread).

    Raises ProtobufError, with the text of Go's protodelim, when one is not whole or not a message.
    """
    pos = 0
    while pos < len(body):
        length, pos = _length(body, pos)
        if length > len(body) - pos:
            raise ProtobufError("unexpected EOF")
        try:
            yield MetricFamilyMessage.FromString(body[pos : pos + length])
        except DecodeError:
            raise ProtobufError(MALFORMED) from None
        pos += length


def read_metric(raw: bytes) -> Any:
    """One of the `metric` of a family, as a MetricMessage. Raises ProtobufError."""
    if len(raw) > MAX_METRIC_BYTES:
        raise ProtobufError(f"a metric of more than {MAX_METRIC_BYTES >> 20} MiB")
    try:
        return MetricMessage.FromString(raw)
    except DecodeError:
        raise ProtobufError(MALFORMED) from None


def _length(body: bytes, pos: int) -> tuple[int, int]:
    """A varint at `pos`, and where it ends."""
    length = 0
    for shift in range(_MAX_LENGTH_BYTES):
        if pos >= len(body):
            raise ProtobufError("unexpected EOF")
        byte = body[pos]
        pos += 1
        length |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if length >= 1 << 64:
                break
            return length, pos
    raise ProtobufError("proto: variable length integer overflow")
