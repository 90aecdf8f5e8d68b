"""DingTalk custom robots. Source: DingTalk's documentation of custom robots."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import parse_qs, quote_plus, urlsplit

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
BUSY: Final = -1
_TOO_FAST: Final = frozenset({130101, 660026})
_LIMIT: Final = "more than 20 messages a minute reached this robot"
_TOO_LONG: Final = frozenset({460101, 101002})
_BAD_TOKEN: Final = frozenset({300001, 400101, 88})
_STOPPED: Final = frozenset({400102})
_POLICY: Final = frozenset({430101, 430102, 430103, 430104})
_SECURITY: Final = 310000
_SECURITY_HINTS: Final = (
    ("keyword", KEYWORD_HINT),
    ("sign", "the target's `secret` is not the robot's: copy it again, it starts with SEC"),
    ("timestamp", "the clock of this machine is off by more than an hour"),
    ("whitelist", "the address of this machine is not in the robot's IP list"),
    ("ip", "the address of this machine is not in the robot's IP list"),
)


class DingTalkSender:
    """Markdown messages; the signature is in the query."""

    shows_title: bool = False
    block_ms: int = 600_000

    def __init__(self, url: Secret, secret: Secret):
        self._url = url
        self._secret = secret

    def rate_limit(self) -> RateLimit:
        return RateLimit(RateWindow(20, 60_000), reserved=5)

    def bodies(self, message: Message) -> list[Body]:
        at = message.mention
        text = message.text
        # A mention is highlighted only when the text contains it; a template may have added it already.
        named = [f"@{who}" for who in (*at.mobiles, *at.user_ids) if f"@{who}" not in text]
        if named:
            text = f"{text}\n\n{' '.join(named)}"
        body: dict[str, object] = {"msgtype": "markdown", "markdown": {"title": message.title, "text": text}}
        if at:
            body["at"] = {"atMobiles": list(at.mobiles), "atUserIds": list(at.user_ids), "isAtAll": at.everyone}
        return [body]

    def fits(self, message: Message) -> bool:
        return all(len(encode(body)) <= MAX_BODY_BYTES for body in self.bodies(message))

    def request(self, body: Body, ts: int) -> RobotRequest:
        url = self._url.reveal()
        if self._secret:
            join = "&" if "?" in url else "?"
            url = f"{url}{join}timestamp={ts}&sign={quote_plus(sign_dingtalk(self._secret.reveal(), ts))}"
        return RobotRequest(url, encode(body))

    def verdict(self, status: int, content: bytes) -> SendVerdict:
        answer = read_answer(status, content)
        if isinstance(answer, SendVerdict):
            return answer
        code, reason = read_code(answer, "errcode"), str(answer.get("errmsg", ""))
        return verdict_of_code(
            code, reason, self._hint(code, reason.lower()), too_fast=_TOO_FAST, limit=_LIMIT, busy=BUSY
        )

    def _hint(self, code: int | None, reason: str) -> str:
        if code == _SECURITY:
            if "sign" in reason and not self._secret:
                return "the robot wants signatures: give the target the robot's `secret`, which starts with SEC"
            found = (hint for word, hint in _SECURITY_HINTS if word in reason)
            return next(found, "the robot's security settings refuse the message")
        if code in _TOO_LONG:
            return f"the message is over {MAX_BODY_BYTES} bytes"
        if code in _BAD_TOKEN:
            return "the access_token in the target's `url` is wrong, or the robot was removed"
        if code in _STOPPED:
            return "the robot is stopped: enable it in the group's settings"
        if code in _POLICY:
            return "DingTalk's content policy refuses the text"
        return ""

    def secrets(self) -> tuple[str, ...]:
        query = parse_qs(urlsplit(self._url.reveal()).query)
        values = (*query.get("access_token", ()), self._secret.reveal())
        return tuple(v for v in values if v)


def sign_dingtalk(secret: str, ts: int) -> str:
    """base64(HMAC-SHA256(key=secret, message="<ts>\\n<secret>")), before URL encoding. `ts` in milliseconds."""
    digest = hmac.new(secret.encode(), f"{ts}\n{secret}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
