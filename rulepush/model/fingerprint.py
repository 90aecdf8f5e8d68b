"""Fingerprints of label sets, as Prometheus and Alertmanager name an alert."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rulepush.model.labels import Labels

_OFFSET: Final = 14695981039346656037
_PRIME: Final = 1099511628211
_MASK: Final = (1 << 64) - 1
_SEPARATOR: Final = b"\xff"


@lru_cache(maxsize=16384)  # asked for at each sending of an alert, and each byte takes a step of Python
def fingerprint(labels: Labels) -> str:
    """FNV-1a (64 bits) over names and values, 16 hex digits. Source: prometheus/common model/signature.go,
    labelSetToFingerprint."""
    value = _OFFSET
    for name, text in labels:
        for byte in name.encode(errors="replace") + _SEPARATOR + text.encode(errors="replace") + _SEPARATOR:
            value = (value ^ byte) * _PRIME & _MASK
    return f"{value:016x}"
