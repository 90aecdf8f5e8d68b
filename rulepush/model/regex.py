"""Regular expressions as Prometheus has them: RE2 syntax, linear time, anchored at both ends.

The only file that imports re2.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol, cast

import re2

from rulepush.model.errors import RegexError


class RegexMatch(Protocol):
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
    def fullmatch(self, text: str, /) -> RegexMatch | None: ...
    def search(self, text: str, /) -> RegexMatch | None: ...


# Queries are not trusted. RE2 is linear in the text, but not in the pattern: compiling consecutive groups takes
# quadratic time, and tracking captures takes groups x states of memory: 100,000 groups took 22 GB.
MAX_PATTERN: Final = 1 << 17  # characters
MAX_GROUPS: Final = 100


def _options(captures: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True  # Prometheus compiles "^(?s:" + pattern + ")$"
    options.never_capture = not captures
    return options


_OPTIONS = {captures: _options(captures) for captures in (True, False)}


@lru_cache(maxsize=4096)
def compile_regex(pattern: str, *, captures: bool = True) -> Pattern:
    """Compile with `.` matching newlines, as Prometheus' matchers do. Without `captures`, a match has no groups.

    Raises RegexError with RE2's reason, or with our limits.
    """
    if len(pattern) > MAX_PATTERN:
        raise RegexError(f"invalid regular expression {pattern[:60]!r}...: it has more than {MAX_PATTERN} characters")
    try:
        compiled = cast(Pattern, re2.compile(pattern, _OPTIONS[captures]))
    except re2.error as e:
        reason = e.args[0] if e.args else e
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise RegexError(f"invalid regular expression {pattern!r}: {text}") from None
    if compiled.groups > MAX_GROUPS:
        raise RegexError(f"invalid regular expression {pattern[:60]!r}...: it has more than {MAX_GROUPS} groups")
    return compiled
