"""Integers and floats under Go's fmt flags, and padding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of one directive. `width` and `precision` are None when not given."""

    minus: bool = False
    plus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    width: int | None = None
    precision: int | None = None
    plus_v: bool = False
    sharp_v: bool = False


def pad(text: str, flags: Flags, *, zeros: bool = True) -> str:
    """To the width, on the left unless `-` is given; with zeros when `0` is, and `zeros` does not forbid it."""
    if flags.width is None or len(text) >= flags.width:
        return text
    if flags.minus:
        return text.ljust(flags.width)
    return text.rjust(flags.width, "0" if flags.zero and zeros else " ")


def format_integer(value: int, base: int, flags: Flags, verb: str) -> str:
    """%d %b %o %O %x %X, and %v."""
    negative = value < 0
    magnitude = abs(value)
    digits = _digits(magnitude, base)
    if flags.precision is not None:
        if flags.precision == 0 and magnitude == 0:
            return pad("", flags, zeros=False)
        digits = digits.rjust(flags.precision, "0")
    elif flags.zero and flags.width is not None and not flags.minus:
        signed = negative or flags.plus or flags.space
        digits = digits.rjust(flags.width - (1 if signed else 0), "0")
    if flags.sharp:
        if base == 2:
            digits = "0b" + digits
        elif base == 8 and not digits.startswith("0"):
            digits = "0" + digits
        elif base == 16:
            digits = "0x" + digits
    if verb == "O":
        digits = "0o" + digits
    if verb == "X":
        digits = digits.upper()
    sign = "-" if negative else "+" if flags.plus else " " if flags.space else ""
    return pad(sign + digits, flags, zeros=False)


def _digits(value: int, base: int) -> str:
    if base == 10:
        return str(value)
    return format(value, {2: "b", 8: "o", 16: "x"}[base])


def go_format_float(value: float, verb: str, flags: Flags) -> str:
    """%e %E %f %F %g %G %x %X %b and %v (which is %g)."""
    precision = flags.precision
    if precision is None and verb in "fFeE":
        precision = 6
    number = append_float(value, verb, precision)
    if flags.sharp_v:
        number = append_float(value, "g", precision)
    sign, body = ("-", number[1:]) if number[0] == "-" else ("+", number.removeprefix("+"))
    if flags.sharp and verb not in "b" and not math.isinf(value) and not math.isnan(value):
        body = _sharp(body, verb, precision)
    not_finite = body in ("Inf", "NaN")
    show_sign = sign == "-" or flags.plus
    prefix = sign if show_sign else " " if flags.space else ""
    if body == "Inf" and not prefix and sign == "+":
        prefix = "+"
    if body == "NaN" and not (flags.plus or flags.space):
        prefix = ""
    elif body == "NaN" and prefix == "-":
        prefix = "+"
    if flags.zero and not flags.minus and not not_finite and flags.width is not None:
        return prefix + body.rjust(flags.width - len(prefix), "0")
    return pad(prefix + body, flags, zeros=False)


def append_float(value: float, verb: str, precision: int | None) -> str:
    """strconv.FormatFloat(value, verb, precision or -1, 64), with its sign when negative."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    match verb:
        case "e" | "E":
            text = _shortest_e(value) if precision is None else format(value, f".{precision}e")
        case "f" | "F":
            text = _shortest_f(value) if precision is None else format(value, f".{precision}f")
        case "g" | "G" | "v":
            text = _shortest_g(value) if precision is None else format(value, f".{precision or 1}g")
        case "x" | "X":
            text = _hex_float(value, precision)
        case _:
            text = _binary_exponent(value)
    return text.upper() if verb in "EGX" else text


def _decimal_digits(value: float) -> tuple[str, str, int]:
    """The sign, the shortest digits that read back the same, and the exponent of the first of them."""
    sign = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return sign, "0", 0
    number = Decimal(repr(abs(value))).normalize()
    return sign, "".join(map(str, number.as_tuple().digits)), number.adjusted()


def _shortest_e(value: float) -> str:
    sign, digits, exponent = _decimal_digits(value)
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _shortest_f(value: float) -> str:
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _shortest_g(value: float) -> str:
    """strconv's shortest %g: exponent form below 1e-4 and from 1e6 (a million is 1e+06)."""
    _, _, exponent = _decimal_digits(value)
    return _shortest_e(value) if exponent < -4 or exponent >= 6 else _shortest_f(value)


def _hex_float(value: float, precision: int | None) -> str:
    sign = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return f"{sign}0x0{'.' + '0' * precision if precision else ''}p+00"
    mantissa, exponent = math.frexp(abs(value))
    bits = int(mantissa * (1 << 53))  # 53 bits, the first is set
    exponent -= 1
    if precision is not None and precision < 13:
        drop = 52 - 4 * precision
        half, low = 1 << (drop - 1), bits & ((1 << drop) - 1)
        bits >>= drop
        if low > half or (low == half and bits & 1):
            bits += 1
        bits <<= drop
        if bits >> 53:
            bits >>= 1
            exponent += 1
    digits = f"{bits & ((1 << 52) - 1):013x}"
    digits = digits.rstrip("0") if precision is None else digits[:precision].ljust(precision, "0")
    point = "." if digits else ""
    return f"{sign}0x1{point}{digits}p{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _binary_exponent(value: float) -> str:
    if value == 0:
        return "0p-1074"
    mantissa, exponent = math.frexp(value)
    if exponent < -1021:
        return f"{int(math.ldexp(mantissa, exponent + 1074))}p-1074"
    return f"{int(mantissa * (1 << 53))}p{exponent - 53:+d}"


def _sharp(body: str, verb: str, precision: int | None) -> str:
    """`#`: a decimal point always, and for %g the trailing zeros."""
    digits = 0
    if verb in "vgGxX":
        digits = 6 if precision is None else precision
    mark = "p" if verb in "xX" else "e"
    lower = body.lower()
    cut = lower.find(mark) if not (verb in "gGvfF" and mark not in lower) else -1
    number, tail = (body, "") if cut < 0 else (body[:cut], body[cut:])
    skip = 2 if verb in "xX" else 0
    saw_digit = False
    for char in number[skip:]:
        if char == ".":
            continue
        saw_digit = saw_digit or char != "0"
        if saw_digit:
            digits -= 1
    if "." not in number:
        if number[skip:] == "0":
            digits -= 1
        number += "."
    return number + "0" * max(digits, 0) + tail
