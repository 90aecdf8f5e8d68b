"""Go's quoted strings and characters: strconv.Quote, QuoteToASCII, Unquote."""

from __future__ import annotations

from typing import Final

_SHORT: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}
_UNSHORT: Final = {escape[1]: char for char, escape in _SHORT.items()} | {"'": "'", '"': '"'}


def go_quote(text: str, mark: str = '"', ascii_only: bool = False) -> str:
    """`a"b` -> `"a\\"b"`. A byte that is no UTF-8 (a lone surrogate here) is written as `\\xNN`."""
    return mark + "".join(_escape(char, mark, ascii_only) for char in text) + mark


def quote_char(code: int, ascii_only: bool = False) -> str:
    """Go's %q of an integer: a character constant, U+FFFD when there is no such character."""
    if code > 0x10FFFF or code < 0 or 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    return go_quote(chr(code), "'", ascii_only)


def _escape(char: str, mark: str, ascii_only: bool) -> str:
    code = ord(char)
    if char == mark:
        return "\\" + char
    if char in _SHORT:
        return _SHORT[char]
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if char == " " or (char.isprintable() and (code < 0x7F or not ascii_only)):
        return char
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def can_backquote(text: str) -> bool:
    """Whether a text can be written in backquotes on one line, unchanged."""
    return not any(c == "`" or c == "\ufeff" or (c < " " and c != "\t") or c == "\x7f" for c in text)


def go_unquote(literal: str) -> str:
    """The value of `"..."`, `'.'` or a raw string. Raises ValueError("invalid syntax")."""
    if len(literal) < 2 or literal[0] != literal[-1]:
        raise ValueError("invalid syntax")
    mark, body = literal[0], literal[1:-1]
    if mark == "`":
        if "`" in body:
            raise ValueError("invalid syntax")
        return body.replace("\r", "")
    if mark not in "\"'" or "\n" in body:
        raise ValueError("invalid syntax")
    if "\\" not in body and mark not in body:
        text = body
    else:
        out: list[bytes] = []
        pos = 0
        while pos < len(body):
            piece, pos = _unquote_char(body, pos, mark)
            out.append(piece)
        text = b"".join(out).decode("utf-8", "surrogateescape")
    if mark == "'" and len(text) != 1:
        raise ValueError("invalid syntax")
    return text


def _unquote_char(body: str, pos: int, mark: str) -> tuple[bytes, int]:
    char = body[pos]
    if char == mark:
        raise ValueError("invalid syntax")
    if char != "\\":
        return char.encode("utf-8", "surrogateescape"), pos + 1
    kind = body[pos + 1 : pos + 2]
    if kind in _UNSHORT and kind:
        if kind in "\"'" and kind != mark:
            raise ValueError("invalid syntax")
        return _UNSHORT[kind].encode(), pos + 2
    if kind in ("x", "u", "U"):
        size = {"x": 2, "u": 4, "U": 8}[kind]
        digits = body[pos + 2 : pos + 2 + size]
        code = _parse_digits(digits, 16, size)
        if kind == "x":
            return bytes([code]), pos + 2 + size
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise ValueError("invalid syntax")
        return chr(code).encode(), pos + 2 + size
    code = _parse_digits(body[pos + 1 : pos + 4], 8, 3)
    if code > 255:
        raise ValueError("invalid syntax")
    return bytes([code]), pos + 4


def _parse_digits(digits: str, base: int, size: int) -> int:
    allowed = "0123456789abcdefABCDEF" if base == 16 else "01234567"
    if len(digits) != size or any(d not in allowed for d in digits):
        raise ValueError("invalid syntax")
    return int(digits, base)
