"""Alertmanager's webhook notification (version 4) as typed values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rulepush.errors import RulepushError

MAX_ALERTS: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_YEAR: Final = "0001-"


class NotificationError(RulepushError):
    """A body that is not a notification of Alertmanager."""


@dataclass(frozen=True, slots=True)
class ReceivedAlert:
    """One alert of a notification. Times are milliseconds since the epoch; `ends_at` is None while it is open."""

    firing: bool
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    starts_at: int
    ends_at: int | None
    generator_url: str
    fingerprint: str
    starts_text: str = ""  # as received: templates show the offset and the nanoseconds
    ends_text: str = ""

    def label(self, name: str) -> str:
        """A label's value, "" when absent."""
        return dict(self.labels).get(name, "")

    def annotation(self, name: str) -> str:
        """An annotation's value, "" when absent."""
        return dict(self.annotations).get(name, "")

    @property
    def identity(self) -> str:
        """By which the alert is identified: Alertmanager's fingerprint, else the labels."""
        return self.fingerprint or json.dumps(self.labels)


@dataclass(frozen=True, slots=True)
class Notification:
    """One group of alerts, as Alertmanager sends it."""

    receiver: str
    alerts: tuple[ReceivedAlert, ...]
    group_labels: tuple[tuple[str, str], ...]
    common_labels: tuple[tuple[str, str], ...]
    common_annotations: tuple[tuple[str, str], ...]
    external_url: str
    group_key: str
    truncated: int  # alerts that Alertmanager left out (max_alerts)

    @property
    def firing(self) -> tuple[ReceivedAlert, ...]:
        """The firing alerts."""
        return tuple(a for a in self.alerts if a.firing)

    @property
    def resolved(self) -> tuple[ReceivedAlert, ...]:
        """The resolved alerts."""
        return tuple(a for a in self.alerts if not a.firing)

    @property
    def status(self) -> str:
        """`firing` while any alert fires."""
        return "firing" if any(a.firing for a in self.alerts) else "resolved"

    def only(self, alerts: Sequence[ReceivedAlert]) -> Notification:
        """The same notification with some of its alerts."""
        return replace(self, alerts=tuple(alerts))

    def updated_by(self, newer: Notification) -> Notification:
        """The newer one, with the alerts that only the older one has: a resolved alert is sent once."""
        known = {a.identity for a in newer.alerts}
        return newer.only((*newer.alerts, *(a for a in self.alerts if a.identity not in known)))


def parse_notification(body: bytes) -> Notification:
    """Read a webhook body. Raises NotificationError."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise NotificationError(f"not JSON: {e}") from None
    if not isinstance(data, dict):
        raise NotificationError("expected a JSON object, as Alertmanager's webhook sends it")
    alerts = data.get("alerts")
    if not isinstance(alerts, list):
        raise NotificationError('no list "alerts": is this Alertmanager\'s webhook?')
    if len(alerts) > MAX_ALERTS:
        raise NotificationError(f"more than {MAX_ALERTS} alerts")
    truncated = data.get("truncatedAlerts", 0)
    return Notification(
        receiver=_text(data, "receiver"),
        alerts=tuple(_alert(a, i) for i, a in enumerate(alerts)),
        group_labels=_pairs(data, "groupLabels"),
        common_labels=_pairs(data, "commonLabels"),
        common_annotations=_pairs(data, "commonAnnotations"),
        external_url=_text(data, "externalURL"),
        group_key=_text(data, "groupKey"),
        truncated=truncated if isinstance(truncated, int) and truncated > 0 else 0,
    )


def _alert(data: Any, index: int) -> ReceivedAlert:
    if not isinstance(data, dict):
        raise NotificationError(f"alerts[{index}]: expected an object")
    ends_at = _time(data, "endsAt")
    firing = _text(data, "status") != "resolved"
    return ReceivedAlert(
        firing=firing,
        labels=_pairs(data, "labels"),
        annotations=_pairs(data, "annotations"),
        starts_at=_time(data, "startsAt") or 0,
        ends_at=None if firing else ends_at,
        generator_url=_text(data, "generatorURL"),
        fingerprint=_text(data, "fingerprint"),
        starts_text=_text(data, "startsAt"),
        ends_text=_text(data, "endsAt"),
    )


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotificationError(f"{key}: expected a text")
    return _clean(value)


def _clean(text: str) -> str:
    """JSON may contain lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _pairs(data: Mapping[str, Any], key: str) -> tuple[tuple[str, str], ...]:
    value = data.get(key)
    if value is None:
        return ()
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise NotificationError(f"{key}: expected an object of texts")
    return tuple(sorted((_clean(n), _clean(v)) for n, v in value.items()))


def _time(data: Mapping[str, Any], key: str) -> int | None:
    """Milliseconds; None for Go's zero time. Digits beyond microseconds are cut."""
    text = _text(data, key)
    if not text or text.startswith(_ZERO_YEAR):
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise NotificationError(f"{key}: {text!r} is not an RFC 3339 time") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - _EPOCH) // timedelta(milliseconds=1)
