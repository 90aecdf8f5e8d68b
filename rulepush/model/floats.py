"""Floats as Go reads and writes them, because Prometheus' texts are Go's."""

from __future__ import annotations

import math
from decimal import Decimal

_SPECIAL = {
    "inf": math.inf,
    "+inf": math.inf,
    "-inf": -math.inf,
    "nan": math.nan,
    "+nan": math.nan,
    "-nan": math.nan,
}
_SPECIAL |= {"infinity": math.inf, "+infinity": math.inf, "-infinity": -math.inf}


def parse_float(text: str) -> float:
    """Go's strconv.ParseFloat without underscores: decimal, exponent, hexadecimal, Inf, NaN. Raises ValueError."""
    special = _SPECIAL.get(text.lower())
    if special is not None:
        return special
    if "_" in text or text != text.strip():
        raise ValueError(f"invalid float {text!r}")
    if "x" in text or "X" in text:
        if "p" not in text.lower():
            raise ValueError(f"invalid float {text!r}")
        return float.fromhex(text)
    return float(text)


def format_float(value: float) -> str:
    """strconv.FormatFloat(v, 'f', -1, 64): the shortest digits that read back the same, never an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" in text or "E" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0") if text.endswith(".0") else text


def format_float_g(value: float) -> str:
    """strconv.FormatFloat(v, 'g', -1, 64), Go's %g and %v: exponent form below 1e-4 and from 1e6."""
    if math.isnan(value) or math.isinf(value):
        return format_float(value)
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    if -4 <= Decimal(repr(value)).adjusted() < 6:
        return format_float(value)
    return format_float_e(value)


def format_float_openmetrics(value: float) -> str:
    """As OpenMetrics writes `le` and `quantile`: Go's %g, with `.0` where it has neither point nor exponent."""
    text = format_float_g(value)
    return text if not math.isfinite(value) or "." in text or "e" in text else text + ".0"


def format_float_e(value: float) -> str:
    """strconv.FormatFloat(v, 'e', -1, 64) of a finite, non-zero value: `1.5e-07`."""
    digits = Decimal(repr(value)).normalize()
    sign, numbers, _ = digits.as_tuple()
    exponent = digits.adjusted()
    mantissa = "".join(map(str, numbers))
    body = mantissa[0] + ("." + mantissa[1:] if len(mantissa) > 1 else "")
    return f"{'-' if sign else ''}{body}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def format_float_json(value: float) -> str:
    """A sample value in the HTTP API, Prometheus util/jsonutil: plain digits, exponent below 1e-6 and from 1e21."""
    size = abs(value)
    if size != 0 and math.isfinite(value) and (size < 1e-6 or size >= 1e21):
        return format_float_e(value)
    return format_float(value)
