"""Number constants of a template, as Go reads them: ideal until they meet a parameter's type."""

from __future__ import annotations

import math
import re
from typing import Final

from rulepush.gotext.goquote import go_quote, go_unquote
from rulepush.gotext.nodes import NumberNode

INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 63) - 1
_UINT_MAX: Final = (1 << 64) - 1
_INT: Final = re.compile(
    r"([+-]?)(?:0[xX]((?:_?[0-9a-fA-F])+)|0[bB]((?:_?[01])+)|0[oO]((?:_?[0-7])+)|(0(?:_?[0-7])+)|(0|[1-9](?:_?[0-9])*))"
)
_FLOAT: Final = re.compile(
    r"[+-]?(?:(?:[0-9](?:_?[0-9])*\.?(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)(?:[eE][+-]?[0-9](?:_?[0-9])*)?"
    r"|0[xX]_?[0-9a-fA-F_]*\.?[0-9a-fA-F_]*[pP][+-]?[0-9]+)"
)


_SPECIAL_FLOAT: Final = re.compile(r"(?P<infinite>[+-]?inf(?:inity)?)|nan", re.IGNORECASE)


def parse_go_float(text: str) -> float:
    """strconv.ParseFloat: decimal or hexadecimal (with `p`), underscores between digits, Inf and NaN.

    Raises ValueError for other texts, OverflowError for a number that float64 cannot hold.
    """
    special = _SPECIAL_FLOAT.fullmatch(text)
    if special is not None:
        if special["infinite"] is None:
            return math.nan
        return -math.inf if text.startswith("-") else math.inf
    if _FLOAT.fullmatch(text) is None:
        raise ValueError(f"invalid syntax: {go_quote(text)}")
    digits = text.replace("_", "")
    value = float.fromhex(digits) if "x" in digits.lower() else float(digits)
    if math.isinf(value):
        raise OverflowError(f"value out of range: {go_quote(text)}")
    return value


def char_constant(pos: int, text: str) -> NumberNode:
    """`'a'` -> 97. Raises ValueError."""
    try:
        char = go_unquote(text)
    except ValueError:
        inner = text[1:-1]
        if inner and not inner.startswith("\\"):  # more than one character
            raise ValueError(f"malformed character constant: {text}") from None
        raise
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # '\xff' is the byte
    return NumberNode(pos, text, code, code, float(code))


def number_constant(pos: int, text: str) -> NumberNode:
    """`0x1F`, `1_000`, `1.5e3`. Raises ValueError with Go's text."""
    if text.endswith("i"):
        raise ValueError(f"complex number not supported: {go_quote(text)}")
    whole = _parse_int(text)
    if whole is not None and INT_MIN <= whole <= INT_MAX:
        return NumberNode(pos, text, whole, whole, float(whole))
    if whole is not None and whole <= _UINT_MAX and not text.startswith("-"):
        return NumberNode(pos, text, None, None, float(whole))
    if _FLOAT.fullmatch(text) is None:
        raise ValueError(f"illegal number syntax: {go_quote(text)}")
    if not any(c in ".eEpP" for c in text):
        raise ValueError(f"integer overflow: {go_quote(text)}")
    try:
        value = parse_go_float(text)
    except OverflowError:
        raise ValueError(f"illegal number syntax: {go_quote(text)}") from None
    as_int = int(value) if value == int(value) and INT_MIN <= value < INT_MAX else None
    return NumberNode(pos, text, value, as_int, value)


def _parse_int(text: str) -> int | None:
    match = _INT.fullmatch(text)
    if match is None:
        return None
    sign, hexadecimal, binary, octal, old_octal, decimal = match.groups()
    for digits, base in ((hexadecimal, 16), (binary, 2), (octal, 8), (old_octal, 8), (decimal, 10)):
        if digits is not None:
            value = int(digits.replace("_", ""), base) if len(digits) < 200 else _UINT_MAX + 1
            return -value if sign == "-" else value
    return None
