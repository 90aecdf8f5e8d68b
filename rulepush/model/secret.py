"""Secret: a text that is never printed."""

from __future__ import annotations

from typing import Final


class Secret:
    """Immutable. `str`, `repr` and formatting give `<secret>`; `reveal` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str = ""):
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __str__(self) -> str:
        return MASK if self._text else ""

    __repr__ = __str__


MASK: Final = "<secret>"
NO_SECRET: Final = Secret()
