"""What a kind of robot must offer. Everything here is pure: the robot's task does the sending."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

from rulepush.relay.ratelimit import RateLimit
from rulepush.relay.settings import NO_MENTION, Mention

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message before it takes a product's shape. `text` is Markdown in the product's dialect."""

    title: str
    text: str
    firing: bool
    mention: Mention = NO_MENTION

    def with_text(self, text: str) -> Message:
        """The same message with another text."""
        return replace(self, text=text)


class VerdictKind(Enum):
    """What a robot's answer means for the message."""

    SENT = "sent"
    BUSY = "busy"  # try again at once, a few times
    TOO_FAST = "too_fast"  # the robot takes nothing for a while
    LATER = "later"  # worth trying again: Alertmanager does
    REFUSED = "refused"  # trying again changes nothing: somebody must fix something


@dataclass(frozen=True, slots=True)
class SendVerdict:
    """`code` is the robot's own, `reason` what it said, `hint` what to do about it."""

    kind: VerdictKind
    code: str = ""
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RobotRequest:
    """What is posted. The URL holds the robot's token: it is never logged."""

    url: str
    content: bytes


class Sender(Protocol):
    """A kind of robot, with its address and secret. See tests/dingtalk/test_sender_contract.py."""

    @property
    def shows_title(self) -> bool:
        """Whether readers of the message see its title, not only those of the notification on their phone."""
        ...

    @property
    def block_ms(self) -> int:
        """How long the robot refuses everything once it was sent to too fast."""
        ...

    def rate_limit(self) -> RateLimit:
        """A new, unused limit for one robot."""
        ...

    def bodies(self, message: Message) -> list[Body]:
        """What to post for a message, in order: one body, or a second one that only mentions."""
        ...

    def fits(self, message: Message) -> bool:
        """Whether each body is within the product's limit of size."""
        ...

    def request(self, body: Body, ts: int) -> RobotRequest:
        """The signed request at `ts` (milliseconds since the epoch)."""
        ...

    def verdict(self, status: int, content: bytes) -> SendVerdict:
        """What an answer means; never raises, whatever came back."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """What must not appear in a log line."""
        ...


def encode(body: Body) -> bytes:
    """JSON as it is posted, and as its size counts."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def read_answer(status: int, content: bytes) -> Mapping[str, Any] | SendVerdict:
    """The JSON object of an answer; a verdict where there is none to read."""
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
    # A page, or a redirect to one: as likely from a proxy or a gateway on the way, and gone in a minute.
    return SendVerdict(VerdictKind.LATER, str(status), f"HTTP status {status}, and not the answer of a robot", hint)


def read_code(answer: Mapping[str, Any], *keys: str) -> int | None:
    """The number under the first of the keys that is there; None when it is no whole number."""
    value = next((answer[key] for key in keys if key in answer), None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


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
