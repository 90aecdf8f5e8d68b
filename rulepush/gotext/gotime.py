"""Go's time.Time and time.Duration as templates use them: layouts, String(), a few methods."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from rulepush.gotext.values import ANY, INT, STRING, CallError, Function, GoKind, GoObject, GoType, GoValue

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_SECONDS: Final = -62_135_596_800  # year 1: Go's zero time
ZERO_TIME: Final = _ZERO_SECONDS * 1_000_000_000
"""Go's zero time in nanoseconds since the epoch."""
MONTH_NAMES: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
DAY_NAMES: Final = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_WITHOUT_TZDATA: Final = {"Asia/Shanghai": timezone(timedelta(hours=8), "CST")}
LAYOUT_TOKENS: Final = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|-07:00:00|-07:00|-070000|-0700|-07|Z07:00:00|Z07:00|Z070000|Z0700|Z07"
    r"|[.,](?:0+|9+)(?![0-9])|__2|_2(?!006)|002|01|02|03|04|05|06|15|PM|pm|1|2|3|4|5"
)
DURATION_TYPE: Final = GoType("time.Duration", GoKind.INT)
TIME_TYPE: Final = GoType("time.Time", GoKind.STRUCT)
TIME_POINTER_TYPE: Final = GoType("*time.Time", GoKind.POINTER, TIME_TYPE)


class Duration(GoValue, int):
    """time.Duration: a count of nanoseconds."""

    TYPE = DURATION_TYPE

    def go_string(self) -> str:
        return format_go_duration(int(self))


class DurationPointer(Duration):
    """*time.Duration: what toDuration answers."""

    TYPE = GoType("*time.Duration", GoKind.POINTER, DURATION_TYPE)


