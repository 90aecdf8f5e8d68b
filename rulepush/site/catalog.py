"""Catalogs of translations: the part of gettext's .po format that ours use. Pure.

A standard format, so that a translator's editor opens it; read here, because the standard library reads only its
compiled form, which would have to be built.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Final

_KEYWORDS: Final = ("msgid_plural", "msgid", "msgstr[0]", "msgstr")


class CatalogError(ValueError):
    """A line of a catalog that is no .po; the text has its number."""


def read_catalog(text: str) -> Mapping[str, str]:
    """Message -> translation. A message with a plural has one translation, as in Chinese (`nplurals=1`). The header,
    whose message is empty, is left out. Raises CatalogError."""
    found: dict[str, str] = {}
    for number, entry in _entries(text):
        message, translated = entry.get("msgid"), entry.get("msgstr", entry.get("msgstr[0]"))
        if message is None or translated is None:
            raise CatalogError(f"line {number}: an entry needs msgid and msgstr")
        if message in found:
            raise CatalogError(f"line {number}: {message!r} is there twice")
        if message:
            found[message] = translated
    return found


def _entries(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line of its start, keyword -> text) of each entry; entries are separated by empty lines."""
    entry: dict[str, str] = {}
    keyword, start = "", 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        line = line.strip()
        if line.startswith("#"):
            continue
        if not line:
            if entry:
                yield start, entry
            entry, keyword = {}, ""
            continue
        if not entry:
            start = number
        if not line.startswith('"'):
            keyword, _, line = line.partition(" ")
            if keyword not in _KEYWORDS or keyword in entry:
                raise CatalogError(f"line {number}: {keyword!r} is not expected here")
            entry[keyword] = ""
        entry[keyword] += _unquoted(line.strip(), number)


def _unquoted(text: str, number: int) -> str:
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        raise CatalogError(f"line {number}: a text in double quotes is expected")
    try:
        return str(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        raise CatalogError(f"line {number}: the text has a bad escape") from None
