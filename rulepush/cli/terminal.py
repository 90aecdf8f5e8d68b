"""What may be written to a terminal, and in which colour: texts of targets and servers can contain sequences that it
obeys, so colours are put on after these are made harmless."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, TextIO

# C0 but for the line feed, DEL, C1, and the characters that turn the direction of writing around.
_OBEYED: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Ink(Enum):
    """Colours by their meaning, as SGR parameters (ECMA-48); of the 8 basic ones, which every palette can read."""

    ERROR = "31"
    WARNING = "33"
    GOOD = "32"
    STRONG = "1"
    FAINT = "2"


InkRules = Sequence[tuple[re.Pattern[str], Ink]]
"""What to colour in each line: the first group of the first pattern that is found at its beginning, or the whole of
what was found."""

VERDICTS: Final[InkRules] = (
    (re.compile(r" *(?:WARNING|warning): .*"), Ink.WARNING),
    (re.compile(r" *(?:FAILED:|error: .*)"), Ink.ERROR),
    (re.compile(r" *SUCCESS"), Ink.GOOD),
)
"""Of the commands that check files, in promtool's words."""


def terminal_text(text: str) -> str:
    r"""The text with each character that a terminal obeys as its code: `\x1b`, `\u202e`. Line feeds stay."""
    return _OBEYED.sub(_code, text)


def terminal_json(text: str) -> str:
    r"""The same for a JSON document, which stays one that says the same: `\u009b`."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _code(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def can_rewrite(out: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `out` is a terminal that obeys sequences."""
    return out.isatty() and environ.get("TERM") != "dumb"


def has_colours(out: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether colours are wanted there: on a terminal, but for NO_COLOR (https://no-color.org) and TERM=dumb; elsewhere
    with CLICOLOR_FORCE (https://bixense.com/clicolors)."""
    if environ.get("NO_COLOR"):
        return False
    return environ.get("CLICOLOR_FORCE", "0") not in ("", "0") or can_rewrite(out, environ)


def inked(text: str, ink: Ink, out: TextIO) -> str:
    """The text in a colour, where `out` has colours. Each line by itself, so that `| less -R` shows it."""
    if not has_colours(out):
        return text
    return "\n".join(_sgr(line, ink) if line else line for line in text.split("\n"))


def coloured(text: str, rules: InkRules, out: TextIO) -> str:
    """The text with what the rules find in its lines in colour, where `out` has colours."""
    return "\n".join(_line(line, rules) for line in text.split("\n")) if has_colours(out) else text


def _line(line: str, rules: InkRules) -> str:
    for pattern, ink in rules:
        found = pattern.match(line)
        if found is not None:
            start, end = found.span(1 if pattern.groups else 0)
            return line[:start] + _sgr(line[start:end], ink) + line[end:]
    return line


def _sgr(text: str, ink: Ink) -> str:
    return f"\x1b[{ink.value}m{text}\x1b[0m"