def format_go_duration(nanoseconds: int) -> str:
    """`1h15m30.918s`: Duration.String()."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if rest < size * 1000:
            return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, seconds = divmod(rest, 60 * 1_000_000_000)
    text = f"{_decimal(seconds, 1_000_000_000)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def round_duration(nanoseconds: int, unit: int) -> int:
    """Duration.Round: to the nearest multiple, halves away from zero."""
    if unit <= 0:
        return nanoseconds
    sign, rest = (-1, -nanoseconds) if nanoseconds < 0 else (1, nanoseconds)
    return sign * ((rest + unit // 2) // unit * unit)


class Location(GoObject):
    """*time.Location: what `.Location` answers and `.In` takes."""

    TYPE = GoType("*time.Location", GoKind.POINTER, GoType("time.Location", GoKind.STRUCT))

    def __init__(self, zone: tzinfo):
        self.zone = zone

    def fields(self) -> Mapping[str, object]:
        return {}

    def go_string(self) -> str:
        """Location.String(): the name it was loaded by, "" for a bare offset."""
        if self.zone is UTC:
            return "UTC"
        from zoneinfo import ZoneInfo  # only a template that names a zone needs it

        if isinstance(self.zone, ZoneInfo):
            return self.zone.key or "Local"
        return "" if _is_bare_offset(self.zone) else str(self.zone)


class Time(GoObject):
    """time.Time at nanoseconds since the epoch, in a zone (default UTC). `pointer` only changes its type name.

    `local` is what Go's time.Local would be; it passes on to every time that is made of this one.
    """

    TYPE = TIME_TYPE

    def __init__(self, nanoseconds: int, zone: tzinfo = UTC, pointer: bool = False, local: tzinfo = UTC):
        self.nanoseconds = nanoseconds
        self.zone = zone
        self.local = local
        self._pointer = pointer

    def at(self, nanoseconds: int) -> Time:
        """Another moment, in the same zone."""
        return Time(nanoseconds, self.zone, local=self.local)

    def in_zone(self, zone: tzinfo) -> Time:
        """Time.In: the same moment, in another zone."""
        return Time(self.nanoseconds, zone, local=self.local)

    @property
    def go_type(self) -> GoType:
        return TIME_POINTER_TYPE if self._pointer else TIME_TYPE

    def fields(self) -> Mapping[str, object]:
        return {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Time) and self.nanoseconds == other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    def go_string(self) -> str:
        return self.format("2006-01-02 15:04:05.999999999 -0700 MST")

    def is_zero(self) -> bool:
        return self.nanoseconds == _ZERO_SECONDS * 1_000_000_000

    def when(self) -> datetime:
        """To whole seconds, in the zone. Years outside 1 to 9999 are cut to that range."""
        seconds = self.nanoseconds // 1_000_000_000
        seconds = min(max(seconds, _ZERO_SECONDS + 86_400 if seconds != _ZERO_SECONDS else seconds), 253_402_214_400)
        moment = _EPOCH + timedelta(seconds=seconds)
        try:
            return moment.astimezone(self.zone)
        except OverflowError:  # Go's zero time, west of Greenwich
            return moment

    def format(self, layout: str) -> str:
        """Time.Format: the layout shows how 2006-01-02 15:04:05 MST would be written."""
        when, nanoseconds = self.when(), self.nanoseconds % 1_000_000_000
        return LAYOUT_TOKENS.sub(lambda m: _element(m, when, nanoseconds), layout)


def _element(match: re.Match[str], when: datetime, nanoseconds: int) -> str:
    token = match.group()
    hour12 = when.hour % 12 or 12
    simple = {
        "January": MONTH_NAMES[when.month - 1],
        "Jan": MONTH_NAMES[when.month - 1][:3],
        "Monday": DAY_NAMES[when.weekday()],
        "Mon": DAY_NAMES[when.weekday()][:3],
        "MST": zone_name(when),
        "2006": f"{when.year:04d}",
        "06": f"{when.year % 100:02d}",
        "01": f"{when.month:02d}",
        "1": str(when.month),
        "02": f"{when.day:02d}",
        "_2": f"{when.day:2d}",
        "2": str(when.day),
        "002": f"{when.timetuple().tm_yday:03d}",
        "__2": f"{when.timetuple().tm_yday:3d}",
        "15": f"{when.hour:02d}",
        "03": f"{hour12:02d}",
        "3": str(hour12),
        "04": f"{when.minute:02d}",
        "4": str(when.minute),
        "05": f"{when.second:02d}",
        "5": str(when.second),
        "PM": "PM" if when.hour >= 12 else "AM",
        "pm": "pm" if when.hour >= 12 else "am",
    }
    if token in simple:
        return simple[token]
    if token[0] in ".,":
        digits = f"{nanoseconds:09d}"[: len(token) - 1].ljust(len(token) - 1, "0")
        if token[1] == "9":
            digits = digits.rstrip("0")
            return token[0] + digits if digits else ""
        # Go reads ".00" as a fraction only after seconds; elsewhere layouts hardly have one.
        return token[0] + digits
    return _offset(token, when)


def _offset(token: str, when: datetime) -> str:
    seconds = int((when.utcoffset() or timedelta()).total_seconds())
    if token[0] == "Z" and seconds == 0:
        return "Z"
    sign, rest = ("-", -seconds) if seconds < 0 else ("+", seconds)
    hours, minutes, secs = rest // 3600, rest // 60 % 60, rest % 60
    shape = token[1:]
    colon = ":" if ":" in shape else ""
    text = f"{sign}{hours:02d}"
    if len(shape) > 2:
        text += f"{colon}{minutes:02d}"
    if len(shape.replace(":", "")) > 4:
        text += f"{colon}{secs:02d}"
    return text


def zone_name(when: datetime) -> str:
    """`UTC`, `CST`; an offset like `+08` or `+0530` where the zone has no name."""
    if when.tzinfo is not None and _is_bare_offset(when.tzinfo):
        return _offset("-0700", when)
    return when.tzname() or "UTC"


def _is_bare_offset(zone: tzinfo) -> bool:
    """Whether it is what Go's FixedZone("", offset) is. Python calls a timezone without a name `UTC+08:00`."""
    return isinstance(zone, timezone) and zone is not UTC and str(zone).startswith("UTC")


def _in(time: Time, where: object) -> Time:
    """Time.In. Takes the name of a zone too, for templates have no time.LoadLocation."""
    if isinstance(where, Location):
        return time.in_zone(where.zone)
    if isinstance(where, str):
        try:
            return time.in_zone(load_location(where))
        except ValueError as e:
            raise CallError(str(e)) from None
    raise CallError("expected a location: the name of a time zone, or `.Location` of a time")


