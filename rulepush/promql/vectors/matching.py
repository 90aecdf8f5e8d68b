"""Which rows of two vectors meet: computed from labels alone, once for a pair of label indexes.

A `MatchedRows` is memoised on the newer of the two indexes, so a rule over an unchanged set of series finds it with two
dictionary look-ups, and what was found for an index that is gone goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import numpy as np

from rulepush.model.arrays import Bools
from rulepush.model.columns import WHOLE, Codes, LabelPool, Reduction, RowNumbers, first_rows, only, without
from rulepush.model.index import LabelIndex, reduced_alike
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.promql.syntax.ast import Card, Matching

T = TypeVar("T")
_KEPT: Final = 32
_FEW_LABELS: Final = 16


@dataclass(slots=True, eq=False)
class RecentMemo:
    """A memo of a few entries, the one not asked for longest leaves first."""

    entries: dict[Hashable, object] = field(default_factory=dict)


def recent(index: LabelIndex, name: Hashable, key: Hashable, compute: Callable[[], T]) -> T:
    """As `index.memo`, but keeps only the last few keys under `name`: for what depends on a second index or on a query.
    An index that is new at every evaluation, and queries of API clients, must not pile up on an index that stays."""
    entries = index.memo(name, RecentMemo).entries
    value = entries.pop(key, None)
    if value is None:
        value = compute()
        if len(entries) >= _KEPT:
            entries.pop(list(entries)[0], None)  # noqa: RUF015 -- one step: threads share the empty index
    entries[key] = value
    return value  # type: ignore[return-value]


def recent_pair(left: LabelIndex, right: LabelIndex, name: str, key: Hashable, compute: Callable[[], T]) -> T:
    """As `recent`, for what depends on two indexes: kept on the newer of them. On an old one that stays, the memo would
    hold every new one that is made beside it when a series comes or goes, with all that was derived from it."""
    if left is right:  # a key that is the index itself would be a cycle
        return recent(left, name, key, compute)
    if left.age > right.age:
        return recent(left, name, (right, key), compute)
    return recent(right, f"{name} of the left", (left, key), compute)


def label_names(index: LabelIndex) -> set[str]:
    """The label names that some row has. Memoised."""
    return index.memo("names", lambda: {name for labels in index.labels for name, _ in labels})


def relevant(matching: Matching, left: LabelIndex, right: LabelIndex) -> Matching:
    """The same without the labels that no row of either side has: they make no difference to a match or a result, and
    a query may name tens of thousands of them, each to be looked up in every row."""
    if len(matching.labels) + len(matching.include) <= _FEW_LABELS:
        return matching
    known = label_names(left) | label_names(right)
    labels = tuple(name for name in dict.fromkeys(matching.labels) if name in known)
    include = tuple(name for name in dict.fromkeys(matching.include) if name in known)
    return replace(matching, labels=labels, include=include)


@dataclass(frozen=True, slots=True, eq=False)
class MatchGroups:
    """Both sides' rows by match group. `left` intp[nL], `right` intp[nR]: codes 0..count-1, common to both sides.

    `row` intp[count]: the row of the right side in each group, -1 when there is none; the last one where `twice`.
    `twice`: whether some group has several rows of the right side.
    """

    left: RowNumbers
    right: RowNumbers
    count: int
    row: RowNumbers
    twice: bool


def group_rows(left: LabelIndex, right: LabelIndex, on: bool, labels: tuple[str, ...]) -> MatchGroups:
    """Memoised."""

    def compute() -> MatchGroups:
        _, mine, theirs = reduced_alike(left, right, _match(on, labels))
        firsts, codes = first_rows(np.concatenate((mine, theirs)))
        lefts, rights = codes[: len(left)], codes[len(left) :]
        row = np.full(len(firsts), -1, np.intp)
        at = np.arange(len(right))
        row[rights] = at
        twice = bool((row[rights] != at).any())
        return MatchGroups(lefts, rights, len(firsts), row, twice)

    return recent_pair(left, right, "groups", (on, labels), compute)


def _match(on: bool, labels: tuple[str, ...]) -> Reduction:
    """What rows must have in common to match."""
    return only(labels) if on else without((*labels, METRIC_NAME))


def match_labels(labels: Labels, on: bool, names: tuple[str, ...]) -> Labels:
    """Prometheus' labels.MatchLabels: what a match group is called in errors, and what a filled sample is called."""
    return labels.only(names) if on else labels.without((*names, METRIC_NAME))


@dataclass(frozen=True, slots=True, eq=False)
class MatchedRows:
    """The rows of a result: m pairs, `many` intp[m] of the many side and `one` intp[m] of the one side.

    -1 stands for a filled sample. `many_all` and `one_all` say that the rows are 0..n-1, so that nothing has to be
    gathered. `clash` intp[m] or None: codes of what must be unique at a step (see `vector_binary`), None when it
    always is. `groups` intp[m] the match group of each pair.
    """

    index: LabelIndex
    many: RowNumbers
    one: RowNumbers
    many_all: bool
    one_all: bool
    clash: RowNumbers | None
    groups: RowNumbers


