"""Whether the series of one selector are all among those of others, decided from the matchers alone.

"Yes" holds for every series that there could be. "No" may also mean that it is not known: the languages of two regular
expressions are compared only where they are equal, or where one of them is a list of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from rulepush.model.matcher import Matcher, MatchOp

_MAX_TESTS: Final = 20_000  # comparisons of two matchers for one selector: about 50 ms
_MAX_WORDS: Final = 256
_META: Final = frozenset("\\.+*?()[]{}^$|")

Selector = Sequence[Matcher]


def implies(selector: Selector, wanted: Matcher) -> bool:
    """Whether each label set that satisfies `selector` certainly satisfies `wanted`."""
    same = [m for m in selector if m.name == wanted.name]
    if wanted in same:
        return True
    values = _possible(same)
    if values is not None:
        return all(wanted.matches(value) for value in values)
    refused = _refused(wanted)
    return refused is not None and all(_refuse(same, value) for value in refused)


def excludes(selector: Selector, other: Matcher) -> bool:
    """Whether no label set that satisfies `selector` satisfies `other`, for certain."""
    return implies(selector, _opposite(other))


def possible_values(selector: Selector, label: str) -> list[str] | None:
    """The values that a label may have, in the order given; None when they cannot be listed."""
    return _possible([m for m in selector if m.name == label])


def covering(selector: Selector, candidates: Sequence[Selector]) -> list[list[int]] | None:
    """How the candidates together cover `selector`: its series fall into parts, and each list names the candidates
    each of which holds all series of that part. None when some series may be in no candidate.

    A part that no candidate holds is split by a matcher of one that holds some of it: `up` by `up{job="a"}` into
    `up{job="a"}` and `up{job!="a"}`.
    """
    parts: list[list[int]] = []
    tests = 0
    open_parts: list[tuple[tuple[Matcher, ...], Sequence[int]]] = [(tuple(selector), range(len(candidates)))]
    while open_parts:
        part, possible = open_parts.pop()
        whole: list[int] = []
        partial: list[int] = []
        split: Matcher | None = None
        fewest = _MAX_TESTS
        for i in possible:
            unmet = [m for m in candidates[i] if not implies(part, m)]
            tests += len(candidates[i]) + len(unmet) + 1
            if not unmet:
                whole.append(i)
            elif not whole and not any(excludes(part, m) for m in unmet):
                partial.append(i)
                if len(unmet) < fewest:
                    split, fewest = unmet[0], len(unmet)
        if whole:
            parts.append(whole)
        elif split is None or tests > _MAX_TESTS:
            return None
        else:
            open_parts.append(((*part, split), partial))
            open_parts.append(((*part, _opposite(split)), partial))
    return parts


def _opposite(matcher: Matcher) -> Matcher:
    return Matcher(matcher.name, matcher.op.opposite, matcher.value)


def _possible(same: Selector) -> list[str] | None:
    """The values that all of some matchers of one label take; None when they cannot be listed."""
    listed = [found for m in same if (found := _taken(m)) is not None]
    if not listed:
        return None
    shortest = min(listed, key=len)
    return [value for value in shortest if all(m.matches(value) for m in same)]


def _refuse(same: Selector, value: str) -> bool:
    return not all(m.matches(value) for m in same)


def _taken(matcher: Matcher) -> Sequence[str] | None:
    """All values that it takes; None when they cannot be listed."""
    return _listed(matcher.op, matcher.value)


def _refused(matcher: Matcher) -> Sequence[str] | None:
    """All values that it refuses; None when they cannot be listed."""
    return _listed(matcher.op.opposite, matcher.value)


def _listed(op: MatchOp, value: str) -> Sequence[str] | None:
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
            if c not in _META or not c:  # \d, \n, \Q...
                return None
        elif c in _META:
            return None
        word += c
    words.append(word)
    return tuple(dict.fromkeys(words)) if len(words) <= _MAX_WORDS else None