def load_location(name: str) -> tzinfo:
    """time.LoadLocation, but for `Local`. Raises ValueError when this machine does not know the zone."""
    if name in ("", "UTC"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if name in _WITHOUT_TZDATA:
            return _WITHOUT_TZDATA[name]
        raise ValueError(f"unknown time zone {name}") from None


def _truncated(time: Time, unit: int) -> int:
    """Nanoseconds past the last multiple of a unit since Go's zero time."""
    return (time.nanoseconds - _ZERO_SECONDS * 1_000_000_000) % unit if unit > 0 else 0


def _rounded(time: Time, unit: int) -> Time:
    """Time.Round: halves up."""
    rest = _truncated(time, unit)
    return time.at(time.nanoseconds - rest if rest * 2 < unit or unit <= 0 else time.nanoseconds - rest + unit)


def format_rfc3339_nano(time: Time) -> str:
    """What JSON and MarshalText show."""
    return time.format("2006-01-02T15:04:05.999999999Z07:00")


def _saturated(nanoseconds: int) -> int:
    """Go's Time.Sub: the nearest that a Duration holds. An alert that fires has an end in the year 1."""
    return min(max(nanoseconds, -(1 << 63)), (1 << 63) - 1)


Time.METHODS = {
    "Format": Function(lambda t, layout: t.format(layout), (STRING,)),
    "In": Function(_in, (ANY,)),
    "Local": Function(lambda t: t.in_zone(t.local)),
    "Location": Function(lambda t: Location(t.zone)),
    "Round": Function(_rounded, (DURATION_TYPE,)),
    "String": Function(lambda t: t.go_string()),
    "Truncate": Function(lambda t, unit: t.at(t.nanoseconds - _truncated(t, unit)), (DURATION_TYPE,)),
    "Unix": Function(lambda t: t.nanoseconds // 1_000_000_000),
    "UnixMilli": Function(lambda t: t.nanoseconds // 1_000_000),
    "UnixMicro": Function(lambda t: t.nanoseconds // 1_000),
    "UnixNano": Function(lambda t: t.nanoseconds),
    "IsZero": Function(lambda t: t.is_zero()),
    "UTC": Function(lambda t: t.in_zone(UTC)),
    "Year": Function(lambda t: t.when().year),
    "Month": Function(lambda t: Month(t.when().month)),
    "Day": Function(lambda t: t.when().day),
    "YearDay": Function(lambda t: t.when().timetuple().tm_yday),
    "Weekday": Function(lambda t: Weekday(t.when().isoweekday() % 7)),
    "Hour": Function(lambda t: t.when().hour),
    "Minute": Function(lambda t: t.when().minute),
    "Second": Function(lambda t: t.when().second),
    "Nanosecond": Function(lambda t: t.nanoseconds % 1_000_000_000),
    "Add": Function(lambda t, d: t.at(t.nanoseconds + d), (DURATION_TYPE,)),
    "Sub": Function(lambda t, u: Duration(_saturated(t.nanoseconds - u.nanoseconds)), (TIME_TYPE,)),
    "Equal": Function(lambda t, u: t.nanoseconds == u.nanoseconds, (TIME_TYPE,)),
    "Before": Function(lambda t, u: t.nanoseconds < u.nanoseconds, (TIME_TYPE,)),
    "After": Function(lambda t, u: t.nanoseconds > u.nanoseconds, (TIME_TYPE,)),
    "Compare": Function(lambda t, u: (t.nanoseconds > u.nanoseconds) - (t.nanoseconds < u.nanoseconds), (TIME_TYPE,)),
    "AddDate": Function(lambda t, y, m, d: add_date(t, y, m, d), (INT, INT, INT)),
}
Location.METHODS = {"String": Function(lambda where: where.go_string())}
Duration.METHODS = {
    "String": Function(lambda d: d.go_string()),
    "Hours": Function(lambda d: d / 3_600_000_000_000),
    "Minutes": Function(lambda d: d / 60_000_000_000),
    "Seconds": Function(lambda d: d / 1_000_000_000),
    "Milliseconds": Function(lambda d: int(d / 1_000_000)),
    "Microseconds": Function(lambda d: int(d / 1_000)),
    "Nanoseconds": Function(int),
    "Round": Function(lambda d, unit: Duration(round_duration(d, unit)), (DURATION_TYPE,)),
    "Truncate": Function(lambda d, unit: Duration(d - d % unit if d >= 0 else d + -d % unit), (DURATION_TYPE,)),
}


class Month(GoValue, int):
    """time.Month, 1 to 12."""

    TYPE = GoType("time.Month", GoKind.INT)

    def go_string(self) -> str:
        return MONTH_NAMES[self - 1]


class Weekday(GoValue, int):
    """time.Weekday, 0 is Sunday."""

    TYPE = GoType("time.Weekday", GoKind.INT)

    def go_string(self) -> str:
        return DAY_NAMES[self - 1]


def add_date(time: Time, years: int, months: int, days: int) -> Time:
    """Time.AddDate: overflowing days go on into the next month, as Go normalises them."""
    when = time.when()
    month = when.month - 1 + months
    year = min(max(when.year + years + month // 12, 2), 9998)
    first = when.replace(year=year, month=month % 12 + 1, day=1)
    days = min(max(days, -3_000_000), 3_000_000)
    try:
        moved = first + timedelta(days=when.day - 1 + days)
    except OverflowError:
        moved = first
    seconds = (moved.astimezone(UTC) - _EPOCH) // timedelta(seconds=1)
    return time.at(seconds * 1_000_000_000 + time.nanoseconds % 1_000_000_000)
