"""The data of the relay's templates: Alertmanager's, with its methods, as in prometheus-webhook-dingtalk.

Beyond those: `.AtUserIds`, `.TruncatedAlerts`, and on an alert `.Began`, `.Ended` and `.Lasted`, which are texts in the
target's language and time zone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from rulepush.gotext.gotime import ZERO_TIME, Time, load_location
from rulepush.gotext.gotime_parse import parse_go_time
from rulepush.gotext.values import STRING, STRING_SLICE, Function, GoKind, GoMap, GoObject, GoSlice, GoType
from rulepush.relay.escape import defuse_annotation, defuse_label, safe_link
from rulepush.relay.notification import Notification, ReceivedAlert
from rulepush.relay.settings import Language, Mention

_PAIR: Final = GoType("template.Pair", GoKind.STRUCT)
_PAIRS: Final = GoType("template.Pairs", GoKind.SLICE, _PAIR)
_KV: Final = GoType("template.KV", GoKind.MAP, STRING)
_ALERT: Final = GoType("template.Alert", GoKind.STRUCT)
_ALERTS: Final = GoType("template.Alerts", GoKind.SLICE, _ALERT)
LOCALTIME: Final = "/etc/localtime"
_RFC3339: Final = "2006-01-02T15:04:05Z07:00"
_UNITS: Final = {
    Language.EN: (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)),
    Language.ZH: (("天", 86_400), ("小时", 3600), ("分钟", 60), ("秒", 1)),
}


def zone(name: str) -> tzinfo:
    """A time zone by its name. Raises ValueError when it is not in the time zone database."""
    if name == LOCALTIME:
        with open(LOCALTIME, "rb") as f:
            return ZoneInfo.from_file(f)
    try:
        return load_location(name)
    except ValueError:
        raise ValueError(f"unknown time zone {name!r}") from None


def process_zone(environ: Mapping[str, str] = os.environ) -> str:
    """The name of the zone that Go calls Local: TZ, else that of /etc/localtime, else UTC."""
    wanted = environ.get("TZ")
    if wanted is not None:
        wanted = wanted.removeprefix(":")
        try:
            zone(wanted)
        except ValueError:
            return "UTC"  # as Go does with a TZ that it does not know
        return wanted or "UTC"
    try:
        target = os.path.realpath(LOCALTIME)
        if "zoneinfo/" in target:
            name = target.rpartition("zoneinfo/")[2]
            zone(name)
            return "UTC" if name in ("Etc/UTC", "UTC", "Etc/UCT") else name
        zone(LOCALTIME)  # a copy, as containers mount it
    except (OSError, ValueError):
        return "UTC"
    return LOCALTIME


class Pair(GoObject):
    """A label: `.Name` and `.Value`."""

    TYPE = _PAIR

    def __init__(self, name: str, value: str):
        self.name = name
        self.value = value

    def fields(self) -> Mapping[str, object]:
        return {"Name": self.name, "Value": self.value}


class Pairs(GoSlice):
    """Labels in order: `.Names` and `.Values`."""

    TYPE = _PAIRS
    METHODS: ClassVar[Mapping[str, Function]] = {
        "Names": Function(lambda pairs: _strings([p.name for p in pairs])),
        "Values": Function(lambda pairs: _strings([p.value for p in pairs])),
    }


class KV(GoMap):
    """Labels by name: `.SortedPairs`, `.Remove`, `.Names`, `.Values`."""

    TYPE = _KV
    METHODS: ClassVar[Mapping[str, Function]] = {
        "SortedPairs": Function(lambda kv: kv.sorted_pairs()),
        "Remove": Function(lambda kv, names: kv.remove(names), (STRING_SLICE,)),
        "Names": Function(lambda kv: _strings([p.name for p in kv.sorted_pairs()])),
        "Values": Function(lambda kv: _strings([p.value for p in kv.sorted_pairs()])),
    }

    def sorted_pairs(self) -> Pairs:
        """By name, the alert's name first."""
        return Pairs([Pair(n, self[n]) for n in sorted(self, key=lambda n: (n != "alertname", n))])

    def remove(self, names: Sequence[str]) -> KV:
        """Without these names."""
        return KV({n: v for n, v in self.items() if n not in names})


