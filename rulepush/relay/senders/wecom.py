"""WeCom (WeChat Work) group robots: Markdown of 4,096 bytes, no signature, the key is in the URL."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlsplit

from rulepush.model.secret import Secret
from rulepush.relay.escape import wecom_heading
from rulepush.relay.ratelimit import RateLimit, RateWindow
from rulepush.relay.senders.base import (
    Body,
    Message,
    RobotRequest,
    SendVerdict,
    encode,
    read_answer,
    read_code,
    verdict_of_code,
)

MAX_MARKDOWN_BYTES: Final = 4096
MAX_TEXT_BYTES: Final = 2048
BUSY: Final = -1
_TOO_FAST: Final = frozenset({45009})
_LIMIT: Final = "more than 20 messages a minute reached this robot"
_HINTS: Final = {
    93000: "the key in the target's `url` is wrong, or the robot was removed",
    40058: "the message contains what WeCom does not accept",
    44004: "the title and the text of the message are empty",
    45002: f"the message is over {MAX_MARKDOWN_BYTES} bytes",
    60020: "the address of this machine is not in the robot's IP list",
}


class WeComSender:
    """Markdown, and a second message of plain text for mentions of everyone or by mobile number, which Markdown cannot
    do here."""

    shows_title: bool = True
    block_ms: int = 60_000

    def __init__(self, url: Secret, secret: Secret):
        self._url = url
        self._secret = secret  # WeCom robots have none; kept out of log lines in any case

    def rate_limit(self) -> RateLimit:
        return RateLimit(RateWindow(20, 60_000), reserved=5)

    def bodies(self, message: Message) -> list[Body]:
        at = message.mention
        content = f"### {wecom_heading(message.title)}\n{message.text}"
        if at.user_ids:
            content += "\n" + " ".join(f"<@{who}>" for who in at.user_ids)
        bodies: list[Body] = [{"msgtype": "markdown", "markdown": {"content": content}}]
        if at.everyone or at.mobiles:
            title = message.title.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
            text = {
                "content": title,
                "mentioned_list": ["@all"] if at.everyone else [],
                "mentioned_mobile_list": list(at.mobiles),
            }
            bodies.append({"msgtype": "text", "text": text})
        return bodies

    def fits(self, message: Message) -> bool:
        content: str = self.bodies(message)[0]["markdown"]["content"]
        return len(content.encode("utf-8", "replace")) <= MAX_MARKDOWN_BYTES

    def request(self, body: Body, ts: int) -> RobotRequest:
        return RobotRequest(self._url.reveal(), encode(body))

    def verdict(self, status: int, content: bytes) -> SendVerdict:
        answer = read_answer(status, content)
        if isinstance(answer, SendVerdict):
            return answer
        code, reason = read_code(answer, "errcode"), str(answer.get("errmsg", ""))
        hint = _HINTS.get(code, "") if code is not None else ""
        return verdict_of_code(code, reason, hint, too_fast=_TOO_FAST, limit=_LIMIT, busy=BUSY)

    def secrets(self) -> tuple[str, ...]:
        query = parse_qs(urlsplit(self._url.reveal()).query)
        return tuple(v for v in (*query.get("key", ()), self._secret.reveal()) if v)
