"""The kinds of robots. To add one: a file that passes tests/relay/test_sender_contract.py, and a row in SENDERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rulepush.model.secret import Secret
from rulepush.relay.senders.base import Body, Message, RobotRequest, Sender, SendVerdict, VerdictKind
from rulepush.relay.senders.dingtalk import DingTalkSender
from rulepush.relay.senders.feishu import FeishuSender
from rulepush.relay.senders.wecom import WeComSender
from rulepush.relay.settings import RobotType

SENDERS: Final[Mapping[RobotType, Callable[[Secret, Secret], Sender]]] = {
    RobotType.DINGTALK: DingTalkSender,
    RobotType.FEISHU: FeishuSender,
    RobotType.WECOM: WeComSender,
}

__all__ = ["SENDERS", "Body", "Message", "RobotRequest", "SendVerdict", "Sender", "VerdictKind"]
