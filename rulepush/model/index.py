"""LabelIndex: what an evaluation computes from labels alone, it computes once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import count
from typing import Any, Final, TypeVar

import numpy as np

from rulepush.model.columns import WHOLE, Codes, LabelPool, LabelRows, Picked, Reduction, RowNumbers, first_rows
from rulepush.model.labels import METRIC_NAME, Labels

T = TypeVar("T")
_AGES: Final = count()
_FEW: Final = 4  # rows: below, columns are not worth keeping
_EVERYTHING_BUT_NAME: Final = frozenset((METRIC_NAME,))
_NOTHING: Final[frozenset[str]] = frozenset()


class LabelIndex:
    """An immutable list of label sets, one a row of a vector, with a memo of what was derived from them.

    Identity is the key: two evaluations over an unchanged set of series see the same LabelIndex object, so grouping,
    matching, dropped names and parsed `le` are found in its memo. Never compare two by content. `age` grows from one
    index to the next: what depends on two is kept on the newer, so that an old one that stays does not keep alive all
    those that came and went beside it.

    Its rows are those of a `LabelRows` (series of the storage, or results in a pool), or those of another index
    reduced. What depends on labels is computed on numbers (`reduced`): the label sets themselves are made only for what
    leaves the engine.
    """

    __slots__ = ("__weakref__", "_base", "_labels", "_memo", "_pool", "_rows", "_source", "_spare", "age")

    def __init__(self, labels: Sequence[Labels], pool: LabelPool | None = None):
        """Of label sets that are at hand. `pool` is where what is derived from them is numbered: give the same one to
        indexes that will be matched with each other."""
        self._labels: tuple[Labels, ...] | None = tuple(labels)
        self._pool = pool
        self._source: LabelRows | None = None
        self._rows: Picked = slice(0, len(self._labels))
        self._base: tuple[LabelIndex, Reduction] | None = None
        self._spare: frozenset[str] | None = None
        self._memo: dict[Hashable, Any] = {}
        self.age = next(_AGES)

    @classmethod
    def of_rows(cls, source: LabelRows, rows: Picked, spare: Iterable[str] | None = None) -> LabelIndex:
        """Some rows of `source`. `spare`: they are known to differ from each other, even without these labels."""
        made = cls(())
        made._labels, made._source, made._rows = None, source, rows
        made._spare = None if spare is None else frozenset(spare)
        return made

    @classmethod
    def of_series(cls, source: LabelRows, rows: Picked) -> LabelIndex:
        """Some series of one metric."""
        return cls.of_rows(source, rows, _EVERYTHING_BUT_NAME)

    @classmethod
    def pooled(cls, pool: LabelPool, codes: Codes, *, distinct: bool = False) -> LabelIndex:
        """The label sets with these numbers: the same object as long as the one made for the same numbers lives, so
        that what is derived from a result stays known when the change of a series made no difference to it."""
        key = (len(codes), hash(codes.tobytes()))
        found: LabelIndex | None = pool.indexes.get(key)
        if found is None or not np.array_equal(found._rows, codes):  # type: ignore[arg-type]
            found = pool.indexes[key] = cls.of_rows(pool, codes.astype(np.intp), _NOTHING if distinct else None)
        return found

    def reduced_rows(self, how: Reduction, *, spare: Iterable[str] | None = None) -> LabelIndex:
        """The same rows reduced. They are known to differ where `spare` is given, or where these rows tell."""
        base, whole = self, how
        if self._base is not None:
            base, whole = self._base[0], self._base[1].then(how)
        made = LabelIndex(())
        made._labels, made._base, made._rows = None, (base, whole), slice(0, len(self))
        if spare is not None:
            made._spare = frozenset(spare)
        elif self._spare is not None and how.without and how.names <= self._spare:
            made._spare = self._spare
        return made

    def picked(self, rows: RowNumbers) -> LabelIndex:
        """Some of the rows, each at most once."""
        if self._base is not None:
            return self._base[0].picked(rows).reduced_rows(self._base[1], spare=self._spare)
        source = self.source
        own = rows + self._rows.start if isinstance(self._rows, slice) else self._rows[rows]
        return LabelIndex.of_rows(source, own, self._spare)

    def moved(self, source: LabelRows, rows: Picked) -> None:
        """The same label sets are now other rows of another source: the storage has removed series around them."""
        self._source, self._rows = source, rows

    # --- labels

    @property
    def labels(self) -> tuple[Labels, ...]:
        """All label sets. Made when asked for: see `row` and `some`."""
        if self._labels is None:
            self._labels = tuple(self.some(np.arange(len(self))))
        return self._labels

    def row(self, row: int) -> Labels:
        """The labels of one row."""
        if self._labels is not None:
            return self._labels[row]
        if self._base is not None:
            base, how = self._base
            return how(base.row(row))
        own = self._rows.start + row if isinstance(self._rows, slice) else int(self._rows[row])
        return self.source.labels[own]

    def some(self, rows: RowNumbers) -> list[Labels]:
        """The labels of some rows."""
        if self._labels is not None:
            return list(map(self._labels.__getitem__, rows.tolist()))
        if self._base is not None:
            base, how = self._base
            return list(map(how, base.some(rows)))
        own = rows + self._rows.start if isinstance(self._rows, slice) else self._rows[rows]
        return list(map(self.source.labels.__getitem__, own.tolist()))

    def __len__(self) -> int:
        return self._rows.stop - self._rows.start if isinstance(self._rows, slice) else len(self._rows)

    # --- numbers

    @property
    def source(self) -> LabelRows:
        """Where the rows come from, before they are reduced."""
        if self._base is not None:
            return self._base[0].source
        if self._source is not None:
            return self._source
        assert self._labels is not None
        made = LabelRows(list(self._labels), self._pool or LabelPool())
        if len(self._labels) > _FEW or self._pool is not None:
            self._source = made
        return made

    def reduced(self, how: Reduction, pool: LabelPool | None = None) -> tuple[LabelPool, Codes]:
        """(pool, int32[n]): what `how` makes of each row, numbered in a pool: `pool`, or that of the rows."""
        index = self
        if self._base is not None:
            index, how = self._base[0], self._base[1].then(how)
        source = index.source
        if pool is not None and pool is not source.pool:
            if len(index) > _FEW:
                own, places = _translated(source, how, index._rows, pool)
                return pool, own[places]
            return pool, pool.numbers([how(labels) for labels in index.labels])
        return source.pool, _columns_of(source, how, index._rows)

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


def _columns_of(source: LabelRows, how: Reduction, rows: Picked) -> Codes:
    if how == WHOLE and isinstance(source, LabelPool):  # numbers are what they are
        return np.arange(rows.start, rows.stop, dtype=np.int32) if isinstance(rows, slice) else rows.astype(np.int32)
    return source.reduced(how, rows)


def _translated(source: LabelRows, how: Reduction, rows: Picked, pool: LabelPool) -> tuple[Codes, RowNumbers]:
    codes = _columns_of(source, how, rows)
    firsts, places = first_rows(codes)
    labels = source.pool.labels
    return pool.numbers([labels[code] for code in codes[firsts].tolist()]), places


def reduced_alike(left: LabelIndex, right: LabelIndex, how: Reduction) -> tuple[LabelPool, Codes, Codes]:
    """(pool, int32[nL], int32[nR]): what `how` makes of the rows of both, numbered in the same pool."""
    # Few rows are numbered in the pool of many. An index with few rows may be everybody's (`vector(1)`, `absent()`).
    first, second = (left, right) if len(left) >= len(right) else (right, left)
    pool, codes = first.reduced(how)
    _, others = second.reduced(how, pool)
    return (pool, codes, others) if first is left else (pool, others, codes)


EMPTY_INDEX = LabelIndex(())
