"""The kinds of robots. A new one is a file that passes the contract test, and a row in SENDERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rulepush.dingtalk.senders.base import Body, Message, Request, Sender, Verdict, VerdictKind
from rulepush.dingtalk.senders.dingtalk import DingTalkSender
from rulepush.dingtalk.senders.feishu import FeishuSender
from rulepush.dingtalk.senders.wecom import WeComSender
from rulepush.dingtalk.settings import RobotType
from rulepush.model.secret import Secret

SENDERS: Final[Mapping[RobotType, Callable[[Secret, Secret], Sender]]] = {
    RobotType.DINGTALK: DingTalkSender,
    RobotType.FEISHU: FeishuSender,
    RobotType.WECOM: WeComSender,
}

__all__ = ["SENDERS", "Body", "Message", "Request", "Sender", "Verdict", "VerdictKind"]
