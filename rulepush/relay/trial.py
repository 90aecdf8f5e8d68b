"""One message that says that it is a test, sent as an alert is sent: `rulepush dingtalk --test`."""

from __future__ import annotations

from typing import Final

from rulepush.clock import Clock
from rulepush.relay.builtin_templates import DIALECTS
from rulepush.relay.render import ESCAPES, with_keyword
from rulepush.relay.robot import Post, Robot, describe
from rulepush.relay.senders import SENDERS, Message, Sender, VerdictKind
from rulepush.relay.settings import Language, Mention, RobotTarget, RobotType
from rulepush.relay.template_data import show_time, zone

PRODUCTS: Final = {RobotType.DINGTALK: "DingTalk", RobotType.FEISHU: "Feishu", RobotType.WECOM: "WeCom"}
_TEXTS: Final = {
    Language.EN: (
        "[TEST] rulepush",
        "This is a test message of rulepush, no alert: there is nothing to do.",
        "target {}, sent {}",
    ),
    Language.ZH: ("【测试】rulepush", "这是 rulepush 的测试消息，不是告警，无需处理。", "目标 {}，发送于 {}"),
}
_ANSWERS: Final = {
    VerdictKind.SENT: "took the message",
    VerdictKind.BUSY: "is busy, and stayed so at every attempt",
    VerdictKind.TOO_FAST: "refused the message, its rate limit is exceeded",
    VerdictKind.LATER: "did not take the message",
    VerdictKind.REFUSED: "refused the message",
}


def trial_message(target: RobotTarget, sender: Sender, mention: Mention, now: int) -> Message:
    """The message: in the target's language, with its keyword. `now` in milliseconds."""
    title, text, where = _TEXTS[target.language]
    dialect, escape = DIALECTS[target.type], ESCAPES[target.type]
    line = escape(where.format(target.name, show_time(now, zone(target.time_zone))))
    head = "" if sender.shows_title else f"### {title}\n\n"
    body = f"{head}{text}{dialect.line_break}{line}"
    # Green where a product has colours: it is no alert.
    return with_keyword(Message(title, body, firing=False, mention=mention), target, sender)


async def send_trial(target: RobotTarget, post: Post, clock: Clock, mention: Mention) -> tuple[bool, str]:
    """Send it. Returns whether the robot took it, and its answer in words without secrets."""
    sender = SENDERS[target.type](target.url, target.secret)
    robot = Robot(sender, post, clock, sender.rate_limit())
    verdict = await robot.send_message(trial_message(target, sender, mention, clock.now()))
    said = describe(verdict, sender)
    if verdict.kind is VerdictKind.LATER and not verdict.code:
        return False, said  # no answer at all: the reason begins with "the robot cannot be reached"
    answer = f"the {PRODUCTS[target.type]} robot {_ANSWERS[verdict.kind]}"
    if verdict.kind is VerdictKind.TOO_FAST:
        said += f"; it takes nothing for {sender.block_ms // 60_000} min"
    return verdict.kind is VerdictKind.SENT, f"{answer}: {said}" if said else answer