def _strings(items: list[str]) -> GoSlice:
    return GoSlice(items, STRING_SLICE)


def _labels(pairs: Sequence[tuple[str, str]]) -> KV:
    return KV({name: defuse_label(value) for name, value in pairs})


def _annotations(pairs: Sequence[tuple[str, str]]) -> KV:
    return KV({name: defuse_annotation(value) for name, value in pairs})


class TemplateAlert(GoObject):
    """One alert. An open one has lasted until `now`, in milliseconds."""

    TYPE = _ALERT

    def __init__(self, alert: ReceivedAlert, now: int, language: Language, where: tzinfo):
        self.firing = alert.firing
        ends_at = alert.ends_at
        self._fields: dict[str, object] = {
            "Status": "firing" if alert.firing else "resolved",
            "Labels": _labels(alert.labels),
            "Annotations": _annotations(alert.annotations),
            "StartsAt": received_time(alert.starts_text, alert.starts_at, where),
            "EndsAt": received_time(alert.ends_text, ends_at, where),
            "GeneratorURL": safe_link(alert.generator_url),
            "Fingerprint": alert.fingerprint,
            "Began": show_time(alert.starts_at, where),
            "Ended": "" if ends_at is None else show_time(ends_at, where),
            "Lasted": show_duration((now if ends_at is None else ends_at) - alert.starts_at, language),
        }

    def fields(self) -> Mapping[str, object]:
        return self._fields


def received_time(text: str, ms: int | None, local: tzinfo) -> Time:
    """A time of the payload as Go's json.Unmarshal reads it: in its own offset, or in Local when the offsets are equal.

    `ms` is used when the text is missing or not an RFC 3339 time.
    """
    try:
        return parse_go_time(_RFC3339, text, local)
    except ValueError:
        return Time(ZERO_TIME if ms is None else ms * 1_000_000, local=local)


def show_time(ms: int, where: tzinfo) -> str:
    """`2023-11-15 06:13:20 +08:00`."""
    try:
        when = datetime.fromtimestamp(ms // 1000, UTC).astimezone(where)
    except (OverflowError, ValueError, OSError):
        return str(ms)
    offset = when.strftime("%z")
    return f"{when:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:5]}"


def show_duration(ms: int, language: Language) -> str:
    """The two largest units: `1h 5m`, `1小时 5分钟`."""
    seconds = max(ms, 0) // 1000
    parts: list[tuple[int, str]] = []
    for unit, size in _UNITS[language]:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append((count, unit))
    shown = [f"{count}{unit}" for count, unit in parts[:2] if count]
    return " ".join(shown) or f"0{_UNITS[language][-1][0]}"


class TemplateAlerts(GoSlice):
    """Alerts: `.Firing` and `.Resolved`."""

    TYPE = _ALERTS
    METHODS: ClassVar[Mapping[str, Function]] = {
        "Firing": Function(lambda alerts: TemplateAlerts([a for a in alerts if a.firing])),
        "Resolved": Function(lambda alerts: TemplateAlerts([a for a in alerts if not a.firing])),
    }


class TemplateData(GoObject):
    """A notification, with those of its alerts that are to be shown."""

    TYPE = GoType("*template.Data", GoKind.POINTER, GoType("template.Data", GoKind.STRUCT))

    def __init__(self, notification: Notification, alerts: Sequence[TemplateAlert], mention: Mention):
        n = notification
        self._fields: dict[str, object] = {
            "Receiver": n.receiver,
            "Status": n.status,
            "Alerts": TemplateAlerts(alerts),
            "GroupLabels": _labels(n.group_labels),
            "CommonLabels": _labels(n.common_labels),
            "CommonAnnotations": _annotations(n.common_annotations),
            "ExternalURL": safe_link(n.external_url),
            "AtMobiles": _strings(list(mention.mobiles)),
            "AtUserIds": _strings(list(mention.user_ids)),
            "TruncatedAlerts": n.truncated,
        }

    def fields(self) -> Mapping[str, object]:
        return self._fields
