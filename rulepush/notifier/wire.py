"""The alert as Alertmanager's API takes it, and the conversion from the rules' own alert.

Source: Prometheus rules/manager.go `SendAlerts`, notifier/alert.go and Alertmanager's api/v2/openapi.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_plus

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels
from rulepush.model.timestamps import format_rfc3339, parse_rfc3339
from rulepush.relabel.relabel import Relabel
from rulepush.rules.alert import Alert


@dataclass(frozen=True, slots=True)
class WireAlert:
    """One alert of a `POST /api/v2/alerts`. Times in ms. `resolved` says which of its two ends `ends_at` is:
    when it ended, or when it expires if no update follows. `fingerprint` is that of the labels that the rule gave it,
    whatever external labels and relabelling make of them; "" where it is not known."""

    labels: Labels
    annotations: tuple[tuple[str, str], ...]
    starts_at: int
    ends_at: int
    generator_url: str
    resolved: bool
    fingerprint: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object of the v2 API."""
        return {
            "labels": self.labels.as_dict(),
            "annotations": dict(self.annotations),
            "startsAt": format_rfc3339(self.starts_at),
            "endsAt": format_rfc3339(self.ends_at),
            "generatorURL": self.generator_url,
        }


def wire_alert(alert: Alert, expr: str, external_url: str, external_labels: Labels) -> WireAlert:
    """Convert; external labels are added where the alert does not have its own.

    The generator URL is that of Prometheus, from which tools take the expression, and with `alert` a browser that
    follows it is led on to the page of the alert.
    """
    mark = fingerprint(alert.labels)
    resolved = alert.resolved_at is not None
    ends_at = alert.resolved_at if alert.resolved_at is not None else alert.valid_until
    starts_at = alert.fired_at if alert.fired_at is not None else alert.active_at
    return WireAlert(
        labels=Labels({**external_labels.as_dict(), **alert.labels.as_dict()}),
        annotations=tuple(alert.annotations),
        # Alertmanager refuses an alert that ends before it starts, which can happen after the clock is set back.
        starts_at=starts_at if ends_at is None else min(starts_at, ends_at),
        ends_at=ends_at if ends_at is not None else starts_at,
        generator_url=f"{external_url}/graph?g0.expr={quote_plus(expr)}&g0.tab=1&alert={mark}",
        resolved=resolved,
        fingerprint=mark,
    )


def relabelled(alert: WireAlert, relabel: Relabel | None) -> WireAlert | None:
    """The alert with its labels relabelled; None when the relabelling drops it."""
    if relabel is None:
        return alert
    labels = relabel(alert.labels)
    if labels is None or len(labels) == 0:
        return None
    return replace(alert, labels=labels)


def encode_batch(alerts: Sequence[WireAlert]) -> bytes:
    """The body of one POST."""
    return json.dumps([a.as_json() for a in alerts], ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def dump_alert(alert: WireAlert) -> str:
    """For the state database."""
    more = {"resolved": alert.resolved, "fingerprint": alert.fingerprint}
    return json.dumps({**alert.as_json(), **more}, ensure_ascii=False)


def load_alert(text: str) -> WireAlert:
    """The inverse of `dump_alert`. Raises ValueError, KeyError or TypeError on what it did not write."""
    data: Mapping[str, Any] = json.loads(text)
    return WireAlert(
        Labels(data["labels"]),
        tuple(sorted(data["annotations"].items())),
        parse_rfc3339(data["startsAt"]),
        parse_rfc3339(data["endsAt"]),
        data["generatorURL"],
        bool(data["resolved"]),
        str(data.get("fingerprint", "")),
    )
