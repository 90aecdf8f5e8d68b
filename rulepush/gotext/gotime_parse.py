"""time.Parse and time.ParseDuration: texts to times and durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from rulepush.gotext.goquote import go_quote
from rulepush.gotext.gotime import DAY_NAMES, LAYOUT_TOKENS, MONTH_NAMES, Duration, Time

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PIECE: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_MAX_INT64: Final = (1 << 63) - 1
_DIGITS: Final = {  # a token of a layout -> how many digits it takes, at least and at most, and what it sets
    "2006": (4, 4, "year"),
    "06": (2, 2, "short year"),
    "01": (2, 2, "month"),
    "1": (1, 2, "month"),
    "02": (2, 2, "day"),
    "_2": (1, 2, "day"),
    "2": (1, 2, "day"),
    "002": (3, 3, "day of year"),
    "__2": (1, 3, "day of year"),
    "15": (2, 2, "hour"),
    "03": (2, 2, "hour12"),
    "3": (1, 2, "hour12"),
    "04": (2, 2, "minute"),
    "4": (1, 2, "minute"),
    "05": (2, 2, "second"),
    "5": (1, 2, "second"),
}
_RANGES: Final = {"month": (1, 12), "hour": (0, 23), "hour12": (0, 12), "minute": (0, 59), "second": (0, 59)}
_OFFSET: Final = re.compile(r"([+-])([0-9]{2})(?:(:?)([0-9]{2})(?:(:?)([0-9]{2}))?)?")


def parse_go_duration(text: str) -> Duration:
    """`1h15m30.918s`. Raises ValueError with time.ParseDuration's text."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return Duration(0)
    total, at = 0, 0
    while at < len(rest):
        match = _PIECE.match(rest, at)
        if match is None or not (match[1] or match[2]) or len(match[1]) > 19:
            raise _bad_duration(rest[at:], text)
        unit = _UNITS[match[3]]
        total += int(match[1] or "0") * unit
        if match[2]:
            digits = match[2][:18]
            total += int(digits) * unit // 10 ** len(digits)
        at = match.end()
    if not rest or total > _MAX_INT64:
        raise ValueError(f"time: invalid duration {go_quote(text)}")
    return Duration(sign * total)


def _bad_duration(rest: str, text: str) -> ValueError:
    number = re.match(r"[0-9]*(?:\.[0-9]*)?", rest)
    after = rest[number.end() :] if number is not None else rest
    unit = re.match(r"[^.0-9]*", after)
    if len(after) == len(rest) or rest[: len(rest) - len(after)] == ".":
        return ValueError(f"time: invalid duration {go_quote(text)}")
    if unit is None or not unit.group():
        return ValueError(f"time: missing unit in duration {go_quote(text)}")
    return ValueError(f"time: unknown unit {go_quote(unit.group())} in duration {go_quote(text)}")


class _Reader:
    """The text while a layout is matched against it."""

    def __init__(self, layout: str, text: str):
        self.layout = layout
        self.text = text
        self.rest = text
        self.found: dict[str, int] = {}
        self.nanoseconds = 0
        self.offset: int | None = None  # seconds east of UTC
        self.zone = ""
        self.afternoon: bool | None = None

    def fail(self, element: str) -> ValueError:
        where = f"parsing time {go_quote(self.text)} as {go_quote(self.layout)}"
        return ValueError(f"{where}: cannot parse {go_quote(self.rest)} as {go_quote(element)}")

    def out_of_range(self, what: str) -> ValueError:
        return ValueError(f"parsing time {go_quote(self.text)}: {what} out of range")

    def literal(self, prefix: str) -> None:
        """Text between elements. A space of the layout takes any number of them."""
        wanted = prefix
        while wanted:
            if wanted[0] == " ":
                if self.rest and self.rest[0] != " ":
                    raise self.fail(prefix)
                wanted, self.rest = wanted.lstrip(" "), self.rest.lstrip(" ")
            elif not self.rest.startswith(wanted[0]):
                raise self.fail(prefix)
            else:
                wanted, self.rest = wanted[1:], self.rest[1:]

    def element(self, token: str, next_is_fraction: bool) -> None:
        if token in _DIGITS:
            self._number(token, next_is_fraction)
        elif token in ("January", "Jan", "Monday", "Mon"):
            self._name(token)
        elif token in ("PM", "pm"):
            half = self.rest[:2]
            if half not in (token, "AM" if token == "PM" else "am"):
                raise self.fail(token)
            self.afternoon, self.rest = half.upper() == "PM", self.rest[2:]
        elif token == "MST":
            match = re.match(r"[+-][0-9]{1,2}|[A-Z]{3,5}", self.rest)
            if match is None:
                raise self.fail(token)
            self.zone, self.rest = match.group(), self.rest[match.end() :]
        elif token[0] in ".,":
            self._fraction(token)
        else:
            self._offset(token)

    def _number(self, token: str, next_is_fraction: bool) -> None:
        least, most, name = _DIGITS[token]
        if token in ("_2", "__2"):
            self.rest = self.rest.removeprefix(" ")
        match = re.match(f"[0-9]{{{least},{most}}}", self.rest)
        if match is None:
            raise self.fail(token)
        self.found[name], self.rest = int(match.group()), self.rest[match.end() :]
        low, high = _RANGES.get(name, (0, 9999))
        if not low <= self.found[name] <= high:
            raise self.out_of_range(name.removesuffix("12"))
        if name == "second" and not next_is_fraction:
            fraction = re.match(r"[.,][0-9]+", self.rest)  # taken even where the layout has none
            if fraction is not None:
                self._take_fraction(fraction.group())

    def _take_fraction(self, text: str) -> None:
        self.nanoseconds = int(text[1:10].ljust(9, "0"))
        self.rest = self.rest[len(text) :]

    def _fraction(self, token: str) -> None:
        count = len(token) - 1
        match = re.match(r"[.,][0-9]+" if token[1] == "9" else f"[.,][0-9]{{{count}}}", self.rest)
        if match is not None:
            self._take_fraction(match.group())
        elif token[1] == "0":
            raise self.fail(token)

    def _name(self, token: str) -> None:
        names = MONTH_NAMES if token[0] == "J" else DAY_NAMES
        for number, full in enumerate(names, 1):
            name = full if token in ("January", "Monday") else full[:3]
            if self.rest[: len(name)].lower() == name.lower():
                self.rest = self.rest[len(name) :]
                if token[0] == "J":
                    self.found["month"] = number
                return
        raise self.fail(token)

    def _offset(self, token: str) -> None:
        if token[0] == "Z" and self.rest.startswith("Z"):
            self.offset, self.rest = 0, self.rest[1:]
            return
        shape = token[1:]
        match = re.match("[+-]" + re.sub("[0-9]", "[0-9]", shape), self.rest)
        parts = _OFFSET.fullmatch(match.group()) if match is not None else None
        if match is None or parts is None:
            raise self.fail(token)
        hours, minutes, seconds = int(parts[2]), int(parts[4] or 0), int(parts[6] or 0)
        if hours > 24 or minutes > 60 or seconds > 60:
            raise self.out_of_range("time zone offset")
        self.offset = (hours * 3600 + minutes * 60 + seconds) * (-1 if parts[1] == "-" else 1)
        self.rest = self.rest[match.end() :]


