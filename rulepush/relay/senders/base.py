"""The interface of a kind of robot. Everything here is pure: `Robot` does the sending."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, Protocol

from rulepush.relay.ratelimit import RateLimit
from rulepush.relay.settings import NO_MENTION, Mention

Body = Mapping[str, Any]
KEYWORD_HINT: Final = (
    "put one of the robot's keywords into the title or text of the message, which the target's `keyword` does, "
    "or change the robot's keywords"
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message, before it is encoded for a product. `text` is Markdown in the product's dialect."""

    title: str
    text: str
    firing: bool
    mention: Mention = NO_MENTION

    def with_text(self, text: str) -> Message:
        """The same message with another text."""
        return replace(self, text=text)


class VerdictKind(Enum):
    """The meaning of a robot's response for the message."""

    SENT = "sent"
    BUSY = "busy"  # retry at once, a few times
    TOO_FAST = "too_fast"  # the robot refuses all messages for `block_ms`
    LATER = "later"  # a retry may succeed: Alertmanager does it
    REFUSED = "refused"  # a retry would fail, too: configuration or robot must be fixed


@dataclass(frozen=True, slots=True)
class SendVerdict:
    """`code` and `reason` are the robot's, `hint` says what to do."""

    kind: VerdictKind
    code: str = ""
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RobotRequest:
    """What is posted. The URL contains the robot's token, so it must not be logged."""

    url: str
    content: bytes


class Sender(Protocol):
    """A kind of robot, with its address and secret. See tests/relay/test_sender_contract.py."""

    @property
    def shows_title(self) -> bool:
        """Whether the title is shown in the message, not only in the phone's notification of it."""
        ...

    @property
    def block_ms(self) -> int:
        """How long (ms) the robot refuses all messages after its rate limit was exceeded."""
        ...

    def rate_limit(self) -> RateLimit:
        """A new rate limit for one robot."""
        ...

    def bodies(self, message: Message) -> list[Body]:
        """The bodies to post for a message, in order: one, or a second one for mentions alone."""
        ...

    def fits(self, message: Message) -> bool:
        """Whether each body is within the product's size limit."""
        ...

    def request(self, body: Body, ts: int) -> RobotRequest:
        """The signed request at `ts` (milliseconds since the epoch)."""
        ...

    def verdict(self, status: int, content: bytes) -> SendVerdict:
        """The meaning of a response. Never raises."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """What must not appear in a log line."""
        ...


def encode(body: Body) -> bytes:
    """JSON as it is posted; its length is what the size limit counts."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def read_answer(status: int, content: bytes) -> Mapping[str, Any] | SendVerdict:
    """The JSON object of a response, or a verdict when it is none."""
    if status == 429 or status >= 500:
        return SendVerdict(VerdictKind.LATER, str(status), f"HTTP status {status}")
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        return answer
    hint = "is the url that of a robot's webhook?"
    if status >= 400:
        return SendVerdict(VerdictKind.REFUSED, str(status), f"HTTP status {status}", hint)
    # A page or a redirect, possibly of a proxy on the way and temporary.
    return SendVerdict(VerdictKind.LATER, str(status), f"HTTP status {status}, and not the response of a robot", hint)


def read_code(answer: Mapping[str, Any], *keys: str) -> int | None:
    """The number under the first key that is present; None when it is not an integer."""
    value = next((answer[key] for key in keys if key in answer), None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def verdict_of_code(
    code: int | None, reason: str, hint: str, *, too_fast: Collection[int], limit: str, busy: int | None = None
) -> SendVerdict:
    """The verdict of a robot's own code: 0 is sent, `busy` is retried at once, `too_fast` means that its rate `limit`
    (in words) was exceeded. Any other is refused where there is a `hint` what to fix, and else may succeed later."""
    if code == 0:
        return SendVerdict(VerdictKind.SENT)
    if code is None:
        return SendVerdict(VerdictKind.LATER, "", "the robot's answer has no error code")
    if busy is not None and code == busy:
        return SendVerdict(VerdictKind.BUSY, str(code), reason)
    if code in too_fast:
        return SendVerdict(VerdictKind.TOO_FAST, str(code), reason, limit)
    return SendVerdict(VerdictKind.REFUSED if hint else VerdictKind.LATER, str(code), reason, hint)


def shorten(message: Message, sender: Sender, ending: str = "…") -> Message:
    """Cut a message's text until it fits."""
    if sender.fits(message):
        return message
    low, high = 0, len(message.text)
    while low < high:  # the longest prefix that fits
        middle = (low + high + 1) // 2
        if sender.fits(message.with_text(message.text[:middle] + ending)):
            low = middle
        else:
            high = middle - 1
    return message.with_text(message.text[:low] + ending)
