"""The text of dingtalk.yml: the robots."""

from __future__ import annotations

from rulepush.init.prometheus_yml import quoted
from rulepush.init.setup import Robot, Setup
from rulepush.init.wording import comment, wording
from rulepush.relay.settings import Language, RobotType


def dingtalk_yml(setup: Setup) -> str:
    """The settings of the relay. It holds the tokens of the robots."""
    say = wording(setup.language)
    head = say(
        f"Written by `rulepush init {setup.app}`, in the format of prometheus-webhook-dingtalk. It holds the tokens\n"
        "of the robots: whoever has one can write into the group.",
        f"由 `rulepush init {setup.app}` 生成，格式与 prometheus-webhook-dingtalk 相同。其中有机器人的令牌：\n"
        "得到令牌的人可以向群里发消息。",
    )
    zone = "time_zone: Asia/Shanghai\n" if setup.language is Language.ZH else "# time_zone: Asia/Shanghai\n"
    keyword = say(
        "Where the robot's security setting is a keyword, which every message then has to contain:",
        "机器人的安全设置为“自定义关键词”时，每条消息都必须包含它：",
    )
    targets = "".join(_target(robot, keyword) for robot in setup.robots)
    return f"{comment(head)}lang: {setup.language.value}\n{zone}targets:\n{targets}"


def _target(robot: Robot, keyword: str) -> str:
    secret = f"    secret: {quoted(robot.secret.reveal())}\n" if robot.secret else ""
    if robot.keyword:
        secret += f"    keyword: {quoted(robot.keyword)}\n"
    hint = "" if secret or robot.type is RobotType.WECOM else f"{comment(keyword, '    ')}    # keyword: ...\n"
    return f"  {robot.name}:\n    type: {robot.type.value}\n    url: {quoted(robot.url.reveal())}\n{secret}{hint}"
