"""Secret: a text that is never printed; and what of a URL is one."""

from __future__ import annotations

import re
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

_TELLING: Final = re.compile(
    r"([?&;][^=&;#]*(?:token|secret|passw|pwd|api[_-]?key|access[_-]?key|signature|credential)[^=&;#]*=)[^&#]+",
    re.IGNORECASE,
)


def masked_parameters(url: str) -> str:
    """The URL with `<secret>` in place of the values of parameters whose names tell that they are secret:
    `accessToken`, `api_key`, `password`."""
    return _TELLING.sub(rf"\1{MASK}", url) if "?" in url else url
