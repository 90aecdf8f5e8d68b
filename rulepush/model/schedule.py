"""The grid of times on which scrapes and evaluations fall. Pure.

All intervals share one phase number, so the ticks of a 15 s grid are ticks of the 5 s grid too, and a group's tick
coincides with the scrapes of the same time. The number is a hash of the replica's identity, so that replicas with the
same configuration do not scrape at the same time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache


def phase_ms(identity: str, interval_ms: int) -> int:
    """How far after a multiple of `interval_ms` since the epoch this identity's ticks lie: 0 to interval_ms - 1."""
    return _number(identity) % interval_ms


@lru_cache(maxsize=16)
def _number(identity: str) -> int:
    """The phase number: 48 bits. The generator hashes its seed (SHA-512), and needs no OpenSSL for it as hashlib does,
    which alone takes 4 MiB."""
    return random.Random(identity).getrandbits(48)


def next_tick(now_ms: int, interval_ms: int, phase: int) -> int:
    """The first tick at or after `now_ms`."""
    return now_ms + (phase - now_ms) % interval_ms


@dataclass(frozen=True, slots=True)
class TickGrid:
    """The grid of one replica. `identity` distinguishes replicas: external labels and host name."""

    identity: str

    def next_tick(self, now_ms: int, interval_ms: int) -> int:
        """The first tick of this interval's grid at or after `now_ms`."""
        return next_tick(now_ms, interval_ms, phase_ms(self.identity, interval_ms))
