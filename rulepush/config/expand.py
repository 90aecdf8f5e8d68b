"""`${NAME}` in external labels, as Go's os.Expand does it for Prometheus 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

_SPECIAL: Final = frozenset("*#$@!?-0123456789")


def expand_variables(text: str, lookup: Callable[[str], str]) -> str:
    """Replace `$name` and `${name}` by the result of `lookup`; `$` before anything else stays."""
    out, i = [], 0
    while i < len(text):
        if text[i] != "$" or i + 1 == len(text):
            out.append(text[i])
            i += 1
            continue
        name, width = _name(text[i + 1 :])
        if name:
            out.append(lookup(name))
        elif width == 0:
            out.append("$")
        i += 1 + width
    return "".join(out)


def expand_environment(text: str, environment: Mapping[str, str], empty: Callable[[str], None]) -> str:
    """Expand from the environment; `$$` is a dollar. `empty` is called with each name that is unset or empty."""

    def lookup(name: str) -> str:
        if name == "$":
            return "$"
        value = environment.get(name, "")
        if not value:
            empty(name)
        return value

    return expand_variables(text, lookup)


def _name(text: str) -> tuple[str, int]:
    """The variable's name behind a `$`, and how many characters it takes; bad syntax is eaten."""
    if text[0] == "{":
        if len(text) > 2 and text[1] in _SPECIAL and text[2] == "}":
            return text[1], 3
        end = text.find("}", 1)
        if end == 1:
            return "", 2
        return (text[1:end], end + 1) if end > 0 else ("", 1)
    if text[0] in _SPECIAL:
        return text[0], 1
    end = 0
    while end < len(text) and text[end].isascii() and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return text[:end], end
