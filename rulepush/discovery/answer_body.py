"""The body of an HTTP answer, bounded: what a discovery asks may be another server than it was meant to be."""

from __future__ import annotations

from typing import Final

import httpx

from rulepush.errors import DiscoveryError

MAX_BYTES: Final = 64 << 20


class SizeLimit:
    """Counts the bytes of one answer, those of its unpacked body. `what` is its name in the message."""

    def __init__(self, what: str = "the answer", max_bytes: int = MAX_BYTES):
        self._what = what
        self._max_bytes = max_bytes
        self._size = 0

    def count(self, part: bytes) -> None:
        """Another part came. Raises DiscoveryError when the answer is larger than `max_bytes`."""
        self._size += len(part)
        if self._size > self._max_bytes:
            raise DiscoveryError(f"{self._what} is larger than {self._max_bytes >> 20} MiB")


async def read_body(response: httpx.Response, limit: SizeLimit) -> bytearray:
    """The whole body, unpacked. Raises DiscoveryError by `limit`, and httpx.HTTPError. The caller sets the deadline:
    httpx' own timeout restarts at every byte received."""
    body = bytearray()
    async for part in response.aiter_bytes():
        limit.count(part)
        body += part
    return body
