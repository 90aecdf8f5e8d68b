"""Finding the rules that are meant by a name, and saying what is near where there is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

_NEAR: Final = 5  # places that are named
_MEANT: Final = 3  # names


class Named(Protocol):
    """A rule and where it stands."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def file(self) -> str: ...


R = TypeVar("R", bound=Named)


class UnknownRule(LookupError):
    """No rule is meant by what was asked for; the text says what is near."""


def find_rules(rules: Iterable[R], name: str, group: str = "", file: str = "") -> list[R]:
    """The rules of a name; `file` is a whole path, or the end of one. Raises UnknownRule."""
    rules = list(rules)
    named = [rule for rule in rules if rule.name == name]
    if not named:
        raise UnknownRule(f"no rule is called {name!r}{_near(name, [rule.name for rule in rules])}")
    found = [rule for rule in named if group in ("", rule.group) and (not file or _is_file(rule.file, file))]
    if not found:
        asked = " and ".join(f"{what} {text!r}" for what, text in (("group", group), ("file", file)) if text)
        places = list(dict.fromkeys(f"group {rule.group} of {rule.file}" for rule in named))
        more = ", ..." if len(places) > _NEAR else ""
        raise UnknownRule(f"no rule {name!r} in {asked}: it is in {', '.join(places[:_NEAR])}{more}")
    return found


def _is_file(path: str, asked: str) -> bool:
    return path == asked or path.endswith("/" + asked.lstrip("/"))


def _near(name: str, names: Sequence[str]) -> str:
    """`: did you mean A or B?`"""
    if not names:
        return ": there are no rules"
    known = list(dict.fromkeys(names))
    lower = {one.lower(): one for one in known}
    near = [lower[low] for low in difflib.get_close_matches(name.lower(), lower, n=_MEANT, cutoff=0.5)]
    near += [one for one in known if name.lower() in one.lower() and one not in near]
    return f": did you mean {' or '.join(near[:_MEANT])}?" if near else f": there are {len(known)} others"
