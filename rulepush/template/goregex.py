"""Go's regexp package for templates: unanchored matching and ReplaceAllString, on RE2.

Unlike in matchers, `.` does not match a newline here: `match` and `reReplaceAll` compile the pattern as it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol, cast

from rulepush.errors import RegexError
from rulepush.gotext.limits import OutputBudget
from rulepush.model.regex import Pattern, RegexMatch, compile_regex

# RE2's C++ library words its errors a little differently from Go's.
_GO_WORDS: Final = (
    ("missing )", "missing closing )"),
    ("missing ]", "missing closing ]"),
    ("bad repetition operator", "invalid nested repetition operator"),
    ("no argument for repetition operator", "missing argument to repetition operator"),
    ("invalid repetition size", "invalid repeat count"),
    ("invalid named capture group", "invalid named capture"),
    ("invalid perl operator", "invalid or unsupported Perl syntax"),
    ("trailing \\", "trailing backslash at end of expression"),
)


class _Searcher(Protocol):
    def search(self, text: str, pos: int, /) -> RegexMatch | None: ...


@lru_cache(maxsize=1024)
def compile_go(pattern: str) -> Pattern:
    """Compile as Go's regexp.Compile does. Raises RegexError with Go's text (`error parsing regexp: ...`)."""
    try:
        return compile_regex("(?-s)" + pattern)
    except RegexError as e:
        raise RegexError(f"error parsing regexp: {_go_reason(e, pattern)}") from None


def _go_reason(error: RegexError, pattern: str) -> str:
    reason = str(error).rpartition("': ")[2] if "': " in str(error) else str(error).rpartition('": ')[2]
    for theirs, go in _GO_WORDS:
        if reason.startswith(theirs):
            reason = go + reason[len(theirs) :]
            break
    text, colon, fragment = reason.partition(": ")
    if text.startswith("trailing backslash"):
        fragment = ""
        colon = ":"
    return f"{text}: `{fragment.replace('(?-s)', '', 1) if colon else pattern}`"


def replace_all(pattern: str, replacement: str, text: str) -> str:
    """ReplaceAllString: `$1`, `${1}`, `$name` and `${name}` in the replacement are groups. Raises RegexError."""
    compiled = compile_go(pattern)
    template = _replacement(replacement)
    searcher = cast(_Searcher, compiled)
    out: list[str] = []
    room = OutputBudget()
    pos = last_end = 0
    while pos <= len(text):
        match = searcher.search(text, pos)
        if match is None:
            break
        start, end = match.start(), match.end()
        out.append(text[last_end:start])
        # An empty match right after another match is not replaced, or "x*" would replace twice.
        if end > last_end or start == 0:
            out += [room.take(p if isinstance(p, str) else _group(match, compiled, p[0])) for p in template]
        last_end = end
        pos = end if end > pos else pos + 1
    out.append(text[last_end:])
    return "".join(out)


def _group(match: RegexMatch, compiled: Pattern, name: str) -> str:
    if name.isascii() and name.isdigit():
        number = int(name) if len(name) < 6 else compiled.groups + 1
        return (match.group(number) or "") if number <= compiled.groups else ""
    return (match.group(name) or "") if name in compiled.groupindex else ""


@lru_cache(maxsize=1024)
def _replacement(text: str) -> tuple[str | tuple[str], ...]:
    """Literal parts as str, groups as a tuple of their name. `$1x` is the group `1x`, as in Go."""
    parts: list[str | tuple[str]] = []
    while True:
        before, dollar, rest = text.partition("$")
        if before:
            parts.append(before)
        if not dollar:
            return tuple(parts)
        if rest.startswith("$"):
            parts.append("$")
            text = rest[1:]
            continue
        name, text = _group_name(rest)
        parts.append((name,) if name else "$")


def _group_name(rest: str) -> tuple[str, str]:
    """The name after a dollar ("" when there is none: then the dollar is literal), and what follows it."""
    brace = rest.startswith("{")
    start = end = 1 if brace else 0
    while end < len(rest) and (rest[end] == "_" or rest[end].isalnum()):
        end += 1
    name = rest[start:end]
    if not name:
        return "", rest
    if brace:
        if rest[end : end + 1] != "}":
            return "", rest
        end += 1
    return name, rest[end:]
