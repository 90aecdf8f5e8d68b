"""How the alert generator tester is connected: remote write out, alerts in. Written from the specifications alone."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import cramjam

from tests.e2e.generator_cases import Key
from tests.http_server import HttpReply, HttpRequest, LoopbackServer


def write_request(samples: Mapping[Key, float], ms: int) -> bytes:
    """prometheus.WriteRequest as a snappy block; labels sorted by name."""
    out = b""
    for labels, value in samples.items():
        body = b"".join(_block(1, _block(1, n.encode()) + _block(2, v.encode())) for n, v in labels)
        body += _block(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(ms))
        out += _block(1, body)
    return bytes(cramjam.snappy.compress_raw(out))


def _block(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


WRITE_HEADERS: Final = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "User-Agent": "generator-compliance-tester",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


@dataclass(frozen=True)
class Received:
    """One alert of one request, and when it came."""

    at: float
    alert: Mapping[str, Any]

    @property
    def key(self) -> Key:
        return tuple(sorted(self.alert["labels"].items()))


def parse_time(text: str) -> float:
    """RFC 3339 with any number of decimals, in Unix seconds."""
    return datetime.fromisoformat(text).timestamp()


class Receiver:
    """An Alertmanager that only remembers."""

    def __init__(self) -> None:
        self._messages: list[Received] = []
        self._server = LoopbackServer(self._take)
        self.address = self._server.address

    def _take(self, request: HttpRequest) -> HttpReply:
        now = time.time()
        if (request.method, request.path) != ("POST", "/api/v2/alerts"):
            return HttpReply(status=404)
        self._messages += [Received(now, alert) for alert in json.loads(request.body)]
        return HttpReply()

    def messages(self) -> list[Received]:
        return list(self._messages)

    def close(self) -> None:
        self._server.close()
