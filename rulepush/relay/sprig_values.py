"""What sprig's functions share: how they read their arguments, and their bounds.

Everything that grows is bounded: a list or map has at most MAX_ITEMS entries, a text MAX_TEXT characters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from rulepush.errors import RegexError
from rulepush.gotext.gofmt import go_format_value
from rulepush.gotext.gotime import Duration
from rulepush.gotext.limits import MAX_TEXT
from rulepush.gotext.numbers import parse_go_float
from rulepush.gotext.values import (
    ANY_SLICE,
    CallError,
    GoMap,
    GoSlice,
    GoType,
)

MAX_ITEMS: Final = 100_000


def to_float64(value: object) -> float:
    """Sprig's toFloat64, spf13/cast ToFloat64: 0 for what is no number, also for a text that float64 cannot hold and
    for a duration."""
    if isinstance(value, str):
        try:
            return parse_go_float(value)
        except (ValueError, OverflowError):
            return 0.0
    return float(value) if isinstance(value, int | float) and not isinstance(value, Duration) else 0.0


def as_list(items: Iterable[Any], go_type: GoType = ANY_SLICE) -> GoSlice:
    """A slice of at most MAX_ITEMS. Raises CallError."""
    out: list[Any] = []
    for item in items:
        if len(out) >= MAX_ITEMS:
            raise CallError(f"the list has more than {MAX_ITEMS} elements")
        out.append(item)
    return GoSlice(out, go_type)


def list_of(value: object) -> Sequence[Any]:
    """The list that an argument is. Raises CallError."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise CallError(f"expected a list, got {go_format_value(value)}")
    return value


def map_of(value: object) -> Mapping[str, Any]:
    """The map that an argument is. Raises CallError."""
    if not isinstance(value, Mapping):
        raise CallError(f"expected a map, got {go_format_value(value)}")
    return value


def to_int(value: object) -> int:
    """cast.ToInt64: 0 for what is no number."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else 0
    if isinstance(value, str):
        text = re.sub(r"\.0*$", "", value) if re.search(r"\.0+$", value) else value
        if re.fullmatch(r"[+-]?0[0-7]+", text):
            return int(text, 8)
        try:
            number = int(text, 0)
        except ValueError:
            return 0
        return number if -(1 << 63) <= number < 1 << 63 else 0
    return 0


def regex_call(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` with a CallError where it raises RegexError."""

    def run(*args: Any) -> Any:
        try:
            return call(*args)
        except RegexError as e:
            raise CallError(str(e)) from None

    return run


def split_text(separator: str, text: str, limit: int = -1) -> list[str]:
    """strings.SplitN: at most `limit` parts, all where it is negative; without a separator the characters."""
    if limit == 0:
        return []
    return text.split(separator, limit - 1 if limit > 0 else -1) if separator else list(text)


def numbered(parts: Sequence[str]) -> GoMap:
    """`{"_0": ..., "_1": ...}`, as `split` gives its parts."""
    return GoMap({f"_{i}": part for i, part in enumerate(parts)})


def check_length(characters: int) -> None:
    """Raises CallError when a text would be longer than MAX_TEXT."""
    if characters > MAX_TEXT:
        raise CallError(f"the text is longer than {MAX_TEXT} characters")
