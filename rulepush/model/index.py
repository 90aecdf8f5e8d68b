"""LabelIndex: what an evaluation computes from labels alone, it computes once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import count
from typing import Any, Final, TypeVar

from rulepush.model.labels import Labels

T = TypeVar("T")
_AGES: Final = count()


class LabelIndex:
    """An immutable list of label sets, one a row of a vector, with a memo of what was derived from them.

    Identity is the key: two evaluations over an unchanged set of series see the same LabelIndex object, so grouping,
    matching, dropped names and parsed `le` are found in its memo. Never compare two by content.
    `age` grows from one index to the next: what depends on two is kept on the newer, so that an old one that stays does
    not keep alive all those that came and went beside it.
    """

    __slots__ = ("__weakref__", "_memo", "age", "labels")

    def __init__(self, labels: Sequence[Labels]):
        self.labels: tuple[Labels, ...] = tuple(labels)
        self.age = next(_AGES)
        self._memo: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def memo(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value under `key`, computed by `compute` the first time. `compute` may depend on the labels alone."""
        try:
            value: T = self._memo[key]
        except KeyError:
            value = self._memo[key] = compute()
        return value


EMPTY_INDEX = LabelIndex(())
