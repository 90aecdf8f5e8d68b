"""Texts of a configuration as booleans, counts and sizes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Final

_TRUE: Final = frozenset({"true", "yes", "on", "y"})
_FALSE: Final = frozenset({"false", "no", "off", "n"})
# yaml.v2 resolve.go: strconv.ParseInt with base 0, then this pattern of a float.
_INTEGER: Final = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_OCTAL: Final = re.compile(r"^([-+]?)0(?=[0-7])")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SIZE_UNITS: Final = {"B": 0} | {p + s: 10 * (i + 1) for i, p in enumerate("KMGTPE") for s in ("iB", "B")}
_SIZE: Final = re.compile(r"([0-9]*\.?[0-9]*)([A-Za-z]+)")


def parse_size(text: str) -> int:
    """`"10MB"` -> 10_485_760, as Prometheus' Base2Bytes: KB and KiB are both 1024. Raises ValueError."""
    if text == "0":
        return 0
    total, end = 0.0, 0
    for match in _SIZE.finditer(text):
        number, unit = match.groups()
        if match.start() != end or number in ("", ".") or unit not in _SIZE_UNITS:
            break
        total += float(number) * (1 << _SIZE_UNITS[unit])
        end = match.end()
    if end != len(text) or not text:
        raise ValueError(f"not a valid size: {text!r}")
    return int(total)


def parse_bool(text: str) -> bool:
    """YAML 1.1's booleans. Raises ValueError."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def parse_count(text: str) -> int:
    """A number as Go's YAML puts it into a uint64: decimal, with 0x, 0o, 0b, octal after a 0, underscores anywhere;
    what is written as a float (`1e3`, `1.5`) loses its fraction. Raises ValueError."""
    plain = text.replace("_", "")
    if _INTEGER.fullmatch(plain):
        number = int(_OCTAL.sub(r"\g<1>0o", plain), 0)
    elif _FLOAT.fullmatch(plain):
        number = int(float(plain))
    else:
        raise ValueError(text)
    if number < 0 or number > 1 << 64:
        raise ValueError(text)
    return min(number, (1 << 64) - 1)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`" (did you mean 'scrape_interval'?)"`, or ""."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
