"""Renders a notification as messages: executes its templates, and splits what is too large for one message."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from rulepush.gotext.errors import TemplateError
from rulepush.relay.escape import dingtalk_text, feishu_text, wecom_text
from rulepush.relay.functions import MARKDOWN_FUNCTIONS
from rulepush.relay.notification import Notification, ReceivedAlert
from rulepush.relay.senders.base import Message, Sender, shorten
from rulepush.relay.settings import NO_MENTION, Language, Mention, RobotTarget, RobotType
from rulepush.relay.sprig import bound_sprig_functions
from rulepush.relay.template_data import TemplateAlert, TemplateData, zone
from rulepush.template import TemplateLimitError, TemplateLimits

log = logging.getLogger("rulepush.dingtalk")

MAX_PARTS: Final = 10
"""Maximum number of messages of a notification. The last one lists the remaining alerts, one line each."""
_LIMITS: Final = TemplateLimits(max_output=4 << 20, max_steps=5_000_000)
_MAX_TITLE: Final = 200
_FIRST_GUESS: Final = 64  # alerts in a message, before one was rendered
_PART_MARKS: Final = " (10/10) (10/10)\n\n"
ESCAPES: Final = {RobotType.DINGTALK: dingtalk_text, RobotType.FEISHU: feishu_text, RobotType.WECOM: wecom_text}
"""How a robot's messages show a text that is no markup."""
_MORE: Final = {Language.EN: "… and {} more", Language.ZH: "……另有 {} 条"}


FailureReport = Callable[[str, str], None]
"""Is told of a template that failed: `title` or `text`, and the reason."""


def render_notification(
    target: RobotTarget, sender: Sender, notification: Notification, now: int, report: FailureReport | None = None
) -> list[Message]:
    """The messages for a notification, at least one; each fits. Mentions are in the last one. `now` in milliseconds.

    When a template fails the built-in one is used, and `report` is told, else the log: a typo must not lose an alert.
    """
    rendering = _Rendering(target, sender, notification, now, report or _log_failure(target))
    parts = rendering.parts()
    total = len(parts)
    finished = []
    for number, part in enumerate(parts, 1):
        mark = f"({number}/{total})" if total > 1 else ""
        text = part.text if sender.shows_title or not mark else f"{mark}\n\n{part.text}"
        mention = target.mention if number == total else NO_MENTION
        message = replace(part, title=f"{rendering.title} {mark}".strip(), text=text, mention=mention)
        finished.append(with_keyword(message, target, sender))
    return finished


def _log_failure(target: RobotTarget) -> FailureReport:
    def report(part: str, reason: str) -> None:
        log.error("the %s template of target %s failed, using the built-in one: %s", part, target.name, reason)

    return report


