"""Label sets by number, and what is made of them, as columns of numbers: dictionary encoding of whole label sets.

Grouping, matching and dropping names are all the same: a function from a label set to a smaller one. A `LabelRows` has
a column for each such `Reduction` that was asked for: for every row, the number of its result in a `LabelPool`, which
holds every result once. A reduction is computed once for each row, in Python; after that, whatever set of rows an
evaluation selects, it is one numpy gather, and equal label sets are equal numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from rulepush.model.labels import METADATA_NAMES, METRIC_NAME, Labels

K = TypeVar("K", bound=Hashable)
Codes = npt.NDArray[np.int32]  # numbers in a pool
RowNumbers = npt.NDArray[np.intp]
Picked = RowNumbers | slice  # some rows: a slice has a start and a stop
UNKNOWN: Final = -1
_FIRST: Final = 16
_MAX_COLUMNS: Final = 128  # columns: queries that differ each time must not pile up
# Measured with sys.getsizeof: a Labels with its hash and the tuple of its pairs; an entry of a dict and of a list.
_LABELS_BYTES: Final = 48 + 32 + 40
_PAIR_BYTES: Final = 8
_ENTRY_BYTES: Final = 110


@dataclass(frozen=True, slots=True)
class Reduction:
    """The label set with only `names`, or, when `without`, with all but those."""

    names: frozenset[str]
    without: bool

    def __call__(self, labels: Labels) -> Labels:
        names, drops = self.names, self.without
        kept = tuple([pair for pair in labels.pairs if (pair[0] in names) is not drops])
        return labels if len(kept) == len(labels.pairs) else Labels.of_sorted(kept)

    def then(self, other: Reduction) -> Reduction:
        """Both, one after the other, as one."""
        if self.without:
            if other.without:
                return Reduction(self.names | other.names, without=True)
            return Reduction(other.names - self.names, without=False)
        names = self.names - other.names if other.without else self.names & other.names
        return Reduction(names, without=False)


def only(names: Iterable[str]) -> Reduction:
    """Nothing but these labels."""
    return Reduction(frozenset(names), without=False)


def without(names: Iterable[str]) -> Reduction:
    """All but these labels."""
    return Reduction(frozenset(names), without=True)


WHOLE: Final = without(())
NAMELESS: Final = without((METRIC_NAME,))
_WITHOUT_METADATA: Final = without((METRIC_NAME, *METADATA_NAMES))


class LabelRows:
    """Label sets, one a row, and the columns derived from them. Rows are added at the end of `labels`, by its owner."""

    __slots__ = ("_asked", "_columns", "_pool", "labels")

    def __init__(self, labels: list[Labels], pool: LabelPool):
        self.labels = labels
        self._pool = pool
        self._columns: dict[Reduction, Codes] = {}
        self._asked: set[Reduction] = set()

    @property
    def pool(self) -> LabelPool:
        """Where the results are numbered."""
        return self._pool

    def reduced(self, how: Reduction, rows: Picked) -> Codes:
        """int32[k]: the numbers in `pool` of what `how` makes of k rows. A copy or a view: do not write into it."""
        column = _grown(self._columns.pop(how, None), len(self.labels))
        if len(self._columns) >= _MAX_COLUMNS:
            self._asked.discard(_drop_first(self._columns))
        self._columns[how] = column
        self._asked.add(how)
        codes = column[rows]
        if len(codes) and codes.min() < 0:
            at = np.flatnonzero(codes < 0)
            which = at + rows.start if isinstance(rows, slice) else rows[at]
            found = self.pool.reductions(how, map(self.labels.__getitem__, which.tolist()))
            if codes.base is not None:
                codes = codes.copy()
            codes[at] = found
            column[which] = found
        return codes

    def kept(self, alive: RowNumbers, labels: list[Labels]) -> LabelRows:
        """What is left when only the rows `alive` stay (`labels` are theirs). Columns that were not read since the
        last time are left out."""
        rest = LabelRows(labels, self.pool)
        for how, column in self._columns.items():
            if how in self._asked:
                rest._columns[how] = _grown(column, len(self.labels))[alive]
        return rest

    def renumbered(self, pool: LabelPool, number_of: Codes) -> LabelRows:
        """The same rows with their results in another pool."""
        rest = LabelRows(self.labels, pool)
        rest._asked = set(self._asked)
        rest._columns = {how: number_of[column] for how, column in self._columns.items()}
        return rest

    def columns(self) -> Iterable[Codes]:
        """All columns; UNKNOWN where a result was not needed yet."""
        return list(self._columns.values())

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return sum(column.nbytes for column in self._columns.values())


class LabelPool(LabelRows):
    """Every label set once, numbered as they come. Its rows can be reduced further: the results are in it, too.

    Numbers are never used again. `compacted` makes a smaller pool of what is still in use.
    """

    __slots__ = ("_joins", "_lock", "_numbers", "_pairs", "has_metadata", "indexes")

    def __init__(self) -> None:
        super().__init__([], self)
        del self._pool  # it is its own; a reference to itself would be a cycle
        # By their pairs: a tuple is looked up in C, and most pairs are shared by many series, so equal at first sight.
        self._numbers: dict[tuple[tuple[str, str], ...], int] = {}
        self._pairs = 0
        self.has_metadata = False  # of any label set in it, or reduced into it: see `nameless`
        self._lock = threading.Lock()  # an index that does not change may be evaluated in several threads
        self._joins: dict[Hashable, tuple[Codes, Codes]] = {}
        self.indexes: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()  # see LabelIndex.pooled

    @property
    def pool(self) -> LabelPool:
        """Itself."""
        return self

    def __len__(self) -> int:
        return len(self.labels)

    def nameless(self) -> Reduction:
        """Without the metric name and what goes with it. Nearly always that is the name alone, and then series of one
        metric are known to differ without it."""
        return _WITHOUT_METADATA if self.has_metadata else NAMELESS

    def took(self, labels: Iterable[Labels]) -> None:
        """These will be reduced into it."""
        if not self.has_metadata:
            self.has_metadata = any(of.has_metadata for of in labels)

    def number(self, labels: Labels) -> int:
        """The number of a label set, which is new when it was never there."""
        found = self._numbers.get(labels.pairs)
        return self._added(labels) if found is None else found

    def reductions(self, how: Reduction, labels: Iterable[Labels]) -> Codes:
        """int32[k]: the numbers of what `how` makes of k label sets."""
        names, drops, find, out = how.names, how.without, self._numbers.get, []
        for whole in labels:  # spelled out: this is what a new series costs, and a cold start has a million of them
            pairs = whole.pairs
            if drops:
                kept = tuple([pair for pair in pairs if pair[0] not in names])
            else:
                kept = tuple([pair for pair in pairs if pair[0] in names])
            number = find(kept)
            if number is None:
                number = self._added(whole if len(kept) == len(pairs) else Labels.of_sorted(kept))
            out.append(number)
        return np.array(out, np.int32)

    def _added(self, labels: Labels) -> int:
        with self._lock:
            found = self._numbers.get(labels.pairs)
            if found is None:
                found = len(self.labels)
                self.labels.append(labels)  # before anyone can find its number
                self._numbers[labels.pairs] = found
                self._pairs += len(labels)
                if not self.has_metadata and labels.has_metadata:
                    self.has_metadata = True
            return found

    def numbers(self, labels: Sequence[Labels]) -> Codes:
        """int32[k]: the numbers of k label sets."""
        return np.fromiter(map(self.number, labels), np.int32, len(labels))

    def joined(self, key: Hashable, left: Codes, right: Codes) -> Codes:
        """int32[k]: the numbers of the label sets that have the labels of both; where both have one, the right one
        counts. `key` says what it is for: with each left one, the last partner is remembered under it."""
        size = len(self.labels)
        partners, results = self._joins.pop(key, (None, None))
        partners, results = _grown(partners, size), _grown(results, size)
        if len(self._joins) >= _MAX_COLUMNS:
            _drop_first(self._joins)
        self._joins[key] = partners, results
        codes = results[left]
        at = np.flatnonzero(partners[left] != right)
        if len(at):
            labels = self.labels
            pairs = zip(left[at].tolist(), right[at].tolist(), strict=True)
            codes[at] = self.numbers([Labels({**dict(labels[a].pairs), **dict(labels[b].pairs)}) for a, b in pairs])
            partners[left[at]], results[left[at]] = right[at], codes[at]
        return codes

    def compacted(self, in_use: Iterable[Codes]) -> tuple[LabelPool, Codes]:
        """(a new pool of the numbers in `in_use` and of what is derived from them, int32[n + 1] old number -> new one).
        UNKNOWN, for those that are gone, stays UNKNOWN: it is the last entry."""
        size = len(self.labels)
        alive = np.zeros(size + 1, np.bool_)
        for codes in in_use:
            alive[codes] = True
        alive[UNKNOWN] = False
        before = -1
        while before != (before := int(alive.sum())):
            for column in self._columns.values():
                alive[column[:size][alive[: min(size, len(column))]]] = True
            alive[UNKNOWN] = False
        number_of = np.full(size + 1, UNKNOWN, np.int32)
        rows = np.flatnonzero(alive)
        number_of[rows] = np.arange(len(rows))
        made = LabelPool()
        made.has_metadata = self.has_metadata
        for row in rows.tolist():
            made.number(self.labels[row])
        for how, column in self._columns.items():
            if how in self._asked:
                made._columns[how] = number_of[_grown(column, size)[rows]]
        return made, number_of

    @property
    def nbytes(self) -> int:
        """Bytes of the columns and, about, of the label sets; without the texts, which the series hold anyway."""
        joins = sum(partners.nbytes + results.nbytes for partners, results in self._joins.values())
        return super().nbytes + joins + label_bytes(len(self.labels), self._pairs)


def label_bytes(count: int, pairs: int) -> int:
    """About the bytes of `count` label sets with `pairs` pairs in all, each in a dict and a list."""
    return count * (_LABELS_BYTES + _ENTRY_BYTES) + pairs * _PAIR_BYTES


def _drop_first(entries: dict[K, Any]) -> K:
    first = list(entries)[0]  # noqa: RUF015 -- one step: threads share the empty index
    entries.pop(first, None)
    return first


def _grown(column: Codes | None, rows: int) -> Codes:
    """The column for at least `rows` rows; a quarter more than it has when it must grow, so that this is rare."""
    if column is None:
        return np.full(max(_FIRST, rows), UNKNOWN, np.int32)
    if len(column) >= rows:
        return column
    grown = np.full(max(rows, len(column) + len(column) // 4 + _FIRST), UNKNOWN, np.int32)
    grown[: len(column)] = column
    return grown


def first_rows(codes: npt.NDArray[np.integer[Any]]) -> tuple[RowNumbers, RowNumbers]:
    """(intp[k] the first row of each distinct code, intp[n] the place in it for each row), in order of appearance.
    Codes are not negative, and their greatest should be of the order of their number: no sorting is done."""
    n = len(codes)
    if not n:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    rows = np.arange(n)
    first = np.empty(int(codes.max()) + 1, np.intp)
    first[codes[::-1]] = rows[::-1]  # of several assignments the last one stays: that of the first row
    of_row = first[codes]
    firsts = np.flatnonzero(of_row == rows)
    if len(firsts) == n:
        return rows, rows
    place = first  # no longer needed as it is
    place[codes[firsts]] = np.arange(len(firsts))
    return firsts, place[codes]


def each_distinct(codes: Codes, compute: Callable[[int], Any]) -> tuple[list[Any], RowNumbers]:
    """([compute(code) for each distinct code], intp[n] the place in it for each row)."""
    firsts, places = first_rows(codes)
    return [compute(code) for code in codes[firsts].tolist()], places
