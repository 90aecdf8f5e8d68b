"""Interner: one copy of what many targets say alike, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from sys import getrefcount
from typing import Final, TypeVar

from rulepush.exposition import Format
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.scrape.layout import BodyLines
from rulepush.storage.demand import Demand

T = TypeVar("T", bound=Hashable)
_MIN_SIZE: Final = 8_192
_MAX_TEMPLATES: Final = 64  # each is as large as what is known of the lines of a target
_MANY_PAIRS: Final = 2  # of fewer, an itemgetter gives no tuple
# Measured with sys.getsizeof, on lines of a Spring application.
_TEXT_BYTES: Final = 45 + 33 + 120
_PAIR_BYTES: Final = 45 + 56 + 60
_PARSED_BYTES: Final = 45 + 64 + 72 + 2 * 120
_TEMPLATE_BYTES: Final = 2 * 8 + 1  # a line of a template
_LOOKUP_BYTES: Final = 45

Pair = tuple[str, str]
Order = Callable[[list[Pair]], tuple[Pair, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class WrittenSeries:
    """A series as bodies write it. Equal only to itself, so that it is quick to look up.

    `pairs`   names and values in the order of the line, empty values included, the metric name under `__name__`
    `sorted`  those that are not empty, sorted by name
    `names`   the names of `pairs`
    """

    name: str
    pairs: tuple[Pair, ...]
    sorted: list[Pair]
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """What the lines of a body mean, for targets that say the same for the first time.

    `written`  one a key of `lines`, no key twice
    `silent`   the lines without a sample
    """

    lines: BodyLines
    written: tuple[WrittenSeries, ...]
    silent: Mapping[bytes, None]


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
        self._wanted: dict[WrittenSeries, bool] = {}  # by the demand `_wanted_by`, for any target
        self._wanted_by: Demand | None = None
        self._orders: dict[tuple[frozenset[str], frozenset[str]], Order] = {}
        self._templates: dict[tuple[Format, int, bytes], BodyTemplate] = {}
        self._max_bytes = self._max_pairs = _MIN_SIZE

    @property
    def nbytes(self) -> int:
        """About the bytes of what is held: entries, texts of the usual length, parsed lines."""
        texts, pairs, parsed = len(self._bytes), len(self._pairs), len(self._series)
        lines = sum(len(template.lines.is_sample) for template in self._templates.values())
        lookups = (len(self._wanted) + len(self._orders)) * _LOOKUP_BYTES
        return texts * _TEXT_BYTES + pairs * _PAIR_BYTES + parsed * _PARSED_BYTES + lines * _TEMPLATE_BYTES + lookups

    @property
    def count(self) -> int:
        """Texts, pairs and parsed lines held."""
        return len(self._bytes) + len(self._pairs) + len(self._series) + len(self._types)

    def raw(self, text: bytes) -> bytes:
        """The shared copy of `text`."""
        if len(self._bytes) >= self._max_bytes:
            # Parsed lines hold their keys. They are only for targets that say the same for the first time.
            self._series, self._types, self._names = {}, {}, {}
            self._wanted, self._orders, self._templates = {}, {}, {}
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

    def wanted(self, written: WrittenSeries, target_names: frozenset[str], demand: Demand) -> bool | None:
        """Whether a series is wanted of every target with labels of these names, none of which it has itself; None
        when it depends on their values."""
        if not target_names.isdisjoint(demand.names_compared(written.name)):
            return None
        if self._wanted_by is not demand:
            self._wanted_by, self._wanted = demand, {}
        known = self._wanted.get(written)
        if known is None:
            if len(self._wanted) >= self._max_bytes:
                self._wanted.clear()
            known = self._wanted[written] = demand.wants(Labels.of_sorted(tuple(written.sorted)))
        return known

    def merged(self, written: WrittenSeries, target_pairs: list[Pair], target_names: frozenset[str]) -> Labels:
        """A series with the labels of its target, of which it has none itself."""
        pairs = written.sorted + target_pairs
        if len(written.sorted) < len(written.pairs) or len(pairs) < _MANY_PAIRS:  # without a label that is empty
            return Labels.of_sorted(tuple(sorted(pairs)))
        order = self._orders.get((written.names, target_names))
        if order is None:
            if len(self._orders) >= _MIN_SIZE:
                self._orders.clear()
            places = sorted(range(len(pairs)), key=pairs.__getitem__)
            order = self._orders[written.names, target_names] = itemgetter(*places)
        return Labels.of_sorted(order(pairs))

    def template(self, fmt: Format, lines: Sequence[bytes]) -> BodyTemplate | None:
        """A body that may have said the same."""
        return self._templates.get((fmt, len(lines), _begin(lines)))

    def learn_template(self, fmt: Format, lines: Sequence[bytes], template: BodyTemplate) -> None:
        """Remember a body: the newest of those that look alike."""
        if len(self._templates) >= _MAX_TEMPLATES:
            del self._templates[next(iter(self._templates))]
        self._templates[fmt, len(lines), _begin(lines)] = template

    def silent(self, fmt: Format, line: bytes) -> str | None:
        """The type that a line without a sample declares, "" when none; None when the line is not known to be one."""
        return self._types.get((fmt, line))

    def learn_silent(self, fmt: Format, line: bytes, declared: str) -> None:
        """Remember a line without a sample, and the type that it declares."""
        shared = self.raw(line)
        self._types[fmt, shared] = declared


def _begin(lines: Sequence[bytes]) -> bytes:
    """Of the first line what is not a value."""
    return lines[0].rpartition(b" ")[0]


def _in_use(shared: dict[T, T]) -> dict[T, T]:
    """Those that are held by someone beside this dictionary."""
    alone = _holders(dict([(object(),) * 2]))[0]  # how many holders one has that only a dictionary holds, twice
    return {one: one for one, holders in zip(shared, _holders(shared), strict=True) if holders > alone}


def _holders(shared: dict[T, T]) -> list[int]:
    return [getrefcount(one) for one in shared]
