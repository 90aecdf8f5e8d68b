"""Regular expressions as Prometheus has them: RE2 syntax, linear time, anchored at both ends.

The only file that imports re2.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, cast

import re2

from rulepush.errors import RegexError


class Match(Protocol):
    """What a match offers; as `re.Match`."""

    def group(self, group: int | str = 0, /) -> str | None: ...
    def groups(self) -> tuple[str | None, ...]: ...
    def groupdict(self) -> dict[str, str | None]: ...
    def start(self, group: int = 0, /) -> int: ...
    def end(self, group: int = 0, /) -> int: ...


class Pattern(Protocol):
    """A compiled pattern. `fullmatch` is Prometheus' anchored match; `search` is for reReplaceAll and the like."""

    @property
    def pattern(self) -> str: ...
    @property
    def groups(self) -> int: ...
    @property
    def groupindex(self) -> dict[str, int]: ...
    def fullmatch(self, text: str, /) -> Match | None: ...
    def search(self, text: str, /) -> Match | None: ...


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True  # Prometheus compiles "^(?s:" + pattern + ")$"
    return options


_OPTIONS = _options()


@lru_cache(maxsize=4096)
def compile_regex(pattern: str) -> Pattern:
    """Compile with `.` matching newlines, as Prometheus' matchers do. Raises RegexError with RE2's reason."""
    try:
        return cast(Pattern, re2.compile(pattern, _OPTIONS))
    except re2.error as e:
        reason = e.args[0] if e.args else e
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise RegexError(f"invalid regular expression {pattern!r}: {text}") from None
