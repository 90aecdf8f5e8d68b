"""A fake DingTalk robot: checks tokens, signatures and keywords, enforces size and rate, stores what it accepts.

Like the real one it answers every error with HTTP 200 and an errcode.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.relay.senders.dingtalk import sign_dingtalk

PATH: Final = "/robot/send"
MAX_BODY_BYTES: Final = 20_000
MAX_A_MINUTE: Final = 20
BLOCK_MS: Final = 600_000
_SKEW_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message that the robot showed in its group. `at` is the `at` object of the body."""

    title: str
    text: str
    at: dict[str, Any]
    ts: int


@dataclass(slots=True)
class FakeDingTalk:
    """One robot. With a `secret` it requires signatures, with `keywords` one of them in each message."""

    clock: Clock
    token: str = "token"
    secret: str = ""
    keywords: tuple[str, ...] = ()
    took: Callable[[ShownMessage], None] = lambda taken: None
    messages: list[ShownMessage] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)  # returned first, instead of accepting the message
    requests: int = 0
    _arrivals: deque[int] = field(default_factory=deque)
    _blocked_until: int = 0

    def routes(self) -> list[Route]:
        """Its one route."""
        return [Route(PATH, self.send, methods=["POST"])]

    async def send(self, request: Request) -> Response:
        """Accept a message, or answer why not."""
        body = await request.body()
        query = request.query_params
        answer = self.answer(query.get("access_token", ""), query.get("timestamp", ""), query.get("sign", ""), body)
        return JSONResponse(answer)

    def answer(self, token: str, timestamp: str, signature: str, body: bytes) -> dict[str, Any]:
        """The robot's answer to a message, as JSON."""
        self.requests += 1
        now = self.clock.now()
        if self.answers:
            return self.answers.pop(0)
        problem = self._check(token, timestamp, signature, body, now)
        if problem is not None:
            return problem
        data = json.loads(body)
        message = data["markdown"]
        taken = ShownMessage(message["title"], message["text"], data.get("at", {}), now)
        self.messages.append(taken)
        self.took(taken)
        return {"errcode": 0, "errmsg": "ok"}

    def _check(self, token: str, timestamp: str, signature: str, body: bytes, now: int) -> dict[str, Any] | None:
        if token != self.token:
            return _error(300001, "token is not exist")
        if self.secret:
            if not timestamp.isdigit() or abs(int(timestamp) - now) > _SKEW_MS:
                return _error(310000, "description:机器人发送签名过期; invalid timestamp")
            if signature != sign_dingtalk(self.secret, int(timestamp)):
                return _error(310000, "description:机器人发送签名不匹配; sign not match")
        if self._too_fast(now):
            return _error(130101, "send too fast, exceed 20 times per minute")
        if len(body) > MAX_BODY_BYTES:
            return _error(460101, "message too long, exceed 20000 bytes")
        return self._check_content(body)

    def _check_content(self, body: bytes) -> dict[str, Any] | None:
        try:
            data = json.loads(body)
            text = data["markdown"]["title"] + data["markdown"]["text"]
        except (ValueError, KeyError, TypeError):
            return _error(40035, "缺少参数 json")
        if data.get("msgtype") != "markdown" or not data["markdown"]["title"] or not data["markdown"]["text"]:
            return _error(40035, "缺少参数 markdown")
        if self.keywords and not any(k in text for k in self.keywords):
            return _error(310000, "description:关键词不匹配;keywords not in content")
        return None

    def _too_fast(self, now: int) -> bool:
        while self._arrivals and self._arrivals[0] <= now - 60_000:
            self._arrivals.popleft()
        self._arrivals.append(now)
        if now < self._blocked_until:
            return True
        if len(self._arrivals) > MAX_A_MINUTE:
            self._blocked_until = now + BLOCK_MS
            return True
        return False


def _error(code: int, message: str) -> dict[str, Any]:
    return {"errcode": code, "errmsg": message}