class _Rendering:
    """Renders one notification; holds what is computed once for all its parts."""

    def __init__(
        self, target: RobotTarget, sender: Sender, notification: Notification, now: int, report: FailureReport
    ):
        self._target = target
        self._report = report
        self._sender = sender
        self._notification = notification
        where = zone(target.time_zone)
        self._functions = bound_sprig_functions(now, where) | {"markdown": MARKDOWN_FUNCTIONS[target.type]}
        self._failed = False
        self._alerts = [*notification.firing, *notification.resolved]
        self._shown = [TemplateAlert(a, now, target.language, where) for a in self._alerts]
        self.title = self._title(notification)

    def parts(self) -> list[Message]:
        """The messages, with room for what `render_notification` adds: one if all alerts fit into it."""
        whole = self._message(0, len(self._alerts))
        if whole is not None and self._sender.fits(whole):
            return [whole]
        if whole is None and len(self._alerts) == 1:
            self._use_fallback("text", "it exceeds the limits of a template")
        parts: list[Message] = []
        start, count = 0, _FIRST_GUESS
        if whole is not None:  # in proportion to the text that fits
            count = len(self._alerts) * len(shorten(whole, self._sender).text) // len(whole.text)
        while True:
            count, message = self._largest(start, count)
            end = start + count
            if len(parts) == MAX_PARTS - 1 and end < len(self._alerts):
                text = lines(self._alerts[start:], self._target, self._sender, message)
                return [*parts, shorten(message.with_text(text), self._sender)]
            parts.append(shorten(message, self._sender))
            start = end
            if start >= len(self._alerts):
                return parts

    def _largest(self, start: int, guess: int) -> tuple[int, Message]:
        """How many alerts from `start` on fit into one message, at least one, and that message."""
        high = len(self._alerts) - start
        low, best = 0, None
        step = min(max(guess, 1), high)
        while low < high and not (low and high - low <= low // 16):
            message = self._message(start, step)
            if message is not None and self._sender.fits(message):
                low, best = step, message
            else:
                high = step - 1
            # Alerts of a notification have similar lengths: try near the guess first.
            near = low + max(low // 8, 1) if low else high
            step = min(near, (low + high + 1) // 2)
        return (low, best) if best is not None else (1, self._single(start))

    def _single(self, start: int) -> Message:
        """The message for an alert that does not fit into one: it will be cut."""
        message = self._message(start, 1)
        if message is None:  # a single alert exceeds the limits of a template
            self._use_fallback("text", "it exceeds the limits of a template, for a single alert")
            message = self._message(start, 1)
        return message if message is not None else Message(f"{self.title}{_PART_MARKS}", "", True, self._target.mention)

    def _message(self, start: int, count: int) -> Message | None:
        """The message for some alerts; None when it exceeds the limits of a template, which counts as too long."""
        part = self._notification.only(self._alerts[start : start + count])
        shown = self._shown[start : start + count]
        try:
            text = self._execute("text", part, shown)
        except TemplateLimitError:
            return None
        # Measured with mention and part number, so that it still fits when they are added.
        return Message(f"{self.title}{_PART_MARKS}", text.strip(), part.status == "firing", self._target.mention)

    def _use_fallback(self, part: str, reason: str) -> None:
        """Use the built-in template from here on."""
        self._failed = True
        self._report(part, reason)

    def _title(self, notification: Notification) -> str:
        """The title over all alerts, on one line."""
        try:
            title = self._execute("title", notification, self._shown)
        except TemplateLimitError:
            self._report("title", "it exceeds the limits of a template")
            title = ""
        return " ".join(title.split())[:_MAX_TITLE] or notification.status

    def _execute(self, part: str, notification: Notification, shown: Sequence[TemplateAlert]) -> str:
        """`part` is `title` or `text`."""
        target = self._target
        template, fallback = (
            (target.title, target.fallback_title) if part == "title" else (target.text, target.fallback_text)
        )
        data = TemplateData(notification, shown, self._target.mention)
        if not self._failed:
            try:
                return template.execute(data, _LIMITS, self._functions)
            except TemplateLimitError:
                raise
            except TemplateError as e:
                self._use_fallback(part, str(e))
        return fallback.execute(data, _LIMITS, self._functions)


def with_keyword(message: Message, target: RobotTarget, sender: Sender) -> Message:
    """The message with the target's keyword, without which the robot refuses it."""
    message = shorten(message, sender)
    if not target.keyword or target.keyword in message.title or target.keyword in message.text:
        return message
    ending = f"\n\n{target.keyword}"
    if sender.fits(message.with_text(message.text + ending)):
        return message.with_text(message.text + ending)
    return shorten(message.with_text(message.text + " " * len(ending)), sender, "…" + ending)


def lines(alerts: Sequence[ReceivedAlert], target: RobotTarget, sender: Sender, frame: Message) -> str:
    """Alerts, one line each, as many as fit into the frame, and the number of those that do not."""
    language = target.language
    shown = [f"{'🔥' if a.firing else '✅'} {ESCAPES[target.type](_line(a, language))}" for a in alerts]
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


def _line(alert: ReceivedAlert, language: Language) -> str:
    name = alert.label("alertname")
    chinese = alert.annotation("summary_zh") if language is Language.ZH else ""
    what = chinese or alert.annotation("summary") or alert.label("instance") or alert.label("service")
    text = f"{name}: {what}" if what and what != name else name
    return " ".join(text.split())[:300]


def render_digest(
    target: RobotTarget, sender: Sender, notifications: Sequence[Notification], mention: Mention, since: int, now: int
) -> Message:
    """One message for notifications that waited since `since`, firing alerts first. Times in milliseconds."""
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
    room = replace(frame, title=f"{title}{note}{_PART_MARKS}")
    message = frame.with_text(f"{note}\n\n{lines(alerts, target, sender, room)}")
    return with_keyword(message, target, sender)
