"""The fingerprint of a label set, as Alertmanager and Prometheus' client libraries compute it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rulepush.model.labels import Labels

_OFFSET: Final = 14695981039346656037
_PRIME: Final = 1099511628211
_MASK: Final = (1 << 64) - 1


@lru_cache(maxsize=4096)  # asked for at each sending of an alert, and a byte costs a step of Python
def fingerprint_of(labels: Labels) -> str:
    """16 hexadecimal digits: FNV-1a over the names and values, each followed by a byte 255. Source: prometheus/common
    model/signature.go, labelSetToFingerprint. An alert without external labels and without relabelling has the same one
    in Alertmanager."""
    sum_ = _OFFSET
    for byte in b"".join(part.encode(errors="replace") + b"\xff" for pair in labels for part in pair):
        sum_ = ((sum_ ^ byte) * _PRIME) & _MASK
    return f"{sum_:016x}"
