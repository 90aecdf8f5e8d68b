"""Robots for tests: the demo's fake DingTalk robot behind an httpx.MockTransport, and notifications to send to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from rulepush.demo.fake_dingtalk import FakeDingTalk, ShownMessage
from rulepush.model.timestamps import format_rfc3339
from rulepush.relay.load import load_settings
from rulepush.relay.notification import Notification, parse_notification
from rulepush.relay.settings import Settings

__all__ = ["URL", "FakeDingTalk", "ShownMessage", "alert", "body", "load", "notification", "robot_transport"]

URL = "http://robot.test/robot/send?access_token=token"
NOW = 1_700_000_000_000


Failure = Exception | httpx.Response


def robot_transport(robot: FakeDingTalk, failures: list[Failure] | None = None) -> httpx.MockTransport:
    """The way to the robot; `failures` are raised or answered first."""

    def handle(request: httpx.Request) -> httpx.Response:
        if failures:
            failure = failures.pop(0)
            if isinstance(failure, httpx.Response):
                return failure
            raise failure
        query = request.url.params
        token, ts, sign = query.get("access_token", ""), query.get("timestamp", ""), query.get("sign", "")
        return httpx.Response(200, json=robot.answer(token, ts, sign, request.content))

    return httpx.MockTransport(handle)


def alert(
    name: str = "NacosDown",
    instance: str = "10.0.0.1:8848",
    resolved: bool = False,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One alert of a webhook body: began 5 minutes before NOW; if resolved, it ended 1 minute before."""
    all_labels = {"alertname": name, "instance": instance, "severity": "critical", **(labels or {})}
    return {
        "status": "resolved" if resolved else "firing",
        "labels": all_labels,
        "annotations": {"summary": f"{instance} is down"} if annotations is None else dict(annotations),
        "startsAt": format_rfc3339(NOW - 300_000),
        "endsAt": format_rfc3339(NOW - 60_000) if resolved else "0001-01-01T00:00:00Z",
        "generatorURL": "http://rulepush:9095/graph?g0.expr=up&g0.tab=1",
        "fingerprint": f"{abs(hash(tuple(sorted(all_labels.items())))):016x}"[:16],
    }


def body(alerts: Sequence[Mapping[str, Any]], group: str = "NacosDown", **more: Any) -> bytes:
    """A webhook body."""
    firing = any(a["status"] == "firing" for a in alerts)
    return json.dumps(
        {
            "version": "4",
            "receiver": "dingtalk",
            "status": "firing" if firing else "resolved",
            "groupKey": f'{{}}:{{alertname="{group}"}}',
            "groupLabels": {"alertname": group},
            "commonLabels": {"alertname": group, "severity": "critical"},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager:9093",
            "truncatedAlerts": 0,
            "alerts": list(alerts),
            **more,
        }
    ).encode()


def notification(alerts: Sequence[Mapping[str, Any]], group: str = "NacosDown", **more: Any) -> Notification:
    """The same, parsed."""
    return parse_notification(body(alerts, group, **more))


def load(tmp_path: Path, text: str) -> Settings:
    """The settings in a configuration text."""
    path = tmp_path / "config.yml"
    path.write_text(text, encoding="utf-8")
    return load_settings(str(path))
