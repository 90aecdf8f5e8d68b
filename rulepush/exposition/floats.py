"""Values as Prometheus' exposition parsers read them (model/textparse parseFloat)."""

from __future__ import annotations

import math
from typing import Final

from rulepush.exposition.quoting import show

# float() takes more than Go does: underscores, surrounding blanks, other scripts' digits, a signed NaN.
_PLAIN: Final = frozenset(b"0123456789+-.eE")
_FAR_MS: Final = 2.0**62  # sums and differences with it still fit
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
    """A finite timestamp in milliseconds. What 64 bits do not hold is as far away as can be told, and is never kept."""
    return int(min(max(seconds * 1000, -_FAR_MS), _FAR_MS))


def parse_value(text: bytes) -> float:
    """Raises ValueError with Go's text."""
    word = _WORDS.get(text.lower())
    if word is not None:
        return word
    if b"_" in text or b"p" in text or b"P" in text:
        raise ValueError("unsupported character in float")
    shown = show(text)
    try:
        if not _PLAIN.issuperset(text):
            raise ValueError
        value = float(text)
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {shown}: invalid syntax") from None
    if math.isinf(value):
        raise ValueError(f"strconv.ParseFloat: parsing {shown}: value out of range")
    return value
