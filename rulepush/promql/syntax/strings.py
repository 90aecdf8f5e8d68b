"""String literals of PromQL: Prometheus' util/strutil/quote.go, which is Go's strconv.Unquote for three quotes."""

from __future__ import annotations

from typing import Final

from rulepush.model.labels import quote_label_value

_SIMPLE: Final = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34}
_HEX: Final = {"x": 2, "u": 4, "U": 8}


def unquote(literal: str) -> str:
    """`"a\\n"` with its quotes -> the text. Raises ValueError for a bad escape. Bytes that are not UTF-8 are kept as
    surrogates, so that they are refused as a label name; see `printable`."""
    mark, body = literal[0], literal[1:-1]
    if mark == "`":
        return body.replace("\r", "")
    if "\\" not in body:
        return body
    out = bytearray()
    at = 0
    while at < len(body):
        char = body[at]
        if char != "\\":
            out += char.encode("utf-8", "surrogatepass")
            at += 1
            continue
        letter = body[at + 1 : at + 2]
        if letter in _HEX:
            size = _HEX[letter]
            code = _digits(body[at + 2 : at + 2 + size], size, 16)
            out += bytes((code,)) if letter == "x" else _encode(code)
            at += 2 + size
        elif letter and letter in "01234567":
            code = _digits(body[at + 1 : at + 4], 3, 8)
            if code > 255:
                raise ValueError("invalid syntax")
            out.append(code)
            at += 4
        elif letter in _SIMPLE and letter and not (letter in "'\"" and letter != mark):
            out.append(_SIMPLE[letter])
            at += 2
        else:
            raise ValueError(f"unknown escape sequence '\\{letter}'" if letter else "invalid syntax")
    return out.decode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """The text with U+FFFD for each byte that is not UTF-8: what may become a label value."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def quote_go(text: str) -> str:
    """strconv.Quote, bytes that are not UTF-8 as `\\xff`."""
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in quote_label_value(text))


def _digits(text: str, size: int, base: int) -> int:
    if len(text) != size or not text.isalnum():
        raise ValueError("invalid syntax")
    return int(text, base)


def _encode(code: int) -> bytes:
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid syntax")
    return chr(code).encode()
