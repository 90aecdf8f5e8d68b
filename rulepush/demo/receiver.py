"""A small stand-in for Alertmanager, for machines without one, and the webhook by which the demo sees what arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import RulepushError
from rulepush.model.timestamps import parse_rfc3339


@dataclass(frozen=True, slots=True)
class ReceivedNotification:
    """An alert as it arrived at the end of the chain."""

    name: str
    resolved: bool
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str = ""
    ends_at: str = ""
    generator_url: str = ""


Arrived = Callable[[ReceivedNotification], None]


class Webhook:
    """Takes Alertmanager's webhook notifications (version 4) at /webhook."""

    def __init__(self, arrived: Arrived):
        self._arrived = arrived

    def routes(self) -> list[Route]:
        """Its one route."""
        return [Route("/webhook", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Report each alert of the notification."""
        body = json.loads(await request.body())
        for alert in body["alerts"]:
            self._arrived(_arrival(alert, alert["status"] == "resolved"))
        return JSONResponse({})


class Receiver:
    """Takes `POST /api/v2/alerts`. Like Alertmanager it notifies once when an alert begins and once when it ends."""

    def __init__(self, clock: Clock, arrived: Arrived):
        self._clock = clock
        self._arrived = arrived
        self._active: set[frozenset[tuple[str, str]]] = set()

    def routes(self) -> list[Route]:
        """Its one route."""
        return [Route("/api/v2/alerts", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Report what changed. A malformed batch is 400, as with Alertmanager."""
        try:
            self.take(json.loads(await request.body()))
        except (ValueError, KeyError, TypeError, RulepushError) as e:
            return JSONResponse(f"bad alerts: {e}", 400)
        return JSONResponse({})

    def take(self, alerts: Sequence[dict[str, Any]]) -> None:
        """One batch. Raises KeyError, ValueError or TypeError when it is not valid for the API."""
        for alert in alerts:
            key = frozenset(alert["labels"].items())
            resolved = parse_rfc3339(alert["endsAt"]) <= self._clock.now()
            if resolved and key in self._active:
                self._active.discard(key)
            elif not resolved and key not in self._active:
                self._active.add(key)
            else:
                continue
            self._arrived(_arrival(alert, resolved))


def _arrival(alert: dict[str, Any], resolved: bool) -> ReceivedNotification:
    labels = alert["labels"]
    return ReceivedNotification(
        name=labels["alertname"],
        resolved=resolved,
        labels=dict(labels),
        annotations=dict(alert.get("annotations") or {}),
        starts_at=alert.get("startsAt", ""),
        ends_at=alert.get("endsAt", ""),
        generator_url=alert.get("generatorURL", ""),
    )


def webhook_body(arrival: ReceivedNotification, receiver: str = "dingtalk") -> dict[str, Any]:
    """One alert as Alertmanager's webhook (version 4) sends it, for the stand-in to forward."""
    status = "resolved" if arrival.resolved else "firing"
    alert = {
        "status": status,
        "labels": arrival.labels,
        "annotations": arrival.annotations,
        "startsAt": arrival.starts_at,
        "endsAt": arrival.ends_at if arrival.resolved else "0001-01-01T00:00:00Z",
        "generatorURL": arrival.generator_url,
        "fingerprint": "",
    }
    return {
        "version": "4",
        "groupKey": "{}",
        "truncatedAlerts": 0,
        "receiver": receiver,
        "status": status,
        "alerts": [alert],
        "groupLabels": {"alertname": arrival.name},
        "commonLabels": arrival.labels,
        "commonAnnotations": arrival.annotations,
        "externalURL": "http://alertmanager.demo",
    }
