"""Interner: one copy of what many targets say alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MOST: Final = 65_536


class Interner:
    """Shares equal byte strings and label pairs between targets of the same application.

    It forgets everything when it is full: what was shared stays shared, only later finds are not.
    """

    def __init__(self) -> None:
        self._bytes: dict[bytes, bytes] = {}
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}

    def raw(self, text: bytes) -> bytes:
        """The shared copy of `text`."""
        if len(self._bytes) >= _MOST:
            self._bytes.clear()
        return self._bytes.setdefault(text, text)

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The shared copies of label pairs."""
        if len(self._pairs) >= _MOST:
            self._pairs.clear()
        share = self._pairs.setdefault
        return [share(p, p) for p in pairs]
