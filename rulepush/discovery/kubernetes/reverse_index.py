"""ReverseIndex: which objects name another one, so that a change of that one costs what it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from rulepush.discovery.kubernetes.resource import ObjectChange, Objects

T = TypeVar("T")


class ReverseIndex(Generic[T]):
    """From a name to the keys of the objects that name it.

    `names` tells what an object names, or each of its `parts`, if it has many: the parts that are the same ones after a
    change are not looked at. "" counts for no name.
    """

    def __init__(self, names: Callable[[Any], Iterable[str]], parts: Callable[[T], Sequence[Any]] = lambda o: (o,)):
        self._names = names
        self._parts = parts
        self._keys: dict[str, str | set[str]] = {}  # most names have one key: a set of it would take four times as much

    def fill(self, objects: Objects[T]) -> None:
        """Start again with these objects."""
        self._keys.clear()
        for key, found in objects.items():
            self._add(key, self._of(self._parts(found)))

    def note(self, change: ObjectChange[T]) -> None:
        """Take one change over."""
        before = self._parts(change.before) if change.before is not None else ()
        after = self._parts(change.after) if change.after is not None else ()
        were, are = set(map(id, before)), set(map(id, after))
        new = self._of(part for part in after if id(part) not in were)
        lost = self._of(part for part in before if id(part) not in are) - new
        if lost:
            lost -= self._of(after)
        for name in lost:
            self._remove(change.key, name)
        self._add(change.key, new)

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of the objects that name it, sorted."""
        found = self._keys.get(name, ())
        return (found,) if isinstance(found, str) else tuple(sorted(found))

    def _of(self, parts: Iterable[Any]) -> set[str]:
        return {name for part in parts for name in self._names(part) if name}

    def _add(self, key: str, names: set[str]) -> None:
        for name in names:
            known = self._keys.get(name)
            if known is None:
                self._keys[name] = key
            elif isinstance(known, set):
                known.add(key)
            elif known != key:
                self._keys[name] = {known, key}

    def _remove(self, key: str, name: str) -> None:
        known = self._keys.get(name)
        if isinstance(known, set):
            known.discard(key)
        if known == key or known == set():
            del self._keys[name]
