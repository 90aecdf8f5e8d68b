"""Which rows of two vectors meet: computed from labels alone, once for a pair of label indexes.

A `MatchedRows` is memoised on the newer of the two indexes, so a rule over an unchanged set of series finds it with two
dictionary look-ups, and what was found for an index that is gone goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from rulepush.model.index import LabelIndex
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.promql.syntax.ast import Card, Matching
from rulepush.promql.vectors.values import Bools

T = TypeVar("T")
Rows = npt.NDArray[np.intp]
_KEPT: Final = 32
_FEW_LABELS: Final = 16


@dataclass(slots=True, eq=False)
class RecentMemo:
    """A memo of a few entries, the one not asked for longest leaves first."""

    entries: dict[Hashable, object] = field(default_factory=dict)


def recent(index: LabelIndex, name: Hashable, key: Hashable, compute: Callable[[], T]) -> T:
    """As `index.memo`, but keeps only the last few keys under `name`: for what depends on a second index or on a query.
    An index that is new at every evaluation, and queries from outside, must not pile up on an index that stays."""
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

    left: Rows
    right: Rows
    count: int
    row: Rows
    twice: bool


def group_rows(left: LabelIndex, right: LabelIndex, on: bool, labels: tuple[str, ...]) -> MatchGroups:
    """Memoised."""

    def compute() -> MatchGroups:
        codes: dict[Hashable, int] = {}
        sides = []
        for index in (left, right):
            keys = signatures(index, on, labels)
            sides.append(np.fromiter((codes.setdefault(k, len(codes)) for k in keys), np.intp, len(keys)))
        row = np.full(len(codes), -1, np.intp)
        at = np.arange(len(right))
        row[sides[1]] = at
        twice = bool((row[sides[1]] != at).any())
        return MatchGroups(sides[0], sides[1], len(codes), row, twice)

    return recent_pair(left, right, "groups", (on, labels), compute)


def signatures(index: LabelIndex, on: bool, labels: tuple[str, ...]) -> list[tuple[str, ...] | Labels]:
    """What rows must have in common to match. Memoised."""

    def compute() -> list[tuple[str, ...] | Labels]:
        if on:
            names = tuple(sorted(set(labels)))
            return [tuple(map(ls.get, names)) for ls in index.labels]
        drop = frozenset((*labels, METRIC_NAME))
        return [Labels(p for p in ls if p[0] not in drop) for ls in index.labels]

    return recent(index, "signatures", (on, labels), compute)


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
    many: Rows
    one: Rows
    many_all: bool
    one_all: bool
    clash: Rows | None
    groups: Rows


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
        labels = [
            _result_labels(many, one, i, j, matching, drop_name)
            for i, j in zip(many_rows.tolist(), one_rows.tolist(), strict=True)
        ]
        if matching.card is Card.ONE_TO_ONE:
            clash = _codes(codes.tolist())
        else:
            clash = _codes(list(zip(codes.tolist(), labels, strict=True)))
        return MatchedRows(
            LabelIndex(labels),
            many_rows,
            one_rows,
            _is_range(many_rows, len(many)),
            _is_range(one_rows, len(one)),
            clash,
            codes,
        )

    return recent_pair(many, one, "pairs", (matching, drop_name), compute)


def _codes(keys: list[T]) -> Rows | None:
    """A number for each distinct key; None when all are distinct."""
    seen: dict[T, int] = {}
    codes = np.fromiter((seen.setdefault(k, len(seen)) for k in keys), np.intp, len(keys))
    return codes if len(seen) < len(keys) else None


def _is_range(rows: Rows, n: int) -> bool:
    return len(rows) == n and bool((rows == np.arange(n)).all())


def _result_labels(many: LabelIndex, one: LabelIndex, i: int, j: int, matching: Matching, drop_name: bool) -> Labels:
    """Prometheus' resultMetric."""
    names, on = matching.labels, matching.on
    left = many.labels[i] if i >= 0 else match_labels(one.labels[j], on, names)
    pairs = dict(left.pairs)
    if drop_name:
        pairs.pop(METRIC_NAME, None)
    if matching.card is Card.ONE_TO_ONE:
        if on:
            pairs = {n: v for n, v in pairs.items() if n in names}
        else:
            for name in names:
                pairs.pop(name, None)
    if matching.include:
        right = one.labels[j] if j >= 0 else match_labels(many.labels[i], on, names)
        for name in matching.include:
            pairs[name] = right.get(name)
    return Labels(pairs)


def subset(index: LabelIndex, keep: Bools) -> LabelIndex:
    """The rows of `keep` (bool[n]). Memoised for the last few masks, so that it is stable while the mask is."""

    def compute() -> LabelIndex:
        return LabelIndex([index.labels[i] for i in np.flatnonzero(keep).tolist()])

    return recent(index, "subset", keep.tobytes(), compute)


def concatenated(left: LabelIndex, right: LabelIndex) -> LabelIndex:
    """The rows of both, left first. Memoised."""
    return recent_pair(left, right, "concatenated", (), lambda: LabelIndex(left.labels + right.labels))
