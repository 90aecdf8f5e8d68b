"""Interner: one copy of what many targets say alike, and what it means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rulepush.exposition import Format
from rulepush.model.labels import METRIC_NAME

_MOST: Final = 65_536

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class WrittenSeries:
    """A series as bodies write it.

    `pairs`   names and values in the order of the line, empty values included, the metric name under `__name__`
    `sorted`  those that are not empty, sorted by name
    `names`   the names of `pairs`
    """

    name: str
    pairs: tuple[Pair, ...]
    sorted: list[Pair]
    names: frozenset[str]


class Interner:
    """Shares equal byte strings, label pairs and parsed lines between targets of the same application.

    It forgets everything when it is full: what was shared stays shared, only later finds are not.
    """

    def __init__(self) -> None:
        self._bytes: dict[bytes, bytes] = {}
        self._pairs: dict[Pair, Pair] = {}
        self._series: dict[tuple[Format, str, bytes], WrittenSeries] = {}
        self._types: dict[tuple[Format, bytes], str] = {}

    def raw(self, text: bytes) -> bytes:
        """The shared copy of `text`."""
        if len(self._bytes) >= _MOST:
            self._bytes.clear()
        return self._bytes.setdefault(text, text)

    def pairs(self, pairs: Iterable[Pair]) -> list[Pair]:
        """The shared copies of label pairs."""
        if len(self._pairs) >= _MOST:
            self._pairs.clear()
        share = self._pairs.setdefault
        return [share(p, p) for p in pairs]

    def series(self, fmt: Format, family_type: str, key: bytes) -> WrittenSeries | None:
        """What a line of values with this key (ParsedSample.key) says in a family of this type, if one was read."""
        return self._series.get((fmt, family_type, key))

    def learn(self, fmt: Format, family_type: str, key: bytes, pairs: Iterable[Pair]) -> WrittenSeries:
        """Remember what such a line says."""
        if len(self._series) >= _MOST:
            self._series.clear()
        made = self._series[fmt, family_type, self.raw(key)] = self.written(pairs)
        return made

    def written(self, pairs: Iterable[Pair]) -> WrittenSeries:
        """A series made of these pairs."""
        shared = self.pairs(pairs)
        name = next(value for label, value in shared if label == METRIC_NAME)
        return WrittenSeries(
            name, tuple(shared), sorted(p for p in shared if p[1]), frozenset(label for label, _ in shared)
        )

    def silent(self, fmt: Format, line: bytes) -> str | None:
        """The type that a line without a sample declares, "" when none; None when the line is not known to be one."""
        return self._types.get((fmt, line))

    def learn_silent(self, fmt: Format, line: bytes, declared: str) -> None:
        """Remember a line without a sample, and the type that it declares."""
        if len(self._types) >= _MOST:
            self._types.clear()
        self._types[fmt, self.raw(line)] = declared
