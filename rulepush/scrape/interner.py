"""Interner: one copy of what many targets say alike, and what it means."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from sys import getrefcount
from typing import Final, TypeVar

from rulepush.exposition import Format
from rulepush.model.labels import METRIC_NAME

T = TypeVar("T", bound=Hashable)
_MIN_SIZE: Final = 8_192
# Measured with sys.getsizeof, on lines of a Spring application.
_TEXT_BYTES: Final = 45 + 33 + 120
_PAIR_BYTES: Final = 45 + 56 + 60
_PARSED_BYTES: Final = 45 + 64 + 72 + 2 * 120

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

    When there are twice as many as were in use the last time, it drops what only it holds: series that are
    gone leave nothing behind, and what many targets share stays shared, however much it is.
    """

    def __init__(self) -> None:
        self._bytes: dict[bytes, bytes] = {}
        self._pairs: dict[Pair, Pair] = {}
        self._series: dict[tuple[Format, str, bytes], WrittenSeries] = {}
        self._types: dict[tuple[Format, bytes], str] = {}
        self._names: dict[frozenset[str], frozenset[str]] = {}
        self._max_bytes = self._max_pairs = _MIN_SIZE

    @property
    def nbytes(self) -> int:
        """About the bytes of what is held: entries, texts of the usual length, parsed lines."""
        texts, pairs, parsed = len(self._bytes), len(self._pairs), len(self._series)
        return texts * _TEXT_BYTES + pairs * _PAIR_BYTES + parsed * _PARSED_BYTES

    @property
    def count(self) -> int:
        """Texts, pairs and parsed lines held."""
        return len(self._bytes) + len(self._pairs) + len(self._series) + len(self._types)

    def raw(self, text: bytes) -> bytes:
        """The shared copy of `text`."""
        if len(self._bytes) >= self._max_bytes:
            # Parsed lines hold their keys. They are only for targets that say the same for the first time.
            self._series, self._types, self._names = {}, {}, {}
            self._bytes = _in_use(self._bytes)
            self._max_bytes = 2 * len(self._bytes) + _MIN_SIZE
        return self._bytes.setdefault(text, text)

    def pairs(self, pairs: Iterable[Pair]) -> list[Pair]:
        """The shared copies of label pairs."""
        if len(self._pairs) >= self._max_pairs:
            self._pairs = _in_use(self._pairs)
            self._max_pairs = 2 * len(self._pairs) + _MIN_SIZE
        share = self._pairs.setdefault
        return [share(p, p) for p in pairs]

    def series(self, fmt: Format, family_type: str, key: bytes) -> WrittenSeries | None:
        """What a line of values with this key (ParsedSample.key) says in a family of this type, if one was read."""
        return self._series.get((fmt, family_type, key))

    def learn(self, fmt: Format, family_type: str, key: bytes, pairs: Iterable[Pair]) -> WrittenSeries:
        """Remember what such a line says."""
        shared, made = self.raw(key), self.written(pairs)
        self._series[fmt, family_type, shared] = made
        return made

    def written(self, pairs: Iterable[Pair]) -> WrittenSeries:
        """A series made of these pairs."""
        shared = self.pairs(pairs)
        name = next(value for label, value in shared if label == METRIC_NAME)
        names = frozenset(label for label, _ in shared)
        return WrittenSeries(
            name, tuple(shared), sorted(p for p in shared if p[1]), self._names.setdefault(names, names)
        )

    def silent(self, fmt: Format, line: bytes) -> str | None:
        """The type that a line without a sample declares, "" when none; None when the line is not known to be one."""
        return self._types.get((fmt, line))

    def learn_silent(self, fmt: Format, line: bytes, declared: str) -> None:
        """Remember a line without a sample, and the type that it declares."""
        shared = self.raw(line)
        self._types[fmt, shared] = declared


def _in_use(shared: dict[T, T]) -> dict[T, T]:
    """Those that are held by someone beside this dictionary."""
    alone = _holders(dict([(object(),) * 2]))[0]  # how many holders one has that only a dictionary holds, twice
    return {one: one for one, holders in zip(shared, _holders(shared), strict=True) if holders > alone}


def _holders(shared: dict[T, T]) -> list[int]:
    return [getrefcount(one) for one in shared]