def pair_rows(
    many: LabelIndex, one: LabelIndex, groups: MatchGroups, matching: Matching, drop_name: bool
) -> MatchedRows:
    """All pairs that can ever meet, when no match group has two rows of the one side. Memoised."""

    def compute() -> MatchedRows:
        partner = groups.row[groups.left]
        met = np.flatnonzero(partner >= 0)
        many_rows, one_rows, codes = met, partner[met], groups.left[met]
        if matching.fill_right is not None:  # every row of the many side may lack its partner at some step
            many_rows = np.concatenate((many_rows, np.arange(len(many))))
            one_rows = np.concatenate((one_rows, np.full(len(many), -1)))
            codes = np.concatenate((codes, groups.left))
        if matching.fill_left is not None:
            many_rows = np.concatenate((many_rows, np.full(len(one), -1)))
            one_rows = np.concatenate((one_rows, np.arange(len(one))))
            codes = np.concatenate((codes, groups.right))
        one_to_one = matching.card is Card.ONE_TO_ONE
        clash = _twins(codes) if one_to_one else None
        if matching.fill_left is None and matching.fill_right is None and not matching.include:
            index = many if _is_range(many_rows, len(many)) else many.picked(many_rows)
            # Of a match group there is one pair, and the result keeps all labels by which the groups differ.
            pool = index.source.pool
            groups_tell = one_to_one and clash is None and not (matching.on and METRIC_NAME in matching.labels)
            groups_tell = groups_tell and not pool.has_metadata
            index = index.reduced_rows(_of_many(pool, matching, drop_name), differ=groups_tell)
        else:
            index = _joined_rows(many, one, many_rows, one_rows, matching, drop_name)
        if not one_to_one and not index.differ():
            pairs = zip(codes.tolist(), index.reduced(WHOLE)[1].tolist(), strict=True)
            clash = _codes(list(pairs))
        return MatchedRows(
            index,
            many_rows,
            one_rows,
            _is_range(many_rows, len(many)),
            _is_range(one_rows, len(one)),
            clash,
            codes,
        )

    return recent_pair(many, one, "pairs", (matching, drop_name), compute)


def _twins(codes: RowNumbers) -> RowNumbers | None:
    """A number for each distinct code; None when all are distinct."""
    firsts, places = first_rows(codes)
    return places if len(firsts) < len(codes) else None


def _codes(keys: list[T]) -> RowNumbers | None:
    """A number for each distinct key; None when all are distinct."""
    seen: dict[T, int] = {}
    codes = np.fromiter((seen.setdefault(k, len(seen)) for k in keys), np.intp, len(keys))
    return codes if len(seen) < len(keys) else None


def _is_range(rows: RowNumbers, n: int) -> bool:
    return len(rows) == n and bool((rows == np.arange(n)).all())


# The labels of a result: Prometheus' resultMetric.


def _of_many(pool: LabelPool, matching: Matching, drop_name: bool) -> Reduction:
    """What a result has of its row of the many side."""
    how = pool.nameless() if drop_name else WHOLE
    if matching.card is Card.ONE_TO_ONE:
        how = how.then(only(matching.labels) if matching.on else without(matching.labels))
    return how.then(without(matching.include))


def _joined_rows(
    many: LabelIndex, one: LabelIndex, many_rows: RowNumbers, one_rows: RowNumbers, matching: Matching, drop_name: bool
) -> LabelIndex:
    """With labels of the one side, or with filled samples, which have only what their match group has in common."""
    signature, right = _match(matching.on, matching.labels), only(matching.include)
    left = _of_many(many.source.pool, matching, drop_name)
    pool, lefts, fills = _both(many, one, left, signature.then(left))
    codes = _either(lefts, many_rows, fills, one_rows)
    if matching.include:
        _, left_fills, rights = _both(many, one, signature.then(right), right, pool)
        codes = pool.joined(("include", right), codes, _either(rights, one_rows, left_fills, many_rows))
    return LabelIndex.pooled(pool, codes)


def _both(
    many: LabelIndex, one: LabelIndex, how: Reduction, of_one: Reduction, pool: LabelPool | None = None
) -> tuple[LabelPool, Codes, Codes]:
    """Rows of both sides, each reduced in its own way, numbered in one pool."""
    if pool is None:
        pool = (many if len(many) >= len(one) else one).source.pool
    return pool, many.reduced(how, pool)[1], one.reduced(of_one, pool)[1]


def _either(codes: Codes, rows: RowNumbers, others: Codes, other_rows: RowNumbers) -> Codes:
    """codes[rows], and others[other_rows] where rows is -1."""
    out = np.empty(len(rows), np.int32)
    real = rows >= 0
    out[real] = codes[rows[real]]
    out[~real] = others[other_rows[~real]]
    return out


def subset(index: LabelIndex, keep: Bools) -> LabelIndex:
    """The rows of `keep` (bool[n]). Memoised for the last few masks, so that it is stable while the mask is."""

    def compute() -> LabelIndex:
        return index.picked(np.flatnonzero(keep))

    return recent(index, "subset", keep.tobytes(), compute)


def concatenated(left: LabelIndex, right: LabelIndex) -> LabelIndex:
    """The rows of both, left first. Memoised."""

    def compute() -> LabelIndex:
        pool, mine, theirs = reduced_alike(left, right, WHOLE)
        return LabelIndex.pooled(pool, np.concatenate((mine, theirs)))

    return recent_pair(left, right, "concatenated", (), compute)
