"""ReverseIndex: which objects name another one, so that a change of that one costs what it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from rulepush.discovery.kubernetes.resource import ObjectChange, Objects

T = TypeVar("T")


class ReverseIndex(Generic[T]):
    """From a name to the keys of the objects that name it. `names` tells what an object names; "" counts for none."""

    def __init__(self, names: Callable[[T], Iterable[str]]):
        self._names = names
        self._keys: dict[str, str | set[str]] = {}  # most names have one key: a set of it would take four times as much

    def fill(self, objects: Objects[T]) -> None:
        """Start again with these objects."""
        self._keys.clear()
        for key, found in objects.items():
            self._add(key, self._of(found))

    def note(self, change: ObjectChange[T]) -> None:
        """Take one change over."""
        before, after = self._of(change.before), self._of(change.after)
        for name in before - after:
            self._remove(change.key, name)
        self._add(change.key, after - before)

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of the objects that name it, sorted."""
        found = self._keys.get(name, ())
        return (found,) if isinstance(found, str) else tuple(sorted(found))

    def _of(self, found: T | None) -> set[str]:
        return set() if found is None else {name for name in self._names(found) if name}

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
