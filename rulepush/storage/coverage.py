"""Whether the series of one selector are all among those of others, decided from the matchers alone.

"Yes" holds for every series that there could be. "No" may also mean that it is not known: the languages of two regular
expressions are compared only where they are equal, or where one of them is a list of words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from rulepush.model.matcher import Matcher, MatchOp

_MAX_TESTS: Final = 4000  # comparisons of two matchers for one selector: some 40 ms
_MAX_WORDS: Final = 256
_META: Final = frozenset("\\.+*?()[]{}^$|")
_UNLIKELY: Final = "\0"

Selector = Sequence[Matcher]


class Conditions:
    """What a selector says of each label. Immutable."""

    def __init__(self, selector: Selector):
        self._by_label: dict[str, tuple[Matcher, ...]] = {}
        for m in selector:
            self._by_label[m.name] = (*self._by_label.get(m.name, ()), m)
        self._values: dict[str, list[str] | None] = {}

    def plus(self, matcher: Matcher) -> Conditions:
        """These and one more."""
        found = Conditions(())
        found._by_label = {**self._by_label, matcher.name: (*self._by_label.get(matcher.name, ()), matcher)}
        found._values = {label: values for label, values in self._values.items() if label != matcher.name}
        return found

    def values(self, label: str) -> list[str] | None:
        """The values that a label may have, in the order given; None when they cannot be listed."""
        if label not in self._values:
            same = self._by_label.get(label, ())
            listed = [found for m in same if (found := _listed(m.op, m.value)) is not None]
            shortest = min(listed, key=len, default=None)
            self._values[label] = None if shortest is None else [v for v in shortest if _take(same, v)]
        return self._values[label]

    def imply(self, wanted: Matcher) -> bool:
        """Whether each label set that satisfies them certainly satisfies `wanted`."""
        return self._imply(wanted.name, wanted.op, wanted.value, lambda: wanted)

    def exclude(self, other: Matcher) -> bool:
        """Whether no label set that satisfies them satisfies `other`, for certain."""
        return self._imply(other.name, other.op.opposite, other.value, lambda: opposite(other))

    def example(self, otherwise: str) -> dict[str, str] | None:
        """Values for all labels that are spoken of; those that can be anything are `otherwise`. None when none was
        found."""
        found = {}
        for label, same in self._by_label.items():
            value = next((v for v in (*(self.values(label) or ()), otherwise, _UNLIKELY, "") if _take(same, v)), None)
            if value is None:
                return None
            found[label] = value
        return found

    def _imply(self, label: str, op: MatchOp, value: str, wanted: Callable[[], Matcher]) -> bool:
        same = self._by_label.get(label, ())
        for m in same:
            if m.value == value and m.op is op:
                return True
        values = self.values(label)
        if values is not None:
            matcher = wanted()
            return all(map(matcher.matches, values))
        refused = _listed(op.opposite, value)
        return refused is not None and not any(_take(same, v) for v in refused)


def covering(selector: Selector, candidates: Sequence[Selector]) -> list[list[int]] | None:
    """How the candidates together cover `selector`: its series fall into parts, and each list names the candidates
    each of which holds all series of that part. None when some series may be in no candidate.

    A part that no candidate holds is split by a matcher of one that holds some of it: `up` by `up{job="a"}` into
    `up{job="a"}` and `up{job!="a"}`. Where that fails it takes many splits, so a few examples are tried first.
    """
    conditions = Conditions(selector)
    if any(_is_outside(conditions, candidates, otherwise) for otherwise in ("", _UNLIKELY)):
        return None
    parts: list[list[int]] = []
    tests = 0
    unsettled: list[tuple[Conditions, Sequence[int]]] = [(conditions, range(len(candidates)))]
    while unsettled:
        part, possible = unsettled.pop()
        whole: list[int] = []
        partial: list[int] = []
        split: Matcher | None = None
        fewest = _MAX_TESTS
        for i in possible:
            unmet = [m for m in candidates[i] if not part.imply(m)]
            tests += len(candidates[i]) + len(unmet)
            if not unmet:
                whole.append(i)
            elif not whole and not any(map(part.exclude, unmet)):
                partial.append(i)
                if len(unmet) < fewest:
                    split, fewest = unmet[0], len(unmet)
        if whole:
            parts.append(whole)
        elif split is None or tests > _MAX_TESTS:
            return None
        else:
            unsettled += [(part.plus(split), partial), (part.plus(opposite(split)), partial)]
    return parts


@lru_cache(maxsize=4096)
def opposite(matcher: Matcher) -> Matcher:
    """The matcher that takes what this one refuses."""
    return Matcher(matcher.name, matcher.op.opposite, matcher.value)


def _is_outside(conditions: Conditions, candidates: Sequence[Selector], otherwise: str) -> bool:
    """Whether an example of the series is in none of the candidates."""
    example = conditions.example(otherwise)
    if example is None:
        return False
    return not any(all(m.matches(example.get(m.name, otherwise)) for m in selector) for selector in candidates)


def _take(same: Selector, value: str) -> bool:
    return all(m.matches(value) for m in same)


def _listed(op: MatchOp, value: str) -> Sequence[str] | None:
    """All values that a matcher takes; None when they cannot be listed."""
    match op:
        case MatchOp.EQUAL:
            return (value,)
        case MatchOp.REGEX:
            return _words(value)
        case MatchOp.NOT_REGEX if value == ".+":
            return ("",)
        case MatchOp.NOT_REGEX if value == ".*":
            return ()
        case _:
            return None


@lru_cache(maxsize=4096)
def _words(pattern: str) -> tuple[str, ...] | None:
    r"""The words of `a|b`, `(a|b)` or `a\.b`; None for a pattern that is no such list."""
    if pattern.startswith("(") and pattern.endswith(")"):
        pattern = pattern.removeprefix("(").removeprefix("?:")[:-1]
    words, word = [], ""
    rest = iter(pattern)
    for c in rest:
        if c == "|":
            words.append(word)
            word = ""
            continue
        if c == "\\":
            c = next(rest, "")
            if c not in _META:  # \d, \n, \Q and the like
                return None
        elif c in _META:
            return None
        word += c
    words.append(word)
    return tuple(dict.fromkeys(words)) if len(words) <= _MAX_WORDS else None
