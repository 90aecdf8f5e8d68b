"""A notification as messages: templates over its data, split where it is too large for one message."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rulepush.dingtalk.notification import Notification, WireAlert
from rulepush.dingtalk.senders.base import Message, Sender, shorten
from rulepush.dingtalk.settings import NO_MENTION, Language, Mention, Target
from rulepush.dingtalk.sprig import bound_functions
from rulepush.dingtalk.template_data import Data, zone
from rulepush.errors import TemplateError
from rulepush.template import Limits, Template

log = logging.getLogger("rulepush.dingtalk")

MAX_PARTS: Final = 10
"""More parts than this are no help: the last one then lists its alerts by a line each."""
_LIMITS: Final = Limits(max_output=4 << 20, max_steps=5_000_000)
_MAX_TITLE: Final = 200
_ROOM: Final = " (10/10) (10/10)\n\n"
_MORE: Final = {Language.EN: "… and {} more", Language.ZH: "……另有 {} 条"}


def render(target: Target, sender: Sender, notification: Notification, now: int) -> list[Message]:
    """The messages for a notification, at least one; each fits. Mentions are in the last one. `now` in milliseconds.

    A template that fails is replaced by the built-in one, and the log says so: an alert must not be lost to a typo.
    """
    title = _title(target, notification, now)
    parts: list[Message] = []
    rest = (*notification.firing, *notification.resolved)
    while True:
        whole = _message(target, notification.only(rest), title, now)
        if sender.fits(whole) or len(rest) <= 1:
            parts.append(shorten(whole, sender))
            break
        if len(parts) == MAX_PARTS - 1:
            text = lines(rest, target.language, sender, replace(whole, title=title))
            parts.append(shorten(whole.with_text(text), sender))
            break
        count = _fitting(target, sender, notification, rest, title, now)
        part = _message(target, notification.only(rest[:count]), title, now)
        parts.append(shorten(part, sender))
        rest = rest[count:]
    total = len(parts)
    finished = []
    for number, part in enumerate(parts, 1):
        mark = f"({number}/{total})" if total > 1 else ""
        text = part.text if sender.shows_title or not mark else f"{mark}\n\n{part.text}"
        mention = target.mention if number == total else NO_MENTION
        message = replace(part, title=f"{title} {mark}".strip(), text=text, mention=mention)
        finished.append(_with_keyword(message, target, sender))
    return finished


def _with_keyword(message: Message, target: Target, sender: Sender) -> Message:
    """The message with the target's keyword: a robot refuses one without."""
    message = shorten(message, sender)
    if not target.keyword or target.keyword in message.title or target.keyword in message.text:
        return message
    ending = f"\n\n{target.keyword}"
    if sender.fits(message.with_text(message.text + ending)):
        return message.with_text(message.text + ending)
    return shorten(message.with_text(message.text + " " * len(ending)), sender, "…" + ending)


def _fitting(
    target: Target, sender: Sender, notification: Notification, alerts: Sequence[WireAlert], title: str, now: int
) -> int:
    """How many of the alerts, from the first, fit into one message; at least one."""
    low, high = 1, len(alerts) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if sender.fits(_message(target, notification.only(alerts[:middle]), title, now)):
            low = middle
        else:
            high = middle - 1
    return low


def _title(target: Target, notification: Notification, now: int) -> str:
    text = _execute(target, target.title, target.fallback_title, notification, now)
    title = " ".join(text.split())[:_MAX_TITLE]
    return title or notification.status


def _message(target: Target, notification: Notification, title: str, now: int) -> Message:
    text = _execute(target, target.text, target.fallback_text, notification, now)
    # The mention and, twice, the widest number of the part are counted in, so that adding them later leaves it to fit.
    return Message(f"{title}{_ROOM}", text.strip(), notification.status == "firing", target.mention)


def _execute(target: Target, template: Template, fallback: Template, notification: Notification, now: int) -> str:
    data = Data(notification, target.mention, now, target.language, zone(target.time_zone))
    functions = bound_functions(now)
    try:
        return template.execute(data, _LIMITS, functions)
    except TemplateError as e:
        log.error("the template of target %s failed, the built-in one is used: %s", target.name, e)
        return fallback.execute(data, _LIMITS, functions)


def lines(alerts: Sequence[WireAlert], language: Language, sender: Sender, frame: Message) -> str:
    """Alerts by a line each, as many as fit into the frame, and the number of those that do not."""
    shown = [_line(a) for a in alerts]
    low, high = 0, len(shown)
    while low < high:
        middle = (low + high + 1) // 2
        if sender.fits(frame.with_text(_listed(shown, middle, language))):
            low = middle
        else:
            high = middle - 1
    return _listed(shown, low, language)


def _listed(shown: Sequence[str], count: int, language: Language) -> str:
    out = list(shown[:count])
    if count < len(shown):
        out.append(_MORE[language].format(len(shown) - count))
    return "\n\n".join(out)


def _line(alert: WireAlert) -> str:
    mark = "🔥" if alert.firing else "✅"
    name = alert.label("alertname")
    what = alert.annotation("summary") or alert.label("instance") or alert.label("service")
    text = f"{mark} {name}: {what}" if what and what != name else f"{mark} {name}"
    return " ".join(text.split())[:300]


def render_digest(
    target: Target, sender: Sender, notifications: Sequence[Notification], mention: Mention, since: int, now: int
) -> Message:
    """One message for all that had to wait since `since`, firing alerts first."""
    alerts = [a for n in notifications for a in n.alerts]
    alerts.sort(key=lambda a: not a.firing)
    firing = sum(a.firing for a in alerts)
    resolved = len(alerts) - firing
    seconds = max((now - since) // 1000, 1)
    if target.language is Language.ZH:
        title = f"【汇总】{len(notifications)} 组通知：告警 {firing}，恢复 {resolved}"
        note = f"消息过多，已等待 {seconds} 秒，合并为一条。"
    else:
        title = f"[DIGEST] {len(notifications)} notifications: {firing} firing, {resolved} resolved"
        note = f"Too many messages for the robot's limit: these waited {seconds}s and are sent as one."
    frame = Message(title, "", firing > 0, mention or NO_MENTION)
    room = replace(frame, title=f"{title}{note}{_ROOM}")
    message = frame.with_text(f"{note}\n\n{lines(alerts, target.language, sender, room)}")
    return _with_keyword(message, target, sender)