def parse_go_time(layout: str, text: str, local: tzinfo) -> Time:
    """time.ParseInLocation. Raises ValueError with Go's text. `local` is both the location and time.Local."""
    reader = _Reader(layout, text)
    tokens = list(LAYOUT_TOKENS.finditer(layout))
    at = 0
    for i, match in enumerate(tokens):
        reader.literal(layout[at : match.start()])
        follows = layout[match.end() : match.end() + 1]
        fraction = i + 1 < len(tokens) and tokens[i + 1].group()[0] in ".," and tokens[i + 1].start() == match.end()
        reader.element(match.group(), fraction and follows in (".", ","))
        at = match.end()
    reader.literal(layout[at:])
    if reader.rest:
        where = f"parsing time {go_quote(text)}"
        raise ValueError(f"{where}: extra text: {go_quote(reader.rest)}")
    return _moment(reader, local)


def _moment(reader: _Reader, local: tzinfo) -> Time:
    found = reader.found
    year = found.get("year", 0)
    if "short year" in found:
        year = found["short year"] + (1900 if found["short year"] >= 69 else 2000)
    if year < 1:  # a layout without a year means year 0, which no datetime can hold
        year = 1
    hour = found.get("hour", 0)
    if "hour12" in found:
        hour = found["hour12"]
    if reader.afternoon is not None:
        hour = hour % 12 + (12 if reader.afternoon else 0)
    try:
        if "day of year" in found:
            day = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=found["day of year"] - 1)
            if day.year != year or found["day of year"] < 1:
                raise ValueError
        else:
            day = datetime(year, found.get("month", 1), found.get("day", 1), tzinfo=UTC)
    except (ValueError, OverflowError):
        raise reader.out_of_range("day" if "day" in found else "day-of-year") from None
    wall = day.replace(tzinfo=None, hour=hour, minute=found.get("minute", 0), second=found.get("second", 0))
    zone = _zone_of(reader, wall, local)
    try:
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        moment = wall.replace(tzinfo=UTC)
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return Time(seconds * 1_000_000_000 + reader.nanoseconds, zone, local=local)


def zone_for_offset(wall: datetime, seconds: int, local: tzinfo, name: str = "") -> tzinfo:
    """The location that time.Parse gives a time with an offset: Local where that has this offset then."""
    try:
        there = wall.replace(tzinfo=timezone(timedelta(seconds=seconds))).astimezone(local)
        if there.utcoffset() == timedelta(seconds=seconds) and name in ("", there.tzname()):
            return local
        return timezone(timedelta(seconds=seconds), name) if name else timezone(timedelta(seconds=seconds))
    except (OverflowError, ValueError):
        return UTC


def _zone_of(reader: _Reader, wall: datetime, local: tzinfo) -> tzinfo:
    if reader.offset is not None:
        if reader.offset == 0 and not reader.zone:
            return UTC
        return zone_for_offset(wall, reader.offset, local, reader.zone)
    if reader.zone == "UTC":
        return UTC
    if reader.zone and reader.zone != wall.replace(tzinfo=local).tzname():
        return timezone(timedelta(0), reader.zone)  # an abbreviation that means nothing here
    return local
