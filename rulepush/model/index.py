"""LabelIndex: what an evaluation computes from labels alone, it computes once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import count
from typing import Any, Final, TypeVar

import numpy as np

from rulepush.model.columns import WHOLE, Codes, LabelPool, LabelRows, Picked, Reduction, RowNumbers, first_rows
from rulepush.model.labels import METRIC_NAME, Labels

T = TypeVar("T")
_AGES: Final = count()
_MIN_ROWS: Final = 4  # rows: below, columns are not worth keeping
_NAME: Final = frozenset((METRIC_NAME,))
_NOTHING: Final[frozenset[str]] = frozenset()


class _SourceRows:
    """Some rows of a `LabelRows`. Several indexes share one: they are the same rows reduced in different ways."""

    __slots__ = ("labels", "pool", "rows", "source")

    def __init__(self, source: LabelRows | None, rows: Picked, labels: tuple[Labels, ...], pool: LabelPool | None):
        self.source = source  # None until it is needed, where label sets are at hand
        self.rows = rows
        self.labels = labels
        self.pool = pool

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start if isinstance(self.rows, slice) else len(self.rows)

    def found(self) -> LabelRows:
        if self.source is not None:
            return self.source
        made = LabelRows(list(self.labels), self.pool or LabelPool())
        made.pool.took(self.labels)
        if len(self.labels) > _MIN_ROWS or self.pool is not None:
            self.source = made
        return made

    def at(self, rows: RowNumbers) -> RowNumbers:
        return rows + self.rows.start if isinstance(self.rows, slice) else self.rows[rows]

    def some(self, rows: RowNumbers) -> list[Labels]:
        labels = self.labels if self.source is None else self.source.labels
        return list(map(labels.__getitem__, self.at(rows).tolist()))


class LabelIndex:
    """An immutable list of label sets, one a row of a vector, with a memo of what was derived from them.

    Identity is the key: two evaluations over an unchanged set of series see the same LabelIndex object, so grouping,
    matching, dropped names and parsed `le` are found in its memo. Never compare two by content. `age` grows from one
    index to the next: what depends on two is kept on the newer, so that an old one that stays does not keep alive all
    those that came and went beside it.

    Its rows are those of a `LabelRows` (series of the storage, or results in a pool), reduced or not. What depends on
    labels is computed on numbers (`reduced`): the label sets themselves are made only for what leaves the engine.
    No index refers to itself, not even through others, so it is freed with the last reference to it.
    """

    __slots__ = ("__weakref__", "_how", "_labels", "_memo", "_of", "_spare", "age")

    def __init__(self, labels: Sequence[Labels], pool: LabelPool | None = None):
        """Of label sets that are at hand. `pool` is where what is derived from them is numbered: give the same one to
        indexes that will be matched with each other."""
        plain = tuple(labels)
        self._of = _SourceRows(None, slice(0, len(plain)), plain, pool)
        self._how: Reduction | None = None
        self._spare: frozenset[str] | None = None  # rows differ even without these labels; None when not known
        self._labels: tuple[Labels, ...] | None = plain
        self._memo: dict[Hashable, Any] = {}
        self.age = next(_AGES)

    @classmethod
    def _made(cls, of: _SourceRows, how: Reduction | None, spare: frozenset[str] | None) -> LabelIndex:
        made = cls.__new__(cls)
        made._of, made._how, made._spare = of, how, spare
        made._labels, made._memo, made.age = None, {}, next(_AGES)
        return made

    @classmethod
    def of_series(cls, source: LabelRows, rows: Picked) -> LabelIndex:
        """Some series of one metric, each at most once: they differ even without their name."""
        return cls._made(_SourceRows(source, rows, (), None), None, _NAME)

    @classmethod
    def pooled(cls, pool: LabelPool, codes: Codes, *, distinct: bool = False) -> LabelIndex:
        """The label sets with these numbers: the same object as long as the one made for the same numbers lives, so
        that what is derived from a result stays known when the change of a series made no difference to it."""
        key = (len(codes), hash(codes.tobytes()))
        found: LabelIndex | None = pool.indexes.get(key)
        if found is None or not np.array_equal(found._of.rows, codes):  # type: ignore[arg-type]
            rows = _SourceRows(pool, codes.astype(np.intp), (), None)
            found = pool.indexes[key] = cls._made(rows, None, _NOTHING if distinct else None)
        return found

    def reduced_rows(self, how: Reduction, *, differ: bool = False) -> LabelIndex:
        """The same rows reduced; `differ` says that they are known to be different label sets."""
        spare = _NOTHING if differ else None
        if self._spare is not None and how.without and how.names <= self._spare:
            spare = self._spare
        return self._made(self._of, how if self._how is None else self._how.then(how), spare)

    def picked(self, rows: RowNumbers) -> LabelIndex:
        """Some of the rows, each at most once."""
        of = self._of
        return self._made(_SourceRows(of.found(), of.at(rows), (), None), self._how, self._spare)

    def moved(self, source: LabelRows, rows: Picked) -> None:
        """The same label sets are now other rows of another source: the storage has removed series around them."""
        self._of.source, self._of.rows = source, rows

    # --- labels

    @property
    def labels(self) -> tuple[Labels, ...]:
        """All label sets. Made when asked for: see `row` and `some`."""
        if self._labels is None:
            self._labels = tuple(self.some(np.arange(len(self))))
        return self._labels

    def row(self, row: int) -> Labels:
        """The labels of one row."""
        return self.some(np.array((row,)))[0]

    def some(self, rows: RowNumbers) -> list[Labels]:
        """The labels of some rows."""
        if self._labels is not None:
            return list(map(self._labels.__getitem__, rows.tolist()))
        if self._how is None:
            return self._of.some(rows)
        source = self._of.source
        if source is None or len(rows) <= _MIN_ROWS:
            return list(map(self._how, self._of.some(rows)))
        codes = _codes_of(source, self._how, self._of.at(rows))  # what leaves once will leave again: it stays made
        return list(map(source.pool.labels.__getitem__, codes.tolist()))

    def __len__(self) -> int:
        rows = self._of.rows
        return rows.stop - rows.start if isinstance(rows, slice) else len(rows)

    # --- numbers

    @property
    def source(self) -> LabelRows:
        """Where the rows come from, before they are reduced."""
        return self._of.found()

    def reduced(self, how: Reduction, pool: LabelPool | None = None) -> tuple[LabelPool, Codes]:
        """(pool, int32[n]): what `how` makes of each row, numbered in a pool: `pool`, or that of the rows."""
        if self._how is not None:
            how = self._how.then(how)
        source, rows = self._of.found(), self._of.rows
        if pool is None or pool is source.pool:
            return source.pool, _codes_of(source, how, rows)
        if len(self) <= _MIN_ROWS:
            return pool, pool.numbers(list(map(how, self._of.some(np.arange(len(self))))))
        codes = _codes_of(source, how, rows)
        firsts, places = first_rows(codes)
        labels = source.pool.labels
        return pool, pool.numbers([labels[code] for code in codes[firsts].tolist()])[places]

    def differ(self) -> bool:
        """Whether all rows are known, or found, to be different label sets. Memoised."""
        if self._spare is not None:
            return True
        return self.memo("differ", lambda: len(first_rows(self.reduced(WHOLE)[1])[0]) == len(self))

    def memo(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value under `key`, computed by `compute` the first time. `compute` may depend on the labels alone."""
        try:
            value: T = self._memo[key]
        except KeyError:
            value = self._memo[key] = compute()
        return value


def _codes_of(source: LabelRows, how: Reduction, rows: Picked) -> Codes:
    if how == WHOLE and isinstance(source, LabelPool):  # numbers are what they are
        return np.arange(rows.start, rows.stop, dtype=np.int32) if isinstance(rows, slice) else rows.astype(np.int32)
    return source.reduced(how, rows)


def reduced_alike(left: LabelIndex, right: LabelIndex, how: Reduction) -> tuple[LabelPool, Codes, Codes]:
    """(pool, int32[nL], int32[nR]): what `how` makes of the rows of both, numbered in the same pool."""
    # Few rows are numbered in the pool of many. An index with few rows may be everybody's (`vector(1)`, `absent()`).
    first, second = (left, right) if len(left) >= len(right) else (right, left)
    pool, codes = first.reduced(how)
    _, others = second.reduced(how, pool)
    return (pool, codes, others) if first is left else (pool, others, codes)


EMPTY_INDEX = LabelIndex(())
