"""Feishu (Lark) custom robots: interactive cards; the signature is in the body."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from rulepush.model.secret import Secret
from rulepush.relay.ratelimit import RateLimit, RateWindow
from rulepush.relay.senders.base import (
    KEYWORD_HINT,
    Body,
    Message,
    RobotRequest,
    SendVerdict,
    encode,
    read_answer,
    read_code,
    verdict_of_code,
)

MAX_BODY_BYTES: Final = 20_000
_SIGNATURE_BYTES: Final = 120  # what request() adds to the body
_TOO_FAST: Final = frozenset({9499, 11232})
_HINTS: Final = {
    19001: "the target's `url` is wrong, or the robot was removed",
    19021: "the target's `secret` is not the robot's, or the clock of this machine is off by more than an hour",
    19022: "the address of this machine is not in the robot's IP list",
    19024: KEYWORD_HINT,
    11246: "the message contains what a card must not contain",
    230001: "the message contains what Feishu does not accept",
}


class FeishuSender:
    """A card with a coloured header. Users are mentioned by user id (open_id) only, not by mobile number."""

    shows_title: bool = True
    block_ms: int = 60_000

    def __init__(self, url: Secret, secret: Secret):
        self._url = url
        self._secret = secret

    def rate_limit(self) -> RateLimit:
        return RateLimit(RateWindow(100, 60_000), reserved=10, pace=RateWindow(5, 1000))

    def bodies(self, message: Message) -> list[Body]:
        called = [*(["all"] if message.mention.everyone else []), *message.mention.user_ids]
        text = message.text
        if called:
            text += "\n" + " ".join(f"<at id={who}></at>" for who in called)
        head = {
            "title": {"tag": "plain_text", "content": message.title},
            "template": "red" if message.firing else "green",
        }
        card = {
            "config": {"wide_screen_mode": True},
            "header": head,
            "elements": [{"tag": "markdown", "content": text}],
        }
        return [{"msg_type": "interactive", "card": card}]

    def fits(self, message: Message) -> bool:
        return all(len(encode(body)) + _SIGNATURE_BYTES <= MAX_BODY_BYTES for body in self.bodies(message))

    def request(self, body: Body, ts: int) -> RobotRequest:
        if self._secret:
            seconds = ts // 1000
            body = {"timestamp": str(seconds), "sign": sign_feishu(self._secret.reveal(), seconds), **body}
        return RobotRequest(self._url.reveal(), encode(body))

    def verdict(self, status: int, content: bytes) -> SendVerdict:
        answer = read_answer(status, content)
        if isinstance(answer, SendVerdict):
            return answer
        code = read_code(answer, "code", "StatusCode")
        reason = str(answer.get("msg", answer.get("StatusMessage", "")))
        hint = _HINTS.get(code, "") if code is not None else ""
        return verdict_of_code(
            code, reason, hint, too_fast=_TOO_FAST, limit="more than 100 messages a minute, or 5 a second"
        )

    def secrets(self) -> tuple[str, ...]:
        token = urlsplit(self._url.reveal()).path.rstrip("/").rpartition("/")[2]
        return tuple(v for v in (token, self._secret.reveal()) if v)


def sign_feishu(secret: str, seconds: int) -> str:
    """base64(HMAC-SHA256(key="<seconds>\\n<secret>", message="")): Feishu signs nothing, with all of it as the key."""
    digest = hmac.new(f"{seconds}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
