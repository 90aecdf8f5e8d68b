"""The language of the files: every text of theirs stands beside its translation."""

from __future__ import annotations

from collections.abc import Callable

from rulepush.relay.settings import Language

Wording = Callable[[str, str], str]
"""Takes the English text and the Chinese one, gives the one that is wanted."""


def wording(language: Language) -> Wording:
    """The texts of one language."""
    return (lambda english, chinese: chinese) if language is Language.ZH else (lambda english, chinese: english)


def comment(text: str, indent: str = "") -> str:
    """The lines of a text as comments of YAML, each with its line feed; "" for no text."""
    return "".join(f"{indent}# {line}".rstrip() + "\n" for line in text.splitlines())
