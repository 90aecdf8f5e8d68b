"""Numbers and quoted strings of the text formats, as Prometheus' model/textparse reads and prints them."""

from __future__ import annotations

import math
import re
from typing import Final

from rulepush.gotext.goquote import go_quote

_SHOWN_BYTES: Final = 200
_ESCAPES: Final = {b'\\"': b'"', b"\\\\": b"\\", b"\\n": b"\n"}
_ESCAPE: Final = re.compile(rb'\\["\\n]')
_HELP_ESCAPE: Final = re.compile(rb"\\[\\n]")
# float() takes more than Go's ParseFloat: underscores, surrounding blanks, other scripts' digits, a signed NaN.
_PLAIN: Final = frozenset(b"0123456789+-.eE")
_MAX_TS_MS: Final = 2.0**62  # sums and differences with it still fit into 64 bits
_WORDS: Final = {
    b"nan": math.nan,
    b"inf": math.inf,
    b"+inf": math.inf,
    b"-inf": -math.inf,
    b"infinity": math.inf,
    b"+infinity": math.inf,
    b"-infinity": -math.inf,
}


def to_ms(seconds: float) -> int:
    """A finite timestamp in milliseconds, clamped to +-2^62: so far from now that no sample of it is ever kept."""
    return int(min(max(seconds * 1000, -_MAX_TS_MS), _MAX_TS_MS))


def parse_value(text: bytes) -> float:
    """A sample's value. Raises ValueError with the text of Go's error."""
    word = _WORDS.get(text.lower())
    if word is not None:
        return word
    if b"_" in text or b"p" in text or b"P" in text:
        raise ValueError("unsupported character in float")
    try:
        if not _PLAIN.issuperset(text):
            raise ValueError
        value = float(text)
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {show(text)}: invalid syntax") from None
    if math.isinf(value):
        raise ValueError(f"strconv.ParseFloat: parsing {show(text)}: value out of range")
    return value


def show(text: bytes) -> str:
    """Bytes in quotes, as Go's %q prints them, cut to a readable length."""
    if len(text) > _SHOWN_BYTES:
        text = text[:_SHOWN_BYTES] + b"..."
    return go_quote(text.decode("utf-8", "surrogateescape"))


def unescape(text: bytes) -> bytes:
    """A quoted string's content: `\\"`, `\\\\` and `\\n`; any other backslash stays."""
    return _ESCAPE.sub(lambda m: _ESCAPES[m[0]], text) if b"\\" in text else text


def unescape_help(text: bytes) -> str:
    """The text of a HELP line: `\\\\` and `\\n` only."""
    return _HELP_ESCAPE.sub(lambda m: _ESCAPES[m[0]], text).decode("utf-8", "replace")
