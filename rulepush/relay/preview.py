"""What a target's templates make of a webhook payload, for people to read: `rulepush dingtalk --render`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from rulepush.model.secret import MASK
from rulepush.relay.notification import Notification, NotificationError, parse_notification
from rulepush.relay.render import render_notification
from rulepush.relay.senders import SENDERS, Body, Sender
from rulepush.relay.settings import RobotTarget
from rulepush.relay.trial import PRODUCTS

_EXPECTED: Final = (
    "expected what Alertmanager posts to a webhook, a JSON object with receiver, status, alerts, groupLabels, "
    "commonLabels, commonAnnotations, externalURL"
)
_TOP_KEYS: Final = ("receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL")
_ALERT_KEYS: Final = ("status", "labels", "startsAt")
_POSITION: Final = re.compile(r"template: (.+?):(\d+)(?::\d+)?: (.*)", re.DOTALL)
_KNOWN_PATH: Final = re.compile(r"/robot/send|/cgi-bin/webhook/send|/open-apis/bot/v2/hook/")


@dataclass(frozen=True, slots=True)
class Preview:
    """`text` is what to show. `failures` are the templates that failed, with file and line: built-in ones took their
    place in what is shown."""

    text: str
    failures: tuple[str, ...]


def read_payload(body: bytes, name: str) -> tuple[Notification, tuple[str, ...]]:
    """The notification in a file of this name, and the keys of Alertmanager's format that it leaves out.

    Raises NotificationError with one line that says what is wrong with it, and where."""
    if not body.strip():
        raise NotificationError(f"{name}: is empty: {_EXPECTED}")
    try:
        data = json.loads(body)
    except json.JSONDecodeError as e:
        raise NotificationError(f"{name}:{e.lineno}: not JSON: {e.msg} (column {e.colno})") from None
    except (ValueError, RecursionError) as e:
        raise NotificationError(f"{name}: not JSON: {e}") from None
    fault = _shape_fault(data)
    if fault:
        raise NotificationError(f"{name}: {fault}")
    try:
        notification = parse_notification(body)
    except NotificationError as e:
        raise NotificationError(f"{name}: {e}") from None
    return notification, tuple(key for key in _TOP_KEYS if key not in data)


def _shape_fault(data: Any) -> str:
    """What the JSON is, when it is not Alertmanager's payload; "" when it is."""
    if isinstance(data, list):
        if data and isinstance(data[0], dict) and "labels" in data[0]:
            return f"this is a list of alerts, as Prometheus posts it or Alertmanager lists it; {_EXPECTED}"
        return f"this is a list; {_EXPECTED}"
    if not isinstance(data, dict):
        return f"this is no JSON object; {_EXPECTED}"
    if "alerts" not in data:
        if isinstance(data.get("data"), dict | list):
            return f"this is an answer of the API of Prometheus or Alertmanager; {_EXPECTED}"
        if "labels" in data:
            return f"this is a single alert; {_EXPECTED}"
        return f'"alerts" is missing; {_EXPECTED}'
    if not isinstance(data["alerts"], list):
        return '"alerts": expected a list'
    if not data["alerts"]:
        return '"alerts" is empty: the relay sends no message for it'
    for i, alert in enumerate(data["alerts"]):
        missing = [key for key in _ALERT_KEYS if key not in alert] if isinstance(alert, Mapping) else []
        if missing:
            return f"alerts[{i}]: {', '.join(missing)} missing"
    return ""


def preview(target: RobotTarget, notification: Notification, now: int, config_file: str) -> Preview:
    """The messages of a notification and the requests that would be posted, tokens and signatures hidden. `now` in
    milliseconds."""
    sender = SENDERS[target.type](target.url, target.secret)
    failures: list[str] = []

    def report(part: str, reason: str) -> None:
        failures.append(_located(target, part, reason, config_file))

    messages = render_notification(target, sender, notification, now, report)
    total = len(messages)
    out = [f"target {target.name}: {total} message{'s' * (total > 1)} to a {PRODUCTS[target.type]} robot"]
    for number, message in enumerate(messages, 1):
        out.append(f"\n=== message {number} of {total}\ntitle: {message.title}\ntext:\n{message.text}")
        for body in sender.bodies(message):
            url, shown, size = _request(sender, body, now)
            out.append(f"\nPOST {url} ({size} bytes)\n{shown}")
    return Preview("\n".join(out) + "\n", tuple(failures))


def _located(target: RobotTarget, part: str, reason: str, config_file: str) -> str:
    """`mine.tmpl:3: executing ...`: the place in the file, instead of Go's in the template."""
    found = _POSITION.match(reason)
    first = target.title_line if part == "title" else target.text_line
    what = f"the {part} of target {target.name}"
    if found is None:
        return f"{config_file}:{first}: {what}: {reason}" if first else f"{config_file}: {what}: {reason}"
    name, line, text = found[1], int(found[2]), found[3]
    if name == "message":
        return f"{config_file}:{first + line - 1}: {what}: {text}"
    return f"{name}:{line}: {what}: {text}"


def _request(sender: Sender, body: Body, now: int) -> tuple[str, str, int]:
    """The URL and the body as they may be shown, and how many bytes are posted."""
    request = sender.request(body, now)
    parts = urlsplit(request.url)
    path = known.group() if (known := _KNOWN_PATH.match(parts.path)) else "/"
    if path != parts.path:
        path += MASK
    # No value of the query is shown but the time: which of them are secret is the robot's matter.
    query = "&".join(
        pair if pair.startswith("timestamp=") else f"{pair.partition('=')[0]}={MASK}"
        for pair in parts.query.split("&")
        if pair
    )
    posted = json.loads(request.content)
    if "sign" in posted:
        posted["sign"] = MASK
    shown = json.dumps(posted, ensure_ascii=False, indent=2)
    return f"{parts.scheme}://{parts.hostname}{path}{'?' * bool(query)}{query}", shown, len(request.content)
