"""How times, durations and numbers are written on pages. Pure."""

from __future__ import annotations

import math
from typing import Final

from rulepush.model.floats import format_float
from rulepush.site.language import Language

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_CHINESE: Final = {"d": "天", "h": "小时", "m": "分", "s": "秒", "ms": "毫秒"}


def rounded_duration(ms: int, language: Language = Language.ENGLISH) -> str:
    """The two largest units, `3d2h`, `1m10s`, `750ms`; negative ones as 0. 1_700_000 -> `28m20s`."""
    ms = max(0, ms)
    if ms < 1000:
        parts = [(ms, "ms")] if ms else [(0, "s")]
    else:
        rest, parts = ms // 1000, []
        for size, unit in _UNITS:
            count, rest = divmod(rest, size)
            if count or parts:
                parts.append((count, unit))
    shown = [f"{n}{_CHINESE[u] if language is Language.CHINESE else u}" for n, u in parts[:2] if n or len(parts) == 1]
    return "".join(shown) or f"{parts[0][0]}{parts[0][1]}"


def binary_size(nbytes: int) -> str:
    """For reading: 0 -> `0 B`, 1536 -> `1.5 KiB`, 5_000_000 -> `4.8 MiB`."""
    size, unit = float(nbytes), 0
    while size >= 1024 and unit < len(_SIZES) - 1:
        size, unit = size / 1024, unit + 1
    return f"{nbytes} B" if unit == 0 else f"{size:.1f} {_SIZES[unit]}"


def grouped(count: int) -> str:
    """A count for reading: 1234567 -> `1,234,567`."""
    return f"{count:,}"


def short_number(value: float) -> str:
    """For reading: a whole number as it is, another with six significant digits. 0.30000000000000004 -> `0.3`."""
    if not math.isfinite(value) or value.is_integer():
        return format_float(value)
    return f"{value:.6g}"
